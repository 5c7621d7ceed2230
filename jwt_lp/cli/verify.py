"""The command `jwt-lp verify`: whether an applied plan has taken effect."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any, Final

import click

from jwt_lp.cli.output import DIM, ERROR, OK, WARNING, brief, count, emit, grid, moment, say, text
from jwt_lp.cli.plan import read_plan
from jwt_lp.cli.store import StoreOptions, format_option, store_options
from jwt_lp.review.plan import journal_path
from jwt_lp.review.plan import verify as verify_plan

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rich.text import Text

    from jwt_lp.review.plan import ItemOutcome


_SHOWN: Final = 20
_HEADERS: Final = ("", "ITEM", "WHAT", "REVOKED", "USED SINCE", "REFUSED SINCE", "GRANTED AGAIN", "LIFTED")


@click.command(short_help="Check that the grants that a plan revoked stay revoked.")
@click.argument("path", metavar="PLAN")
@click.option("--all", "whole", is_flag=True, help="Show every item. Default: the first 20.")
@format_option
@store_options
@click.pass_context
def verify(ctx: click.Context, /, path: str, form: str, *, whole: bool, **options: Any) -> None:
    """Show for each item of PLAN when it was revoked, and whether it was used, refused or granted again since then.

    Items that were used or granted again come first, then those that were restored. The exit code is 1 if an item was
    used or granted again. JSON has every item.

    \b
      jwt-lp verify quarter.plan
    """  # noqa: D301 - a real backspace is what click looks for
    plan, place = read_plan(path), StoreOptions(**options)
    with place.open(place.settings(ctx)) as store:
        outcomes = verify_plan(plan, journal_path(path), store)
    if form == "json":
        emit([_as_json(outcome) for outcome in outcomes])
    else:
        _print_outcomes(outcomes, len(outcomes) if whole else _SHOWN)
    if not all(outcome.is_effective for outcome in outcomes):
        ctx.exit(1)


def _print_outcomes(outcomes: Sequence[ItemOutcome], limit: int) -> None:
    ordered = sorted(outcomes, key=lambda outcome: (outcome.is_effective, not outcome.is_regret))
    grid([_row(outcome) for outcome in ordered[:limit]], _HEADERS, fixed=2)
    if len(ordered) > limit:
        say(text(f"and {count(len(ordered) - limit, 'more item')}: --all shows them", DIM))
    refused = sum(bool(outcome.refused) for outcome in outcomes)
    if refused:
        say(f"{count(refused, 'grant')} requested and refused since")
    if regrets := sum(outcome.is_regret for outcome in outcomes):
        say(text(f"{count(regrets, 'grant')} restored during the trial: regrets", WARNING))
    if bad := sum(not outcome.is_effective for outcome in outcomes):
        say(text(f"{bad:,} of {len(outcomes):,} are still held or used", ERROR))
    else:
        say(text(f"all of {len(outcomes):,} stay revoked", OK))


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
