"""Months of use: decisions that were granted, denied and revoked, month by month, each on a scale of its own."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, NamedTuple

from jwt_lp.console.pictures.scales import Tick, abbreviate
from jwt_lp.review.quantities import count_noun

if TYPE_CHECKING:
    from collections.abc import Sequence

OUTCOMES: Final = ("granted", "denied", "revoked")
_LEFT: Final = 56
_RIGHT: Final = 630
_HEIGHT: Final = 56
_PANEL: Final = 88
_MOST_LABELS: Final = 8
_MOST_MONTHS: Final = 60


class MonthColumn(NamedTuple):
    """The decisions of one month with one outcome."""

    month: str
    number: int
    x: float
    y: float
    width: float
    height: float


class MonthPanel(NamedTuple):
    """One outcome: the highest number in a month, and the columns."""

    outcome: str
    most: str
    top: int
    base: int
    columns: tuple[MonthColumn, ...]


@dataclass(frozen=True, slots=True)
class Months:
    """A panel for each outcome, and the numbers as a table has them; `earlier` months are not shown."""

    panels: tuple[MonthPanel, ...]
    labels: tuple[Tick, ...]
    rows: tuple[tuple[str, int, int, int], ...]
    earlier: int
    left: int
    right: int
    size: tuple[int, int]
    description: str


def build_months(timeline: Sequence[tuple[str, int, int, int]]) -> Months | None:
    """The months with the decisions granted, denied and revoked in each; None without a month."""
    rows = tuple((month[:7], granted, denied, revoked) for month, granted, denied, revoked in timeline)[-_MOST_MONTHS:]
    if not rows:
        return None
    step = (_RIGHT - _LEFT) / len(rows)
    names = [month for month, _, _, _ in rows]
    counts = list(zip(OUTCOMES, zip(*((one, two, three) for _, one, two, three in rows), strict=True), strict=True))
    panels = tuple(_panel(place, outcome, names, numbers, step) for place, (outcome, numbers) in enumerate(counts))
    every = -(-len(rows) // _MOST_LABELS)
    labels = tuple(Tick(round(_LEFT + place * step, 1), row[0]) for place, row in enumerate(rows) if place % every == 0)
    totals = ", ".join(f"{sum(numbers):,} {outcome}" for outcome, numbers in counts)
    return Months(
        panels,
        labels,
        rows,
        len(timeline) - len(rows),
        _LEFT,
        _RIGHT,
        (_RIGHT + 10, len(OUTCOMES) * _PANEL + 22),
        f"{count_noun(len(rows), 'month')} from {rows[0][0]} to {rows[-1][0]}: {totals}",
    )


def _panel(place: int, outcome: str, names: Sequence[str], numbers: Sequence[int], step: float) -> MonthPanel:
    most = max(numbers)
    top = place * _PANEL + 24
    width = round(max(1.0, min(step * 0.72, 40)), 1)
    columns: list[MonthColumn] = []
    for index, (month, number) in enumerate(zip(names, numbers, strict=True)):
        # The smallest count stays visible.
        height = max(1.5, number / most * _HEIGHT) if number else 0.0
        x = round(_LEFT + index * step, 1)
        columns.append(MonthColumn(month, number, x, round(top + _HEIGHT - height, 1), width, round(height, 1)))
    return MonthPanel(outcome, abbreviate(most), top, top + _HEIGHT, tuple(columns))
