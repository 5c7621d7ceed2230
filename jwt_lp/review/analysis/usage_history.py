"""Usage history: days of use by holder and grant, replayed as the reviews of the past would have seen them."""

from __future__ import annotations

from array import array
from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator
from functools import cached_property
from sys import intern
from typing import Final, NamedTuple

from jwt_lp.review.analysis.decision_rule import FLOOR_DAYS
from jwt_lp.review.analysis.grant_features import GrantFeatures

REVIEW_INTERVAL_DAYS: Final = 30
"""Days between two reviews."""
RECENT_DAYS: Final = 365
WARM_UP_DAYS: Final = 365
"""Days at the start of a history that have no training case, so that the share of other users is meaningful."""


class _GrantDays(NamedTuple):
    grant: int
    days: array[int]


class ReplayedGrant(NamedTuple):
    """One pair on one review day: its days of use until then, and whether it was needed within the horizon after.

    `number` is that of the pair, `holder` that of its holder.
    """

    number: int
    holder: int
    uses: int
    pair: GrantFeatures
    needed: bool


class UsageHistory:
    """Days of use by holder and grant, from rows of issuer, subject, grant and the day's ordinal.

    The rows may come in any order and may repeat.
    """

    def __init__(self, rows: Iterable[tuple[str, str, str, int]]) -> None:
        holders: dict[tuple[str, str], dict[str, array[int]]] = {}
        for issuer, subject, grant, day in rows:
            holders.setdefault((issuer, subject), {}).setdefault(intern(grant), array("i")).append(day)
        grants = {
            grant: number for number, grant in enumerate(sorted({grant for uses in holders.values() for grant in uses}))
        }
        self._holders: Final = [
            tuple(_GrantDays(grants[grant], array("i", sorted(set(days)))) for grant, days in sorted(uses.items()))
            for _, uses in sorted(holders.items())
        ]
        self._grants: Final = len(grants)
        self._names: Final = tuple(grants)
        self.first: Final = min((uses.days[0] for holder in self._holders for uses in holder), default=0)
        self.last: Final = max((uses.days[-1] for holder in self._holders for uses in holder), default=0)
        self.pairs: Final = sum(map(len, self._holders))

    @cached_property
    def days_of_pairs(self) -> tuple[array[int], ...]:
        """The days of use of each pair, by the number of the pair."""
        return tuple(uses.days for holder in self._holders for uses in holder)

    def subject_years(self, first: int) -> int:
        """The years from the day `first` on, counted for each subject that used anything in them."""
        return sum(
            len({(day - first) // 365 for uses in holder for day in uses.days if day >= first})
            for holder in self._holders
        )

    def replay_day(self, day: int, horizon: int) -> Iterator[ReplayedGrant]:
        """Every pair that a review on this day judges; its features use nothing after the day."""
        users = [0] * self._grants
        active = 0
        counted: list[list[tuple[int, int]]] = []
        for uses in self._holders:
            pairs: list[tuple[int, int]] = []
            recent = False
            for pair_days in uses:
                count = bisect_right(pair_days.days, day)
                idle = day - pair_days.days[count - 1] if count else -1
                pairs.append((count, idle))
                if count and idle <= RECENT_DAYS:
                    users[pair_days.grant] += 1
                    recent = True
            active += recent
            counted.append(pairs)
        number = -1
        for holder, (uses, pairs) in enumerate(zip(self._holders, counted, strict=True)):
            idles = sorted(idle for count, idle in pairs if count)
            if not idles or idles[-1] < FLOOR_DAYS:
                number += len(pairs)
                continue
            total = sum(count for count, _ in pairs)
            began = min(pair_days.days[0] for pair_days in uses)
            lately = bisect_right(idles, RECENT_DAYS)
            rest = active - bool(lately)
            for pair_days, (count, idle) in zip(uses, pairs, strict=True):
                number += 1
                if not count or idle < FLOOR_DAYS:
                    continue
                own = idle <= RECENT_DAYS
                # The least idle of the other grants: the first of all, or the second where this grant is the first.
                other = idles[0] if idles[0] != idle else idles[1] if len(idles) > 1 else None
                first = pair_days.days[0]
                features = GrantFeatures(
                    idle=idle,
                    days=count,
                    span=day - idle - first,
                    age=day - first,
                    elsewhere_idle=other,
                    elsewhere_recent=lately - own,
                    others=(users[pair_days.grant] - own) / rest if rest > 0 else 0.0,
                    holder_age=day - began,
                    elsewhere_days=total - count,
                    elsewhere_grants=len(idles) - 1,
                )
                needed = count < len(pair_days.days) and pair_days.days[count] <= day + horizon
                yield ReplayedGrant(number, holder, count, features, needed)

    def recent_users(self, day: int) -> tuple[dict[str, int], int]:
        """The number of holders who used each grant in the year before this day, and the number who used any grant."""
        users: dict[str, int] = {}
        active = 0
        for uses in self._holders:
            recent = [
                pair.grant for pair in uses if bisect_right(pair.days, day) > bisect_left(pair.days, day - RECENT_DAYS)
            ]
            active += bool(recent)
            for grant in recent:
                users[self._names[grant]] = users.get(self._names[grant], 0) + 1
        return users, active

    def training_cases(self, until: int, horizon: int) -> Iterator[tuple[GrantFeatures, bool]]:
        """Training cases: past reviews whose horizon ends on or before `until`."""
        for day in range(self.first + WARM_UP_DAYS, until - horizon + 1, REVIEW_INTERVAL_DAYS):
            yield from ((case.pair, case.needed) for case in self.replay_day(day, horizon))
