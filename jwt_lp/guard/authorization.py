"""Authorization: a token's grants against the requirement of a route."""

from __future__ import annotations

from functools import lru_cache
from http import HTTPStatus
from typing import TYPE_CHECKING

from jwt_lp.guard.decisions import Cause, Decision
from jwt_lp.guard.elevation_offers import ElevationOffers
from jwt_lp.guard.refusals import UNDECLARED_ROUTE
from jwt_lp.guard.token_state import TokenState, attach_state
from jwt_lp.permissions.requirements import EvaluationContext
from jwt_lp.permissions.templates import sent_parameters

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from jwt_lp.guard.decisions import Call
    from jwt_lp.guard.refusals import RefusalFactory
    from jwt_lp.guard.runtime import GuardRuntime
    from jwt_lp.guard.settings import Settings
    from jwt_lp.permissions.requirements import Evaluation, Requirement
    from jwt_lp.tokens.claims import AccessToken
    from jwt_lp.usage.recorder import UsageSlot


class Authorizer:
    """Decides whether a verified token satisfies a requirement, with the bindings of the settings."""

    def __init__(self, settings: Settings, runtime: GuardRuntime | None, refusals: RefusalFactory) -> None:
        self._settings = settings
        self._runtime = runtime
        self._refusals = refusals
        self._elevation = ElevationOffers(settings) if settings.elevation_url else None
        self._bound = frozenset(settings.bind)
        self.repeat: Callable[[AccessToken, object, str], Decision | None] = (
            self._repeat_without_store if runtime is None else runtime.repeat
        )
        self._state = self._state_without_store if runtime is None else runtime.usable_state
        self._bind_cached = lru_cache(maxsize=4096)(self._bind)

    def decide(
        self,
        token: AccessToken,
        requirement: Requirement | None,
        params: Mapping[str, object],
        route: str,
        call: Call | None,
        *,
        record: bool = True,
        first: bool = False,
    ) -> Decision:
        """Decide with what is left of a token that has not expired.

        `record` says whether it is logged and counted, `first` whether the token was verified for this call.
        """
        if requirement is None:
            return self._refusals.refuse(UNDECLARED_ROUTE, token, None, route, record=record)
        # INVARIANT: a decision is kept only where it depends on no parameter and no binding.
        key = requirement.key if record and not self.binds(params) else None
        if first and type(key) is str and self._runtime is None:
            # One permission of a new token, which may never come again: one look-up decides, and nothing is kept for it.
            grant = token.permissions.grant_for(key)
            if grant is not None:
                return Decision(token, requirement, (grant,), (), route)
        if key is not None:
            decision = self.repeat(token, key, route)
            if decision is not None:
                return decision
        state = self._state(token, requirement)
        if isinstance(state, Cause):
            return self._refusals.refuse(state, token, requirement, route, record=record, observable=False)
        return self._decide_anew(state, requirement, key, params, route, call, record=record)

    def permits(self, token: AccessToken, requirement: Requirement, params: Mapping[str, object]) -> bool:
        """Whether `decide` would let the request pass; nothing is recorded, and observe mode does not count."""
        state = self._state(token, requirement)
        if isinstance(state, Cause):
            return False
        permission = requirement.key
        if type(permission) is str and not (self._bound and self.binds(params)):
            # One permission, which one look-up decides.
            return state.token.permissions.grant_for(permission) is not None
        return self._evaluate(state.token, requirement, params).satisfied

    def _decide_anew(
        self,
        state: TokenState,
        requirement: Requirement,
        key: object,
        params: Mapping[str, object],
        route: str,
        call: Call | None,
        *,
        record: bool,
    ) -> Decision:
        """Decide without the revoked grants, count the usage, and keep a decision that passes under its `key`."""
        token, runtime = state.token, self._runtime
        endpoint = route.partition(" ")[2] if call is None else call.endpoint
        outcome = self._evaluate(token, requirement, params)
        if outcome.satisfied:
            decision = Decision(token, requirement, outcome.used, (), route)
            slots: tuple[UsageSlot, ...] = ()
            if record and runtime is not None:
                # What it counts is kept where the decision is not.
                slots = runtime.count_granted(state, decision, endpoint, outcome, keep=key is None)
            if key is not None:
                state.keep(key, decision, slots)
            return decision
        permissions = token.permissions
        denials = {each: denial for each in outcome.missing if (denial := permissions.denial_for(each)) is not None}
        revoked = list(denials)
        cause = _revoked_cause(revoked) if revoked else self._missing_cause(token, outcome)
        # INVARIANT: observe mode lets no revoked permission pass.
        sent: Mapping[str, object] = (
            {} if call is None or requirement.key is not None else sent_parameters(params, route, call.path)
        )
        # INVARIANT: nothing is offered where a deny entry would refuse it to an elevation too.
        elevatable = all(denial.standing for denial in denials.values())
        if self._elevation is not None and elevatable and not cause.misconfigured:
            offer = self._elevation.offer(token, requirement, outcome.missing, sent)
            cause = cause if offer is None else cause._replace(elevation=offer)
        decision = self._refusals.refuse(
            cause, token, requirement, route, outcome.missing, sent, record=record, observable=not revoked
        )
        if record and runtime is not None:
            runtime.count_refused(state, decision, endpoint)
        return decision

    def binds(self, params: Mapping[str, object]) -> bool:
        """Whether a binding of the settings applies to these parameters."""
        return bool(self._bound) and not self._bound.isdisjoint(params)

    def _repeat_without_store(self, token: AccessToken, key: object, route: str) -> Decision | None:
        """`GuardRuntime.repeat` where there is no store: nothing is revoked or counted."""
        state: TokenState | None = token.token_state
        if state is None or state.basis is not self:
            return None
        kept = state.decisions.get(route)
        if kept is None or kept.key != key:
            kept = state.decisions.get((key, route))
        return None if kept is None else kept.decision

    def _state_without_store(self, token: AccessToken, requirement: Requirement) -> TokenState:
        """`GuardRuntime.usable_state` where there is no store."""
        del requirement
        state: TokenState | None = token.token_state
        return (
            state if state is not None and state.basis is self else attach_state(TokenState(self, self, token), token)
        )

    def _evaluate(self, token: AccessToken, requirement: Requirement, params: Mapping[str, object]) -> Evaluation:
        if self.binds(params):
            requirement = self._bind_cached(requirement, self._bound.intersection(params))
        # The claims are only read here, so no read-only copy is needed.
        claims = token._claims  # noqa: SLF001  # pyright: ignore[reportPrivateUsage]
        return requirement.evaluate(EvaluationContext(token.permissions, params, claims, token.issuer_name))

    def _bind(self, requirement: Requirement, names: frozenset[str]) -> Requirement:
        return requirement.with_bindings({name: self._settings.bind[name] for name in sorted(names)})

    def _missing_cause(self, token: AccessToken, outcome: Evaluation) -> Cause:
        if outcome.faults:
            detail = f"the declaration is invalid: {'; '.join(outcome.faults)}"
            return Cause(HTTPStatus.FORBIDDEN, "insufficient_scope", "declaration", detail, misconfigured=True)
        detail = f"the token lacks {', '.join(outcome.missing)}"
        capped = [each for each in outcome.missing if token.permissions.is_capped(each)]
        if capped:
            remedies = {issuer.name: issuer.profile.remedy("ceiling") for issuer in self._settings.issuers}
            remedy = remedies.get(token.issuer_name) or "ask the client's administrator for the scope"
            detail += f"; it is granted {', '.join(capped)}, which a ceiling blocks: {remedy}"
        return Cause(HTTPStatus.FORBIDDEN, "insufficient_scope", "insufficient_scope", detail)


def _revoked_cause(permissions: Sequence[str]) -> Cause:
    remedy = "see `jwt-lp revocations`, and lift the entry if the permission is needed"
    detail = f"{', '.join(permissions)} was revoked: {remedy}"
    return Cause(HTTPStatus.FORBIDDEN, "insufficient_scope", "permission_revoked", detail)
