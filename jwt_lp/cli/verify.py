"""The command `jwt-lp verify`: whether an applied plan has taken effect."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING

import click

from jwt_lp.cli.output import ERROR, OK, WARNING, brief, count, emit, grid, moment, say, text
from jwt_lp.cli.plan import read_plan
from jwt_lp.cli.store import StoreOptions, format_option, store_options
from jwt_lp.review.plan import journal_path
from jwt_lp.review.plan import verify as verify_plan

if TYPE_CHECKING:
    from rich.text import Text

    from jwt_lp.review.plan import ItemOutcome


@click.command(short_help="Check that the grants that a plan revoked stay revoked.")
@click.argument("path", metavar="PLAN")
@format_option
@store_options
@click.pass_context
def verify(ctx: click.Context, /, path: str, form: str, url: str | None, target: str | None, where: str | None) -> None:
    """Show for each item of PLAN when it was revoked, and whether it was used, refused or granted again since then.

    The exit code is 1 if an item was used or granted again.

    \b
      jwt-lp verify quarter.plan
    """  # noqa: D301 - a real backspace is what click looks for
    plan, place = read_plan(path), StoreOptions(url, target, where)
    with place.open(place.settings(ctx)) as store:
        outcomes = verify_plan(plan, journal_path(path), store)
    if form == "json":
        emit([_as_json(outcome) for outcome in outcomes])
    else:
        headers = ("", "ITEM", "WHAT", "REVOKED", "USED SINCE", "REFUSED SINCE", "GRANTED AGAIN", "LIFTED")
        grid([_row(outcome) for outcome in outcomes], headers, fixed=2)
        bad = sum(not outcome.is_effective for outcome in outcomes)
        if regrets := sum(outcome.is_regret for outcome in outcomes):
            say(text(f"{count(regrets, 'grant')} restored during the trial: regrets", WARNING))
        say(
            text(f"{bad} of {len(outcomes)} are still held or used", ERROR)
            if bad
            else text(f"all of {len(outcomes)} stay revoked", OK)
        )
    if not all(outcome.is_effective for outcome in outcomes):
        ctx.exit(1)


def _row(outcome: ItemOutcome) -> tuple[Text, ...]:
    lifted = f"{moment(outcome.lifted_at)}{f' by {brief(outcome.lifted_by)}' if outcome.lifted_by else ''}"
    return (
        text("ok" if outcome.is_effective else "!!", OK if outcome.is_effective else ERROR),
        text(outcome.item.id),
        text(brief(outcome.item)),
        text(moment(outcome.revoked_at)),
        text(outcome.used, ERROR if outcome.used else ""),
        text(outcome.refused),
        text(outcome.held_again, ERROR),
        text(lifted if outcome.lifted_at else ""),
    )


def _as_json(outcome: ItemOutcome) -> dict[str, object]:
    names = ("id", "of", "issuer", "name", "role", "grant", "instead")
    item = asdict(outcome.item)
    return {
        **{name: item[name] for name in names},
        "revoked_at": moment(outcome.revoked_at),
        "used_since": outcome.used,
        "refused_since": outcome.refused,
        "granted_again": outcome.held_again,
        "lifted_at": moment(outcome.lifted_at) if outcome.lifted_at else "",
        "lifted_by": outcome.lifted_by,
        "regret": outcome.is_regret,
        "reason": outcome.reason,
    }
