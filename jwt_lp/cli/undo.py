"""How is a plan taken back?"""

from __future__ import annotations

import time
from typing import Any

import click

from jwt_lp.cli.apply import agreed, doing_options, show_lines
from jwt_lp.cli.memory import Where
from jwt_lp.cli.output import FAINT, GOOD, moment, notices, say, text
from jwt_lp.cli.spreading import reached, spread, usable_push
from jwt_lp.cli.taking import user
from jwt_lp.review._written import journal_of
from jwt_lp.review.applying import Moved, undoing
from jwt_lp.review.applying import undo as undo_plan


@click.command(short_help="Undo what a plan changed, in one step.")
@click.argument("path", metavar="PLAN")
@click.option("--leave-policy", is_flag=True, help="Lift the entries, and leave the policy file as it is.")
@doing_options
@click.pass_context
def undo(ctx: click.Context, /, path: str, *, leave_policy: bool, **options: Any) -> None:
    """Lift what PLAN wrote to the store, and restore the policy file, byte by byte.

    A policy file that was changed after the plan was applied is not touched: what would have to be taken back in it is
    shown, and --leave-policy undoes the rest.

    \b
      jwt-lp undo quarter.plan
    """  # noqa: D301 - a real backspace is what click looks for
    journal = journal_of(path)
    place = Where(options["url"], options["target"], options["where"])
    found = place.settings(ctx)
    push = options["push"] or (found.push if found is not None else None)
    usable_push(push)
    try:
        intent = undoing(journal, policy=not leave_policy)
    except Moved as error:
        show_lines(error.lines)
        raise
    say(f"applied at {moment(intent.at)} by {intent.by}: deny entries to lift: {len(intent.entries)}")
    if intent.before is not None and not leave_policy:
        say(f"{intent.path} becomes what it was")
    with place.opened(found) as store:
        if options["dry"]:
            say(text("nothing was changed", FAINT))
            return
        agreed(ctx, "Undo it?", yes=options["yes"])
        by = options["by"] if options["by"] is not None else user()
        try:
            done = undo_plan(journal, store, now=time.time(), by=by, policy=not leave_policy)
        except Moved as error:
            show_lines(error.lines)
            raise
        restored = f", {done.path} restored: deploy it" if done.path else ""
        say(text(f"undone; deny entries lifted: {len(done.lifted)}{restored}", GOOD))
        if done.gone:
            notices([f"deny entries that stood no more: {len(done.gone)}"])
        spread(store, done.sequence, push)
        if options["wait"] is not None and not reached(store, done.sequence, options["wait"]):
            ctx.exit(1)
