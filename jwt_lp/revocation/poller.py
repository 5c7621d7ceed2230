"""Poller that keeps a snapshot of revocations and temporary grants in memory current.

Each process polls the source in the background. A request reads only the snapshot.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING, Final, Literal

from jwt_lp.errors import StoreError
from jwt_lp.revocation.limits import REFUSE_AFTER, STALE_AFTER
from jwt_lp.revocation.snapshot import RevocationSnapshot, SnapshotBuilder, free_incrementally
from jwt_lp.revocation.temporary_grants import NO_GRANTS, GrantDeadlines, grants_in_force

if TYPE_CHECKING:
    from jwt_lp.revocation.entries import RevocationSource
    from jwt_lp.revocation.snapshot import RevocationMatch
    from jwt_lp.revocation.temporary_grants import GrantsInForce, TemporaryGrant
    from jwt_lp.tokens.claims import AccessToken

POLL_INTERVAL: Final = 5.0


class Freshness(Enum):
    """Whether the revocation snapshot is current enough to be used."""

    FRESH = "fresh"
    STALE = "stale"
    NONE = "none"


@dataclass(frozen=True, slots=True)
class PolledSnapshot:
    """A snapshot with the sequence of its last change and the monotonic time of the poll that confirmed it.

    `at` is None and `fresh_until` minus infinity before the first poll.
    """

    sequence: int
    snapshot: RevocationSnapshot
    at: float | None = None
    fresh_until: float = -math.inf


class RevocationPoller:
    """The revocations that this process knows, and the poll that updates them.

    The worker polls `source` every `interval` seconds, and at once when woken. A snapshot is immutable, and the
    sequence never goes back. `retention` is how long a token can live here (`MAX_LIFETIME` plus `LEEWAY`), in seconds;
    a revocation of a token stays in force at least that long. A snapshot older than `stale_after` is stale; one older
    than `refuse_after` counts as none. With `start="open"` every token passes until the first poll succeeds. `clock` is
    monotonic; `wall` gives seconds since the epoch.
    """

    def __init__(
        self,
        source: RevocationSource,
        *,
        retention: float,
        interval: float = POLL_INTERVAL,
        stale_after: float = STALE_AFTER,
        refuse_after: float = REFUSE_AFTER,
        start: Literal["closed", "open"] = "closed",
        clock: Callable[[], float] = time.monotonic,
        wall: Callable[[], float] = time.time,
    ) -> None:
        self._source = source
        self._retention = retention
        self._interval = interval
        self._stale_after = stale_after
        self._refuse_after = refuse_after
        self._open = start == "open"
        self.clock: Callable[[], float] = clock
        self._wall = wall
        self.polled: PolledSnapshot = PolledSnapshot(0, RevocationSnapshot())
        self._rebuilt_at = self._polled_at = wall()
        self._deadlines = GrantDeadlines(retention)

    @property
    def sequence(self) -> int:
        """The sequence number of the last known change."""
        return self.polled.sequence

    @property
    def generation(self) -> int:
        """A number that changes if, and only if, the snapshot changes."""
        return self.polled.snapshot.generation

    def __len__(self) -> int:
        return len(self.polled.snapshot)

    def age(self) -> float:
        """Return the seconds since the last successful poll started; infinity before the first one."""
        at = self.polled.at
        return math.inf if at is None else self.clock() - at

    def freshness(self) -> Freshness:
        """Return whether the snapshot is current enough now."""
        at = self.polled.at
        if at is None:
            return Freshness.FRESH if self._open else Freshness.NONE
        age = self.clock() - at
        if age <= self._stale_after:
            return Freshness.FRESH
        return Freshness.STALE if age <= self._refuse_after else Freshness.NONE

    def match_token(self, token: AccessToken) -> RevocationMatch:
        """Return what is revoked of a token, by the current snapshot, however old it is."""
        return self.polled.snapshot.match_token(token, self._wall())

    def match(self, token: AccessToken) -> RevocationMatch:
        """Return what is revoked of a token; raise `StoreError` if the snapshot is not fresh enough to sign by it."""
        if self.freshness() is not Freshness.FRESH:
            raise StoreError("the revocations are not current: the store has not been reached for too long")
        return self.match_token(token)

    def grants_in_force(self, token: AccessToken, polled: PolledSnapshot) -> GrantsInForce | None:
        """Return the temporary grants of a token by a snapshot of this poller; None if they cannot be told now.

        They end by themselves, so nothing but the snapshot and the clocks is read. They count only while the snapshot is
        fresh: a grant that was ended early is not used for longer than `stale_after`.
        """
        records = polled.snapshot.temporary_grants(token)
        if not records:
            return NO_GRANTS
        monotonic = self.clock()
        if monotonic > polled.fresh_until:
            return None
        held = grants_in_force(records, token, self._wall(), monotonic)
        return held._replace(deadline=min(held.deadline, polled.fresh_until))

    def temporary_grants(self, token: AccessToken) -> tuple[TemporaryGrant, ...]:
        """Return the temporary grants of a token, for an `Issuer`; raise `StoreError` if they cannot be told now."""
        held = self.grants_in_force(token, self.polled)
        if held is None:
            raise StoreError("the temporary grants are not current: the store has not been reached for too long")
        return held.grants

    def count_temporary_grants(self) -> int:
        """Return how many temporary grants are in force by the current snapshot, however old it is."""
        now, monotonic = self._wall(), self.clock()
        records = (record for shard in self.polled.snapshot.granted for each in shard.values() for record in each)
        return sum(grant.since <= now < grant.until and monotonic < deadline for grant, deadline in records)

    def poll(self) -> float:
        """Read the changes from the source and return the seconds until the next poll. Errors of the source pass."""
        # INVARIANT: the age counts from before the query, so that a snapshot never seems newer than its data.
        started_at = self.clock()
        polled, now = self.polled, self._wall()
        if now < self._polled_at:
            # The clock was set back, so entries that were dropped as ended may be in force again: rebuild, and try
            # that at every poll until one succeeds.
            self._rebuilt_at = -math.inf
        self._polled_at = now
        # Rebuild from the start once in a while, to drop entries that have ended.
        rebuild = now - self._rebuilt_at > self._retention
        since = 0 if rebuild else polled.sequence
        start = RevocationSnapshot(polled.snapshot.generation) if rebuild else polled.snapshot
        builder = SnapshotBuilder(start, now, self._retention)
        while True:
            page = self._source.changes(since)
            builder.remove(page.touched)
            for entry in page.entries:
                builder.add(entry)
            for grant in page.grants:
                builder.grant(grant, self._deadlines.fix(grant, now, started_at))
            if page.sequence < since:
                raise StoreError(
                    f"the store's sequence went back from {since} to {page.sequence}: was an older copy restored? "
                    "The known revocations stay in force; restart the service to accept the copy"
                )
            since = page.sequence
            if not page.more:
                break
        if since < polled.sequence:
            raise StoreError(f"the store's sequence went back from {polled.sequence} to {since}")
        if rebuild:
            self._rebuilt_at = now
            self._deadlines.forget(started_at)
        old, new = polled.snapshot, builder.build()
        self.polled = PolledSnapshot(since, new, started_at, started_at + self._stale_after)
        replaced = old.unshared_shards(new)
        # From here on, only `replaced` refers to the shards that are not needed any more.
        del polled, builder, old, start
        free_incrementally(replaced)
        return self._interval
