"""May this grant be revoked?

The one function that judges: a review asks it of today, a backtest of the past.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Literal

if TYPE_CHECKING:
    from jwt_lp.review.analysis.likelihood import GrantFeatures, LikelihoodModel

FLOOR_DAYS: Final = 30
DEFAULT_WINDOW_DAYS: Final = 180
"""Days: the window where nothing else is said, and where no history tells likelihoods."""


@dataclass(frozen=True, slots=True)
class DecisionRule:
    """What is revoked: what is idle for `threshold` days (`fixed`), or is needed with that likelihood or less.

    What was used within the last `floor` days never is. A likelihood needs a model; without one, a window of 180 days
    judges in its place. `ValueError` for a threshold that is none.
    """

    kind: Literal["fixed", "likelihood"]
    threshold: float
    floor: int = FLOOR_DAYS

    def __post_init__(self) -> None:
        if not (self.threshold >= 1 if self.kind == "fixed" else 0 < self.threshold < 1):
            raise ValueError("a window is of one day or more, and a likelihood lies between 0 and 1")

    def revokes(self, pair: GrantFeatures, model: LikelihoodModel | None) -> bool:
        """Whether it would be revoked."""
        if self.kind == "fixed" or model is None or pair.idle < self.floor:
            return self.is_due(pair.idle, None)
        return self.is_due(pair.idle, model.likelihood(pair))

    def is_due(self, idle: int, likelihood: float | None) -> bool:
        """Whether something is revoked that is idle for so long, and is so likely to be needed."""
        # INVARIANT: the floor stands before every rule.
        if idle < self.floor:
            return False
        if self.kind == "likelihood" and likelihood is not None:
            return likelihood <= self.threshold
        return idle >= (self.threshold if self.kind == "fixed" else DEFAULT_WINDOW_DAYS)
