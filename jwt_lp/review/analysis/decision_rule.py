"""Decision rule: when an idle grant is revoked.

A review applies it to today, a backtest to days of the past.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final, Literal

from jwt_lp.review.quantities import count_noun, format_percent

if TYPE_CHECKING:
    from collections.abc import Iterator

    from jwt_lp.review.analysis.grant_features import GrantFeatures
    from jwt_lp.review.analysis.likelihood import LikelihoodModel

FLOOR_DAYS: Final = 30
DEFAULT_WINDOW_DAYS: Final = 180
"""Days: the default window, also used where there is too little history for a model."""
YOUNG_LIKELIHOOD: Final = 0.4
"""The highest likelihood that is revoked at by default while the records are shorter than two windows."""


@dataclass(frozen=True, slots=True)
class DecisionRule:
    """Revoke a grant that is idle for `threshold` days (`fixed`), or whose likelihood of need is at most `threshold`.

    A grant that was used within the last `floor` days is never revoked. A likelihood needs a model; without one, a
    window of 180 days is used instead. `ValueError` for an impossible threshold.
    """

    kind: Literal["fixed", "likelihood"]
    threshold: float
    floor: int = FLOOR_DAYS

    def __post_init__(self) -> None:
        if not (self.threshold >= 1 if self.kind == "fixed" else 0 < self.threshold < 1):
            raise ValueError("a window must be at least one day, and a likelihood must lie between 0 and 1")

    def revokes(self, pair: GrantFeatures, model: LikelihoodModel | None) -> bool:
        """Whether a grant with these features would be revoked."""
        if self.kind == "fixed" or model is None or pair.idle < self.floor:
            return self.is_due(pair.idle, None)
        return self.is_due(pair.idle, model.likelihood(pair))

    def is_due(self, idle: int, likelihood: float | None) -> bool:
        """Whether a grant is revoked that is idle for `idle` days and has this likelihood of need (None: no model)."""
        # INVARIANT: the floor comes before every rule.
        if idle < self.floor:
            return False
        if self.kind == "likelihood" and likelihood is not None:
            return likelihood <= self.threshold
        return idle >= (self.threshold if self.kind == "fixed" else DEFAULT_WINDOW_DAYS)


def settle_rule(rule: DecisionRule | None, *, record_days: int, model: LikelihoodModel | None) -> DecisionRule:
    """The rule of a review whose records cover so many days; None stands for the default.

    The default is a window of 180 days, which can revoke next to nothing in records of less than twice that time. There
    it is a likelihood of at most 40 %. While the model has no past case of the store, a likelihood revokes only what has
    been idle for half of the records, and for at most 180 days: never more than that window would revoke.
    """
    own_cases = model is not None and model.fitted_on > 0
    if rule is None:
        young = 0 < record_days < 2 * DEFAULT_WINDOW_DAYS
        if model is None or own_cases or not young:
            return DecisionRule("fixed", DEFAULT_WINDOW_DAYS)
        rule = DecisionRule("likelihood", YOUNG_LIKELIHOOD)
    if rule.kind == "fixed" or model is None or own_cases:
        return rule
    return replace(rule, floor=max(rule.floor, min(record_days // 2, DEFAULT_WINDOW_DAYS)))


def describe_young(rule: DecisionRule, record_days: int, *, by_default: bool) -> Iterator[str]:
    """What to know about a likelihood that no past case of the store went into; `by_default` if nobody asked for it."""
    if by_default:
        yield (
            f"The records cover {count_noun(record_days, 'day')}, too few for the default window of "
            f"{DEFAULT_WINDOW_DAYS} days: a likelihood of at most {format_percent(rule.threshold)} decides instead. In the "
            "first year of other organisations, one in four or five such grants was needed again within a year"
        )
    yield (
        "The history is too short for cases of its own: the likelihoods are those of other organisations' histories, "
        f"and nothing is proposed that was used within the last {count_noun(rule.floor, 'day')}"
    )
