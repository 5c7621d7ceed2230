"""Trend over reviews: what was granted, what of it was needed, and the share."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, NamedTuple

from jwt_lp.console.pictures.scales import Scale, Tick, day_number, number_axis
from jwt_lp.review.quantities import format_percent

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

TREND_SIZE: Final = (640, 220)
_LEFT, _TOP, _RIGHT, _BOTTOM = 56, 14, 600, 182
_LABEL: Final = 100


class TrendPoint(NamedTuple):
    """One review: its day, the standing grants, and how many of them were needed."""

    day: str
    granted: int
    needed: int
    x: float
    granted_y: float
    needed_y: float

    @property
    def share(self) -> str:
        """The share of grants that were needed."""
        return format_percent(self.needed / self.granted) if self.granted > 0 else "–"


@dataclass(frozen=True, slots=True)
class Trend:
    """The reviews, oldest first, and the axes."""

    points: tuple[TrendPoint, ...]
    across: tuple[Tick, ...]
    up: tuple[Tick, ...]
    area: tuple[int, int, int, int]
    size: tuple[int, int]
    description: str


def build_trend(reviews: Sequence[tuple[str, int, int]]) -> Trend | None:
    """The trend of these reviews, each with its day, the grants and how many were needed; None without a review."""
    if not reviews:
        return None
    ordered = sorted(reviews)
    first, last = day_number(ordered[0][0]), day_number(ordered[-1][0])
    days = Scale(first, last, _LEFT + 14, _RIGHT)
    counts, up = number_axis(max(granted for _, granted, _ in ordered), _BOTTOM, _TOP)
    points = tuple(
        TrendPoint(day, granted, needed, days.at(day_number(day)), counts.at(granted), counts.at(needed))
        for day, granted, needed in ordered
    )
    return Trend(
        points,
        tuple(Tick(each.x, each.day) for each in _labelled(points)),
        up,
        (_LEFT, _TOP, _RIGHT, _BOTTOM),
        TREND_SIZE,
        _describe(points),
    )


def _labelled(points: Sequence[TrendPoint]) -> Iterator[TrendPoint]:
    """The points whose days have room below the axis: the first, and those that are far enough from the one before."""
    at = -math.inf
    for point in points:
        if point.x - at >= _LABEL:
            at = point.x
            yield point


def _describe(points: tuple[TrendPoint, ...]) -> str:
    first, last = points[0], points[-1]
    now = f"on {last.day} {last.needed:,} of {last.granted:,} standing grants were needed, {last.share}"
    return (
        now
        if len(points) == 1
        else f"{now}; on {first.day} it was {first.needed:,} of {first.granted:,}, {first.share}"
    )
