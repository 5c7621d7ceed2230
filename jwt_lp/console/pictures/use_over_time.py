"""Time line of use: one column for each day, week or month, whichever fits."""

from __future__ import annotations

from bisect import bisect_right
from collections import Counter
from dataclasses import dataclass
from datetime import date
from functools import lru_cache
from typing import TYPE_CHECKING, Final, NamedTuple

from jwt_lp.console.pictures.scales import Tick, abbreviate, day_number, day_ticks
from jwt_lp.review.quantities import count_noun, count_times

if TYPE_CHECKING:
    from collections.abc import Iterable

STRIP_SIZE: Final = (640, 84)
SMALL_SIZE: Final = (160, 28)
"""The size of a time line, and of a small one inside a table."""

_MOST_DAYS: Final = 93
_MOST_WEEKS: Final = 735
_MARGIN: Final = 52
_BELOW: Final = 20
_FEWEST_LEFT: Final = 1.5


class StripColumn(NamedTuple):
    """A period and the uses in it; `label` is a day, a week as its first day, or a month."""

    label: str
    uses: int
    x: float
    y: float
    width: float
    height: float


@dataclass(frozen=True, slots=True)
class Strip:
    """The columns of a time line from one day to another, both included; `period` is day, week or month."""

    period: str
    most: int
    most_label: str
    columns: tuple[StripColumn, ...]
    days: tuple[Tick, ...]
    size: tuple[int, int]
    left: int
    base: float
    description: str

    @property
    def used(self) -> tuple[StripColumn, ...]:
        """The columns with uses, the latest first, as a table has them."""
        return tuple(column for column in reversed(self.columns) if column.uses)


def build_strip(uses: Iterable[tuple[str, int]], first: str, last: str, *, small: bool = False) -> Strip:
    """The time line of uses, given by day, from the day `first` to `last`. Days outside of it do not count."""
    start, end = day_number(first), day_number(last)
    period, begins, labels = _periods(start, end)
    by_day: Counter[int] = Counter()
    for day, number in uses:
        if start <= (place := day_number(day)) <= end:
            by_day[place] += number
    totals: Counter[int] = Counter()
    for place, number in by_day.items():
        totals[bisect_right(begins, place) - 1] += number
    size = SMALL_SIZE if small else STRIP_SIZE
    left = 0 if small else _MARGIN
    base = size[1] - (1 if small else _BELOW)
    most = max(totals.values(), default=0)
    step = (size[0] - left) / max(1, len(labels))
    columns = tuple(
        _column(label, totals[place], left + place * step, step, base - 2, most) for place, label in enumerate(labels)
    )
    ticks = () if small else day_ticks(start, max(start, end), left, size[0] - 70)
    return Strip(period, most, abbreviate(most), columns, ticks, size, left, base, _describe(by_day, first, last))


def _column(label: str, uses: int, x: float, step: float, height: float, most: int) -> StripColumn:
    # The smallest count stays visible.
    tall = max(_FEWEST_LEFT, uses / most * height) if uses else 0.0
    width = min(step, max(1.0, step * 0.8))
    return StripColumn(label, uses, round(x, 1), round(height + 2 - tall, 1), round(width, 1), round(tall, 1))


@lru_cache(maxsize=32)
def _periods(start: int, end: int) -> tuple[str, tuple[int, ...], tuple[str, ...]]:
    """The kind of the columns between two days, given by their numbers; the first day of each, and its label.

    A page draws many time lines of the same days.
    """
    every = range(start, end + 1)
    if end - start <= _MOST_DAYS:
        return "day", tuple(every), tuple(date.fromordinal(place).isoformat() for place in every)
    if end - start <= _MOST_WEEKS:
        begins = tuple(range(start - date.fromordinal(start).weekday(), end + 1, 7))
        return "week", begins, tuple(date.fromordinal(place).isoformat() for place in begins)
    begins = tuple(place for place in every if place == start or date.fromordinal(place).day == 1)
    return "month", begins, tuple(date.fromordinal(place).isoformat()[:7] for place in begins)


def _describe(by_day: Counter[int], first: str, last: str) -> str:
    total = by_day.total()
    if not total:
        return f"not used from {first} to {last}"
    peak, number = max(by_day.items(), key=lambda item: (item[1], item[0]))
    latest = date.fromordinal(max(by_day)).isoformat()
    return (
        f"{count_noun(total, 'use')} on {count_noun(len(by_day), 'day')} from {first} to {last}, the last on {latest}; "
        f"most on {date.fromordinal(peak).isoformat()}, {count_times(number)}"
    )
