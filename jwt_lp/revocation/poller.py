"""Which revocations apply now?

An immutable snapshot of the revocations, held by this process and polled from a source. Nothing on the path of a
request asks the source.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from enum import Enum
from typing import TYPE_CHECKING, Final, Literal, NamedTuple

from jwt_lp.errors import StoreError
from jwt_lp.revocation.snapshot import RevocationSnapshot, SnapshotBuilder, free_incrementally

if TYPE_CHECKING:
    from jwt_lp.revocation.entries import RevocationSource
    from jwt_lp.revocation.snapshot import RevocationMatch
    from jwt_lp.tokens.claims import AccessToken

POLL_INTERVAL: Final = 5.0
STALE_AFTER: Final = 60.0
REFUSE_AFTER: Final = 3600.0


class Freshness(Enum):
    """Whether what is known may be relied on."""

    FRESH = "fresh"
    STALE = "stale"
    NONE = "none"


class PolledSnapshot(NamedTuple):
    """What is known: the last change, what stands, and when that was last confirmed, by the monotonic clock."""

    sequence: int
    snapshot: RevocationSnapshot
    at: float | None


class RevocationPoller:
    """The revocations, as this process knows them.

    `source` is asked in the background, every `interval` seconds and at once when woken; the snapshot it builds is
    immutable, and its sequence never goes back. `retention` is how long a token can live here, `MAX_LIFETIME` and
    `LEEWAY`, in seconds: until then a revocation stays in force. A snapshot older than `stale_after` is
    stale, one older than `refuse_after` is none. `start` is `open` where everything passes until there is a first
    one. `clock` is monotonic; `wall` gives seconds since the epoch.
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
        self.polled: PolledSnapshot = PolledSnapshot(0, RevocationSnapshot(), None)
        self._rebuilt_at = self._asked = wall()

    @property
    def sequence(self) -> int:
        """The last change that is known."""
        return self.polled.sequence

    @property
    def generation(self) -> int:
        """A number that changes when, and only when, what is known changes."""
        return self.polled.snapshot.generation

    def __len__(self) -> int:
        return len(self.polled.snapshot)

    def age(self) -> float:
        """For how many seconds nothing was heard; infinite before the first time."""
        at = self.polled.at
        return math.inf if at is None else self.clock() - at

    def freshness(self) -> Freshness:
        """Whether what is known may be relied on, asked of the clock now."""
        at = self.polled.at
        if at is None:
            return Freshness.FRESH if self._open else Freshness.NONE
        age = self.clock() - at
        if age <= self._stale_after:
            return Freshness.FRESH
        return Freshness.STALE if age <= self._refuse_after else Freshness.NONE

    def match_token(self, token: AccessToken) -> RevocationMatch:
        """What is revoked of a token."""
        return self.polled.snapshot.match_token(token, self._wall())

    def match(self, token: AccessToken) -> RevocationMatch:
        """What of a token was revoked; `StoreError` where that is not known well enough to sign by it."""
        if self.freshness() is not Freshness.FRESH:
            raise StoreError("the revocations are not current: the store has not been reached for too long")
        return self.match_token(token)

    def poll(self) -> float:
        """Ask the source for what changed; gives the seconds until the next time. Raises what the source raises."""
        # INVARIANT: counted from before the question, so that an answer is never taken for newer than it is.
        asked_at = self.clock()
        polled, now = self.polled, self._wall()
        if now < self._asked:
            # The clock was put back: what it took for ended may stand again. Until an answer comes, that is so.
            self._rebuilt_at = -math.inf
        self._asked = now
        # Once in a while from the start, so that what has ended does not stay for ever.
        again = now - self._rebuilt_at > self._retention
        since, builder = (
            (0, SnapshotBuilder(RevocationSnapshot(polled.snapshot.generation), now, self._retention))
            if again
            else (
                polled.sequence,
                SnapshotBuilder(polled.snapshot, now, self._retention),
            )
        )
        while True:
            page = self._source.changes(since)
            builder.forget(page.touched)
            for entry in page.entries:
                builder.add(entry)
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
        if again:
            self._rebuilt_at = now
        old, new = polled.snapshot, builder.build()
        self.polled = PolledSnapshot(since, new, asked_at)
        replaced = old.unshared_shards(new)
        # From here on nothing but `replaced` holds what is not needed any more.
        del polled, builder, old
        free_incrementally(replaced)
        return self._interval
