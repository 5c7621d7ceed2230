"""Values of the comparison of a review with an earlier one. Days are ISO dates in UTC; an unknown day is ""."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple


class GoneGrant(NamedTuple):
    """A grant of an earlier review that is not held any more, and the day of the first review that did not find it."""

    id: str
    kind: str
    of: str
    issuer: str
    name: str
    role: str
    grant: str
    person_name: str
    gone_by: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """What is different since the review of the day `now` with this `digest`.

    `new` and `came_back` count findings. `gone` also has the grants that earlier reviews found gone already, so that a
    later review can tell that they came back.
    """

    now: str
    digest: str
    new: int
    came_back: int
    gone: tuple[GoneGrant, ...]

    def gone_on(self, day: str) -> tuple[GoneGrant, ...]:
        """The grants that the review of this day was the first not to find."""
        return tuple(grant for grant in self.gone if grant.gone_by == day)
