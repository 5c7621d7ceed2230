"""Costs of a rule where elevations answer: the requests for what it took back, replayed over the past.

A grant that is taken back stays taken back. Each day of need after that is one request, or fewer where an elevation lasts
for several days. A grant becomes a standing grant again at the first review that finds it used by elevations in so many
weeks that a review proposes a standing grant.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from typing import TYPE_CHECKING, Final, NamedTuple

from jwt_lp.review.analysis.elevated_use import FREQUENT_WEEKS, WATCHED_WEEKS
from jwt_lp.review.elevation_values import ElevationCost

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from jwt_lp.review.analysis.decision_rule import DecisionRule
    from jwt_lp.review.analysis.usage_history import ReplayedGrant, UsageHistory

LONGEST: Final = 3600
"""Seconds that an elevation lasts for, where nothing else is said."""
WAITING: Final = 600
"""Seconds from a request to its answer, where nothing else is said."""
_DAY_SECONDS: Final = 86400
_WATCHED_DAYS: Final = WATCHED_WEEKS * 7


class Answer(NamedTuple):
    """What follows after a grant was taken back: its requests, and the number of uses from which it is standing again.

    That number is larger than the number of all uses if it never is.
    """

    requests: int
    standing_from: int


def answer(days: Sequence[int], used: int, reviews: range, span: int) -> Answer:
    """What follows for a grant with these days of use, of which `used` came before it was taken back.

    An elevation serves `span` days, the day of the request included.
    """
    for review in _reviews_from(days, used, reviews):
        count = bisect_right(days, review)
        recent = days[bisect_right(days, review - _WATCHED_DAYS, used) : count]
        if len({(review - day) // 7 for day in recent}) >= FREQUENT_WEEKS:
            return Answer(_requests(days[used:count], span), count)
    return Answer(_requests(days[used:], span), len(days) + 1)


def _reviews_from(days: Sequence[int], used: int, reviews: range) -> range:
    """The reviews on the first day of use after the grant was taken back, or later; none if there was no use."""
    return reviews[bisect_left(reviews, days[used]) :] if used < len(days) else reviews[:0]


def _requests(days: Sequence[int], span: int) -> int:
    requests = served_until = 0
    for day in days:
        if day >= served_until:
            requests, served_until = requests + 1, day + span
    return requests


class ElevationCosts:
    """The costs of all settings of one kind, from the most cautious to the most eager."""

    def __init__(self, rules: Sequence[DecisionRule], history: UsageHistory, reviews: range, longest: int) -> None:
        self._rules: Final = rules
        self._history: Final = history
        self._reviews: Final = reviews
        self._span: Final = max(1, longest // _DAY_SECONDS)
        # For each pair and setting the number of uses from which it is a standing grant, if it was ever taken back.
        self._standing_from: Final[dict[int, list[int]]] = {}
        self._requests: Final = [0] * len(rules)
        self._restored: Final = [0] * len(rules)

    def add(self, case: ReplayedGrant, first: int, end: int) -> None:
        """The settings from `first` up to `end` take a pair back on a review day, unless they did and it still lasts."""
        if first >= end:
            return
        days = self._history.days_of_pairs[case.number]
        found = answer(days, case.uses, self._reviews, self._span)
        standing = self._standing_from.setdefault(case.number, [0] * len(self._rules))
        for setting in range(first, end):
            if case.uses >= standing[setting]:
                standing[setting] = found.standing_from
                self._requests[setting] += found.requests
                self._restored[setting] += found.standing_from <= len(days)

    def results(self, waiting: int) -> Iterator[ElevationCost]:
        """The cost of each setting."""
        last = self._reviews[-1]
        uses = [bisect_right(days, last) for days in self._history.days_of_pairs]
        years = self._history.subject_years(self._reviews.start)
        for setting, rule in enumerate(self._rules):
            removed = sum(uses[pair] < standing[setting] for pair, standing in self._standing_from.items())
            yield ElevationCost(
                rule=rule.kind,
                threshold=rule.threshold,
                grants=sum(map(bool, uses)),
                removed=removed,
                restored=self._restored[setting],
                requests=self._requests[setting],
                subject_years=years,
                waiting=waiting,
            )
