"""Scales of the pictures: round numbers on an axis, days as positions, and short labels."""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import Final, NamedTuple

_STEPS: Final = 4
_UNITS: Final = (("G", 1_000_000_000), ("M", 1_000_000), ("k", 1_000))
_MOST_SHOWN: Final = 10**15


class Tick(NamedTuple):
    """A mark on an axis: where it is, and what it says."""

    at: float
    label: str


@dataclass(frozen=True, slots=True)
class Scale:
    """A line from the number `first`, which is drawn at `low`, to `last`, which is drawn at `high`."""

    first: float
    last: float
    low: float
    high: float

    def at(self, number: float) -> float:
        """Where `number` is drawn; what is outside of the line is drawn at its nearer end."""
        if self.last <= self.first:
            return self.low
        share = (number - self.first) / (self.last - self.first)
        return round(self.low + min(1.0, max(0.0, share)) * (self.high - self.low), 1)


def round_ticks(most: int) -> tuple[int, ...]:
    """Evenly spaced round numbers from 0 to at least `most`, and at least 1."""
    rough = max(1, -(-most // _STEPS))
    # Whole numbers, because a float would lose the digits of a huge one.
    size = 10 ** (len(str(rough)) - 1)
    step = next(size * factor for factor in (1, 2, 5, 10) if size * factor >= rough)
    return tuple(range(0, max(most, 1) + step, step))


def number_axis(most: int, low: float, high: float) -> tuple[Scale, tuple[Tick, ...]]:
    """The scale of the numbers from 0 to `most`, and its marks."""
    numbers = round_ticks(most)
    scale = Scale(0, numbers[-1], low, high)
    return scale, tuple(Tick(scale.at(number), abbreviate(number)) for number in numbers)


def abbreviate(number: int) -> str:
    """A number in at most seven characters, for an axis or inside a picture."""
    if number >= _MOST_SHOWN:
        return f"{number:.0e}".replace("+", "")
    for unit, size in _UNITS:
        if number >= size:
            return f"{math.floor(number / size * 10) / 10:,g} {unit}"
    return str(number)


def cut(text: str, most: int) -> str:
    """A text of at most `most` characters; what is cut ends with an ellipsis."""
    return text if len(text) <= most else f"{text[: most - 1]}…"


def day_number(day: str) -> int:
    """The number of an ISO day."""
    return date.fromisoformat(day).toordinal()


def day_of(seconds: float) -> str:
    """The ISO day of a time, in UTC."""
    return datetime.fromtimestamp(seconds, UTC).date().isoformat()


def day_ticks(first: int, last: int, low: float, high: float, *, most: int = 6) -> tuple[Tick, ...]:
    """At most `most` marks at whole days, which are given by their numbers; the first day is always one."""
    scale = Scale(first, last, low, high)
    step = max(1, -(-(last - first) // max(1, most - 1)))
    return tuple(
        Tick(scale.at(number), date.fromordinal(number).isoformat()) for number in range(first, last + 1, step)
    )
