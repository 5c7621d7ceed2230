"""The command `jwt-lp apply`, and the options and questions that it shares with `jwt-lp undo`."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeVar

import click

from jwt_lp.cli.holder_options import describe_entry
from jwt_lp.cli.notice import notice_teller, secret_option, webhook_option
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
    give_notice,
    in_trial,
    journal_path,
    preview,
    read_bytes,
    read_status,
    write_atomically,
    write_handoffs,
)
from jwt_lp.review.plan import apply as apply_plan

if TYPE_CHECKING:
    from collections.abc import Iterable

    from jwt_lp.review.plan import ApplyIntent, Plan, PlanPreview
    from jwt_lp.stores import Store

_C = TypeVar("_C", bound=Callable[..., object])

_MAX_SHOWN = 50
_QUESTIONS = {
    "": "Apply it?",
    "notice": "Tell the holders and managers?",
    "trial": "Begin the trial?",
    "final": "Remove them from the policy?",
}


def change_options(command: _C) -> _C:
    """Add the options of a command that makes changes: `by`, `yes`, `dry`, `push`, `wait` and those of the store."""
    for option in (
        click.option("--by", metavar="NAME", help="Your name, for the record. Default: the current user."),
        click.option("--yes", is_flag=True, help="Do not ask for confirmation."),
        click.option("--dry-run", "dry", is_flag=True, help="Show what would change, but change nothing."),
    ):
        command = option(command)
    return wait_option(push_option(store_options(command)))


@click.command(short_help="Show what a plan changes, and apply it.")
@click.argument("path", metavar="PLAN")
@click.option("--policy", metavar="FILE", help="The policy file. Default: the one that was reviewed.")
@click.option(
    "--cap", type=click.IntRange(1), metavar="N", help="Revoke at most N grants. Default: a quarter of all grants."
)
@click.option("--even-last-holder", is_flag=True, help="Also revoke grants that have no other known holder.")
@click.option(
    "--handoff",
    "form",
    type=click.Choice(["csv", "json"]),
    help="Write a list of the grants that the issuer must also revoke.",
)
@click.option(
    "--handoff-file", "listed", metavar="FILE", help="The file for that list. Default: PLAN.handoff.csv or .json."
)
@webhook_option
@secret_option
@change_options
@click.pass_context
def apply(ctx: click.Context, /, path: str, **options: Any) -> None:
    """Show what PLAN changes, ask for confirmation, then write deny entries to the store and edit the policy file.

    Grants that were used since the review are left out. Nothing is changed if the policy file has changed since the
    review, or if the plan revokes more grants than --cap allows. A grant that comes from the issuer returns with the
    next token unless the issuer revokes it too: --handoff lists these grants. jwt-lp undo PLAN undoes everything.

    If PLAN has stages, each call begins the stage that is due: the notice writes PLAN.notice.csv and tells --webhook, the
    trial writes deny entries, which jwt-lp restore lifts one by one, and the final stage edits the policy file.

    \b
      jwt-lp apply quarter.plan --dry-run
      jwt-lp apply quarter.plan --handoff csv
    """  # noqa: D301 - a real backspace is what click looks for
    plan, journal, now = read_plan(path), journal_path(path), time.time()
    by = options["by"] if options["by"] is not None else current_user()
    place = StoreOptions(options["url"], options["target"], options["where"])
    settings = place.settings(ctx)
    push = options["push"] or (settings.push if settings is not None else None)
    check_push_url(push)
    if options["listed"] and not options["form"]:
        raise click.UsageError("--handoff-file needs a format: pass --handoff csv or --handoff json")
    tell = notice_teller(path, options["webhook"], options["secret"])
    policy = _policy(plan, options["policy"])
    limits: dict[str, Any] = {"cap": options["cap"], "even_last_holder": options["even_last_holder"]}
    with place.open(settings) as store:
        difference = _preview(plan, journal, store, policy, now, limits)
        if options["form"]:
            _write_handoffs(
                difference.handoffs if difference else (),
                options["form"],
                options["listed"] or f"{path}.handoff.{options['form']}",
            )
        if options["dry"]:
            say(text("nothing was changed", DIM))
            return
        confirm(ctx, _QUESTIONS[difference.stage if difference else ""], yes=options["yes"])
        if difference and difference.stage == "notice":
            give_notice(plan, store, policy, journal=journal, now=time.time(), by=by, tell=tell, **limits)
            say(text(f"the notice has begun; jwt-lp apply {path} continues when it is over", OK))
            return
        try:
            applied = apply_plan(plan, store, policy, journal=journal, now=time.time(), by=by, **limits)
        except PolicyFileChanged as error:
            print_diff(error.lines)
            raise
        edited = ", the policy was edited: deploy it" if applied.policy else ""
        begun = f"the {applied.stage} has begun" if applied.stage == "trial" else "applied"
        say(text(f"{begun}; deny entries written: {applied.entries:,}{edited}; jwt-lp undo {path} undoes it", OK))
        announce(store, applied.sequence, push)
        if options["wait"] is not None and not wait_until_known(store, applied.sequence, options["wait"]):
            ctx.exit(1)


def confirm(ctx: click.Context, question: str, *, yes: bool) -> None:
    """Return only after an explicit yes; otherwise exit with code 1, or 2 without a terminal."""
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


def _policy(plan: Plan, named: str | None) -> str | None:
    if named is not None:
        if not Path(named).exists():
            raise Failure(f"--policy: there is no file {named}")
        return named
    reviewed = plan.origin.path
    return reviewed if reviewed and Path(reviewed).exists() else None


def _preview(
    plan: Plan, journal: Path, store: Store, policy: str | None, now: float, limits: dict[str, Any]
) -> PlanPreview | None:
    """Print the changes, and raise the errors that applying would raise; None where an interrupted plan is resumed."""
    status = read_status(journal)
    if status.state == "begun" and status.intent is not None:
        _print_intent(status.intent)
        return None
    if status.state == "undoing" or (status.state == "applied" and not in_trial(status)):
        raise PolicyError("the plan was applied already: jwt-lp undo undoes it, jwt-lp verify checks its effect")
    difference = preview(
        plan,
        store,
        None if policy is None else read_bytes(policy).decode("utf-8", "replace"),
        now=now,
        status=status,
        name=policy or "",
        **limits,
    )
    _print_preview(difference)
    check_preview(difference)
    return difference


def _print_intent(intent: ApplyIntent) -> None:
    notices(["applying this plan was interrupted: the rest of it is applied now"])
    say(f"deny entries: {len(intent.entries):,}; begun at {moment(intent.at)} by {intent.by}")


def _print_preview(difference: PlanPreview) -> None:
    if difference.policy:
        say(text("the policy:", "bold"))
        print_diff(difference.policy)
    _print_section("deny entries in the store:", [describe_entry(entry) for entry in difference.entries], OK)
    _print_section(
        "the issuer must revoke these too, or it grants them again:",
        [
            f"{handoff.of} {handoff.name} of {handoff.issuer}: {handoff.grant or f'the role {handoff.role}'}"
            for handoff in difference.handoffs
        ],
        WARNING,
    )
    _print_section("left out:", [f"{drop.item}: {drop.reason}" for drop in difference.dropped], WARNING)
    notices(difference.notes)
    items = count(len(difference.items), "decision")
    revoked = count(difference.touches, "grant")
    say(text(f"{items} would revoke {revoked}; the limit is {difference.cap:,}", "bold"))


def _print_section(title: str, lines: list[str], style: str) -> None:
    if not lines:
        return
    say(text(title, "bold"))
    for line in lines[:_MAX_SHOWN]:
        say(text("  "), text(brief(line), style))
    if len(lines) > _MAX_SHOWN:
        say(text(f"  and {len(lines) - _MAX_SHOWN:,} more", DIM))


def _write_handoffs(handoffs: Iterable[Handoff], form: Literal["csv", "json"], path: str) -> None:
    entries = list(handoffs)
    content = write_handoffs(entries, form)
    write_atomically(path, content.encode(), mode=0o600)
    say(text(f"{path}: {count(len(entries), 'line')} for the issuer", DIM))
