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

from jwt_lp.cli.holder_options import describe_entry
from jwt_lp.cli.output import DIM, ERROR, OK, WARNING, Failure, brief, count, moment, notices, say, text
from jwt_lp.cli.plan import read_plan
from jwt_lp.cli.propagation import announce, check_push_url, push_option, wait_option, wait_until_known
from jwt_lp.cli.revoke import current_user
from jwt_lp.cli.store import StoreOptions, store_options
from jwt_lp.errors import PolicyError
from jwt_lp.review.plan import (
    Handoff,
    PolicyFileChanged,
    check_preview,
    journal_path,
    preview,
    read_bytes,
    read_status,
    write_atomically,
)
from jwt_lp.review.plan import apply as apply_plan
from jwt_lp.usage.row_reader import write

if TYPE_CHECKING:
    from collections.abc import Iterable

    from jwt_lp.review.plan import ApplyIntent, Plan, PlanPreview
    from jwt_lp.stores import Store

_C = TypeVar("_C", bound=Callable[..., object])

_MAX_SHOWN = 50


def change_options(command: _C) -> _C:
    """The options of whatever changes something: `dry`, `yes`, `by`, `push`, `wait` and which store."""
    for option in (
        click.option("--by", metavar="NAME", help="Who does it, for the record. Default: the user of this machine."),
        click.option("--yes", is_flag=True, help="Do not ask for confirmation."),
        click.option("--dry-run", "dry", is_flag=True, help="Show what would change, and change nothing."),
    ):
        command = option(command)
    return wait_option(push_option(store_options(command)))


@click.command(short_help="Apply a plan, after showing what it changes.")
@click.argument("path", metavar="PLAN")
@click.option("--policy", metavar="FILE", help="The policy file. Default: the one that was reviewed.")
@click.option(
    "--cap", type=click.IntRange(1), metavar="N", help="The most grants to revoke at once. Default: a quarter of all."
)
@click.option("--even-last-holder", is_flag=True, help="Also revoke grants that nobody else was seen to hold.")
@click.option(
    "--handoff", "form", type=click.Choice(["csv", "json"]), help="List what the issuer has to revoke itself."
)
@click.option(
    "--handoff-file", "listed", metavar="FILE", help="The file to write that list to. Default: beside the plan."
)
@change_options
@click.pass_context
def apply(ctx: click.Context, /, path: str, **options: Any) -> None:
    """Show what PLAN changes, ask, and do it: deny entries in the store, and the policy file edited.

    What was used since the review is left out. Nothing is done where the policy has changed since, or where more would
    go than may. What a subject or a client has from its issuer comes again with the next token unless it is revoked
    there too: --handoff lists it. jwt-lp undo PLAN undoes all of it.

    \b
      jwt-lp apply quarter.plan --dry-run
      jwt-lp apply quarter.plan --handoff csv
    """  # noqa: D301 - a real backspace is what click looks for
    made, journal, now = read_plan(path), journal_path(path), time.time()
    by = options["by"] if options["by"] is not None else current_user()
    place = StoreOptions(options["url"], options["target"], options["where"])
    found = place.settings(ctx)
    push = options["push"] or (found.push if found is not None else None)
    check_push_url(push)
    if options["listed"] and not options["form"]:
        raise click.UsageError("--handoff-file needs a format: pass --handoff csv or --handoff json")
    policy = _policy(made, options["policy"])
    limits: dict[str, Any] = {"cap": options["cap"], "even_last_holder": options["even_last_holder"]}
    with place.open(found) as store:
        handoffs = _preview(made, journal, store, policy, now, limits)
        if options["form"]:
            _write_handoffs(handoffs, options["form"], options["listed"] or f"{path}.handoff.{options['form']}")
        if options["dry"]:
            say(text("nothing was changed", DIM))
            return
        confirm(ctx, "Apply it?", yes=options["yes"])
        try:
            done = apply_plan(made, store, policy, journal=journal, now=time.time(), by=by, **limits)
        except PolicyFileChanged as error:
            print_diff(error.lines)
            raise
        edited = ", the policy was edited: deploy it" if done.policy else ""
        say(text(f"applied; deny entries written: {done.entries}{edited}; jwt-lp undo {path} undoes it", OK))
        announce(store, done.sequence, push)
        if options["wait"] is not None and not wait_until_known(store, done.sequence, options["wait"]):
            ctx.exit(1)


def confirm(ctx: click.Context, question: str, *, yes: bool) -> None:
    """Go on only after an explicit yes."""
    if yes:
        return
    if not sys.stdin.isatty():
        raise click.UsageError("there is no terminal to confirm on: pass --yes, or --dry-run to look only")
    if not click.confirm(question, default=False, err=True):
        say("nothing was changed")
        ctx.exit(1)


def print_diff(lines: Iterable[str]) -> None:
    """Print a unified diff."""
    for line in lines:
        style = ERROR if line.startswith("-") else OK if line.startswith("+") else DIM
        say(text(line, style))


def _policy(made: Plan, named: str | None) -> str | None:
    if named is not None:
        if not Path(named).exists():
            raise Failure(f"--policy: there is no file {named}")
        return named
    reviewed = made.origin.path
    return reviewed if reviewed and Path(reviewed).exists() else None


def _preview(
    made: Plan, journal: Path, store: Store, policy: str | None, now: float, limits: dict[str, Any]
) -> tuple[Handoff, ...]:
    """Show what would be done, with the errors of doing it; gives what is handed off."""
    before = read_status(journal)
    if before.state == "begun" and before.intent is not None:
        _print_rest(before.intent)
        return ()
    if before.state in ("applied", "undoing"):
        raise PolicyError("the plan was applied already: jwt-lp undo undoes it, jwt-lp verify checks its effect")
    difference = preview(
        made,
        store,
        None if policy is None else read_bytes(policy).decode("utf-8", "replace"),
        now=now,
        attempt=before.attempt,
        name=policy or "",
        **limits,
    )
    _print_preview(difference)
    check_preview(difference)
    return difference.handoffs


def _print_rest(intent: ApplyIntent) -> None:
    notices(["applying this plan was interrupted: the rest of it is applied now"])
    say(f"deny entries: {len(intent.entries)}; begun at {moment(intent.at)} by {intent.by}")


def _print_preview(difference: PlanPreview) -> None:
    if difference.policy:
        say(text("the policy:", "bold"))
        print_diff(difference.policy)
    _print_section("deny entries in the store:", [describe_entry(entry) for entry in difference.entries], OK)
    _print_section(
        "to be revoked by the issuer too, which would grant it again:",
        [
            f"{each.of} {each.name} of {each.issuer}: {each.grant or f'the role {each.role}'}"
            for each in difference.handoffs
        ],
        WARNING,
    )
    _print_section("left out:", [f"{each.item}: {each.reason}" for each in difference.dropped], WARNING)
    notices(difference.notes)
    items = count(len(difference.items), "decision")
    say(text(f"{items}, {difference.touches:,} grants are revoked; at most {difference.cap:,} may be", "bold"))


def _print_section(head: str, lines: list[str], style: str) -> None:
    if not lines:
        return
    say(text(head, "bold"))
    for line in lines[:_MAX_SHOWN]:
        say(text("  "), text(brief(line), style))
    if len(lines) > _MAX_SHOWN:
        say(text(f"  and {len(lines) - _MAX_SHOWN} more", DIM))


def _write_handoffs(handoffs: Iterable[Handoff], form: str, path: str) -> None:
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
    write_atomically(path, said.encode(), mode=0o600)
    say(text(f"{path}: {count(len(listed), 'line')} for the issuer", DIM))
