"""May this request pass?

The one door. Plain values go in, a `Decision` comes out; a denial is a value and never an exception, and
nothing on the way of a request reads a database or, once keys are loaded, the network.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache
from typing import Final, Self

from jwt_lp._worker import Worker
from jwt_lp.bearer import MALFORMED, NONE, credential
from jwt_lp.claims import AccessToken
from jwt_lp.decision import Call, Cause, Decision, Refusal
from jwt_lp.development import development_keys
from jwt_lp.errors import InvalidToken, KeysPending, KeysUnavailable
from jwt_lp.journal import Journal
from jwt_lp.jws import fingerprint
from jwt_lp.keys import JwksKeys, KeysStatus, KeySource
from jwt_lp.requirements import Binding, Facts, Open, Outcome, Requirement
from jwt_lp.routes import Rules
from jwt_lp.settings import IssuerSettings, Settings
from jwt_lp.verify import TrustedIssuer, Verifier

_BAD_REQUEST: Final = 400
_UNAUTHORIZED: Final = 401
_FORBIDDEN: Final = 403
_UNDECIDED: Final = 503

_NO_CREDENTIAL: Final = Cause(_UNAUTHORIZED, None, "no_credential", "no bearer token was sent")
_UNMARKED: Final = Cause(
    _FORBIDDEN,
    "insufficient_scope",
    "unmarked_route",
    "nothing is declared for this route: give it requires(...), authenticated, public or external(...)",
    misconfigured=True,
)

_PULSE: Final = 1.0

_LOOPBACK: Final = frozenset({"127.0.0.1", "::1", "::ffff:127.0.0.1"})
_FORWARDING: Final = ("forwarded", "x-forwarded-for", "x-forwarded-host", "x-forwarded-proto", "x-real-ip", "via")


@dataclass(frozen=True, slots=True)
class Readiness:
    """How the guard stands, for a health endpoint: `ready` when it can decide about every issuer's tokens."""

    ready: bool
    keys: Mapping[str, KeysStatus]
    policy: str
    observing_until: str | None


class Guard:
    """Decides about requests from their tokens alone. A context manager; `close` stops its worker.

    `clock` gives seconds since the epoch, `reference` a short random text for each refusal.
    """

    def __init__(
        self,
        settings: Settings | Mapping[str, object],
        *,
        clock: Callable[[], float] = time.time,
        reference: Callable[[], str] = lambda: secrets.token_hex(5),
    ) -> None:
        self.settings = Settings.from_mapping(settings)
        self._clock = clock
        self._reference = reference
        self._journal = Journal(self.settings.service)
        self._worker = Worker()
        self._sources = {issuer.name: _source(issuer, self.settings) for issuer in self.settings.issuers}
        self._verifier = Verifier(
            [_trusted(issuer, self._sources[issuer.name], self.settings) for issuer in self.settings.issuers],
            self.settings.policy,
            clock=clock,
        )
        self._leeways = {issuer.name: issuer.leeway for issuer in self.settings.issuers}
        self._binds = bool(self.settings.bind)
        self._bound = lru_cache(maxsize=4096)(self._bind)
        for source in self._sources.values():
            source.start(self._worker)
        self._worker.ensure()
        self._ensured = clock()
        self._journal.started(self.settings)

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
        if requirement is not None and not requirement.asks_token:
            return self._open(authorization, requirement, route, call, wait=wait)
        found = self._authenticate(authorization, call, wait=wait)
        if isinstance(found, AccessToken):
            return self._decide(found, requirement, params, route)
        if found is None:
            return Decision(requirement=requirement, route=route, pending=True)
        return self._refuse(found, None, requirement, route)

    def authenticate(
        self, authorization: str | Sequence[str] | None, *, call: Call | None = None, wait: bool = True
    ) -> Decision:
        """Say who is calling: a decision with a token, a refusal, or `pending`."""
        found = self._authenticate(authorization, call, wait=wait)
        if isinstance(found, AccessToken):
            return Decision(token=found)
        if found is None:
            return Decision(pending=True)
        return Decision(refusal=self._logged(found, None, None, ""))

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
        """Decide whether `token` may do what `requirement` asks here. The clock is asked every time.

        `record=False` makes it a question: nothing is logged.
        """
        dead = self._dead(token)
        if dead is not None:
            return self._refuse(dead, token, requirement, route, record=record)
        return self._decide(token, requirement, params, route, record=record)

    def can(self, token: AccessToken | None, requirement: Requirement, params: Mapping[str, object] | tuple[()] = ()) -> bool:
        """Whether `token` would satisfy `requirement`: a probe, never recorded as use and never logged."""
        if token is None or self._dead(token) is not None:
            return False
        return self._hold(token, requirement, dict(params)).satisfied

    def faults(self, requirement: Requirement) -> tuple[str, ...]:
        """What is wrong with a declaration under these settings; a start-up check lists it."""
        issuers = [issuer.name for issuer in self.settings.issuers]
        bindings = [leaf for leaf in requirement.leaves() if isinstance(leaf, Binding)]
        return tuple(f"{requirement}: {fault}" for leaf in bindings for fault in leaf.faults(issuers))

    def ready(self) -> Readiness:
        """How the guard stands now."""
        self._worker.ensure()
        keys = {name: source.status() for name, source in self._sources.items()}
        until = self.settings.observe_until
        return Readiness(
            ready=all(status.loaded for status in keys.values()),
            keys=keys,
            policy=self.settings.policy.digest,
            observing_until=until.isoformat() if until is not None and self._observing() else None,
        )

    def close(self) -> None:
        """Stop the worker. Decisions can still be asked for; keys are no longer renewed ahead of time."""
        self._worker.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _authenticate(
        self, authorization: str | Sequence[str] | None, call: Call | None, *, wait: bool
    ) -> AccessToken | Cause | None:
        """The verified token, why there is none, or None where only a fetch could tell."""
        now = self._clock()
        if not self._ensured <= now < self._ensured + _PULSE:
            # The worker is looked after once a second: after a fork it has to start anew.
            self._ensured = now
            self._worker.ensure()
        kind, text = credential(authorization)
        if kind is NONE:
            return _NO_CREDENTIAL
        if kind is MALFORMED:
            return Cause(_BAD_REQUEST, "invalid_request", "malformed_header", text)
        try:
            token = self._verifier.verify(text, wait=wait, now=now)
        except InvalidToken as error:
            return Cause(_UNAUTHORIZED, "invalid_token", error.cause, error.detail, fingerprint(text))
        except KeysPending:
            return None
        except KeysUnavailable as error:
            return Cause(_UNDECIDED, None, error.code, str(error), fingerprint(text))
        # INVARIANT: a development key opens nothing to anyone but a peer on this machine.
        if token.development and not _is_local(call):
            detail = "a development token is taken from a loopback peer without forwarding headers only"
            return Cause(_UNAUTHORIZED, "invalid_token", "development_key", detail, token.fingerprint)
        return token

    def _decide(
        self,
        token: AccessToken,
        requirement: Requirement | None,
        params: Mapping[str, object],
        route: str,
        *,
        record: bool = True,
    ) -> Decision:
        """Hold the requirement against a token that is alive now."""
        if requirement is None:
            return self._refuse(_UNMARKED, token, None, route, record=record)
        if not self._binds and requirement.literal is not None:
            # The commonest declaration, one permission without a parameter, is answered by one look.
            grant = token.permissions.serving(requirement.literal)
            if grant is not None:
                return Decision(token, requirement, (grant,), (), route)
        outcome = self._hold(token, requirement, params)
        if outcome.satisfied:
            return Decision(token, requirement, outcome.used, (), route)
        return self._refuse(_lacking(requirement, outcome), token, requirement, route, outcome, record=record)

    def _dead(self, token: AccessToken) -> Cause | None:
        """Why a token that was verified may not be used now, if so."""
        if self._clock() < token.expires_at + self._leeways.get(token.issuer_name, 0.0):
            return None
        detail = "the token expired since it was verified"
        return Cause(_UNAUTHORIZED, "invalid_token", "expired", detail, token.fingerprint)

    def _hold(self, token: AccessToken, requirement: Requirement, params: Mapping[str, object]) -> Outcome:
        if self._binds:
            names = frozenset(name for name in self.settings.bind if name in params)
            if names:
                requirement = self._bound(requirement, names)
        return requirement.hold(Facts(token.permissions, params, token.claims, token.issuer_name))

    def _bind(self, requirement: Requirement, names: frozenset[str]) -> Requirement:
        return requirement.bound({name: self.settings.bind[name] for name in sorted(names)})

    def _open(
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
            token = found if isinstance(found, AccessToken) else None
        return Decision(token, requirement, route=route)

    def _refuse(
        self,
        no: Cause,
        token: AccessToken | None,
        requirement: Requirement | None,
        route: str,
        outcome: Outcome | None = None,
        *,
        record: bool = True,
    ) -> Decision:
        missing = outcome.missing if outcome is not None else ()
        observing = self._observing() and no.status != _UNDECIDED and not (requirement is not None and requirement.enforced)
        if not record:
            refusal = self._refusal(no, requirement)
        else:
            refusal = self._logged(no, token, requirement, route, missing=missing, observed=observing)
        if observing:
            held = token if no.status == _FORBIDDEN else None
            return Decision(held, requirement, (), missing, route, observed=refusal)
        return Decision(token, requirement, (), missing, route, refusal)

    def _logged(
        self,
        no: Cause,
        token: AccessToken | None,
        requirement: Requirement | None,
        route: str,
        *,
        missing: tuple[str, ...] = (),
        observed: bool = False,
    ) -> Refusal:
        refusal = self._refusal(no, requirement)
        self._journal.refused(refusal, no, token, requirement, route, missing=missing, observed=observed)
        return refusal

    def _refusal(self, no: Cause, requirement: Requirement | None) -> Refusal:
        show = self.settings.show_requirement and no.status == _FORBIDDEN and requirement is not None
        return Refusal(
            no.status,
            no.error,
            self._reference(),
            scope=requirement.scope if show and requirement is not None and not no.misconfigured else None,
            requirement=str(requirement) if show else None,
            cause=f"{no.code}: {no.detail}" if self.settings.explain else None,
        )

    def _observing(self) -> bool:
        until = self.settings.observe_until
        return until is not None and datetime.fromtimestamp(self._clock(), UTC).date() <= until


def _is_local(call: Call | None) -> bool:
    return call is not None and call.peer in _LOOPBACK and not any(call.field(name) for name in _FORWARDING)


def _lacking(requirement: Requirement, outcome: Outcome) -> Cause:
    if outcome.faults:
        detail = f"the declaration is at fault: {'; '.join(outcome.faults)}"
        return Cause(_FORBIDDEN, "insufficient_scope", "declaration", detail, misconfigured=True)
    detail = f"the token lacks {', '.join(outcome.missing)}"
    return Cause(_FORBIDDEN, "insufficient_scope", "insufficient_scope", detail)


def _source(issuer: IssuerSettings, settings: Settings) -> KeySource:
    if issuer.static is not None:
        return issuer.static
    return JwksKeys(
        issuer.jwks_url,
        algorithms=issuer.algorithms,
        issuer=issuer.issuer,
        discovery=issuer.discovery,
        allow_http_hosts=settings.allow_http_hosts,
    )


def _trusted(issuer: IssuerSettings, keys: KeySource, settings: Settings) -> TrustedIssuer:
    return TrustedIssuer(
        name=issuer.name,
        issuer=issuer.issuer,
        audience=issuer.audience,
        algorithms=issuer.algorithms,
        profile=issuer.profile,
        keys=keys,
        own=issuer.own,
        patterns=issuer.patterns,
        leeway=issuer.leeway,
        max_lifetime=issuer.max_lifetime,
        ceiling=issuer.ceiling,
        development=development_keys() if settings.development else None,
    )
