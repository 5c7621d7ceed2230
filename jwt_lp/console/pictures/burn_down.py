"""Burn-down of a campaign: what is still undecided, day by day, against an even pace up to the deadline."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from jwt_lp.console.pictures.scales import Scale, Tick, day_number, day_of, day_ticks, number_axis
from jwt_lp.review.quantities import count_noun

if TYPE_CHECKING:
    from collections.abc import Sequence

BURN_DOWN_SIZE: Final = (640, 260)
_LEFT, _TOP, _RIGHT, _BOTTOM = 56, 14, 624, 222


@dataclass(frozen=True, slots=True)
class BurnDown:
    """The line of what is undecided, the even pace, the deadline and the present day.

    `left` are the numbers as a table has them: the day, the decisions of that day, and what was undecided after it.
    """

    undecided: tuple[tuple[float, float], ...]
    pace: tuple[tuple[float, float], ...]
    deadline: Tick
    today: Tick
    across: tuple[Tick, ...]
    up: tuple[Tick, ...]
    left: tuple[tuple[str, int, int], ...]
    area: tuple[int, int, int, int]
    size: tuple[int, int]
    description: str


def build_burn_down(
    *, items: int, by_day: Sequence[tuple[str, int]], made_at: float, deadline: float, now: float
) -> BurnDown | None:
    """The burn-down of a campaign with so many items, and its decisions by day; None where it has no items.

    `now` is the present, or for a campaign that is closed the time when it was.
    """
    if items <= 0:
        return None
    made, due, today = (day_number(day_of(time)) for time in (made_at, deadline, now))
    days = Scale(made, max(due, today, made + 1), _LEFT, _RIGHT)
    counts, up = number_axis(items, _BOTTOM, _TOP)
    left: list[tuple[str, int, int]] = []
    line = [(days.at(made), counts.at(items))]
    rest = items
    for day, decided in sorted(by_day):
        # The line is level until the day of a decision, and falls on it.
        line.append((days.at(day_number(day)), counts.at(rest)))
        rest = max(0, rest - decided)
        line.append((days.at(day_number(day)), counts.at(rest)))
        left.append((day, decided, rest))
    line.append((days.at(max(made, today)), counts.at(rest)))
    return BurnDown(
        tuple(line),
        ((days.at(made), counts.at(items)), (days.at(due), counts.at(0))),
        Tick(days.at(due), day_of(deadline)),
        Tick(days.at(today), day_of(now)),
        day_ticks(made, int(days.last), _LEFT, _RIGHT, most=5),
        up,
        tuple(left),
        (_LEFT, _TOP, _RIGHT, _BOTTOM),
        BURN_DOWN_SIZE,
        _describe(items, rest, made, due, today),
    )


def _describe(items: int, rest: int, made: int, due: int, today: int) -> str:
    done = items - rest
    text = f"{done:,} of {count_noun(items, 'item')} decided, {rest:,} undecided"
    if not rest:
        return text
    if today > due:
        return f"{text}; the deadline was {count_noun(today - due, 'day')} ago"
    expected = math.floor(items * (today - made) / max(1, due - made))
    pace = (
        "ahead of an even pace" if done > expected else "at an even pace" if done == expected else "behind an even pace"
    )
    return f"{text}; {count_noun(due - today, 'day')} left, {pace}"
