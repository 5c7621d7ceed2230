"""How much is measured: quickly, for the docs, or just enough for a test."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class Scale:
    """`rounds` are counted; `size` multiplies the operations of each round."""

    name: str
    rounds: int
    size: float = 1.0

    def of(self, operations: int) -> int:
        """So many operations at this scale, at least two."""
        return max(round(operations * self.size), 2)


TINY: Final = Scale("tiny", 2, 0.02)
QUICK: Final = Scale("quick", 11, 0.5)
FULL: Final = Scale("full", 41)

SCALES: Final = {scale.name: scale for scale in (TINY, QUICK, FULL)}
