"""May this be taken back?

The one function that judges: a review asks it of today, a backtest of the past.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Literal

if TYPE_CHECKING:
    from jwt_lp.review.likelihood import Model, Pair

FLOOR: Final = 30
WINDOW: Final = 180
"""Days: the window where nothing else is said, and where no history tells likelihoods."""


@dataclass(frozen=True, slots=True)
class Rule:
    """What is taken back: what is idle for `threshold` days (`fixed`), or is needed with that likelihood or less.

    What was used within the last `floor` days never is. A likelihood needs a model; without one, a window of 180 days
    judges in its place. `ValueError` for a threshold that is none.
    """

    kind: Literal["fixed", "likelihood"]
    threshold: float
    floor: int = FLOOR

    def __post_init__(self) -> None:
        if not (self.threshold >= 1 if self.kind == "fixed" else 0 < self.threshold < 1):
            raise ValueError("a window is of one day or more, and a likelihood lies between 0 and 1")

    def takes(self, pair: Pair, model: Model | None) -> bool:
        """Whether it would be taken back."""
        if self.kind == "fixed" or model is None or pair.idle < self.floor:
            return self.judges(pair.idle, None)
        return self.judges(pair.idle, model.likelihood(pair))

    def judges(self, idle: int, likelihood: float | None) -> bool:
        """Whether something is taken back that is idle for so long, and is so likely to be needed."""
        # INVARIANT: the floor stands before every rule.
        if idle < self.floor:
            return False
        if self.kind == "likelihood" and likelihood is not None:
            return likelihood <= self.threshold
        return idle >= (self.threshold if self.kind == "fixed" else WINDOW)
