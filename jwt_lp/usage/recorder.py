"""Recorder of usage: which grant served which requirement, for which subject, where and on which day.

A request appends to a queue; a background thread adds up and writes. While the store is down no request fails, and
uses that do not fit into memory are dropped and counted.
"""

from __future__ import annotations

import hmac
import os
import re
import secrets
import threading
import time
from base64 import urlsafe_b64encode
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import chain
from typing import TYPE_CHECKING, Final, NamedTuple, Protocol

from jwt_lp._support.worker import weak_callback
from jwt_lp.stores import EnforcementPoint, ObservedGrant, RecordingPeriod, UsageBatch, Use

if TYPE_CHECKING:
    from jwt_lp.permissions.grants import Grant, Permissions
    from jwt_lp.stores import UsageOutcome
    from jwt_lp.tokens.claims import AccessToken

FLUSH_INTERVAL: Final = 5.0
MAX_EVENTS: Final = 1_000_000
MAX_ROWS: Final = 50_000
MAX_OBSERVED: Final = 50_000
ANY_METHOD: Final = "*"

_PSEUDONYM: Final = re.compile(r"h:[A-Za-z0-9_-]{22}")
"""The method of an enforcement point that names none, and of uses by a method that is neither usual nor declared."""

_USUAL_METHODS: Final = frozenset(
    {"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "QUERY", "TRACE", "CONNECT", "WEBSOCKET"}
)


class UsageSink(Protocol):
    """Receiver of batches, such as a store."""

    def record(self, batch: UsageBatch) -> bool:
        """Add a batch once, even if it is sent again; raises if it is not certain that the batch was added."""
        ...


class RecorderStatus(NamedTuple):
    """The status of the recording in this process: its start, the time until which all is stored, and its counts."""

    since: float
    stored_until: float
    recorded: int
    pending: int
    dropped: int


@dataclass(frozen=True, slots=True, eq=False)
class UsageSlot:
    """A use to count, resolved once and without its day."""

    use: Use


class UsageRecorder:
    """Counts uses for one service.

    `subject_naming` returns the name of a subject in the store from its issuer and subject. The recorder keeps at most
    `max_events` decisions between two flushes, and `max_rows` different rows and as many observed grants while the store
    is down. It drops and counts any more. `clock` returns seconds since the epoch, `randomness` that many random bytes.
    """

    def __init__(
        self,
        store: UsageSink,
        *,
        service: str,
        subject_naming: Callable[[str, str], str] | None = None,
        flush_interval: float = FLUSH_INTERVAL,
        max_events: int = MAX_EVENTS,
        max_rows: int = MAX_ROWS,
        clock: Callable[[], float] = time.time,
        randomness: Callable[[int], bytes] = secrets.token_bytes,
    ) -> None:
        self._store = store
        self._service = service
        self._subject_naming = subject_naming or plain_subject
        self._flush_interval = flush_interval
        self.max_events = max_events
        self._max_rows = max_rows
        self._clock = clock
        self._randomness = randomness
        self._points: tuple[EnforcementPoint, ...] = ()
        self._methods = _USUAL_METHODS
        self._reset()
        # A forked child starts empty, because the parent writes what it had not written yet.
        os.register_at_fork(after_in_child=weak_callback(self._reset))

    def _reset(self) -> None:
        self.events: deque[tuple[UsageSlot, ...]] = deque()
        self._sighted: deque[tuple[str, str, str, Permissions, float]] = deque()
        self._observed: set[ObservedGrant] = set()
        self._day = ""
        self._pending_rows: list[ObservedGrant | EnforcementPoint] = list(self._points)
        self._counts: dict[Use, tuple[int, float]] = {}
        self._unsent: tuple[UsageBatch, float] | None = None
        self._lock = threading.Lock()
        self._flushing = threading.Lock()
        self._period_id = self._randomness(8).hex()
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
        """The slots of one decision, one for each term.

        `served` pairs each term with the grant that served it, None if none did.
        """
        method = route.partition(" ")[0]
        if method not in self._methods:
            # INVARIANT: a client that invents methods makes no rows of its own, nor longer ones.
            method = ANY_METHOD
        subject = self._subject_naming(token.issuer, token.subject)
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
        """Count one decision. Never raises, and never waits for the store."""
        if len(self.events) < self.max_events:
            # It needs no lock, because each step is atomic.
            self.events.append(slots)
        else:
            with self._lock:
                self._dropped += len(slots)

    def observe_token(self, token: AccessToken) -> None:
        """Record the grants that a token carries, once a day. It costs the same for any number of grants."""
        if len(self._sighted) < MAX_OBSERVED:
            subject = self._subject_naming(token.issuer, token.subject)
            self._sighted.append((token.issuer, subject, token.client or "", token.permissions, self._clock()))
        else:
            with self._lock:
                self._dropped += 1

    def declare_enforcement_points(self, declared: Iterable[tuple[str, str, str]]) -> None:
        """Record the enforcement points, each an endpoint, a method and a requirement as written."""
        day = _day(self._clock())
        points = tuple(EnforcementPoint(self._service, *point, day) for point in declared)
        with self._lock:
            self._methods |= {point.method for point in points}
            self._points += points
            self._pending_rows += points

    def flush(self) -> float:
        """Write all uses so far in batches that count once; return the seconds until the next flush.

        Raises what the store raises. What was not written is kept for the next flush.
        """
        with self._flushing:
            if self._unsent is not None:
                self._write(*self._unsent)
            self._list_observed()
            self._aggregate()
            batch = self._batch()
            if batch is not None:
                self._write(*batch)
        return self._flush_interval

    def status(self) -> RecorderStatus:
        """The status of the recording."""
        with self._lock:
            pending = sum(map(len, self.events.copy())) + sum(count for count, _ in tuple(self._counts.values()))
            return RecorderStatus(self._since, self._stored_until, self._recorded, pending, self._dropped)

    def _list_observed(self) -> None:
        """List the grants of the tokens that were sighted since the last flush."""
        for _ in range(len(self._sighted)):
            issuer, subject, client, permissions, at = self._sighted.popleft()
            day = _day(at)
            observed = [
                ObservedGrant(issuer, subject, client, grant.role or "", grant.text, day) for grant in permissions
            ]
            with self._lock:
                if day != self._day:
                    self._observed.clear()
                    self._day = day
                for grant in observed:
                    if grant in self._observed:
                        continue
                    if len(self._observed) >= MAX_OBSERVED or len(self._pending_rows) >= self._max_rows:
                        self._dropped += 1
                        continue
                    self._observed.add(grant)
                    self._pending_rows.append(grant)

    def _aggregate(self) -> None:
        """Add up the events since the last flush."""
        now = self._clock()
        day = _day(now)
        # It takes only the events present now; on a busy service new ones would never let the loop end.
        for slot in chain.from_iterable(self.events.popleft() for _ in range(len(self.events))):
            use = slot.use._replace(day=day)
            count, _last = self._counts.get(use, (0, 0.0))
            if count or len(self._counts) < self._max_rows:
                self._counts[use] = (count + 1, now)
            else:
                with self._lock:
                    self._dropped += 1

    def _batch(self) -> tuple[UsageBatch, float] | None:
        """The next batch, with the time until which it completes the recording; None if there is nothing to write."""
        now = self._clock()
        with self._lock:
            if not (self._counts or self._pending_rows) and now - self._stored_until < _IDLE_WRITE_INTERVAL:
                return None
            counts, self._counts = self._counts, {}
            pending, self._pending_rows = self._pending_rows, []
            self._number += 1
            self._recorded += sum(count for count, _ in counts.values())
            period = RecordingPeriod(
                id=self._period_id,
                service=self._service,
                started=self._since,
                until=now,
                recorded=self._recorded,
                dropped=self._dropped,
            )
        batch = UsageBatch(
            id=f"{self._period_id}:{self._number}",
            uses=counts,
            observed_grants=tuple(row for row in pending if isinstance(row, ObservedGrant)),
            enforcement_points=tuple(row for row in pending if isinstance(row, EnforcementPoint)),
            period=period,
        )
        self._unsent = batch, now
        return self._unsent

    def _write(self, batch: UsageBatch, until: float) -> None:
        self._store.record(batch)
        # INVARIANT: a batch is forgotten only after the store confirmed it; until then it is sent again unchanged.
        self._unsent = None
        self._stored_until = until


_IDLE_WRITE_INTERVAL: Final = 60.0


def pseudonymizer(key: bytes) -> Callable[[str, str], str]:
    """A naming of subjects by a keyed hash: names differ, and reveal nothing without `key`."""

    def pseudonym(issuer: str, subject: str) -> str:
        digest = hmac.digest(key, f"{issuer}\0{subject}".encode("utf-8", "surrogatepass"), "sha256")
        return f"h:{urlsafe_b64encode(digest[:16]).decode().rstrip('=')}"

    return pseudonym


def is_pseudonym(name: str) -> bool:
    """Whether a name has the form that `pseudonymizer` gives."""
    return _PSEUDONYM.fullmatch(name) is not None


def plain_subject(issuer: str, subject: str) -> str:
    """The subject as written in the token."""
    del issuer
    return subject


def omitted_subject(issuer: str, subject: str) -> str:
    """No name."""
    del issuer, subject
    return ""


def _day(now: float) -> str:
    return datetime.fromtimestamp(now, UTC).date().isoformat()
