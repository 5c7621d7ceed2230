"""Features of a grant: what the likelihood that it is needed again is computed from.

They are totals that a store can compute from millions of rows, the same for a past case and for today's.
"""

from __future__ import annotations

from math import log1p, sqrt
from typing import Final, NamedTuple

FEATURES: Final = (
    "idle",
    "span",
    "elsewhere",
    "breadth",
    "others",
    "holder_idle",
    "holder_pause",
    "grants",
    "rate",
    "holder_rate",
    "quiet",
)
"""The names of the model's features, in the order of `GrantFeatures.values`."""
IDLE_FEATURES: Final = ("idle", "holder_idle", "holder_pause", "quiet")
"""The features that grow with the idle days of the grant, all else equal."""

_MAX_DAYS: Final = 3650
_YEAR: Final = 365
_PAUSE_DAYS: Final = 90
"""Beyond so many days, the pause of a holder says no more than its length in general."""
_MIN_HOLDER_DAYS: Final = 30


class GrantFeatures(NamedTuple):
    """Totals about one grant of one holder on the day of a review.

    The grant was used on `days` days within `span`, first `age` days ago, last `idle` days ago. The holder last used
    another grant `elsewhere_idle` days ago (None for never), and used `elsewhere_recent` other grants within a year.
    `others` is the share of the other holders active within a year who used this grant in that year. The holder first
    used any grant `holder_age` days ago; the days on which it used its `elsewhere_grants` other grants sum up to
    `elsewhere_days`.
    """

    idle: int
    days: int
    span: int
    age: int
    elsewhere_idle: int | None
    elsewhere_recent: int
    others: float
    holder_age: int
    elsewhere_days: int
    elsewhere_grants: int

    @property
    def holder_idle(self) -> int:
        """The days since the holder used any grant."""
        return self.idle if self.elsewhere_idle is None else min(self.idle, self.elsewhere_idle)

    def values(self) -> tuple[float, ...]:
        """The features of the model; `FEATURES` has their names."""
        holder_idle = self.holder_idle
        # The margin of a rate keeps one day of use, yesterday, from being 365 days a year.
        holder_days = self.days + self.elsewhere_days
        elsewhere = self.age + _YEAR if self.elsewhere_idle is None else self.elsewhere_idle
        return (
            log1p(self.idle),
            log1p(self.span),
            log1p(min(elsewhere, _MAX_DAYS)),
            log1p(self.elsewhere_recent),
            sqrt(max(self.others, 0.0)),
            log1p(holder_idle),
            log1p(min(holder_idle, _PAUSE_DAYS)),
            log1p(self.elsewhere_grants),
            log1p(_YEAR * self.days / (self.age + _PAUSE_DAYS)),
            log1p(_YEAR * holder_days / (self.holder_age + _PAUSE_DAYS)),
            min(holder_idle / max(self.holder_age, _MIN_HOLDER_DAYS), 1.0),
        )
