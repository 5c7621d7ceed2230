"""Trade-off of a backtest: the regrets and the needless days of each setting of the rule."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, NamedTuple

from jwt_lp.console.pictures.scales import Tick, number_axis
from jwt_lp.review.report.backtest_text import describe_recommendation, describe_result
from jwt_lp.review.report.wording import describe_setting

if TYPE_CHECKING:
    from jwt_lp.review.findings import Backtest, BacktestedSetting

TRADEOFF_SIZE: Final = (640, 320)
_LEFT, _TOP, _RIGHT, _BOTTOM = 60, 14, 620, 268


class TradeoffPoint(NamedTuple):
    """One setting: `label` is short, `name` says it in words, and `note` marks the window in force and the best."""

    setting: BacktestedSetting
    x: float
    y: float
    label: str
    name: str
    note: str


@dataclass(frozen=True, slots=True)
class Tradeoff:
    """Needless days to the right, regrets upwards: the nearer to the corner, the better."""

    fixed: tuple[TradeoffPoint, ...]
    likelihood: tuple[TradeoffPoint, ...]
    recommended: TradeoffPoint | None
    in_force: TradeoffPoint | None
    across: tuple[Tick, ...]
    up: tuple[Tick, ...]
    area: tuple[int, int, int, int]
    size: tuple[int, int]
    description: str

    @property
    def points(self) -> tuple[TradeoffPoint, ...]:
        """All settings, as a table has them."""
        return self.fixed + self.likelihood


def build_tradeoff(backtest: Backtest) -> Tradeoff | None:
    """The result of each setting; None where nothing was replayed."""
    if not backtest.settings:
        return None
    special = [found for found in (backtest.recommended, backtest.in_force) if found is not None]
    every = [*backtest.settings, *special]
    days, across = number_axis(max(each.days_needlessly_held for each in every), _LEFT, _RIGHT)
    regrets, up = number_axis(max(each.regretted for each in every), _BOTTOM, _TOP)

    def point(setting: BacktestedSetting) -> TradeoffPoint:
        marks = (("in force", backtest.in_force), ("recommended", backtest.recommended))
        return TradeoffPoint(
            setting,
            days.at(setting.days_needlessly_held),
            regrets.at(setting.regretted),
            # Those of likelihoods would overlap.
            f"{setting.threshold:g} d" if setting.rule == "fixed" else "",
            describe_setting(setting),
            ", ".join(note for note, marked in marks if marked == setting),
        )

    points = [point(setting) for setting in sorted(backtest.settings, key=lambda each: each.days_needlessly_held)]
    return Tradeoff(
        tuple(each for each in points if each.setting.rule == "fixed"),
        tuple(each for each in points if each.setting.rule == "likelihood"),
        None if backtest.recommended is None else point(backtest.recommended),
        None if backtest.in_force is None else point(backtest.in_force),
        across,
        up,
        (_LEFT, _TOP, _RIGHT, _BOTTOM),
        TRADEOFF_SIZE,
        _describe(backtest),
    )


def _describe(backtest: Backtest) -> str:
    if backtest.recommended is None and backtest.in_force is not None:
        return f"in force: {describe_result(backtest.in_force)}; nothing is recommended"
    return f"recommended: {describe_recommendation(backtest)}"
