"""Authorization: a token's grants against the requirement of a route."""

from __future__ import annotations

from functools import lru_cache
from http import HTTPStatus
from typing import TYPE_CHECKING, Final

from jwt_lp.guard.cached_decision import CachedDecision
from jwt_lp.guard.decisions import Cause, Decision
from jwt_lp.permissions.requirements import EvaluationContext

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from jwt_lp.guard.decisions import Call
    from jwt_lp.guard.refusals import RefusalFactory
    from jwt_lp.guard.runtime import GuardRuntime, TokenState
    from jwt_lp.guard.settings import Settings
    from jwt_lp.permissions.requirements import Evaluation, Requirement
    from jwt_lp.tokens.claims import AccessToken

_UNDECLARED: Final = Cause(
    HTTPStatus.FORBIDDEN,
    "insufficient_scope",
    "undeclared_route",
    "the route has no declaration: give it requires(...), authenticated, public or external(...)",
)


class Authorizer:
    """Decides whether a verified token satisfies a requirement, with the bindings of the settings."""

    def __init__(self, settings: Settings, runtime: GuardRuntime | None, refusals: RefusalFactory) -> None:
        self._settings = settings
        self._runtime = runtime
        self._refusals = refusals
        self._has_bindings = bool(settings.bind)
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
    ) -> Decision:
        """Decide with what is left of a token that has not expired; `record` says whether it is logged and counted."""
        if requirement is None:
            return self._refusals.refuse(_UNDECLARED, token, None, route, record=record)
        runtime = self._runtime
        if runtime is not None:
            found = runtime.evaluate(token, requirement, route)
            if isinstance(found, CachedDecision):
                if record:
                    runtime.recorder.count(found.slots)
                return found.decision
            if isinstance(found, Cause):
                return self._refusals.refuse(found, token, requirement, route, record=record, observable=False)
            return self._decide_from_state(found, requirement, params, route, call, record=record)
        literal = requirement.literal
        if literal is not None and not self._has_bindings:
            # The commonest declaration, one permission without a parameter, needs one look-up.
            grant = token.permissions.grant_for(literal)
            if grant is not None:
                return Decision(token, requirement, (grant,), (), route)
        outcome = self._evaluate(token, requirement, params)
        if outcome.satisfied:
            return Decision(token, requirement, outcome.used, (), route)
        cause = self._missing_cause(token, outcome)
        return self._refusals.refuse(cause, token, requirement, route, outcome.missing, record=record)

    def permits(self, token: AccessToken, requirement: Requirement, params: Mapping[str, object]) -> bool:
        """Whether `decide` would let the request pass; nothing is recorded, and observe mode does not count."""
        if self._runtime is not None:
            state = self._runtime.usable_state(token, requirement)
            if isinstance(state, Cause):
                return False
            token = state.token
        return self._evaluate(token, requirement, params).satisfied

    def _decide_from_state(
        self,
        state: TokenState,
        requirement: Requirement,
        params: Mapping[str, object],
        route: str,
        call: Call | None,
        *,
        record: bool,
    ) -> Decision:
        """Decide with a store: without the revoked grants, and with the usage counted."""
        token, runtime = state.token, state.runtime
        outcome = self._evaluate(token, requirement, params)
        endpoint = route.partition(" ")[2] if call is None else call.endpoint
        if outcome.satisfied:
            decision = Decision(token, requirement, outcome.used, (), route)
            if record:
                slots = runtime.count_granted(token, requirement, decision, endpoint, outcome)
                literal = requirement.literal
                if literal is not None and not self._has_bindings:
                    state.keep(literal, decision, slots)
            return decision
        revoked = [missing for missing in outcome.missing if token.permissions.denial_for(missing) is not None]
        cause = _revoked_cause(revoked) if revoked else self._missing_cause(token, outcome)
        # INVARIANT: observe mode lets no revoked permission pass.
        decision = self._refusals.refuse(
            cause, token, requirement, route, outcome.missing, record=record, observable=not revoked
        )
        if record:
            runtime.count_refused(token, requirement, decision, endpoint)
        return decision

    def _evaluate(self, token: AccessToken, requirement: Requirement, params: Mapping[str, object]) -> Evaluation:
        if self._has_bindings:
            names = frozenset(name for name in self._settings.bind if name in params)
            if names:
                requirement = self._bind_cached(requirement, names)
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
