"""Elevations in the report of a review: apart from the findings, because no plan and no worksheet is made of them."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Final

from jwt_lp.review.quantities import count_noun, format_percent
from jwt_lp.review.report.wording import describe_setting, shorten
from jwt_lp.usage.row_reader import write_csv

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from jwt_lp.review.elevation_values import ElevatedUse
    from jwt_lp.review.findings import Backtest, Review

STANDING: Final = "standing grant?"
"""What a table says where a standing grant is proposed."""
NO_PLAN: Final = "a person decides about it and gives it; no plan and no command does"

_SHEET_COLUMNS: Final = (
    "person", "team", "manager", "holder", "permission", "elevations", "uses", "weeks", "of_weeks", "first_use",
    "last_use", "risk", "proposal", "reasons", "issuer",
)  # fmt: skip


def describe_elevations(review: Review) -> str:
    """How much was used by elevations, and for how many a standing grant is proposed; "" where nothing was."""
    if not review.elevated:
        return ""
    subjects = len({(each.issuer, each.name) for each in review.elevated})
    proposed = sum(each.propose_standing for each in review.elevated)
    return (
        f"{count_noun(len(review.elevated), 'permission')} used by elevations, by {count_noun(subjects, 'subject')}; "
        f"a standing grant proposed for {proposed:,}"
    )


def elevation_lines(review: Review, top: int) -> Iterator[str]:
    """A line for each permission that a subject used by elevations, the proposals for a standing grant first."""
    for title, elevated in (
        (f"Proposed for a standing grant: {NO_PLAN}", [each for each in review.elevated if each.propose_standing]),
        (
            "Used by elevations, which keep no standing grant",
            [each for each in review.elevated if not each.propose_standing],
        ),
    ):
        if not elevated:
            continue
        yield ""
        yield title
        for each in elevated[:top]:
            person = f" ({shorten(each.person_name)})" if each.person_name else ""
            yield (
                f"  subject {shorten(each.name)}{person} {shorten(each.permission)}: {shorten(each.reason)} "
                f"Last on {each.last_day}, risk {each.risk} [{each.id}]"
            )
        if len(elevated) > top:
            yield f"  ... and {len(elevated) - top:,} more"


def cost_lines(backtest: Backtest) -> Iterator[str]:
    """What the settings cost where elevations answer; of the likelihoods, every tenth and those that are marked."""
    if not backtest.elevation:
        return
    waiting = count_noun(round(backtest.elevation[0].waiting / 60), "minute")
    yield f"Where elevations answer, each after {waiting}: a day of need is a request, nothing else is given back"
    marked = {
        (each.rule, each.threshold) for each in (backtest.recommended, backtest.in_force, backtest.judged) if each
    }
    for cost in backtest.elevation:
        if cost.rule == "fixed" or (cost.rule, cost.threshold) in marked or round(cost.threshold * 100) % 10 == 0:
            yield (
                f"  {describe_setting(cost)}: {format_percent(cost.share_removed)} of {count_noun(cost.grants, 'grant')} "
                f"taken back at the end, {cost}"
            )


def elevated_cells(elevated: ElevatedUse) -> dict[str, object]:
    """The cells of a row of the table of findings, by column; the kind `elevation` is that of no finding."""
    return {
        "id": elevated.id, "kind": "elevation", "verdict": "elevated",
        "proposal": STANDING if elevated.propose_standing else "", "of": "subject", "issuer": elevated.issuer,
        "name": elevated.name, "grant": elevated.permission, "reason": elevated.reason, "risk": elevated.risk,
        "uses": elevated.uses, "first_day": elevated.first_day, "last_day": elevated.last_day,
        "person_name": elevated.person_name, "team": elevated.team, "manager": elevated.manager,
    }  # fmt: skip


def write_elevation_sheet(elevated: Iterable[ElevatedUse]) -> str:
    """A sheet of elevated use as CSV, to be read by people beside a worksheet; no command reads it."""
    output = io.StringIO()
    rows = (
        (
            each.person_name, each.team, each.manager, each.name, each.permission, each.elevations, each.uses, each.weeks,
            each.watched_weeks, each.first_day, each.last_day, each.risk, STANDING if each.propose_standing else "",
            each.reason, each.issuer,
        )
        for each in elevated
    )  # fmt: skip
    write_csv(output, _SHEET_COLUMNS, rows, end="\r\n")
    return output.getvalue()
