"""Recommendation of a setting, and how sure its share of regrets is."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from math import sqrt
from typing import TYPE_CHECKING, Final

from jwt_lp.review.analysis.decision_rule import DecisionRule

if TYPE_CHECKING:
    from jwt_lp.review.findings import BacktestedSetting

USUAL_LIKELIHOOD: Final = DecisionRule("likelihood", 0.1)
"""Recommended where the history has no earlier part to choose on."""
_Z: Final = 1.96
"""The 97.5th percentile of the normal distribution, for intervals of 95 %."""


def recommend(
    settings: Sequence[BacktestedSetting], *, in_force: DecisionRule, regret: float | None
) -> DecisionRule | None:
    """The setting that did best: with `regret`, by its share of regrets; without, compared with the window in force.

    With `regret`, the fewest needless days among the settings that revoked something with at most that share of regrets;
    None where there is none. Without, the fewest regrets among the settings with no more needless days than the window;
    of equals, the one with the fewest needless days. Where nothing was revoked by the window, the usual likelihood.
    """
    if regret is not None:
        within = [setting for setting in settings if setting.revoked and setting.regret <= regret]
        best = min(within, key=lambda each: (each.days_needlessly_held, each.rule, each.threshold), default=None)
        return None if best is None else DecisionRule(best.rule, best.threshold)
    (window,) = (each for each in settings if (each.rule, each.threshold) == (in_force.kind, in_force.threshold))
    if not window.revoked:
        return USUAL_LIKELIHOOD
    within = [each for each in settings if each.days_needlessly_held <= window.days_needlessly_held]
    best = min(within, key=lambda each: (each.regretted, each.days_needlessly_held, each != window, each.threshold))
    return DecisionRule(best.rule, best.threshold)


def settle(best: BacktestedSetting, window: BacktestedSetting, *, regret: float | None) -> BacktestedSetting | None:
    """What is recommended after the later reviews: the best of the earlier ones, or the window where that did better.

    The window stands in for a setting that regrets more at no fewer needless days; without `regret`, for any that regrets
    more. None where the window is not within `regret` itself.
    """
    more = best.regretted > window.regretted
    if not more or (regret is not None and best.days_needlessly_held < window.days_needlessly_held):
        return best
    return window if regret is None or window.regret <= regret else None


def share_interval(holders: Collection[Sequence[int]]) -> tuple[float, float]:
    """The 95 % interval of the share of regrets, from the revocations and regrets of each holder.

    The grants of one holder are needed again together or not at all, so holders count as the independent observations:
    Wilson's interval for a number of revocations that would vary as much as these holders do.
    """
    revoked = sum(counts[0] for counts in holders)
    share = sum(counts[1] for counts in holders) / revoked
    # The variance of a ratio of two sums over independent holders.
    variance = sum((counts[1] - share * counts[0]) ** 2 for counts in holders) / revoked**2
    number = min(share * (1 - share) / variance, revoked) if variance else len(holders)
    centre = (share + _Z**2 / (2 * number)) / (1 + _Z**2 / number)
    reach = _Z * sqrt(share * (1 - share) / number + _Z**2 / (4 * number**2)) / (1 + _Z**2 / number)
    return max(centre - reach, 0.0), min(centre + reach, 1.0)
