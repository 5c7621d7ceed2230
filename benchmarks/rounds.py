"""Measuring in interleaved rounds: costs by side and round, and their ratios.

Every side does its work once in each round, in one process. So other load on the machine affects all sides alike, and a
ratio within one round says more than two times measured apart.
"""

from __future__ import annotations

import gc
import statistics
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple, Self, TypeAlias

Work: TypeAlias = Callable[[int], int]
"""Does one side's share of a round, given the round's number, and returns how many operations that were."""

WARM_UP: Final = 1
"""Rounds that are run first and not counted."""


class Distribution(NamedTuple):
    """Median and quartiles."""

    median: float
    low: float
    high: float

    @classmethod
    def of(cls, values: Iterable[float]) -> Self:
        """Median and quartiles of the values; of one value, three times that value."""
        ordered = sorted(values)
        low, median, high = statistics.quantiles(ordered, n=4, method="inclusive") if ordered[1:] else ordered * 3
        return cls(median, low, high)


@dataclass(frozen=True, slots=True)
class Rounds:
    """What an operation of each side cost in each round, in seconds."""

    costs: Mapping[str, tuple[float, ...]]

    def cost(self, side: str) -> Distribution:
        """What an operation costs."""
        return Distribution.of(self.costs[side])

    def times(self, ours: str, theirs: str) -> Distribution:
        """How many times as fast `ours` is."""
        return Distribution.of(their / our for our, their in self._pairs(ours, theirs))

    def share(self, ours: str, theirs: str) -> Distribution:
        """The cost of `ours` as a share of that of `theirs`."""
        return Distribution.of(our / their for our, their in self._pairs(ours, theirs))

    def extra(self, ours: str, base: str) -> Distribution:
        """How many seconds `ours` costs more than `base`."""
        return Distribution.of(our - basis for our, basis in self._pairs(ours, base))

    def added(self, bases: Mapping[str, str]) -> Rounds:
        """What each of these sides costs more than its base in the same round."""
        return Rounds(
            {side: tuple(cost - basis for cost, basis in self._pairs(side, base)) for side, base in bases.items()}
        )

    def quiet_half(self) -> Rounds:
        """The half of the rounds in which the machine disturbed the sides least, all sides taken together."""
        medians = {side: statistics.median(costs) for side, costs in self.costs.items()}
        numbers = range(len(next(iter(self.costs.values()))))
        # Relative to its own median, each side counts alike. Which side is ours makes no difference.
        disturbed = [sum(self.costs[side][number] / medians[side] for side in medians) for number in numbers]
        quiet = sorted(sorted(numbers, key=disturbed.__getitem__)[: (len(numbers) + 1) // 2])
        return self.of_rounds(quiet)

    def of_rounds(self, numbers: Sequence[int]) -> Rounds:
        """Only the rounds with these numbers."""
        return Rounds({side: tuple(costs[number] for number in numbers) for side, costs in self.costs.items()})

    def _pairs(self, one: str, other: str) -> Iterable[tuple[float, float]]:
        return zip(self.costs[one], self.costs[other], strict=True)


def measure(
    sides: Mapping[str, Work], rounds: int, *, clock: Callable[[], int] = time.thread_time_ns, warm_up: int = WARM_UP
) -> Rounds:
    """Run every side once in each round, and return what an operation cost by `clock`, in nanoseconds.

    The default clock is the CPU time of this thread, so time in which the machine ran other processes does not count.
    Another side begins in each round. The rounds of the warm-up have the numbers 0 and up, and are not counted.
    """
    costs: dict[str, list[float]] = {side: [] for side in sides}
    gc.collect()
    # What was made before is no longer searched, so that collecting before each batch takes little time.
    gc.freeze()
    try:
        for number in range(warm_up + rounds):
            for side in turn_order(tuple(sides), number):
                # No side collects another's garbage. Collections that its own work causes are counted.
                gc.collect()
                start = clock()
                operations = sides[side](number)
                spent = clock() - start
                if number >= warm_up:
                    costs[side].append(spent / operations / 1e9)
    finally:
        gc.unfreeze()
    return Rounds({side: tuple(values) for side, values in costs.items()})


def turn_order(sides: Sequence[str], number: int) -> Sequence[str]:
    """The order of the sides in a round: each begins in turn, and every other cycle runs backwards."""
    cycle, first = divmod(number, len(sides))
    order = (*sides[first:], *sides[:first])
    return order[::-1] if cycle % 2 else order
