"""Values of a review and of a backtest about elevations. Days are ISO dates in UTC; an unknown day is ""."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from jwt_lp.review.quantities import count_noun, format_quantity

if TYPE_CHECKING:
    from typing import Literal


class JustInTime(NamedTuple):
    """An elevation rule that lets the holder of a standing grant ask for the permission instead.

    `pattern` is that of the rule, `longest` the most seconds of one elevation. `requests` is the number of requests a
    year that past use would have needed: one for each day of use, at most.
    """

    pattern: str
    longest: int
    requests: float

    def __str__(self) -> str:
        number = format_quantity(self.requests)
        noun = "request" if number == "1" else "requests"
        return (
            f"just in time instead: the elevation rule {self.pattern} lets the holder ask for it; past use would have "
            f"needed at most {number} {noun} a year"
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class ElevatedUse:
    """What a subject used by elevations, which is no use of a standing grant.

    `permission` was used `uses` times by `elevations` elevations, in `weeks` of the `watched_weeks` before the review.
    `propose_standing` says that this is often enough for a standing grant, which only a person can give: no plan does.
    """

    id: str
    issuer: str
    name: str
    permission: str
    elevations: int
    uses: int
    weeks: int
    watched_weeks: int
    first_day: str
    last_day: str
    propose_standing: bool
    reason: str
    risk: str = "medium"
    person_name: str = ""
    team: str = ""
    manager: str = ""


class ElevationCost(NamedTuple):
    """What one setting of a rule costs where elevations answer for the grants that it takes back.

    `removed` of `grants` standing grants were taken back at the last review. The subjects made `requests` in
    `subject_years`, the years in which each of them used anything. `restored` grants became standing grants again,
    because they were asked for week after week. `waiting` is the stated number of seconds from a request to its answer.
    """

    rule: Literal["fixed", "likelihood"]
    threshold: float
    grants: int
    removed: int
    restored: int
    requests: int
    subject_years: int
    waiting: int

    @property
    def share_removed(self) -> float:
        """The share of standing grants that were taken back; 0 where there were none."""
        return self.removed / self.grants if self.grants else 0.0

    @property
    def requests_a_year(self) -> float:
        """The requests of a subject in a year in which it used anything."""
        return self.requests / self.subject_years if self.subject_years else 0.0

    @property
    def hours_waited(self) -> float:
        """The hours that all requests together waited for."""
        return self.requests * self.waiting / 3600

    def __str__(self) -> str:
        return (
            f"{count_noun(self.requests, 'request')}, {format_quantity(self.requests_a_year)} a subject and year, "
            f"{format_quantity(self.hours_waited)} hours of waiting"
        )
