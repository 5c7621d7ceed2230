"""May this request pass?

The single entry point. Plain values go in, a `Decision` comes out; a denial is a value and never an exception, and
nothing on the way of a request reads a database or, once keys are loaded, the network.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from http import HTTPStatus
from typing import TYPE_CHECKING, Final, Self

from jwt_lp._support.worker import Worker
from jwt_lp.errors import (
    ConfigurationError,
    InvalidToken,
    KeysPending,
    KeysUnavailable,
    clear_locals,
    clears_locals,
)
from jwt_lp.guard.bearer import MALFORMED, NONE, parse_authorization
from jwt_lp.guard.decisions import Call, Cause, Decision
from jwt_lp.guard.development import development_keys, is_local
from jwt_lp.guard.refusals import RefusalFactory
from jwt_lp.guard.routes import route_faults
from jwt_lp.guard.runtime import open_runtime
from jwt_lp.guard.settings import Settings
from jwt_lp.issuing.issuer import DEFAULT_LIFETIME, Issuer
from jwt_lp.jose.jws import fingerprint
from jwt_lp.permissions.requirements import Evaluation, EvaluationContext, Open, Requirement
from jwt_lp.tokens.claims import AccessToken
from jwt_lp.tokens.verification import Verifier

if TYPE_CHECKING:
    from jwt_lp.guard.routes import Route, Rules
    from jwt_lp.guard.runtime import GuardRuntime, StoreStatus
    from jwt_lp.issuing.issuer import Revoked
    from jwt_lp.jose.remote_jwks import KeysStatus
    from jwt_lp.jose.signing import SigningKey, SigningKeys

_NO_CREDENTIAL: Final = Cause(HTTPStatus.UNAUTHORIZED, None, "no_credential", "no bearer token was sent")
_UNDECIDED: Final = Cause(
    HTTPStatus.SERVICE_UNAVAILABLE,
    None,
    "keys_unavailable",
    "keys have to be fetched first, and the caller cannot wait",
)
_UNDECLARED: Final = Cause(
    HTTPStatus.FORBIDDEN,
    "insufficient_scope",
    "unmarked_route",
    "nothing is declared for this route: give it requires(...), authenticated, public or external(...)",
)

_WORKER_CHECK_INTERVAL: Final = 1.0

MAX_CACHED_DECISIONS: Final = 256


@dataclass(frozen=True, slots=True)
class Readiness:
    """How the guard stands, for a health endpoint: `ready` when it can decide about every issuer's tokens.

    `memory` says how it stands with its store; None without one.
    """

    ready: bool
    keys: Mapping[str, KeysStatus]
    policy: str
    observing_until: str | None
    store: StoreStatus | None = None


class Guard:
    """Decides about requests from their tokens alone. A context manager; `close` stops its worker.

    `settings` and `verifier` are what it decides with. `clock` gives seconds since the epoch, `reference` a short
    random text for each refusal.
    """

    @clears_locals
    def __init__(
        self,
        settings: Settings | Mapping[str, object],
        *,
        clock: Callable[[], float] = time.time,
        reference: Callable[[], str] = lambda: secrets.token_hex(5),
    ) -> None:
        self.settings: Settings = Settings.from_mapping(settings)
        self._clock = clock
        self._refusals = RefusalFactory(self.settings, clock, reference)
        self._worker = Worker()
        self._runtime = open_runtime(self.settings, self._worker, clock)
        hosts = self.settings.allow_http_hosts
        self._sources = {issuer.name: issuer.key_source(hosts) for issuer in self.settings.issuers}
        development = development_keys() if self.settings.development else None
        trusted = [
            issuer.to_trusted_issuer(self._sources[issuer.name], development) for issuer in self.settings.issuers
        ]
        self.verifier: Verifier = Verifier(trusted, self.settings.policy, clock=clock)
        self._leeways = {issuer.name: issuer.leeway for issuer in self.settings.issuers}
        self._has_bindings = bool(self.settings.bind)
        self._bind_cached = lru_cache(maxsize=4096)(self._bind)
        for source in self._sources.values():
            source.start(self._worker)
        self._worker.ensure_running()
        self._worker_checked_at = clock()
        self._refusals.log_start()

    @property
    def rules(self) -> Rules:
        """What settings declare of routes."""
        return self.settings.rules

    def check(
        self,
        authorization: str | Sequence[str] | None,
        requirement: Requirement | None,
        params: Mapping[str, object],
        route: str,
        *,
        call: Call | None = None,
        wait: bool = True,
    ) -> Decision:
        """Authenticate, then authorise. `requirement` is None for a route on which nothing is declared.

        `authorization` is every line of that header; `params` the route's parameters as the view gets them;
        `route` the method and the full template. With `wait=False` nothing blocks: a `pending` decision has
        to be asked for again with `wait=True`, off the event loop.
        """
        try:
            if requirement is not None and not requirement.requires_token:
                return self._decide_open(authorization, requirement, route, call, wait=wait)
            found = self._authenticate(authorization, call, wait=wait)
            if isinstance(found, AccessToken):
                return self._decide(found, requirement, params, route, call)
            if found is None:
                return Decision(requirement=requirement, route=route, pending=True)
            return self._refusals.refuse(found, None, requirement, route)
        except BaseException as error:
            # Not `clears_locals`, here and below: this is on the way of every request, and costs nothing there.
            clear_locals(error)
            del authorization
            raise

    def authenticate(
        self, authorization: str | Sequence[str] | None, *, call: Call | None = None, wait: bool = True
    ) -> Decision:
        """Say who is calling: a decision with a token, a refusal, or `pending`."""
        try:
            found = self._authenticate(authorization, call, wait=wait)
        except BaseException as error:
            clear_locals(error)
            del authorization
            raise
        left = self._effective_token(found) if isinstance(found, AccessToken) else found
        if isinstance(left, AccessToken):
            return Decision(token=left)
        if left is None:
            return Decision(pending=True)
        found = left
        return self._refusals.refuse(found, observable=False)

    def authorize(
        self,
        token: AccessToken,
        requirement: Requirement | None,
        params: Mapping[str, object],
        route: str,
        *,
        call: Call | None = None,
        record: bool = True,
    ) -> Decision:
        """Decide whether `token` may do what `requirement` asks here.

        The clock is asked every time, and so are the revocations.
        `record=False` makes it a question: nothing is logged, and it is no use.
        """
        held = self._expiry_cause(token) or self._effective_token(token)
        if isinstance(held, Cause):
            return self._refusals.refuse(held, token, requirement, route, record=record, observable=False)
        return self._decide(held, requirement, params, route, call, record=record)

    def can(
        self, token: AccessToken | None, requirement: Requirement, params: Mapping[str, object] | tuple[()] = ()
    ) -> bool:
        """Whether `token` would satisfy `requirement`: a probe, never recorded as use and never logged."""
        held = None if token is None else self._expiry_cause(token) or self._effective_token(token)
        if not isinstance(held, AccessToken) or (
            self._runtime is not None and self._runtime.staleness_cause(requirement)
        ):
            return False
        return self._evaluate(held, requirement, dict(params)).satisfied

    def faults(self, requirement: Requirement) -> tuple[str, ...]:
        """What is wrong with a declaration under these settings; a start-up check lists it."""
        return self.settings.faults(requirement)

    def refuse_pending(self, requirement: Requirement | None, route: str) -> Decision:
        """The refusal for a caller who may not wait for the keys that a `pending` decision needs (503)."""
        return self._refusals.refuse(_UNDECIDED, None, requirement, route)

    def check_routes(self, routes: Sequence[Route]) -> tuple[str, ...]:
        """Every fault of what is declared for a host's routes; a route that is unguarded is logged, once."""
        for route in routes:
            if not route.guarded:
                self._refusals.log_unguarded(route)
        if self._runtime is not None:
            self._runtime.points(_enforcement_points(routes))
        return route_faults(routes, self.rules, self.faults)

    def ready(self) -> Readiness:
        """How the guard stands now."""
        self._worker.ensure_running()
        keys = {name: source.status() for name, source in self._sources.items()}
        until = self.settings.observe_until
        memory = None if self._runtime is None else self._runtime.status()
        return Readiness(
            ready=all(status.loaded for status in keys.values())
            and (memory is None or (memory.known and memory.running)),
            keys=keys,
            policy=self.settings.policy.digest,
            observing_until=until.isoformat() if until is not None and self._refusals.is_observing() else None,
            store=memory,
        )

    def issuer(
        self,
        keys: SigningKey | SigningKeys,
        *,
        client: str | None = None,
        lifetime: float = DEFAULT_LIFETIME,
        compact: bool = False,
        revoked: Revoked | None = None,
    ) -> Issuer:
        """The issuer marked `OWN`, ready to make tokens with `keys` and to narrow those of every issuer configured.

        With a `STORE` it signs nothing that was revoked, unless `revoked` is given in its place.
        `ConfigurationError` unless exactly one issuer is marked so. The rest is as for `Issuer`.
        """
        own = [issuer for issuer in self.settings.issuers if issuer.own]
        if len(own) != 1:
            raise ConfigurationError(f"{len(own)} issuers are marked OWN: exactly one has to be")
        return Issuer(
            own[0].issuer,
            keys,
            policy=self.settings.policy,
            audience=min(own[0].audience) if len(own[0].audience) == 1 else None,
            client=client,
            claims=self.settings.claims,
            lifetime=lifetime,
            compact=compact,
            trusts=[each.to_trusted_issuer(self._sources[each.name]) for each in self.settings.issuers if not each.own],
            revoked=revoked or (None if self._runtime is None else self._runtime.revocation_match),
            clock=self._clock,
        )

    def close(self) -> None:
        """Stop the worker, and write what was counted.

        Decisions can still be asked for; keys are no longer renewed ahead of time, and later revocations are no
        longer received.
        """
        self._worker.close()
        if self._runtime is not None:
            self._runtime.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _authenticate(
        self, authorization: str | Sequence[str] | None, call: Call | None, *, wait: bool
    ) -> AccessToken | Cause | None:
        """The verified token, why there is none, or None where only a fetch could tell."""
        now = self._clock()
        if not self._worker_checked_at <= now < self._worker_checked_at + _WORKER_CHECK_INTERVAL:
            # The worker is looked after once a second: after a fork it has to start anew.
            self._worker_checked_at = now
            self._worker.ensure_running()
        kind, text = parse_authorization(authorization)
        if kind is NONE:
            return _NO_CREDENTIAL
        if kind is MALFORMED:
            return Cause(HTTPStatus.BAD_REQUEST, "invalid_request", "malformed_header", text)
        try:
            token = self.verifier.verify(text, wait=wait, now=now)
        except InvalidToken as error:
            return Cause(HTTPStatus.UNAUTHORIZED, "invalid_token", error.cause, error.detail, fingerprint(text))
        except KeysPending:
            return None
        except KeysUnavailable as error:
            status, shown = HTTPStatus.SERVICE_UNAVAILABLE, fingerprint(text)
            return Cause(status, None, error.code, str(error), shown, retry_after=error.retry_after)
        # INVARIANT: a development key opens nothing to anyone but a peer on this machine.
        if token.development and not is_local(call):
            detail = "a development token is accepted only from a loopback peer without forwarding headers"
            return Cause(HTTPStatus.UNAUTHORIZED, "invalid_token", "development_key", detail, token.fingerprint)
        runtime = self._runtime
        if runtime is not None and not runtime.first_poll_done and not runtime.await_first_poll(wait=wait):
            return None
        return token

    def _effective_token(self, token: AccessToken) -> AccessToken | Cause:
        """The token less what is revoked, or why nothing of it may be used now."""
        return token if self._runtime is None else self._runtime.effective_token(token)

    def _decide(
        self,
        token: AccessToken,
        requirement: Requirement | None,
        params: Mapping[str, object],
        route: str,
        call: Call | None,
        *,
        record: bool = True,
    ) -> Decision:
        """Hold the requirement against what is left of a token that is alive now."""
        if requirement is None:
            return self._refusals.refuse(_UNDECLARED, token, None, route, record=record)
        runtime = self._runtime
        if runtime is not None:
            token_state = runtime.cached_state(token)
            known = None if token_state is None else token_state.decisions.get((id(requirement), route))
            # INVARIANT: what was decided before is given again only for the very same requirement, from the same
            # grants, and while all that it rests on is fresh.
            if known is not None and known[0].requirement is requirement:
                if record:
                    runtime.recorder.count(known[1])
                return known[0]
            return self._decide_with_runtime(runtime, token, requirement, params, route, call, record=record)
        literal = requirement.literal
        if literal is not None and not self._has_bindings:
            # The commonest declaration, one permission without a parameter, is answered by one look.
            grant = token.permissions.grant_for(literal)
            if grant is not None:
                return Decision(token, requirement, (grant,), (), route)
        outcome = self._evaluate(token, requirement, params)
        if outcome.satisfied:
            return Decision(token, requirement, outcome.used, (), route)
        cause = self._missing_cause(token, outcome)
        return self._refusals.refuse(cause, token, requirement, route, outcome.missing, record=record)

    def _decide_with_runtime(
        self,
        runtime: GuardRuntime,
        token: AccessToken,
        requirement: Requirement,
        params: Mapping[str, object],
        route: str,
        call: Call | None,
        *,
        record: bool,
    ) -> Decision:
        """The same, with revocations, and counted."""
        staleness_cause = runtime.staleness_cause(requirement)
        if staleness_cause is not None:
            return self._refusals.refuse(staleness_cause, token, requirement, route, record=record, observable=False)
        left = runtime.effective_token(token)
        if isinstance(left, Cause):
            return self._refusals.refuse(left, token, requirement, route, record=record, observable=False)
        token = left
        made = runtime.token_state(token).decisions
        outcome = self._evaluate(token, requirement, params)
        endpoint = route.partition(" ")[2] if call is None else call.endpoint
        if outcome.satisfied:
            decision = Decision(token, requirement, outcome.used, (), route)
            if record:
                slots = runtime.count_granted(token, requirement, decision, endpoint, outcome)
                if requirement.literal is not None and not self._has_bindings and len(made) < MAX_CACHED_DECISIONS:
                    made[id(requirement), route] = decision, slots
            return decision
        taken = [each for each in outcome.missing if token.permissions.denial_for(each) is not None]
        cause = self._missing_cause(token, outcome) if not taken else _revoked_cause(taken)
        decision = self._refusals.refuse(
            cause, token, requirement, route, outcome.missing, record=record, observable=not taken
        )
        if record:
            runtime.count_refused(token, requirement, decision, endpoint)
        return decision

    def _expiry_cause(self, token: AccessToken) -> Cause | None:
        """Why a token that was verified may not be used now, if so."""
        if self._clock() < token.expires_at + self._leeways.get(token.issuer_name, 0.0):
            return None
        detail = "the token expired since it was verified"
        return Cause(HTTPStatus.UNAUTHORIZED, "invalid_token", "expired", detail, token.fingerprint)

    def _evaluate(self, token: AccessToken, requirement: Requirement, params: Mapping[str, object]) -> Evaluation:
        if self._has_bindings:
            names = frozenset(name for name in self.settings.bind if name in params)
            if names:
                requirement = self._bind_cached(requirement, names)
        # Read here and not handed on, so it need not be made read-only first.
        claims = token._claims  # noqa: SLF001  # pyright: ignore[reportPrivateUsage]
        return requirement.evaluate(EvaluationContext(token.permissions, params, claims, token.issuer_name))

    def _missing_cause(self, token: AccessToken, outcome: Evaluation) -> Cause:
        if outcome.faults:
            detail = f"the declaration is invalid: {'; '.join(outcome.faults)}"
            return Cause(HTTPStatus.FORBIDDEN, "insufficient_scope", "declaration", detail, misconfigured=True)
        detail = f"the token lacks {', '.join(outcome.missing)}"
        cut = [each for each in outcome.missing if token.permissions.is_capped(each)]
        if cut:
            remedies = {issuer.name: issuer.profile.remedy("ceiling") for issuer in self.settings.issuers}
            remedy = remedies.get(token.issuer_name) or "ask the client's administrator for the scope"
            detail += f"; it is granted {', '.join(cut)}, which a ceiling blocks: {remedy}"
        return Cause(HTTPStatus.FORBIDDEN, "insufficient_scope", "insufficient_scope", detail)

    def _bind(self, requirement: Requirement, names: frozenset[str]) -> Requirement:
        return requirement.with_bindings({name: self.settings.bind[name] for name in sorted(names)})

    def _decide_open(
        self,
        authorization: str | Sequence[str] | None,
        requirement: Requirement,
        route: str,
        call: Call | None,
        *,
        wait: bool,
    ) -> Decision:
        token = None
        if isinstance(requirement, Open) and requirement.identify:
            found = self._authenticate(authorization, call, wait=wait)
            if found is None:
                return Decision(requirement=requirement, route=route, pending=True)
            left = self._effective_token(found) if isinstance(found, AccessToken) else None
            token = left if isinstance(left, AccessToken) else None
        return Decision(token, requirement, route=route)


def _revoked_cause(permissions: Sequence[str]) -> Cause:
    detail = f"{', '.join(permissions)} was revoked: see `jwt-lp revocations`, and lift the entry if the permission is needed"
    return Cause(HTTPStatus.FORBIDDEN, "insufficient_scope", "permission_revoked", detail)


def _enforcement_points(routes: Sequence[Route]) -> Iterator[tuple[str, str, str]]:
    """The enforcement points among the routes: endpoint, method and requirement."""
    for route in routes:
        if route.requirement is not None and route.requirement.requires_token:
            for method in route.methods or ("*",):
                yield route.endpoint, method, str(route.requirement)
