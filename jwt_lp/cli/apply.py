"""What will a plan change, and shall it?"""

from __future__ import annotations

import io
import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar, cast

import click

from jwt_lp.cli.memory import Where, store_options
from jwt_lp.cli.naming import sentence
from jwt_lp.cli.output import BAD, FAINT, GOOD, LOUD, Failure, brief, count, moment, notices, say, text
from jwt_lp.cli.plan import read_plan
from jwt_lp.cli.spreading import push_option, reached, spread, usable_push, wait_option
from jwt_lp.cli.taking import user
from jwt_lp.errors import PolicyError
from jwt_lp.review._edits import put, read_bytes
from jwt_lp.review._written import journal_of, past
from jwt_lp.review.applying import Moved, check, preview
from jwt_lp.review.applying import apply as apply_plan
from jwt_lp.review.previewing import Handoff
from jwt_lp.tabular import write

if TYPE_CHECKING:
    from collections.abc import Iterable

    from jwt_lp.review._written import Intent
    from jwt_lp.review.planning import Plan
    from jwt_lp.review.previewing import Difference
    from jwt_lp.stores import Store

_C = TypeVar("_C", bound=Callable[..., object])

_SHOWN = 50


def doing_options(command: _C) -> _C:
    """The options of whatever changes something: `dry`, `yes`, `by`, `push`, `wait` and which store."""
    for option in (
        click.option("--by", metavar="NAME", help="Who does it. Default: the user of this machine."),
        click.option("--yes", is_flag=True, help="Do it without asking."),
        click.option("--dry-run", "dry", is_flag=True, help="Show what would be done, and do nothing."),
    ):
        command = option(command)
    return wait_option(push_option(store_options(command)))


@click.command(short_help="Do what a plan says, after showing it.")
@click.argument("path", metavar="PLAN")
@click.option("--policy", metavar="FILE", help="The policy file. Default: the one that was reviewed.")
@click.option("--cap", type=click.IntRange(1), metavar="N", help="How many grants may go. Default: a quarter of all.")
@click.option("--even-last-holder", is_flag=True, help="Also what nobody else was seen to hold.")
@click.option("--handoff", "form", type=click.Choice(["csv", "json"]), help="List what its issuer has to take back.")
@click.option("--handoff-file", "listed", metavar="FILE", help="Where to. Default: beside the plan.")
@doing_options
@click.pass_context
def apply(ctx: click.Context, /, path: str, **options: Any) -> None:
    """Show what PLAN changes, ask, and do it: deny entries in the store, and the policy file edited.

    What was used since the review is left out. Nothing is done where the policy has changed since, or where more would
    go than may. What a subject or a client has from its issuer comes again with the next token unless it is taken back
    there too: --handoff lists it. jwt-lp undo PLAN takes all of it back.

    \b
      jwt-lp apply quarter.plan --dry-run
      jwt-lp apply quarter.plan --handoff csv
    """  # noqa: D301 - a real backspace is what click looks for
    made, journal, now = read_plan(path), journal_of(path), time.time()
    by = options["by"] if options["by"] is not None else user()
    place = Where(options["url"], options["target"], options["where"])
    found = place.settings(ctx)
    push = options["push"] or (found.push if found is not None else None)
    usable_push(push)
    if options["listed"] and not options["form"]:
        raise click.UsageError("--handoff-file: as --handoff csv or json?")
    policy = _policy(made, options["policy"])
    limits: dict[str, Any] = {"cap": options["cap"], "even_last_holder": options["even_last_holder"]}
    with place.opened(found) as store:
        handoffs = _shown(made, journal, store, policy, now, limits)
        if options["form"]:
            _hand_off(handoffs, options["form"], options["listed"] or f"{path}.handoff.{options['form']}")
        if options["dry"]:
            say(text("nothing was changed", FAINT))
            return
        agreed(ctx, "Apply it?", yes=options["yes"])
        try:
            done = apply_plan(made, store, policy, journal=journal, now=time.time(), by=by, **limits)
        except Moved as error:
            show_lines(error.lines)
            raise
        edited = ", the policy was edited: deploy it" if done.policy else ""
        say(text(f"applied; deny entries written: {done.entries}{edited}; jwt-lp undo {path} takes it back", GOOD))
        spread(store, done.sequence, push)
        if options["wait"] is not None and not reached(store, done.sequence, options["wait"]):
            ctx.exit(1)


def agreed(ctx: click.Context, question: str, *, yes: bool) -> None:
    """Go on only after an explicit yes."""
    if yes:
        return
    if not sys.stdin.isatty():
        raise click.UsageError("nobody can be asked here: pass --yes, or --dry-run to look only")
    if not click.confirm(question, default=False, err=True):
        say("nothing was changed")
        ctx.exit(1)


def show_lines(lines: Iterable[str]) -> None:
    """Print a unified diff."""
    for line in lines:
        style = BAD if line.startswith("-") else GOOD if line.startswith("+") else FAINT
        say(text(line, style))


def _policy(made: Plan, named: str | None) -> str | None:
    if named is not None:
        if not Path(named).exists():
            raise Failure(f"--policy: there is no file {named}")
        return named
    reviewed = made.origin.path
    return reviewed if reviewed and Path(reviewed).exists() else None


def _shown(
    made: Plan, journal: Path, store: Store, policy: str | None, now: float, limits: dict[str, Any]
) -> tuple[Handoff, ...]:
    """Show what would be done, with the errors of doing it; gives what is handed off."""
    before = past(journal)
    if before.state == "begun" and before.intent is not None:
        _show_rest(before.intent)
        return ()
    if before.state in ("applied", "undoing"):
        raise PolicyError(
            "the plan was applied already: jwt-lp undo takes it back, jwt-lp verify looks what became of it"
        )
    difference = preview(
        made,
        store,
        None if policy is None else read_bytes(policy).decode("utf-8", "replace"),
        now=now,
        attempt=before.attempt,
        name=policy or "",
        **limits,
    )
    _show(difference)
    check(difference)
    return difference.handoffs


def _show_rest(intent: Intent) -> None:
    notices(["applying this plan was broken off: the rest of it is done now"])
    say(f"deny entries: {len(intent.entries)}; begun at {moment(intent.at)} by {intent.by}")


def _show(difference: Difference) -> None:
    if difference.policy:
        say(text("the policy:", "bold"))
        show_lines(difference.policy)
    _some("refused in the store:", [sentence(entry) for entry in difference.entries], GOOD)
    _some(
        "to be taken back by the issuer too, which grants it again otherwise:",
        [
            f"{each.of} {each.name} of {each.issuer}: {each.grant or f'the role {each.role}'}"
            for each in difference.handoffs
        ],
        LOUD,
    )
    _some("left out:", [f"{each.item}: {each.reason}" for each in difference.dropped], LOUD)
    notices(difference.notes)
    items = count(len(difference.items), "decision")
    say(text(f"{items}, {difference.touches} grants of holders go; {difference.cap} may", "bold"))


def _some(head: str, lines: list[str], style: str) -> None:
    if not lines:
        return
    say(text(head, "bold"))
    for line in lines[:_SHOWN]:
        say(text("  "), text(brief(line), style))
    if len(lines) > _SHOWN:
        say(text(f"  and {len(lines) - _SHOWN} more", FAINT))


def _hand_off(handoffs: Iterable[Handoff], form: str, path: str) -> None:
    listed = [each._asdict() for each in handoffs]
    if form == "json":
        said = json.dumps(listed, indent=2) + "\n"
    else:
        written = io.StringIO()
        rows = (
            [" ".join(cast("tuple[str, ...]", value)) if isinstance(value, tuple) else value for value in each.values()]
            for each in listed
        )
        write(written, Handoff._fields, rows, end="\r\n")
        said = written.getvalue()
    put(path, said.encode(), mode=0o600)
    say(text(f"{path}: {count(len(listed), 'line')} for whoever grants", FAINT))
