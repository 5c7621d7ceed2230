"""The command `jwt-lp restore`: one item of a plan given back during its trial."""

from __future__ import annotations

import time
from typing import Any

import click

from jwt_lp.cli.output import OK, Failure, say, text
from jwt_lp.cli.plan import read_plan
from jwt_lp.cli.propagation import announce, check_push_url, push_option, wait_option, wait_until_known
from jwt_lp.cli.revoke import current_user
from jwt_lp.cli.store import StoreOptions, store_options
from jwt_lp.review.plan import journal_path
from jwt_lp.review.plan import restore as restore_item


@click.command(short_help="Give one grant of a plan back during its trial.")
@click.argument("path", metavar="PLAN")
@click.argument("item", metavar="ITEM")
@click.option("--by", metavar="NAME", help="Your name, for the record. Default: the current user.")
@click.option("--reason", default="", metavar="TEXT", help="Why the grant is needed, for the record.")
@push_option
@wait_option
@store_options
@click.pass_context
def restore(ctx: click.Context, /, path: str, item: str, **options: Any) -> None:
    """Give back at once what ITEM of PLAN revoked, and leave it out of the final stage. It counts as a regret.

    ITEM is the id of the item, or enough of its beginning; jwt-lp verify --all PLAN shows the ids. No confirmation is asked,
    because somebody cannot work.

    \b
      jwt-lp restore quarter.plan 3f9a12
    """  # noqa: D301 - a real backspace is what click looks for
    plan, place = read_plan(path), StoreOptions(options["url"], options["target"], options["where"])
    settings = place.settings(ctx)
    push = options["push"] or (settings.push if settings is not None else None)
    check_push_url(push)
    matches = [found for found in plan.items if item and found.id.startswith(item)]
    if len(matches) != 1:
        what = "several items" if matches else "no item"
        raise Failure(f"the plan has {what} whose id begins with {item}: jwt-lp verify --all {path} shows the ids")
    by = options["by"] if options["by"] is not None else current_user()
    with place.open(settings) as store:
        restored = restore_item(
            plan, matches[0].id, store, journal=journal_path(path), now=time.time(), by=by, reason=options["reason"]
        )
        say(text(f"restored: {matches[0]}; deny entries lifted: {restored.lifted:,}", OK))
        announce(store, restored.sequence, push)
        if options["wait"] is not None and not wait_until_known(store, restored.sequence, options["wait"]):
            ctx.exit(1)
