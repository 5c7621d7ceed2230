"""The guard, the one entry point of adapters and applications.

Plain values go in and a `Decision` comes out. A refusal is a value, never an exception. No decision reads a database,
and none uses the network once the keys are loaded, except for opaque tokens where `INTROSPECTION` is set.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Mapping, Sequence
from http import HTTPStatus
from typing import TYPE_CHECKING, Final, Self

from jwt_lp._support.worker import Worker
from jwt_lp.errors import ConfigurationError, clear_locals, clears_locals
from jwt_lp.guard.assembly import make_authenticator, make_local_users, open_runtime, settings_listeners
from jwt_lp.guard.authentication import NO_CREDENTIAL
from jwt_lp.guard.authorization import Authorizer
from jwt_lp.guard.bearer import MAX_LINE
from jwt_lp.guard.decisions import Call, Cause, Decision
from jwt_lp.guard.listeners import Listeners
from jwt_lp.guard.readiness import Readiness
from jwt_lp.guard.refusals import RefusalFactory, undeclared_cause
from jwt_lp.guard.routes import enforcement_points, route_faults
from jwt_lp.guard.same_origin import cross_origin_fault, is_handshake
from jwt_lp.guard.settings import Settings
from jwt_lp.issuing.limits import DEFAULT_LIFETIME
from jwt_lp.permissions.requirements import Open, Requirement
from jwt_lp.tokens.claims import AccessToken

if TYPE_CHECKING:
    from jwt_lp.guard.cookies import Cookies
    from jwt_lp.guard.listeners import DecisionListener
    from jwt_lp.guard.local_users import LocalUsers
    from jwt_lp.guard.routes import Route, Rules
    from jwt_lp.issuing.elevated_grants import Elevated
    from jwt_lp.issuing.issuer import Issuer
    from jwt_lp.issuing.revoked_grants import Revoked
    from jwt_lp.jose.signing import SigningKey, SigningKeys
    from jwt_lp.tokens.verification import Verifier

_UNDECIDED: Final = Cause(
    HTTPStatus.SERVICE_UNAVAILABLE,
    None,
    "keys_unavailable",
    "keys have to be fetched first, and the caller cannot wait",
)


class Guard:
    """Decides about requests from their tokens alone. A context manager; `close` stops its background worker.

    `clock` returns seconds since the epoch, `reference` a short random text for each refusal. `ConfigurationError`
    lists every fault of `settings`.
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
        sync = None if self._runtime is None else self._runtime.sync
        self._authenticator = make_authenticator(self.settings, self._worker, sync, clock)
        self.verifier: Verifier = self._authenticator.verifier
        self._authorizer = Authorizer(self.settings, self._runtime, self._refusals)
        self._repeat = self._authorizer.repeat
        self._recall = self.verifier.recall
        self._bound = bool(self.settings.bind)
        self._listeners: Listeners | None = None
        for listener in settings_listeners(self.settings, self):
            self.listen(listener)
        self.local_users: LocalUsers | None = make_local_users(self.settings)
        self._refusals.log_start()

    @property
    def rules(self) -> Rules:
        """The declarations that the settings make for routes."""
        return self.settings.rules

    @property
    def cookies(self) -> Cookies:
        """The cookies that may carry tokens; `ConfigurationError` without the setting `COOKIE`."""
        if self.settings.cookies is None:
            raise ConfigurationError('no cookie carries tokens here: set "COOKIE": True in JWT_LP')
        return self.settings.cookies

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
        """Authenticate, then authorise.

        `authorization` is every line of that header. `requirement` is None for a route without a declaration.
        `params` are the route's parameters as the view receives them; `route` is the method and the full template.
        With `wait=False` nothing blocks: if the decision is `pending`, call again with `wait=True`, off the event
        loop.
        """
        line = authorization
        known: AccessToken | bytes | None = None
        try:
            # Nearly every request ends in this block: its token, requirement and route are known already. It is written
            # out, because each call is a twentieth of such a decision. The lines below it decide the same.
            if requirement is not None and (key := requirement.key) is not None:
                if type(line) is not str:
                    line = line[0] if line and len(line) == 1 else None
                now, authenticator = self._clock(), self._authenticator
                if (
                    line
                    and line.startswith("Bearer ")
                    and len(line) <= MAX_LINE
                    and line.isascii()
                    and authenticator.settled_from <= now < authenticator.settled_until
                ):
                    known = self._recall(line[7:], now)
                    if type(known) is AccessToken and not (self._bound and self._authorizer.binds(params)):
                        decision = self._repeat(known, key, route)
                        if decision is not None:
                            return decision
            if requirement is not None and not requirement.requires_token:
                return self._decide_open(authorization, requirement, route, call, wait=wait)
            token = self._authenticator.authenticate(authorization, call, known, wait=wait)
            if isinstance(token, AccessToken):
                return self._authorizer.decide(token, requirement, params, route, call, first=type(known) is bytes)
            if token is None:
                return Decision(requirement=requirement, route=route, pending=True)
            return self._decide_without_token(token, requirement, route, call)
        except BaseException as error:
            # Written out here and below, because the decorator `clears_locals` costs time on every request.
            clear_locals(error)
            del authorization, line
            raise

    def authenticate(
        self, authorization: str | Sequence[str] | None, *, call: Call | None = None, wait: bool = True
    ) -> Decision:
        """Identify the caller: a decision with a token, a refusal, or `pending`."""
        try:
            token = self._authenticator.authenticate(authorization, call, wait=wait)
        except BaseException as error:
            clear_locals(error)
            del authorization
            raise
        if isinstance(token, AccessToken):
            token = self._effective_token(token)
        if isinstance(token, Cause):
            return self._refusals.refuse(token, observable=False)
        return Decision(token=token, pending=token is None)

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
        """Decide whether `token` satisfies `requirement`.

        Expiry and revocations are checked at every call. With `record=False` nothing is logged or counted as usage.
        """
        cause = self._authenticator.expiry_cause(token)
        if cause is None and self._runtime is not None:
            # A revoked token is refused as such, even if nothing is declared or the snapshot is stale.
            state = self._runtime.usable_state(token)
            if isinstance(state, Cause):
                cause = state
            else:
                token = state.token
        if cause is not None:
            return self._refusals.refuse(cause, token, requirement, route, record=record, observable=False)
        return self._authorizer.decide(token, requirement, params, route, call, record=record)

    def can(
        self, token: AccessToken | None, requirement: Requirement, params: Mapping[str, object] | tuple[()] = ()
    ) -> bool:
        """Whether `token` would satisfy `requirement`. This is a probe: it is neither logged nor counted as usage."""
        if token is None or self._authenticator.expiry_cause(token) is not None:
            return False
        return self._authorizer.permits(token, requirement, dict(params) if params else {})

    def admit_user(self, token: AccessToken, user: object, requirement: Requirement | None, route: str) -> Decision:
        """Decide about the local user of a verified token: refused if it is None or not active, 401 `invalid_token`.

        On a route that requires no token, and in observe mode, the request passes, and the decision has no token.
        """
        cause = None if self.local_users is None else self.local_users.cause(token, user)
        if cause is None:
            return Decision(token, requirement, (), (), route)
        if requirement is not None and not requirement.requires_token:
            return Decision(None, requirement, (), (), route)
        return self._refusals.refuse(cause, token, requirement, route)

    def faults(self, requirement: Requirement) -> tuple[str, ...]:
        """The faults of a declaration under these settings, for a start-up check."""
        return self.settings.faults(requirement)

    def refuse_pending(self, requirement: Requirement | None, route: str) -> Decision:
        """Refuse (503) where a decision is `pending` and the caller may not wait for the keys."""
        return self._refusals.refuse(_UNDECIDED, None, requirement, route)

    def listen(self, listener: DecisionListener) -> None:
        """Call `listener(decision, call)` after each decision, also one that lets a request pass.

        `call` is None where the caller of the guard gave none. Not told are a probe, a `pending` decision, and a caller
        who was only authenticated. The listener runs inside the request. If it raises an exception, that is logged by its
        type, and the decision stays as it is. A guard without listeners does nothing for this.
        """
        if self._listeners is None:
            listeners = self._listeners = Listeners()
            self.check = listeners.wrap(self.check)  # type: ignore[method-assign]  # only here, so that others pay nothing
            self.authorize = listeners.wrap(self.authorize)  # type: ignore[method-assign]  # as above
            self.refuse_pending = listeners.wrap(self.refuse_pending)  # type: ignore[method-assign]  # as above
            self.authenticate = listeners.wrap(self.authenticate, passes=False)  # type: ignore[method-assign]  # as above
            self.admit_user = listeners.wrap(self.admit_user, passes=False)  # type: ignore[method-assign]  # as above
        self._listeners.add(listener)

    def check_routes(self, routes: Sequence[Route]) -> tuple[str, ...]:
        """Every fault of the declarations of a host's routes. Each route without a declaration is logged once."""
        for route in routes:
            if not route.guarded:
                self._refusals.log_undeclared(route)
        if self._runtime is not None:
            self._runtime.recorder.declare_enforcement_points(enforcement_points(routes))
        faults = route_faults(routes, self.rules, self.faults) + self.settings.metadata_faults(routes)
        return faults if self.local_users is None else (*faults, *self.local_users.faults())

    def ready(self) -> Readiness:
        """The state of the guard now."""
        self._worker.ensure_running()
        keys = {name: source.status() for name, source in self._authenticator.sources.items()}
        until = self.settings.observe_until
        store = None if self._runtime is None else self._runtime.status()
        return Readiness(
            ready=all(status.loaded for status in keys.values()) and (store is None or (store.known and store.running)),
            keys=keys,
            policy=self.settings.policy.digest,
            observing_until=until.isoformat() if until is not None and self._refusals.is_observing() else None,
            store=store,
        )

    def issuer(
        self,
        keys: SigningKey | SigningKeys,
        *,
        client: str | None = None,
        lifetime: float = DEFAULT_LIFETIME,
        compact: bool = False,
        revoked: Revoked | None = None,
        elevated: Elevated | None = None,
    ) -> Issuer:
        """The issuer marked `OWN`: it signs tokens with `keys` and narrows tokens of every issuer in the settings.

        With a `STORE` it signs no revoked permission, and permissions by elevation until their end; `revoked` and
        `elevated` replace what the store says. `ConfigurationError` unless
        exactly one issuer is marked `OWN`. The other arguments are those of `Issuer`.
        """
        from jwt_lp.issuing.issuer import Issuer

        own = [issuer for issuer in self.settings.issuers if issuer.own]
        sources = self._authenticator.sources
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
            trusts=[other.to_trusted_issuer(sources[other.name]) for other in self.settings.issuers if not other.own],
            revoked=revoked or (None if self._runtime is None else self._runtime.revocation_match),
            elevated=elevated or (None if self._runtime is None else self._runtime.temporary_grants),
            clock=self._clock,
        )

    def close(self) -> None:
        """Stop the worker and write the recorded usage.

        The guard still decides. Keys are no longer refreshed ahead of time, and later revocations are no longer
        received.
        """
        self._worker.close()
        if self._runtime is not None:
            self._runtime.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _effective_token(self, token: AccessToken) -> AccessToken | Cause:
        """The token without its revoked grants, or the cause of a refusal if it may not be used now."""
        if self._runtime is None:
            return token
        state = self._runtime.usable_state(token)
        return state if isinstance(state, Cause) else state.token

    def _decide_without_token(
        self, cause: Cause, requirement: Requirement | None, route: str, call: Call | None
    ) -> Decision:
        """Refuse, unless nothing was sent and a session may stand in for a token and does."""
        if requirement is None:
            return self._refusals.refuse(undeclared_cause(cause), None, None, route)
        # INVARIANT: a session never stands in for a credential that was sent, whatever is wrong with it.
        if requirement.session is not None and cause.code == NO_CREDENTIAL and call is not None:
            fault = "this host has none" if call.session is None else call.session()
            if fault is None and is_handshake(call):
                # INVARIANT: no page of another origin opens a websocket with a session, whatever the host checks.
                fault = cross_origin_fault(call)
            if fault is None:
                return Decision(None, requirement, (), (), route)
            cause = cause._replace(detail=f"{cause.detail}, and no session stands in for it: {fault}")
        return self._refusals.refuse(cause, None, requirement, route)

    def _decide_open(
        self,
        authorization: str | Sequence[str] | None,
        requirement: Requirement,
        route: str,
        call: Call | None,
        *,
        wait: bool,
    ) -> Decision:
        """Let the request pass; `identify` also names the caller if the token is good."""
        if not (isinstance(requirement, Open) and requirement.identify):
            return Decision(None, requirement, (), (), route)
        token = self._authenticator.authenticate(authorization, call, wait=wait)
        if token is None:
            return Decision(requirement=requirement, route=route, pending=True)
        if isinstance(token, AccessToken):
            token = self._effective_token(token)
        return Decision(token if isinstance(token, AccessToken) else None, requirement, route=route)
