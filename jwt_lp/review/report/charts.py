"""Charts of the HTML page: bars, role matrix, timeline and trade-off plot.

This module computes coordinates and no markup. The page has the numbers of each chart as a table too.
"""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, NamedTuple

from jwt_lp.review.report.wording import VERDICTS, describe_setting

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from jwt_lp.review.findings import Backtest, BacktestedSetting, Finding

_MAX_ROLES: Final = 40
_MAX_GRANTS: Final = 30
_MAX_BARS: Final = 40
BAR_WIDTH: Final = 1000
"""The width of the longest bar."""


class BarSegment(NamedTuple):
    """One segment of a bar."""

    verdict: str
    number: int
    x: float
    width: float


@dataclass(frozen=True, slots=True)
class Bar:
    """The number of holders of one grant, by verdict."""

    name: str
    total: int
    parts: tuple[BarSegment, ...]


def build_bars(findings: Iterable[Finding]) -> tuple[list[Bar], int]:
    """The bars by grant, the most held first, and the number of grants that are not shown."""
    verdicts: dict[str, Counter[str]] = {}
    for finding in findings:
        if finding.kind in ("grant", "wildcard"):
            verdicts.setdefault(finding.grant, Counter())[finding.verdict] += 1
    ordered = sorted(verdicts.items(), key=lambda item: (-item[1].total(), item[0]))
    most = ordered[0][1].total() if ordered else 1
    bars = [
        Bar(name, counts.total(), tuple(_segments(counts, BAR_WIDTH / most))) for name, counts in ordered[:_MAX_BARS]
    ]
    return bars, len(ordered) - len(bars)


def _segments(found: Counter[str], scale: float) -> Iterable[BarSegment]:
    x = 0.0
    for verdict in VERDICTS:
        if found[verdict]:
            width = found[verdict] * scale
            yield BarSegment(verdict, found[verdict], round(x, 1), round(width, 1))
            x += width


class Cell(NamedTuple):
    """The members of a role who used one of its grants; `shade` is from 0 (nobody) to 4 (more than three quarters)."""

    users: int
    members: int
    shade: int


@dataclass(frozen=True, slots=True)
class Matrix:
    """Roles in rows, grants in columns; None where a role lacks a grant. `more` counts roles and grants not shown."""

    grants: tuple[str, ...]
    rows: tuple[tuple[str, tuple[Cell | None, ...]], ...]
    more: tuple[int, int]


def build_matrix(findings: Iterable[Finding]) -> Matrix | None:
    """The matrix of roles and the use of their grants; None where no role was judged."""
    cells: dict[str, dict[str, Cell]] = {}
    unused: Counter[str] = Counter()
    roles_by_grant: Counter[str] = Counter()
    for finding in findings:
        if finding.kind == "role":
            cells.setdefault(finding.name, {})[finding.grant] = _cell(finding)
            unused[finding.name] += not finding.users
            roles_by_grant[finding.grant] += 1
    if not cells:
        return None
    # Roles with the most unused grants come first; grants of the most roles are on the left.
    roles = sorted(cells, key=lambda role: (-unused[role], role))[:_MAX_ROLES]
    grants = sorted(roles_by_grant, key=lambda grant: (-roles_by_grant[grant], grant))[:_MAX_GRANTS]
    rows = tuple((role, tuple(cells[role].get(grant) for grant in grants)) for role in roles)
    return Matrix(tuple(grants), rows, (len(cells) - len(roles), len(roles_by_grant) - len(grants)))


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
    """One of the three counts over time, on its own scale."""

    name: str
    most: int
    columns: tuple[Column, ...]


LEFT_MARGIN: Final = 64
TIMELINE_SIZE: Final = (760, 64)
"""The width of a panel, and the height of its highest column."""


def build_timeline(timeline: Sequence[tuple[str, int, int, int]]) -> list[Panel]:
    """Granted, denied and revoked decisions by month. Each has its own scale, so that small counts stay visible."""
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
        # The smallest count stays visible.
        height = max(1.5, number / most * TIMELINE_SIZE[1]) if number else 0.0
        x, width = LEFT_MARGIN + index * step, max(1.0, min(step * 0.72, 40))
        yield Column(month, number, round(x, 1), round(TIMELINE_SIZE[1] - height, 1), round(width, 1), round(height, 1))


class PlotPoint(NamedTuple):
    """One setting in the plot; `label` is "" for likelihoods, whose labels would overlap."""

    setting: BacktestedSetting
    x: float
    y: float
    label: str
    description: str


@dataclass(frozen=True, slots=True)
class Plot:
    """The trade-off: needless days to the right, regrets upwards."""

    fixed: tuple[PlotPoint, ...]
    likelihood: tuple[PlotPoint, ...]
    best: PlotPoint | None
    across: tuple[tuple[float, str], ...]
    up: tuple[tuple[float, str], ...]


PLOT_SIZE: Final = (760, 380)
PLOT_AREA: Final = (70, 16, 730, 324)
"""The size of the plot, and the area of its points: left, top, right, bottom."""


def build_tradeoff(backtest: Backtest) -> Plot | None:
    """The result of each setting; None where nothing was replayed."""
    if not backtest.settings:
        return None
    across = _ticks(max(setting.days_needlessly_held for setting in backtest.settings))
    up = _ticks(max(setting.regretted for setting in backtest.settings))
    left, top, right, bottom = PLOT_AREA

    def point(setting: BacktestedSetting) -> PlotPoint:
        x = left + setting.days_needlessly_held / across[-1] * (right - left)
        y = bottom - setting.regretted / up[-1] * (bottom - top)
        label = f"{setting.threshold:g} d" if setting.rule == "fixed" else ""
        return PlotPoint(setting, round(x, 1), round(y, 1), label, describe_setting(setting))

    points = [point(setting) for setting in sorted(backtest.settings, key=lambda setting: setting.days_needlessly_held)]
    return Plot(
        tuple(item for item in points if item.setting.rule == "fixed"),
        tuple(item for item in points if item.setting.rule == "likelihood"),
        None if backtest.recommended is None else point(backtest.recommended),
        tuple((round(left + tick / across[-1] * (right - left), 1), _abbreviate(tick)) for tick in across),
        tuple((round(bottom - tick / up[-1] * (bottom - top), 1), _abbreviate(tick)) for tick in up),
    )


def _ticks(most: int) -> list[int]:
    """Evenly spaced round numbers from 0 to at least `most`, and at least 1."""
    rough = max(1.0, most / 5)
    size = 10 ** math.floor(math.log10(rough))
    step = int(next(size * factor for factor in (1, 2, 5, 10) if size * factor >= rough))
    return list(range(0, max(most, 1) + step, step))


def _abbreviate(number: int) -> str:
    for unit, size in (("M", 1_000_000), ("k", 1_000)):
        if number >= size:
            return f"{number / size:g} {unit}"
    return str(number)
