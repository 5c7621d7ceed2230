"""What was used?

Counts which grant served which requirement, for whom, where and on which day. Counting is one append on the way of a
request; a background thread adds up and writes. A store that is down costs counts, which are counted, and never a
request.
"""

from __future__ import annotations

import hmac
import os
import secrets
import threading
import time
from base64 import urlsafe_b64encode
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final, NamedTuple, Protocol

from jwt_lp._worker import weakly
from jwt_lp.stores import Batch, Point, Run, Sighting, Use

if TYPE_CHECKING:
    from jwt_lp.claims import AccessToken
    from jwt_lp.permissions import Grant
    from jwt_lp.stores import Outcome

PAUSE: Final = 5.0
MOST_EVENTS: Final = 1_000_000
MOST_ROWS: Final = 50_000
MOST_SIGHTINGS: Final = 50_000


class Recordable(Protocol):
    """Where batches go."""

    def record(self, batch: Batch) -> bool:
        """Add a batch, once, whatever happened to it before; raises where it cannot be said that it was added."""
        ...


class Recording(NamedTuple):
    """How the recording stands in this process: since when, until when all of it is stored, how much, what was lost."""

    since: float
    stored_until: float
    recorded: int
    pending: int
    dropped: int


@dataclass(frozen=True, slots=True, eq=False)
class Slot:
    """One thing to count, resolved once: everything of a `Use` but its day."""

    use: Use


class UsageRecorder:
    """Counts uses for one service.

    `name` says how a subject stands in the store, from its issuer and its subject. Kept are at most `most_events`
    between two rounds, and `most_rows` different rows and as many sightings while the store is down; what is more is
    dropped and counted. `clock` gives seconds since the epoch, `randomness` so many random bytes.
    """

    def __init__(
        self,
        store: Recordable,
        *,
        service: str,
        name: Callable[[str, str], str] | None = None,
        pause: float = PAUSE,
        most_events: int = MOST_EVENTS,
        most_rows: int = MOST_ROWS,
        clock: Callable[[], float] = time.time,
        randomness: Callable[[int], bytes] = secrets.token_bytes,
    ) -> None:
        self._store = store
        self._service = service
        self._name = name or plain
        self._pause = pause
        self._most_events = most_events
        self._most_rows = most_rows
        self._clock = clock
        self._randomness = randomness
        self._points: tuple[Point, ...] = ()
        self._begin()
        # A forked child counts for itself: what its parent had not written yet is its parent's to write.
        os.register_at_fork(after_in_child=weakly(self._begin))

    def _begin(self) -> None:
        self._events: deque[Slot] = deque()
        self._sighted: set[Sighting] = set()
        self._day = ""
        self._new: list[Sighting | Point] = list(self._points)
        self._counts: dict[Use, tuple[int, float]] = {}
        self._unsent: tuple[Batch, float] | None = None
        self._lock = threading.Lock()
        self._flushing = threading.Lock()
        self._run = self._randomness(8).hex()
        self._since = self._stored_until = self._clock()
        self._number = self._recorded = self._dropped = 0

    def slots(
        self,
        token: AccessToken,
        requirement: str,
        route: str,
        endpoint: str,
        served: Iterable[tuple[str, Grant | None]],
        outcome: Outcome,
    ) -> tuple[Slot, ...]:
        """What to count for one decision: a slot for each term and the grant that served it, None where none did."""
        method = route.partition(" ")[0]
        subject = self._name(token.issuer, token.subject)
        return tuple(
            Slot(
                Use(
                    service=self._service,
                    issuer=token.issuer,
                    subject=subject,
                    client=token.client or "",
                    role=grant.role or "" if grant is not None else "",
                    endpoint=endpoint,
                    method=method,
                    requirement=requirement,
                    permission=term,
                    grant=grant.text if grant is not None else "",
                    outcome=outcome,
                    day="",
                )
            )
            for term, grant in served
        )

    def count(self, slots: tuple[Slot, ...]) -> None:
        """Count one decision. Never raises, never waits."""
        if len(self._events) < self._most_events:
            # One atomic step each, so that no lock is needed here.
            self._events.extend(slots)
        else:
            with self._lock:
                self._dropped += len(slots)

    def sighted(self, token: AccessToken) -> None:
        """Note what a token carries, once a day."""
        day = _day(self._clock())
        subject, client = self._name(token.issuer, token.subject), token.client or ""
        found = [
            Sighting(token.issuer, subject, client, grant.role or "", grant.text, day) for grant in token.permissions
        ]
        with self._lock:
            if day != self._day:
                self._sighted.clear()
                self._day = day
            for sighting in found:
                if sighting in self._sighted:
                    continue
                if len(self._sighted) >= MOST_SIGHTINGS or len(self._new) >= self._most_rows:
                    self._dropped += 1
                    continue
                self._sighted.add(sighting)
                self._new.append(sighting)

    def points(self, found: Iterable[tuple[str, str, str]]) -> None:
        """Note the enforcement points there are, each an endpoint, a method and a requirement as written."""
        day = _day(self._clock())
        points = tuple(Point(self._service, *each, day) for each in found)
        with self._lock:
            self._points += points
            self._new += points

    def flush(self) -> float:
        """Write what there is, in batches that are counted once; gives the seconds until the next time.

        Raises what the store raises; what was not written is kept, and written with the next round.
        """
        with self._flushing:
            if self._unsent is not None:
                self._send(*self._unsent)
            self._gather()
            batch = self._batch()
            if batch is not None:
                self._send(*batch)
        return self._pause

    def status(self) -> Recording:
        """How the recording stands."""
        with self._lock:
            pending = len(self._events) + sum(count for count, _ in self._counts.values())
            return Recording(self._since, self._stored_until, self._recorded, pending, self._dropped)

    def _gather(self) -> None:
        """Add up what was counted since the last time."""
        now = self._clock()
        day = _day(now)
        # Only what is there now: a busy service would keep this going for ever.
        for _ in range(len(self._events)):
            use = self._events.popleft().use._replace(day=day)
            count, _last = self._counts.get(use, (0, 0.0))
            if count or len(self._counts) < self._most_rows:
                self._counts[use] = (count + 1, now)
            else:
                with self._lock:
                    self._dropped += 1

    def _batch(self) -> tuple[Batch, float] | None:
        """What there is to write, if anything, and until when that is all there was."""
        now = self._clock()
        with self._lock:
            if not (self._counts or self._new) and now - self._stored_until < _QUIET:
                return None
            counts, self._counts = self._counts, {}
            new, self._new = self._new, []
            self._number += 1
            self._recorded += sum(count for count, _ in counts.values())
            run = Run(
                id=self._run,
                service=self._service,
                started=self._since,
                until=now,
                recorded=self._recorded,
                dropped=self._dropped,
            )
        batch = Batch(
            id=f"{self._run}:{self._number}",
            uses=counts,
            sightings=tuple(each for each in new if isinstance(each, Sighting)),
            points=tuple(each for each in new if isinstance(each, Point)),
            run=run,
        )
        self._unsent = batch, now
        return self._unsent

    def _send(self, batch: Batch, until: float) -> None:
        self._store.record(batch)
        # INVARIANT: forgotten only when the store has said that it has it; until then it is sent again as it is.
        self._unsent = None
        self._stored_until = until


_QUIET: Final = 60.0


def keyed(key: bytes) -> Callable[[str, str], str]:
    """A name for a subject that tells it from others and says nothing of it, unless one has `key`."""

    def name(issuer: str, subject: str) -> str:
        said = hmac.digest(key, f"{issuer}\0{subject}".encode("utf-8", "surrogatepass"), "sha256")
        return f"h:{urlsafe_b64encode(said[:16]).decode().rstrip('=')}"

    return name


def plain(issuer: str, subject: str) -> str:
    """The subject as its issuer names it."""
    del issuer
    return subject


def absent(issuer: str, subject: str) -> str:
    """No name at all."""
    del issuer, subject
    return ""


def _day(now: float) -> str:
    return datetime.fromtimestamp(now, UTC).date().isoformat()
