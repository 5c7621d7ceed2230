"""Is what a plan revoked gone, and was it missed?"""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING

import click

from jwt_lp.cli.output import ERROR, OK, brief, emit, grid, moment, say, text
from jwt_lp.cli.plan import read_plan
from jwt_lp.cli.store import StoreOptions, format_option, store_options
from jwt_lp.review.plan import journal_path
from jwt_lp.review.plan import verify as verify_plan

if TYPE_CHECKING:
    from rich.text import Text

    from jwt_lp.review.plan import ItemOutcome


@click.command(short_help="Check that what a plan revoked stays revoked.")
@click.argument("path", metavar="PLAN")
@format_option
@store_options
@click.pass_context
def verify(ctx: click.Context, /, path: str, form: str, url: str | None, target: str | None, where: str | None) -> None:
    """Show for each item of PLAN when it was revoked, and whether it was used, refused or granted again since.

    The exit code is 1 where anything was used since, or granted again.

    \b
      jwt-lp verify quarter.plan
    """  # noqa: D301 - a real backspace is what click looks for
    made, place = read_plan(path), StoreOptions(url, target, where)
    with place.open(place.settings(ctx)) as store:
        found = verify_plan(made, journal_path(path), store)
    if form == "json":
        emit([_as_json(each) for each in found])
    else:
        headers = ("", "WHAT", "REVOKED", "USED SINCE", "REFUSED SINCE", "GRANTED AGAIN", "LIFTED")
        grid([_row(each) for each in found], headers, fixed=1)
        bad = sum(not each.is_effective for each in found)
        say(
            text(f"{bad} of {len(found)} are still held or used", ERROR)
            if bad
            else text(f"all of {len(found)} stay revoked", OK)
        )
    if not all(each.is_effective for each in found):
        ctx.exit(1)


def _row(found: ItemOutcome) -> tuple[Text, ...]:
    lifted = f"{moment(found.lifted_at)}{f' by {brief(found.lifted_by)}' if found.lifted_by else ''}"
    return (
        text("ok" if found.is_effective else "!!", OK if found.is_effective else ERROR),
        text(brief(found.item)),
        text(moment(found.revoked_at)),
        text(found.used, ERROR if found.used else ""),
        text(found.refused),
        text(found.held_again, ERROR),
        text(lifted if found.lifted_at else ""),
    )


def _as_json(found: ItemOutcome) -> dict[str, object]:
    names = ("id", "of", "issuer", "name", "role", "grant", "instead")
    item = asdict(found.item)
    return {
        **{name: item[name] for name in names},
        "revoked_at": moment(found.revoked_at),
        "used_since": found.used,
        "refused_since": found.refused,
        "granted_again": found.held_again,
        "lifted_at": moment(found.lifted_at) if found.lifted_at else "",
        "lifted_by": found.lifted_by,
    }
