"""Where does everything stand in a picture?

Numbers become coordinates here, and nothing becomes markup. Each picture has the numbers beside it, for whoever does
not see it.
"""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, NamedTuple

from jwt_lp.review.report.text import describe_setting
from jwt_lp.review.report.wording import VERDICTS

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from jwt_lp.review.findings import Backtest, BacktestedSetting, Finding

_MAX_ROLES: Final = 40
_MAX_GRANTS: Final = 30
_MAX_BARS: Final = 40
BAR_WIDTH: Final = 1000
"""How wide the longest bar is."""


class BarSegment(NamedTuple):
    """A piece of a bar."""

    verdict: str
    number: int
    x: float
    width: float


@dataclass(frozen=True, slots=True)
class Bar:
    """How often one grant is held, and what became of it."""

    name: str
    total: int
    parts: tuple[BarSegment, ...]


def build_bars(findings: Iterable[Finding]) -> tuple[list[Bar], int]:
    """What is held, by grant, the most held first; and how many grants more there are."""
    held: dict[str, Counter[str]] = {}
    for each in findings:
        if each.kind in ("grant", "wildcard"):
            held.setdefault(each.grant, Counter())[each.verdict] += 1
    ordered = sorted(held.items(), key=lambda item: (-item[1].total(), item[0]))
    most = ordered[0][1].total() if ordered else 1
    made = [Bar(name, found.total(), tuple(_segments(found, BAR_WIDTH / most))) for name, found in ordered[:_MAX_BARS]]
    return made, len(ordered) - len(made)


def _segments(found: Counter[str], scale: float) -> Iterable[BarSegment]:
    x = 0.0
    for verdict in VERDICTS:
        if found[verdict]:
            width = found[verdict] * scale
            yield BarSegment(verdict, found[verdict], round(x, 1), round(width, 1))
            x += width


class Cell(NamedTuple):
    """How many of a role's members used one of its grants; `shade` is from 0, nobody, to 4, nearly all."""

    users: int
    members: int
    shade: int


@dataclass(frozen=True, slots=True)
class Matrix:
    """Roles in rows, what they grant in columns; None where a role does not grant it. `more` says what is left out."""

    grants: tuple[str, ...]
    rows: tuple[tuple[str, tuple[Cell | None, ...]], ...]
    more: tuple[int, int]


def build_matrix(findings: Iterable[Finding]) -> Matrix | None:
    """Granted against used, of roles; None where no role was judged."""
    cells: dict[str, dict[str, Cell]] = {}
    idle: Counter[str] = Counter()
    often: Counter[str] = Counter()
    for each in findings:
        if each.kind == "role":
            cells.setdefault(each.name, {})[each.grant] = _cell(each)
            idle[each.name] += not each.users
            often[each.grant] += 1
    if not cells:
        return None
    # Where most is unused comes first; what most roles grant stands to the left.
    roles = sorted(cells, key=lambda role: (-idle[role], role))[:_MAX_ROLES]
    grants = sorted(often, key=lambda grant: (-often[grant], grant))[:_MAX_GRANTS]
    rows = tuple((role, tuple(cells[role].get(grant) for grant in grants)) for role in roles)
    return Matrix(tuple(grants), rows, (len(cells) - len(roles), len(often) - len(grants)))


def _cell(finding: Finding) -> Cell:
    share = finding.users / finding.members if finding.members else 0.0
    return Cell(finding.users, finding.members, min(4, math.ceil(share * 4)))


class Column(NamedTuple):
    """One month in one panel."""

    month: str
    number: int
    x: float
    y: float
    width: float
    height: float


class Panel(NamedTuple):
    """One of the three numbers over time, on a scale of its own."""

    name: str
    most: int
    columns: tuple[Column, ...]


LEFT_MARGIN: Final = 64
TIMELINE_SIZE: Final = (760, 64)
"""How wide a panel is, and how high its columns get."""


def build_timeline(timeline: Sequence[tuple[str, int, int, int]]) -> list[Panel]:
    """Granted, denied and revoked by month. Each has its own scale: the few would not be seen beside the many."""
    step = (TIMELINE_SIZE[0] - LEFT_MARGIN - 10) / max(1, len(timeline))
    panels: list[Panel] = []
    for name, numbers in (
        ("granted", [(month, number) for month, number, _, _ in timeline]),
        ("denied", [(month, number) for month, _, number, _ in timeline]),
        ("revoked", [(month, number) for month, _, _, number in timeline]),
    ):
        most = max((number for _, number in numbers), default=0)
        panels.append(Panel(name, most, tuple(_columns(numbers, step, most))))
    return panels


def _columns(numbers: list[tuple[str, int]], step: float, most: int) -> Iterable[Column]:
    for index, (month, number) in enumerate(numbers):
        # What is there at all is seen.
        height = max(1.5, number / most * TIMELINE_SIZE[1]) if number else 0.0
        x, width = LEFT_MARGIN + index * step, max(1.0, min(step * 0.72, 40))
        yield Column(month, number, round(x, 1), round(TIMELINE_SIZE[1] - height, 1), round(width, 1), round(height, 1))


class PlotPoint(NamedTuple):
    """One setting in the picture; `label` is "" where it would be too much."""

    results: BacktestedSetting
    x: float
    y: float
    label: str
    said: str


@dataclass(frozen=True, slots=True)
class Plot:
    """The trade-off: days needlessly held to the right, regrets upwards."""

    fixed: tuple[PlotPoint, ...]
    likelihood: tuple[PlotPoint, ...]
    best: PlotPoint | None
    across: tuple[tuple[float, str], ...]
    up: tuple[tuple[float, str], ...]


PLOT_SIZE: Final = (760, 380)
PLOT_AREA: Final = (70, 16, 730, 324)
"""The picture's size, and where in it the points lie: left, top, right, bottom."""


def build_tradeoff(backtest: Backtest) -> Plot | None:
    """What each setting would have cost; None where nothing was replayed."""
    if not backtest.settings:
        return None
    across = _ticks(max(each.days_needlessly_held for each in backtest.settings))
    up = _ticks(max(each.regretted for each in backtest.settings))
    left, top, right, bottom = PLOT_AREA

    def point(traded: BacktestedSetting) -> PlotPoint:
        x = left + traded.days_needlessly_held / across[-1] * (right - left)
        y = bottom - traded.regretted / up[-1] * (bottom - top)
        label = f"{traded.threshold:g} d" if traded.rule == "fixed" else ""
        return PlotPoint(traded, round(x, 1), round(y, 1), label, describe_setting(traded))

    points = [point(each) for each in sorted(backtest.settings, key=lambda each: each.days_needlessly_held)]
    return Plot(
        tuple(each for each in points if each.results.rule == "fixed"),
        tuple(each for each in points if each.results.rule == "likelihood"),
        None if backtest.recommended is None else point(backtest.recommended),
        tuple((round(left + each / across[-1] * (right - left), 1), _abbreviate(each)) for each in across),
        tuple((round(bottom - each / up[-1] * (bottom - top), 1), _abbreviate(each)) for each in up),
    )


def _ticks(most: int) -> list[int]:
    """Round numbers from 0 to at least `most`, and more than 0."""
    rough = max(1.0, most / 5)
    size = 10 ** math.floor(math.log10(rough))
    step = int(next(size * each for each in (1, 2, 5, 10) if size * each >= rough))
    return list(range(0, max(most, 1) + step, step))


def _abbreviate(number: int) -> str:
    for unit, size in (("M", 1_000_000), ("k", 1_000)):
        if number >= size:
            return f"{number / size:g} {unit}"
    return str(number)
