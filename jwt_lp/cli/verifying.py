"""Is what a plan took back gone, and was it missed?"""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING

import click

from jwt_lp.cli.memory import Where, format_option, store_options
from jwt_lp.cli.output import BAD, GOOD, brief, emit, grid, moment, say, text
from jwt_lp.cli.plan import read_plan
from jwt_lp.review._written import journal_of
from jwt_lp.review.verifying import verify as verify_plan

if TYPE_CHECKING:
    from rich.text import Text

    from jwt_lp.review.verifying import Outcome


@click.command(short_help="What became of what a plan took back?")
@click.argument("path", metavar="PLAN")
@format_option
@store_options
@click.pass_context
def verify(ctx: click.Context, /, path: str, form: str, url: str | None, target: str | None, where: str | None) -> None:
    """Show of each item of PLAN when it was taken back, and what was used, refused or granted again since.

    The exit code is 1 where anything was used since, or granted again.

    \b
      jwt-lp verify quarter.plan
    """  # noqa: D301 - a real backspace is what click looks for
    made, place = read_plan(path), Where(url, target, where)
    with place.opened(place.settings(ctx)) as store:
        found = verify_plan(made, journal_of(path), store)
    if form == "json":
        emit([_plain(each) for each in found])
    else:
        headers = ("", "WHAT", "TAKEN BACK", "USED SINCE", "REFUSED SINCE", "GRANTED AGAIN", "LIFTED")
        grid([_row(each) for each in found], headers, fixed=1)
        bad = sum(not each.good for each in found)
        say(text(f"{bad} of {len(found)} are not gone", BAD) if bad else text(f"all of {len(found)} are gone", GOOD))
    if not all(each.good for each in found):
        ctx.exit(1)


def _row(found: Outcome) -> tuple[Text, ...]:
    lifted = f"{moment(found.lifted_at)}{f' by {brief(found.lifted_by)}' if found.lifted_by else ''}"
    return (
        text("ok" if found.good else "!!", GOOD if found.good else BAD),
        text(brief(found.item)),
        text(moment(found.taken_at)),
        text(found.used, BAD if found.used else ""),
        text(found.refused),
        text(found.again, BAD),
        text(lifted if found.lifted_at else ""),
    )


def _plain(found: Outcome) -> dict[str, object]:
    names = ("id", "of", "issuer", "name", "role", "grant", "instead")
    item = asdict(found.item)
    return {
        **{name: item[name] for name in names},
        "taken_back_at": moment(found.taken_at),
        "used_since": found.used,
        "refused_since": found.refused,
        "granted_again": found.again,
        "lifted_at": moment(found.lifted_at) if found.lifted_at else "",
        "lifted_by": found.lifted_by,
    }
