"""What does a decision stand on, and what is kept of it?

One guard's memory: what was taken back, asked of an immutable picture, and what is counted, by one append. Everything
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

from jwt_lp._worker import Undivided, weakly
from jwt_lp.decision import Cause, Decision
from jwt_lp.errors import ConfigurationError
from jwt_lp.journal import write
from jwt_lp.revocation import Freshness, Revocations
from jwt_lp.stores import Beat, open_store
from jwt_lp.usage import UsageRecorder, absent, keyed, plain

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from jwt_lp._worker import Worker
    from jwt_lp.claims import AccessToken
    from jwt_lp.permissions import Grant
    from jwt_lp.requirements import Outcome, Requirement
    from jwt_lp.settings import Settings
    from jwt_lp.standing import Ledger, Standing
    from jwt_lp.stores import Outcome as Kind
    from jwt_lp.stores import Store
    from jwt_lp.usage import Recording, Slot

BEAT: Final = 10.0
FIRST_WAIT: Final = 2.0
"""How long a request waits, once in each process, for the store to be heard of, in seconds."""
_LISTEN: Final = 5.0
_NEVER: Final = 1e9

_UNKNOWN: Final = Cause(
    HTTPStatus.SERVICE_UNAVAILABLE,
    None,
    "revocations_unknown",
    "what was taken back is not known: the store was not heard of yet, or for longer than REFUSE_AFTER",
)
_STALE: Final = Cause(
    HTTPStatus.SERVICE_UNAVAILABLE,
    None,
    "revocations_stale",
    "the store was not heard of for longer than STALE_AFTER, and what is asked for is of high risk",
)


@dataclass(slots=True, eq=False)
class Memo:
    """What a guard knows of a token until more is taken back: what is left of it, and decisions made from it.

    It is kept on the token. `owner` says whose memo it is, `ends` when a part of it has to be looked up again.
    """

    owner: object
    ledger: Ledger
    holder: AccessToken | Cause
    ends: float
    made: dict[tuple[int, str], tuple[Decision, tuple[Slot, ...]]]


@dataclass(frozen=True, slots=True)
class MemoryStatus:
    """How a guard stands with its store.

    `known` says whether what was taken back is known well enough to decide at all; `sequence` which change is the
    last one known, `age` how many seconds ago the store was last heard of (None: never), `taken_back` how many entries
    there are; `recording` how counting stands, and what it dropped; `running` whether the background thread runs in
    this process: without it nothing is heard of, and nothing is written.
    """

    known: bool
    sequence: int
    age: float | None
    taken_back: int
    recording: Recording
    running: bool = True


class Account:
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
        span = max(issuer.max_lifetime + issuer.leeway for issuer in settings.issuers)
        self.revocations: Revocations = Revocations(
            self.store,
            span=span,
            stale_after=settings.stale_after,
            refuse_after=settings.refuse_after,
            start="open" if settings.revocation_start == "open" else "closed",
            wall=clock,
        )
        self.recorder: UsageRecorder = UsageRecorder(
            self.store, service=self._service, name=_naming(settings.subjects), clock=clock
        )
        self._risk = lru_cache(maxsize=4096)(self._riskiest)
        self._alerted = Freshness.FRESH
        self._monotonic = self.revocations.clock
        self._stale_after = settings.stale_after
        self._process = f"{socket.gethostname()}:{os.urandom(6).hex()}"
        self._talking = Undivided()
        self.settled: bool = False
        self._first = threading.Event()
        os.register_at_fork(after_in_child=weakly(self._begin))
        # Kept until `close`, as it is by its worker's thread: what a guard counted before it was forgotten is written.
        atexit.register(self._at_exit)
        worker.every(self._poll, name="revocations")
        worker.every(self._flush, name="usage")
        worker.every(self._beat, name="heartbeat")
        self._listener: Any = None
        if settings.push:
            worker.every(self._listen, name="push")

    def settle(self, *, wait: bool) -> bool:
        """Have this process ask the store for itself before it decides; False where `wait` would have to be True.

        It does so once, and waits for at most 2 s. What was known before a fork may be old without being stale, and
        whoever took something back was told that every process knows. Where the store does not answer, the age of
        what is known decides, as ever.
        """
        if not self._first.is_set():
            # A child inherits when its parent wanted to do each of these next.
            for name in ("revocations", "heartbeat", "push"):
                self._worker.wake(name)
            self._worker.ensure()
            if self._worker.running:
                if not wait:
                    return False
                self._first.wait(FIRST_WAIT)
        self.settled = True
        return True

    def memo(self, token: AccessToken) -> Memo:
        """What is left of a token, and what was decided from it since anything was last taken back."""
        found: Memo | None = token.memo
        if (
            found is not None
            and found.owner is self
            and found.ledger is self.revocations.view.ledger
            and (found.ends == math.inf or self._clock() < found.ends)
        ):
            return found
        return self._looked_up(token)

    def known(self, token: AccessToken) -> Memo | None:
        """Its memo where there is one and all that it rests on is fresh: the short way, on every request."""
        memo: Memo | None = token.memo
        view = self.revocations.view
        if (
            memo is None
            or memo.owner is not self
            or memo.ledger is not view.ledger
            or view.at is None
            or self._monotonic() - view.at > self._stale_after
            or memo.ends != math.inf
            or self._alerted is not Freshness.FRESH
        ):
            return None
        return memo

    def holder(self, token: AccessToken) -> AccessToken | Cause:
        """The token less what was taken back of it, or why nothing of it may be used now."""
        if not self.settled:
            # Who asks about a token that it kept cannot wait; the thread starts all the same.
            self.settle(wait=False)
        if self.revocations.freshness() is Freshness.NONE:
            self._alert(Freshness.NONE)
            return _UNKNOWN
        return self.memo(token).holder

    def standing(self, token: AccessToken) -> Standing:
        """What of a token was taken back, for an `Issuer`; `StoreError` where that is not known well enough."""
        if not self.settled:
            self.settle(wait=True)
        return self.revocations.fresh_standing(token)

    def unsure(self, requirement: Requirement) -> Cause | None:
        """Why `requirement` may not be decided from what is known, if so."""
        fresh = self.revocations.freshness()
        if fresh is Freshness.FRESH:
            if self._alerted is not Freshness.FRESH:
                self._alert(fresh)
            return None
        self._alert(fresh)
        if fresh is Freshness.NONE:
            return _UNKNOWN
        return _STALE if self._risk(requirement) == "high" else None

    def granted(
        self, token: AccessToken, requirement: Requirement, decision: Decision, endpoint: str, outcome: Outcome
    ) -> tuple[Slot, ...]:
        """Count a decision that lets a request pass, and give what was counted."""
        served: Iterable[tuple[str, Grant | None]] = outcome.credited or (("", None),)
        slots = self.recorder.slots(token, str(requirement), decision.route, endpoint, served, "granted")
        self.recorder.count(slots)
        return slots

    def refused(self, token: AccessToken, requirement: Requirement, decision: Decision, endpoint: str) -> None:
        """Count a decision that refuses, or would: what was missing, and what of it was taken back."""
        for term in decision.missing or ("",):
            taken = token.permissions.taken(term)
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
                write(logging.WARNING, "taken_back_asked", event)

    def status(self) -> MemoryStatus:
        """How it stands now."""
        age = self.revocations.age()
        return MemoryStatus(
            known=self.revocations.freshness() is not Freshness.NONE,
            sequence=self.revocations.sequence,
            age=None if age == math.inf else age,
            taken_back=len(self.revocations),
            recording=self.recorder.status(),
            running=self._worker.running,
        )

    def points(self, found: Iterable[tuple[str, str, str]]) -> None:
        """Note which routes ask for what."""
        self.recorder.points(found)

    def close(self) -> None:
        """Write what is left, and give the store back. Never raises."""
        atexit.unregister(self._at_exit)
        if self._listener is not None:
            self._listener.close()
        try:
            self._flush()
        except Exception:  # noqa: BLE001 - the process is ending, and nothing else can be done
            left = self.recorder.status()
            write(logging.ERROR, "usage_lost", {"pending": left.pending, "service": self._service})
        self.store.close()

    def _begin(self) -> None:
        """What each process has to do for itself, after a fork as well."""
        self.settled = False
        self._first = threading.Event()

    def _at_exit(self) -> None:
        """Write what this process counted; one that did nothing with what it inherited has nothing to do."""
        if self._worker.running or self.recorder.status().pending:
            self._worker.close()
            self.close()

    def _poll(self) -> float:
        try:
            with self._talking:
                return self.revocations.poll()
        finally:
            self._first.set()

    def _flush(self) -> float:
        with self._talking:
            return self.recorder.flush()

    def _looked_up(self, token: AccessToken) -> Memo:
        # Taken first: what changes meanwhile makes the memo old.
        ledger = self.revocations.view.ledger
        standing = ledger.standing(token, self._clock())
        holder: AccessToken | Cause = token
        if standing.dead is not None:
            holder = Cause(HTTPStatus.UNAUTHORIZED, "invalid_token", "revoked", standing.dead, token.fingerprint)
        elif standing.denials or token.permissions.reduced:
            holder = replace(token, permissions=token.permissions.without(standing.denials))
        memo = Memo(self, ledger, holder, standing.ends, {})
        if token.memo is None or token.memo.owner is not self:
            self.recorder.sighted(token)
        object.__setattr__(token, "memo", memo)
        if isinstance(holder, type(token)) and holder is not token:
            object.__setattr__(holder, "memo", memo)
        return memo

    def _riskiest(self, requirement: Requirement) -> str:
        risks = {self._settings.policy.risk(each) for each in requirement.permissions} or {"medium"}
        return next(risk for risk in ("high", "medium", "low") if risk in risks)

    def _alert(self, fresh: Freshness) -> None:
        if fresh is self._alerted:
            return
        self._alerted = fresh
        age = self.revocations.age()
        event: dict[str, object] = {"age": round(age) if age < math.inf else "never heard", "service": self._service}
        if fresh is Freshness.FRESH:
            write(logging.WARNING, "revocations_fresh", event)
        else:
            refused = "everything" if fresh is Freshness.NONE else "what is of high risk"
            write(logging.ERROR, "revocations_stale", {**event, "refused": refused})

    def _beat(self) -> float:
        beat = Beat(
            process=f"{self._process}:{os.getpid()}",
            service=self._service,
            host=socket.gethostname(),
            pid=os.getpid(),
            sequence=self.revocations.sequence,
            policy=self._settings.policy.digest,
            age=min(self.revocations.age(), _NEVER),
            at=self._clock(),
        )
        with self._talking:
            self.store.beat(beat)
        return BEAT

    def _listen(self) -> float:
        """See to it that this process hears of pushes, after a fork as well."""
        if self._listener is None or self._listener.pid != os.getpid():
            # A child that was forked in the middle of an import would wait for it for ever.
            with self._talking:
                from jwt_lp.stores.push import Listener

                listener: Any = Listener(self._settings.push, lambda: self._worker.wake("revocations"))
            listener.pid = os.getpid()
            self._worker.spawn(listener.run, name="push listener")
            # INVARIANT: kept last, so that neither a child that is forked meanwhile nor the next round, where no thread
            # was to be had, takes one that does not run for one that does.
            self._listener = listener
        return _LISTEN


def _naming(subjects: bytes | None) -> Callable[[str, str], str]:
    if subjects is None:
        return absent
    return keyed(subjects) if subjects else plain


def opened(settings: Settings, worker: Worker, clock: Callable[[], float]) -> Account | None:
    """The memory that the settings ask for; None without `STORE`."""
    if not settings.store:
        return None
    try:
        return Account(settings, worker, clock)
    except ConfigurationError as error:
        raise ConfigurationError(*(f"JWT_LP: STORE: {fault}" for fault in error.faults)) from None
