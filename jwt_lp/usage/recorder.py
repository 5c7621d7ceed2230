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

from jwt_lp._support.worker import weak_callback
from jwt_lp.stores import EnforcementPoint, ObservedGrant, RecordingPeriod, UsageBatch, Use

if TYPE_CHECKING:
    from jwt_lp.permissions.grants import Grant
    from jwt_lp.stores import UsageOutcome
    from jwt_lp.tokens.claims import AccessToken

FLUSH_INTERVAL: Final = 5.0
MAX_EVENTS: Final = 1_000_000
MAX_ROWS: Final = 50_000
MAX_OBSERVED: Final = 50_000


class UsageSink(Protocol):
    """Where batches go."""

    def record(self, batch: UsageBatch) -> bool:
        """Add a batch, once, whatever happened to it before; raises where it cannot be said that it was added."""
        ...


class RecorderStatus(NamedTuple):
    """How the recording stands in this process: since when, until when all of it is stored, how much, what was lost."""

    since: float
    stored_until: float
    recorded: int
    pending: int
    dropped: int


@dataclass(frozen=True, slots=True, eq=False)
class UsageSlot:
    """One thing to count, resolved once: everything of a `Use` but its day."""

    use: Use


class UsageRecorder:
    """Counts uses for one service.

    `name` says how a subject stands in the store, from its issuer and its subject. Kept are at most `max_events`
    between two rounds, and `max_rows` different rows and as many sightings while the store is down; what is more is
    dropped and counted. `clock` gives seconds since the epoch, `randomness` so many random bytes.
    """

    def __init__(
        self,
        store: UsageSink,
        *,
        service: str,
        name: Callable[[str, str], str] | None = None,
        pause: float = FLUSH_INTERVAL,
        max_events: int = MAX_EVENTS,
        max_rows: int = MAX_ROWS,
        clock: Callable[[], float] = time.time,
        randomness: Callable[[int], bytes] = secrets.token_bytes,
    ) -> None:
        self._store = store
        self._service = service
        self._name = name or plain_subject
        self._pause = pause
        self._max_events = max_events
        self._max_rows = max_rows
        self._clock = clock
        self._randomness = randomness
        self._points: tuple[EnforcementPoint, ...] = ()
        self._reset()
        # A forked child counts for itself: what its parent had not written yet is its parent's to write.
        os.register_at_fork(after_in_child=weak_callback(self._reset))

    def _reset(self) -> None:
        self._events: deque[UsageSlot] = deque()
        self._observed: set[ObservedGrant] = set()
        self._day = ""
        self._pending_rows: list[ObservedGrant | EnforcementPoint] = list(self._points)
        self._counts: dict[Use, tuple[int, float]] = {}
        self._unsent: tuple[UsageBatch, float] | None = None
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
        outcome: UsageOutcome,
    ) -> tuple[UsageSlot, ...]:
        """What to count for one decision: a slot for each term and the grant that served it, None where none did."""
        method = route.partition(" ")[0]
        subject = self._name(token.issuer, token.subject)
        return tuple(
            UsageSlot(
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

    def count(self, slots: tuple[UsageSlot, ...]) -> None:
        """Count one decision. Never raises, never waits."""
        if len(self._events) < self._max_events:
            # One atomic step each, so that no lock is needed here.
            self._events.extend(slots)
        else:
            with self._lock:
                self._dropped += len(slots)

    def observe_token(self, token: AccessToken) -> None:
        """Note what a token carries, once a day."""
        day = _day(self._clock())
        subject, client = self._name(token.issuer, token.subject), token.client or ""
        found = [
            ObservedGrant(token.issuer, subject, client, grant.role or "", grant.text, day)
            for grant in token.permissions
        ]
        with self._lock:
            if day != self._day:
                self._observed.clear()
                self._day = day
            for sighting in found:
                if sighting in self._observed:
                    continue
                if len(self._observed) >= MAX_OBSERVED or len(self._pending_rows) >= self._max_rows:
                    self._dropped += 1
                    continue
                self._observed.add(sighting)
                self._pending_rows.append(sighting)

    def declare_enforcement_points(self, found: Iterable[tuple[str, str, str]]) -> None:
        """Note the enforcement points there are, each an endpoint, a method and a requirement as written."""
        day = _day(self._clock())
        points = tuple(EnforcementPoint(self._service, *each, day) for each in found)
        with self._lock:
            self._points += points
            self._pending_rows += points

    def flush(self) -> float:
        """Write what there is, in batches that are counted once; gives the seconds until the next time.

        Raises what the store raises; what was not written is kept, and written with the next round.
        """
        with self._flushing:
            if self._unsent is not None:
                self._write(*self._unsent)
            self._aggregate()
            batch = self._batch()
            if batch is not None:
                self._write(*batch)
        return self._pause

    def status(self) -> RecorderStatus:
        """How the recording stands."""
        with self._lock:
            pending = len(self._events) + sum(count for count, _ in self._counts.values())
            return RecorderStatus(self._since, self._stored_until, self._recorded, pending, self._dropped)

    def _aggregate(self) -> None:
        """Add up what was counted since the last time."""
        now = self._clock()
        day = _day(now)
        # Only what is there now: a busy service would keep this going for ever.
        for _ in range(len(self._events)):
            use = self._events.popleft().use._replace(day=day)
            count, _last = self._counts.get(use, (0, 0.0))
            if count or len(self._counts) < self._max_rows:
                self._counts[use] = (count + 1, now)
            else:
                with self._lock:
                    self._dropped += 1

    def _batch(self) -> tuple[UsageBatch, float] | None:
        """What there is to write, if anything, and until when that is all there was."""
        now = self._clock()
        with self._lock:
            if not (self._counts or self._pending_rows) and now - self._stored_until < _IDLE_WRITE_INTERVAL:
                return None
            counts, self._counts = self._counts, {}
            new, self._pending_rows = self._pending_rows, []
            self._number += 1
            self._recorded += sum(count for count, _ in counts.values())
            run = RecordingPeriod(
                id=self._run,
                service=self._service,
                started=self._since,
                until=now,
                recorded=self._recorded,
                dropped=self._dropped,
            )
        batch = UsageBatch(
            id=f"{self._run}:{self._number}",
            uses=counts,
            observed_grants=tuple(each for each in new if isinstance(each, ObservedGrant)),
            enforcement_points=tuple(each for each in new if isinstance(each, EnforcementPoint)),
            period=run,
        )
        self._unsent = batch, now
        return self._unsent

    def _write(self, batch: UsageBatch, until: float) -> None:
        self._store.record(batch)
        # INVARIANT: forgotten only when the store has said that it has it; until then it is sent again as it is.
        self._unsent = None
        self._stored_until = until


_IDLE_WRITE_INTERVAL: Final = 60.0


def pseudonymizer(key: bytes) -> Callable[[str, str], str]:
    """A name for a subject that tells it from others and says nothing of it, unless one has `key`."""

    def name(issuer: str, subject: str) -> str:
        said = hmac.digest(key, f"{issuer}\0{subject}".encode("utf-8", "surrogatepass"), "sha256")
        return f"h:{urlsafe_b64encode(said[:16]).decode().rstrip('=')}"

    return name


def plain_subject(issuer: str, subject: str) -> str:
    """The subject as its issuer names it."""
    del issuer
    return subject


def omitted_subject(issuer: str, subject: str) -> str:
    """No name at all."""
    del issuer, subject
    return ""


def _day(now: float) -> str:
    return datetime.fromtimestamp(now, UTC).date().isoformat()
