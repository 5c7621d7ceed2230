"""Risk score of a finding, from 0 to 100: how much it matters to take the grant back.

The score is the sum of four parts. No part falls when its input grows.
"""

from __future__ import annotations

from collections import Counter
from functools import lru_cache
from math import log2
from typing import TYPE_CHECKING, Final, NamedTuple

from jwt_lp.policy.file import EMPTY_POLICY
from jwt_lp.review.findings import ScorePart
from jwt_lp.review.pattern_overlap import EnforcedPermissions, is_pattern, overlap, permissions_in
from jwt_lp.review.quantities import count_noun

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from jwt_lp.policy.file import Policy
    from jwt_lp.stores import EnforcementPointRow

RISK_POINTS: Final = {"low": 10, "medium": 25, "high": 40}
MOST_BREADTH: Final = 20
POINTS_PER_DOUBLING: Final = 5
MOST_IDLE: Final = 25
FULL_IDLE_DAYS: Final = 365
MOST_HOLDER: Final = 15
CLIENT_POINTS: Final = 6
POINTS_PER_POWER: Final = 3
POINTS_PER_MEMBERS_DOUBLING: Final = 2


class GrantBreadth(NamedTuple):
    """The number of known permissions that a grant covers, and of the routes that require one of them."""

    permissions: int
    routes: int


class GrantRisks:
    """The risk and the breadth of grants, by the policy's catalogue and the known enforcement points."""

    def __init__(
        self,
        policy: Policy = EMPTY_POLICY,
        points: Iterable[EnforcementPointRow] = (),
        requested: EnforcedPermissions | None = None,
    ) -> None:
        self._policy = policy
        self._requested = requested or EnforcedPermissions(())
        self._routes: Counter[str] = Counter()
        for point in points:
            self._routes.update(permissions_in(point.requirement))
        self.level: Callable[[str], str] = lru_cache(maxsize=None)(self._level)
        self.breadth: Callable[[str], GrantBreadth] = lru_cache(maxsize=None)(self._breadth)
        self.is_powerful: Callable[[str], bool] = lru_cache(maxsize=None)(self._is_powerful)

    def _level(self, grant: str) -> str:
        """The highest risk of the permissions that the grant covers; medium where the catalogue has none of them."""
        risks = [entry.risk for name, entry in self._policy.catalogue.items() if overlap(grant, name)]
        return max(risks, key=tuple(RISK_POINTS).index, default="medium")

    def _breadth(self, grant: str) -> GrantBreadth:
        required = self._requested.matching(grant)
        known = {name for name in self._policy.catalogue if overlap(grant, name)} | set(required)
        return GrantBreadth(max(1, len(known)), sum(self._routes[term] for term in required))

    def _is_powerful(self, grant: str) -> bool:
        """Whether it is a pattern, or of high risk."""
        return is_pattern(grant) or self.level(grant) == "high"


def risk_part(risk: str) -> ScorePart:
    """The points of the risk in the catalogue: low 10, medium 25, high 40."""
    return ScorePart("risk", RISK_POINTS[risk], RISK_POINTS["high"], f"{risk} risk")


def breadth_part(breadth: GrantBreadth) -> ScorePart:
    """The points of what the grant opens: 5 each time the permissions or the routes double, at most 20."""
    permissions, routes = breadth
    points = min(MOST_BREADTH, round(POINTS_PER_DOUBLING * log2(max(permissions, routes, 1))))
    sentence = f"covers {count_noun(permissions, 'permission')}"
    if routes:
        sentence += f" on {count_noun(routes, 'route')}"
    return ScorePart("breadth", points, MOST_BREADTH, sentence)


def idle_part(days: int, *, used: bool) -> ScorePart:
    """The points of the days without use: 25 for a year or more."""
    points = round(MOST_IDLE * min(days, FULL_IDLE_DAYS) / FULL_IDLE_DAYS)
    sentence = f"not used for {count_noun(days, 'day')}" if used else f"never used in {count_noun(days, 'day')}"
    return ScorePart("idle", points, MOST_IDLE, sentence)


UNKNOWN_IDLE: Final = ScorePart("idle", 0, MOST_IDLE, "its use is not recorded")
"""The part of a grant whose use no known enforcement point would show."""


def holder_part(powers: int, *, client: bool = False) -> ScorePart:
    """The points of who holds it: 6 for a client, 3 for each pattern or grant of high risk that it holds, at most 15."""
    points = min(MOST_HOLDER, CLIENT_POINTS * client + POINTS_PER_POWER * powers)
    many = "" if powers == 1 else "s"
    what = f"{powers:,} pattern{many} or grant{many} of high risk" if powers else "no pattern and no grant of high risk"
    return ScorePart("holder", points, MOST_HOLDER, f"a {'client' if client else 'subject'} with {what}")


def members_part(members: int) -> ScorePart:
    """The points of a role's members: 2 each time they double, at most 15."""
    points = min(MOST_HOLDER, round(POINTS_PER_MEMBERS_DOUBLING * log2(members))) if members > 1 else 0
    return ScorePart("holder", points, MOST_HOLDER, f"a role with {count_noun(members, 'member')}")


def total(parts: Iterable[ScorePart]) -> int:
    """The score: the sum of the points."""
    return sum(part.points for part in parts)
