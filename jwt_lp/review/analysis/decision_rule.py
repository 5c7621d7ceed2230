"""Decision rule: when an idle grant is revoked.

A review applies it to today, a backtest to days of the past.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Literal

if TYPE_CHECKING:
    from jwt_lp.review.analysis.grant_features import GrantFeatures
    from jwt_lp.review.analysis.likelihood import LikelihoodModel

FLOOR_DAYS: Final = 30
DEFAULT_WINDOW_DAYS: Final = 180
"""Days: the default window, also used where there is too little history for a model."""


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
