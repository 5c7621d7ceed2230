"""The state of a guard that has a store: revocations and recorded usage.

A request looks revocations up in an immutable snapshot in memory and counts usage with one append. Only background
jobs read and write the store.
"""

from __future__ import annotations

import logging
import math
from dataclasses import replace
from functools import lru_cache
from http import HTTPStatus
from typing import TYPE_CHECKING, Final

from jwt_lp._support.events import log_event
from jwt_lp.errors import ConfigurationError
from jwt_lp.guard.decisions import Cause
from jwt_lp.guard.elevated_permissions import UNTOLD, effective_permissions, elevation_ceilings
from jwt_lp.guard.readiness import StoreStatus
from jwt_lp.guard.store_sync import StoreSync
from jwt_lp.guard.token_state import ENDS, TokenState, attach_state
from jwt_lp.revocation.poller import Freshness, RevocationPoller
from jwt_lp.revocation.temporary_grants import NO_GRANTS
from jwt_lp.stores import open_store
from jwt_lp.usage.recorder import UsageRecorder, omitted_subject, plain_subject, pseudonymizer

if TYPE_CHECKING:
    from collections.abc import Callable

    from jwt_lp._support.worker import Worker
    from jwt_lp.guard.decisions import Decision
    from jwt_lp.guard.settings import Settings
    from jwt_lp.guard.token_state import KeptDecision
    from jwt_lp.permissions.grants import Grant
    from jwt_lp.permissions.requirements import Evaluation, Requirement
    from jwt_lp.revocation.snapshot import RevocationMatch
    from jwt_lp.revocation.temporary_grants import TemporaryGrant
    from jwt_lp.stores import Store, UsageOutcome
    from jwt_lp.tokens.claims import AccessToken
    from jwt_lp.usage.recorder import UsageSlot

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


class GuardRuntime:
    """Revocations and usage of one guard, on the store that the settings name.

    `worker` runs the background jobs; `clock` returns seconds since the epoch. `ConfigurationError` if the store's URL
    is invalid or a library for it is missing.
    """

    def __init__(self, settings: Settings, worker: Worker, clock: Callable[[], float]) -> None:
        self._settings = settings
        self._clock = clock
        self._worker = worker
        self._service = settings.service or min(settings.issuers[0].audience)
        store: Store = open_store(settings.store) if isinstance(settings.store, str) else settings.store
        self.revocations: RevocationPoller = RevocationPoller(
            store,
            retention=max(issuer.max_lifetime + issuer.leeway for issuer in settings.issuers),
            stale_after=settings.stale_after,
            refuse_after=settings.refuse_after,
            start="open" if settings.revocation_start == "open" else "closed",
            wall=clock,
        )
        self.recorder: UsageRecorder = UsageRecorder(
            store, service=self._service, subject_naming=_subject_naming(settings.subjects), clock=clock
        )
        self.sync: StoreSync = StoreSync(
            store,
            worker,
            self.revocations,
            self.recorder,
            service=self._service,
            policy=settings.policy.digest,
            push=settings.push,
            clock=clock,
        )
        self._ceilings = elevation_ceilings(settings.issuers)
        self._risk = lru_cache(maxsize=4096)(self._highest_risk)
        self._logged_freshness = Freshness.FRESH
        self._was_fresh = True

    def repeat(self, token: AccessToken, key: object, route: str) -> Decision | None:
        """Give a decision again that was kept for this token, requirement (by its key) and route, and count its usage.

        None if there is none that still holds.
        """
        state: TokenState | None = token.token_state
        polled = self.revocations.polled
        # INVARIANT: a decision is given again only while the snapshot that it rests on is current and fresh.
        if (
            state is not None
            and state.basis is polled.snapshot
            and self.revocations.clock() <= polled.fresh_until
            and self._was_fresh
        ):
            kept = state.decisions.get(route)
            if kept is None or kept.key != key:
                kept = state.decisions.get((key, route)) or self._repeat_ending(state, key, route)
            if kept is not None:
                recorder = self.recorder
                if len(recorder.events) < recorder.max_events:
                    recorder.events.append(kept.slots)
                else:
                    recorder.count(kept.slots)
                return kept.decision
        return None

    def _repeat_ending(self, state: TokenState, key: object, route: str) -> KeptDecision | None:
        """The kept decision of a state that has an end, while neither clock has reached it."""
        # INVARIANT: a decision that rests on a temporary grant is given again only before its end, by either clock.
        if state.expires_at != math.inf and not self._is_over(state):
            return state.decisions.get((key, route, ENDS))
        return None

    def _is_over(self, state: TokenState) -> bool:
        """Whether a state that has an end must be computed again."""
        return self._clock() >= state.expires_at or self.revocations.clock() >= state.deadline

    def usable_state(self, token: AccessToken, requirement: Requirement | None = None) -> TokenState | Cause:
        """The token's state, or the cause of a refusal if the token may not be used now (for `requirement`)."""
        if not self.sync.first_poll_done:
            # This caller may not wait; the worker's thread starts all the same.
            self.sync.await_first_poll(wait=False)
        revocations = self.revocations
        freshness = revocations.freshness()
        if freshness is not self._logged_freshness:
            self._log_freshness(freshness)
        if freshness is not Freshness.FRESH:
            if freshness is Freshness.NONE:
                return _UNKNOWN
            if requirement is not None and self._risk(requirement) == "high":
                return _STALE
        state: TokenState | None = token.token_state
        if (
            state is None
            or state.basis is not revocations.polled.snapshot
            or (state.expires_at != math.inf and self._is_over(state))
        ):
            state = self._compute_state(token)
        return state.cause or state

    def revocation_match(self, token: AccessToken) -> RevocationMatch:
        """The revocations of a token, for an `Issuer`; `StoreError` if they are not known well enough."""
        if not self.sync.first_poll_done:
            self.sync.await_first_poll(wait=True)
        return self.revocations.match(token)

    def temporary_grants(self, token: AccessToken) -> tuple[TemporaryGrant, ...]:
        """The temporary grants of a token's subject, for an `Issuer`; `StoreError` if they are not known well enough."""
        if not self.sync.first_poll_done:
            self.sync.await_first_poll(wait=True)
        return self.revocations.temporary_grants(token)

    def count_granted(
        self, state: TokenState, decision: Decision, endpoint: str, outcome: Evaluation, *, keep: bool
    ) -> tuple[UsageSlot, ...]:
        """Count a decision that lets a request pass, and return what was counted; `keep` says whether to keep that."""
        served = outcome.credits or (("", None),)
        slots = self._slots(state, decision, endpoint, served, "granted", keep=keep)
        self.recorder.count(slots)
        return slots

    def count_refused(self, state: TokenState, decision: Decision, endpoint: str) -> None:
        """Count what a refusal missed, also one that observe mode let pass, and log each revoked permission."""
        token = state.token
        for permission in decision.missing or ("",):
            entry = token.permissions.denial_for(permission)
            outcome: UsageOutcome = "denied" if decision.observed is None else "observed"
            if entry is not None:
                outcome = "revoked"
                event = {
                    "entry": entry.id,
                    "permission": permission,
                    "issuer": token.issuer_name,
                    "subject": token.subject,
                    "client": token.client,
                    "route": decision.route,
                    "token": token.fingerprint,
                    "service": self._service,
                }
                log_event(logging.WARNING, "revoked_permission_requested", event)
            self.recorder.count(self._slots(state, decision, endpoint, ((permission, None),), outcome, keep=True))

    def _slots(
        self,
        state: TokenState,
        decision: Decision,
        endpoint: str,
        served: tuple[tuple[str, Grant | None], ...],
        outcome: UsageOutcome,
        *,
        keep: bool,
    ) -> tuple[UsageSlot, ...]:
        """What a decision counts. It is found again by what is recorded, which most parameters do not change."""
        requirement, route = str(decision.requirement), decision.route
        key = requirement, route, endpoint, served, outcome
        slots = state.slots.get(key)
        if slots is None:
            slots = self.recorder.slots(state.token, requirement, route, endpoint, served, outcome)
            if keep:
                state.keep_slots(key, slots)
        return slots

    def status(self) -> StoreStatus:
        """The state now."""
        age = self.revocations.age()
        return StoreStatus(
            known=self.revocations.freshness() is not Freshness.NONE,
            sequence=self.revocations.sequence,
            age=None if age == math.inf else age,
            revocations=len(self.revocations),
            temporary_grants=self.revocations.count_temporary_grants(),
            recording=self.recorder.status(),
            running=self._worker.running,
        )

    def close(self) -> None:
        """Write the recorded usage and close the store. Never raises."""
        self.sync.close()

    def _compute_state(self, token: AccessToken) -> TokenState:
        if token.token_state is None or token.token_state.owner is not self:
            self.recorder.observe_token(token)
        # Read once: a snapshot that replaces this one meanwhile makes the state outdated.
        polled = self.revocations.polled
        snapshot = polled.snapshot
        match = snapshot.match_token(token, self._clock())
        cause, effective, held = None, token, NO_GRANTS
        if match.cause is not None:
            cause = Cause(HTTPStatus.UNAUTHORIZED, "invalid_token", "revoked", match.cause, token.fingerprint)
        else:
            ceiling = self._ceilings.get(token.issuer)
            if ceiling is not None:
                # Where they cannot be told now, the state holds for this request only.
                held = self.revocations.grants_in_force(token, polled) or UNTOLD
            permissions = effective_permissions(token.permissions, match.denials, held, ceiling)
            if permissions is not token.permissions:
                effective = replace(token, permissions=permissions)
        expires_at = min(match.expires_at, held.until)
        return attach_state(TokenState(self, snapshot, effective, cause, expires_at, held.deadline), token, effective)

    def _highest_risk(self, requirement: Requirement) -> str:
        risks = {self._settings.policy.risk(permission) for permission in requirement.permissions} or {"medium"}
        return next(risk for risk in ("high", "medium", "low") if risk in risks)

    def _log_freshness(self, freshness: Freshness) -> None:
        self._logged_freshness, self._was_fresh = freshness, freshness is Freshness.FRESH
        age = self.revocations.age()
        event: dict[str, object] = {"age": round(age) if age < math.inf else "never reached", "service": self._service}
        if freshness is Freshness.FRESH:
            log_event(logging.WARNING, "revocations_fresh", event)
        else:
            refused = "everything" if freshness is Freshness.NONE else "requirements of high risk"
            log_event(logging.ERROR, "revocations_stale", {**event, "refused": refused})


def _subject_naming(subjects: bytes | None) -> Callable[[str, str], str]:
    if subjects is None:
        return omitted_subject
    return pseudonymizer(subjects) if subjects else plain_subject


def open_runtime(settings: Settings, worker: Worker, clock: Callable[[], float]) -> GuardRuntime:
    """The runtime for settings with a `STORE`. `ConfigurationError` if the store cannot be used."""
    try:
        return GuardRuntime(settings, worker, clock)
    except ConfigurationError as error:
        raise ConfigurationError(*(f"JWT_LP: STORE: {fault}" for fault in error.faults)) from None
