"""The command `jwt-lp undo`: an applied plan undone in one step."""

from __future__ import annotations

import time
from typing import Any

import click

from jwt_lp.cli.apply import change_options, confirm, print_diff
from jwt_lp.cli.output import DIM, OK, moment, notices, say, text
from jwt_lp.cli.propagation import announce, check_push_url, wait_until_known
from jwt_lp.cli.revoke import current_user
from jwt_lp.cli.store import StoreOptions
from jwt_lp.review.plan import PolicyFileChanged, journal_path, prepare_undo
from jwt_lp.review.plan import undo as undo_plan


@click.command(short_help="Undo what a plan changed, in one step.")
@click.argument("path", metavar="PLAN")
@click.option("--leave-policy", is_flag=True, help="Lift the deny entries, but leave the policy file unchanged.")
@change_options
@click.pass_context
def undo(ctx: click.Context, /, path: str, *, leave_policy: bool, **options: Any) -> None:
    """Lift the deny entries that PLAN wrote to the store, and restore the policy file byte by byte.

    If the policy file was changed after the plan was applied, nothing is undone, and the necessary changes are shown.
    --leave-policy lifts the deny entries and leaves the file unchanged.

    \b
      jwt-lp undo quarter.plan
    """  # noqa: D301 - a real backspace is what click looks for
    journal = journal_path(path)
    place = StoreOptions(options["url"], options["target"], options["where"])
    settings = place.settings(ctx)
    push = options["push"] or (settings.push if settings is not None else None)
    check_push_url(push)
    try:
        intent = prepare_undo(journal, policy=not leave_policy)
    except PolicyFileChanged as error:
        print_diff(error.lines)
        raise
    say(f"applied at {moment(intent.at)} by {intent.by}: deny entries to lift: {len(intent.entries):,}")
    if intent.before is not None and not leave_policy:
        say(f"{intent.path} will be restored")
    with place.open(settings) as store:
        if options["dry"]:
            say(text("nothing was changed", DIM))
            return
        confirm(ctx, "Undo it?", yes=options["yes"])
        by = options["by"] if options["by"] is not None else current_user()
        try:
            undone = undo_plan(journal, store, now=time.time(), by=by, policy=not leave_policy)
        except PolicyFileChanged as error:
            print_diff(error.lines)
            raise
        restored = f", {undone.path} restored: deploy it" if undone.path else ""
        say(text(f"undone; deny entries lifted: {len(undone.lifted):,}{restored}", OK))
        if undone.gone:
            notices([f"deny entries that were already gone: {len(undone.gone):,}"])
        announce(store, undone.sequence, push)
        if options["wait"] is not None and not wait_until_known(store, undone.sequence, options["wait"]):
            ctx.exit(1)
