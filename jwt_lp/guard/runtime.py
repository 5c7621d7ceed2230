"""What does a decision depend on, and what is recorded of it?

One guard's state: revocations, looked up in an immutable snapshot, and usage, counted by one append. Everything
that reads or writes the store runs in the background.
"""

from __future__ import annotations

import atexit
import logging
import math
import os
import socket
import threading
from dataclasses import dataclass, replace
from functools import lru_cache
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Final

from jwt_lp._support.worker import ForkSafeLock, weak_callback
from jwt_lp.errors import ConfigurationError
from jwt_lp.guard.decisions import Cause, Decision
from jwt_lp.guard.refusals import log_event
from jwt_lp.revocation.poller import Freshness, RevocationPoller
from jwt_lp.stores import ProcessHeartbeat, open_store
from jwt_lp.usage.recorder import UsageRecorder, omitted_subject, plain_subject, pseudonymizer

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from jwt_lp._support.worker import Worker
    from jwt_lp.guard.settings import Settings
    from jwt_lp.permissions.grants import Grant
    from jwt_lp.permissions.requirements import Evaluation, Requirement
    from jwt_lp.revocation.snapshot import RevocationMatch, RevocationSnapshot
    from jwt_lp.stores import Store
    from jwt_lp.stores import UsageOutcome as Kind
    from jwt_lp.tokens.claims import AccessToken
    from jwt_lp.usage.recorder import RecorderStatus, UsageSlot

HEARTBEAT_INTERVAL: Final = 10.0
FIRST_POLL_TIMEOUT: Final = 2.0
"""How long a request waits, once in each process, for the store to be heard of, in seconds."""
_LISTENER_CHECK_INTERVAL: Final = 5.0
_NEVER: Final = 1e9

_UNKNOWN: Final = Cause(
    HTTPStatus.SERVICE_UNAVAILABLE,
    None,
    "revocations_unknown",
    "the revocations are not known: the store has not been reached yet, or not for longer than REFUSE_AFTER",
)
_STALE: Final = Cause(
    HTTPStatus.SERVICE_UNAVAILABLE,
    None,
    "revocations_stale",
    "the store has not been reached for longer than STALE_AFTER, and the requirement is of high risk",
)


@dataclass(slots=True, eq=False)
class TokenState:
    """What a guard caches for a token until more is revoked: what is left of it, and decisions made from it.

    It is kept on the token. `owner` says whose memo it is, `expires_at` when a part of it has to be looked up again.
    """

    owner: object
    snapshot: RevocationSnapshot
    effective_token: AccessToken | Cause
    expires_at: float
    decisions: dict[tuple[int, str], tuple[Decision, tuple[UsageSlot, ...]]]


@dataclass(frozen=True, slots=True)
class StoreStatus:
    """How a guard stands with its store.

    `known` says whether the revocations are known well enough to decide at all; `sequence` which change is the
    last one known, `age` how many seconds ago the store was last heard of (None: never), `revocations` how many entries
    there are; `recording` how counting stands, and what it dropped; `running` whether the background thread runs in
    this process: without it nothing is heard of, and nothing is written.
    """

    known: bool
    sequence: int
    age: float | None
    revocations: int
    recording: RecorderStatus
    running: bool = True


class GuardRuntime:
    """The memory of one guard, on the store that the settings name.

    `worker` runs what is done in the background; `clock` gives seconds since the epoch. `ConfigurationError` where
    the store's URL is none, or a library for it is missing.
    """

    def __init__(self, settings: Settings, worker: Worker, clock: Callable[[], float]) -> None:
        self._settings = settings
        self._clock = clock
        self._worker = worker
        self._service = settings.service or min(settings.issuers[0].audience)
        self.store: Store = open_store(settings.store) if isinstance(settings.store, str) else settings.store
        retention = max(issuer.max_lifetime + issuer.leeway for issuer in settings.issuers)
        self.revocations: RevocationPoller = RevocationPoller(
            self.store,
            retention=retention,
            stale_after=settings.stale_after,
            refuse_after=settings.refuse_after,
            start="open" if settings.revocation_start == "open" else "closed",
            wall=clock,
        )
        self.recorder: UsageRecorder = UsageRecorder(
            self.store, service=self._service, name=_subject_naming(settings.subjects), clock=clock
        )
        self._risk = lru_cache(maxsize=4096)(self._highest_risk)
        self._logged_freshness = Freshness.FRESH
        self._monotonic = self.revocations.clock
        self._stale_after = settings.stale_after
        self._process = f"{socket.gethostname()}:{os.urandom(6).hex()}"
        self._store_lock = ForkSafeLock()
        self.first_poll_done: bool = False
        self._first_poll = threading.Event()
        os.register_at_fork(after_in_child=weak_callback(self._reset_after_fork))
        # Kept until `close`, as it is by its worker's thread: what a guard counted before it was forgotten is written.
        atexit.register(self._at_exit)
        worker.schedule(self._poll, name="revocations")
        worker.schedule(self._flush, name="usage")
        worker.schedule(self._send_heartbeat, name="heartbeat")
        self._listener: Any = None
        if settings.push:
            worker.schedule(self._ensure_listener, name="push")

    def await_first_poll(self, *, wait: bool) -> bool:
        """Have this process ask the store for itself before it decides; False where `wait` would have to be True.

        It does so once, and waits for at most 2 s. What was known before a fork may be old without being stale, and
        whoever took something back was told that every process knows. Where the store does not answer, the age of
        what is known decides, as ever.
        """
        if not self._first_poll.is_set():
            # A child inherits when its parent wanted to do each of these next.
            for name in ("revocations", "heartbeat", "push"):
                self._worker.wake(name)
            self._worker.ensure_running()
            if self._worker.running:
                if not wait:
                    return False
                self._first_poll.wait(FIRST_POLL_TIMEOUT)
        self.first_poll_done = True
        return True

    def token_state(self, token: AccessToken) -> TokenState:
        """What is left of a token, and what was decided from it since the last revocation."""
        found: TokenState | None = token.token_state
        if (
            found is not None
            and found.owner is self
            and found.snapshot is self.revocations.polled.snapshot
            and (found.expires_at == math.inf or self._clock() < found.expires_at)
        ):
            return found
        return self._load_state(token)

    def cached_state(self, token: AccessToken) -> TokenState | None:
        """Its memo where there is one and all that it rests on is fresh: the short way, on every request."""
        token_state: TokenState | None = token.token_state
        polled = self.revocations.polled
        if (
            token_state is None
            or token_state.owner is not self
            or token_state.snapshot is not polled.snapshot
            or polled.at is None
            or self._monotonic() - polled.at > self._stale_after
            or token_state.expires_at != math.inf
            or self._logged_freshness is not Freshness.FRESH
        ):
            return None
        return token_state

    def effective_token(self, token: AccessToken) -> AccessToken | Cause:
        """The token less what is revoked of it, or why nothing of it may be used now."""
        if not self.first_poll_done:
            # Who asks about a token that it kept cannot wait; the thread starts all the same.
            self.await_first_poll(wait=False)
        if self.revocations.freshness() is Freshness.NONE:
            self._log_freshness(Freshness.NONE)
            return _UNKNOWN
        return self.token_state(token).effective_token

    def revocation_match(self, token: AccessToken) -> RevocationMatch:
        """What of a token was revoked, for an `Issuer`; `StoreError` where that is not known well enough."""
        if not self.first_poll_done:
            self.await_first_poll(wait=True)
        return self.revocations.match(token)

    def staleness_cause(self, requirement: Requirement) -> Cause | None:
        """Why `requirement` may not be decided from what is known, if so."""
        fresh = self.revocations.freshness()
        if fresh is Freshness.FRESH:
            if self._logged_freshness is not Freshness.FRESH:
                self._log_freshness(fresh)
            return None
        self._log_freshness(fresh)
        if fresh is Freshness.NONE:
            return _UNKNOWN
        return _STALE if self._risk(requirement) == "high" else None

    def count_granted(
        self, token: AccessToken, requirement: Requirement, decision: Decision, endpoint: str, outcome: Evaluation
    ) -> tuple[UsageSlot, ...]:
        """Count a decision that lets a request pass, and give what was counted."""
        served: Iterable[tuple[str, Grant | None]] = outcome.credits or (("", None),)
        slots = self.recorder.slots(token, str(requirement), decision.route, endpoint, served, "granted")
        self.recorder.count(slots)
        return slots

    def count_refused(self, token: AccessToken, requirement: Requirement, decision: Decision, endpoint: str) -> None:
        """Count a decision that refuses, or would: what was missing, and what of it is revoked."""
        for term in decision.missing or ("",):
            taken = token.permissions.denial_for(term)
            kind: Kind = "revoked" if taken is not None else "observed" if decision.observed is not None else "denied"
            self.recorder.count(
                self.recorder.slots(token, str(requirement), decision.route, endpoint, [(term, None)], kind)
            )
            if taken is not None:
                event = {
                    "entry": taken.id,
                    "permission": term,
                    "issuer": token.issuer_name,
                    "subject": token.subject,
                    "client": token.client,
                    "route": decision.route,
                    "token": token.fingerprint,
                    "service": self._service,
                }
                log_event(logging.WARNING, "revoked_permission_requested", event)

    def status(self) -> StoreStatus:
        """How it stands now."""
        age = self.revocations.age()
        return StoreStatus(
            known=self.revocations.freshness() is not Freshness.NONE,
            sequence=self.revocations.sequence,
            age=None if age == math.inf else age,
            revocations=len(self.revocations),
            recording=self.recorder.status(),
            running=self._worker.running,
        )

    def points(self, found: Iterable[tuple[str, str, str]]) -> None:
        """Note which routes ask for what."""
        self.recorder.declare_enforcement_points(found)

    def close(self) -> None:
        """Write what is left, and give the store back. Never raises."""
        atexit.unregister(self._at_exit)
        if self._listener is not None:
            self._listener.close()
        try:
            self._flush()
        except Exception:  # noqa: BLE001 - the process is ending, and nothing else can be done
            left = self.recorder.status()
            log_event(logging.ERROR, "usage_lost", {"pending": left.pending, "service": self._service})
        self.store.close()

    def _reset_after_fork(self) -> None:
        """What each process has to do for itself, after a fork as well."""
        self.first_poll_done = False
        self._first_poll = threading.Event()

    def _at_exit(self) -> None:
        """Write what this process counted; one that did nothing with what it inherited has nothing to do."""
        if self._worker.running or self.recorder.status().pending:
            self._worker.close()
            self.close()

    def _poll(self) -> float:
        try:
            with self._store_lock:
                return self.revocations.poll()
        finally:
            self._first_poll.set()

    def _flush(self) -> float:
        with self._store_lock:
            return self.recorder.flush()

    def _load_state(self, token: AccessToken) -> TokenState:
        # Taken first: what changes meanwhile makes the memo old.
        snapshot = self.revocations.polled.snapshot
        standing = snapshot.match_token(token, self._clock())
        effective_token: AccessToken | Cause = token
        if standing.cause is not None:
            effective_token = Cause(
                HTTPStatus.UNAUTHORIZED, "invalid_token", "revoked", standing.cause, token.fingerprint
            )
        elif standing.denials or token.permissions.has_denials:
            effective_token = replace(token, permissions=token.permissions.with_denials(standing.denials))
        token_state = TokenState(self, snapshot, effective_token, standing.expires_at, {})
        if token.token_state is None or token.token_state.owner is not self:
            self.recorder.observe_token(token)
        object.__setattr__(token, "token_state", token_state)
        if isinstance(effective_token, type(token)) and effective_token is not token:
            object.__setattr__(effective_token, "token_state", token_state)
        return token_state

    def _highest_risk(self, requirement: Requirement) -> str:
        risks = {self._settings.policy.risk(each) for each in requirement.permissions} or {"medium"}
        return next(risk for risk in ("high", "medium", "low") if risk in risks)

    def _log_freshness(self, fresh: Freshness) -> None:
        if fresh is self._logged_freshness:
            return
        self._logged_freshness = fresh
        age = self.revocations.age()
        event: dict[str, object] = {"age": round(age) if age < math.inf else "never reached", "service": self._service}
        if fresh is Freshness.FRESH:
            log_event(logging.WARNING, "revocations_fresh", event)
        else:
            refused = "everything" if fresh is Freshness.NONE else "requirements of high risk"
            log_event(logging.ERROR, "revocations_stale", {**event, "refused": refused})

    def _send_heartbeat(self) -> float:
        beat = ProcessHeartbeat(
            process=f"{self._process}:{os.getpid()}",
            service=self._service,
            host=socket.gethostname(),
            pid=os.getpid(),
            sequence=self.revocations.sequence,
            policy=self._settings.policy.digest,
            age=min(self.revocations.age(), _NEVER),
            at=self._clock(),
        )
        with self._store_lock:
            self.store.record_heartbeat(beat)
        return HEARTBEAT_INTERVAL

    def _ensure_listener(self) -> float:
        """See to it that this process hears of pushes, after a fork as well."""
        if self._listener is None or self._listener.pid != os.getpid():
            # A child that was forked in the middle of an import would wait for it for ever.
            with self._store_lock:
                from jwt_lp.stores.push import Listener

                listener: Any = Listener(self._settings.push, lambda: self._worker.wake("revocations"))
            listener.pid = os.getpid()
            self._worker.spawn(listener.run, name="push listener")
            # INVARIANT: kept last, so that neither a child that is forked meanwhile nor the next round, where no thread
            # was to be had, takes one that does not run for one that does.
            self._listener = listener
        return _LISTENER_CHECK_INTERVAL


def _subject_naming(subjects: bytes | None) -> Callable[[str, str], str]:
    if subjects is None:
        return omitted_subject
    return pseudonymizer(subjects) if subjects else plain_subject


def open_runtime(settings: Settings, worker: Worker, clock: Callable[[], float]) -> GuardRuntime | None:
    """The memory that the settings ask for; None without `STORE`."""
    if not settings.store:
        return None
    try:
        return GuardRuntime(settings, worker, clock)
    except ConfigurationError as error:
        raise ConfigurationError(*(f"JWT_LP: STORE: {fault}" for fault in error.faults)) from None
