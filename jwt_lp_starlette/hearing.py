"""What was decided about this request, and what may a view ask?

A `Hearing` stands in the request's scope from the guard on. What it holds was decided once; a mark or a
dependency that asks again gets the same answer.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, MutableMapping
from functools import partial
from types import MappingProxyType
from typing import Any, Final, TypeAlias, cast

from anyio import to_thread
from starlette.authentication import UnauthenticatedUser
from starlette.datastructures import Headers
from starlette.exceptions import HTTPException, WebSocketException
from starlette.requests import HTTPConnection
from starlette.responses import Response
from starlette.websockets import WebSocket, WebSocketState

from jwt_lp import AccessToken, Call, ConfigurationError, Decision, Guard, Refusal, Requirement, all_of
from jwt_lp_starlette.principal import Credentials, Subject

Scope: TypeAlias = MutableMapping[str, Any]

KEY: Final = "jwt_lp"
BEARER: Final = "bearer"
NO_PARAMS: Final[Mapping[str, object]] = MappingProxyType({})
_POLICY_VIOLATION: Final = 1008
_SENT: Final = ("type", "scheme", "server", "root_path", "path", "query_string", "headers")


class Refused(HTTPException):
    """The guard's no, on its way out of a view. `refusal` says why; its headers and body reach the client."""

    def __init__(self, refusal: Refusal) -> None:
        super().__init__(refusal.status, refusal.description, dict(refusal.headers))
        self.refusal = refusal


class RefusedSocket(WebSocketException):
    """The guard's no to a websocket: the handshake is answered with it, an open socket is closed with 1008.

    The reason that a client sees is RFC 6750's error code, so that it can tell an expired token from a weak one.
    """

    def __init__(self, refusal: Refusal) -> None:
        super().__init__(_POLICY_VIOLATION, refusal.error)
        self.refusal = refusal


def response(refusal: Refusal) -> Response:
    """The refusal as a response: its status, every header, its body."""
    return Response(refusal.body, refusal.status, dict(refusal.headers))


def refused(scope: Scope, refusal: Refusal) -> Refused | RefusedSocket:
    """The exception that ends this request with `refusal`, for raising below Starlette's ExceptionMiddleware."""
    # Mounted applications have handlers of their own, and their default for an HTTPException would put another
    # body under our headers. A handler that the application registered for these two is left in place.
    handlers: dict[Any, Any] = scope.get("starlette.exception_handlers", ({}, {}))[0]
    handlers.setdefault(Refused, _answer)
    handlers.setdefault(RefusedSocket, _answer)
    return RefusedSocket(refusal) if scope["type"] == "websocket" else Refused(refusal)


async def _answer(connection: HTTPConnection, error: Refused | RefusedSocket) -> Response | None:
    if not isinstance(connection, WebSocket):
        return response(error.refusal)
    if connection.application_state is WebSocketState.CONNECTING and denies(connection.scope):
        return response(error.refusal)
    if connection.application_state is not WebSocketState.DISCONNECTED and isinstance(error, RefusedSocket):
        await connection.close(error.code, error.reason)
    return None


def denies(scope: Scope) -> bool:
    """Whether the server can answer a handshake with a response of ours; otherwise closing is all there is."""
    return "websocket.http.response" in (scope.get("extensions") or ())


class Hearing:
    """One request before the guard: what it sent, and what was decided.

    `label` is the method and the full template, `params` the route's parameters as the view gets them, `chain`
    the applications that the router passes through and the endpoint it ends at, `endpoint` its dotted name.
    """

    __slots__ = ("_decided", "call", "chain", "decision", "guard", "label", "lines", "offered", "params")

    def __init__(
        self,
        guard: Guard,
        scope: Scope,
        label: str,
        endpoint: str = "",
        params: Mapping[str, object] = NO_PARAMS,
        chain: tuple[object, ...] = (),
    ) -> None:
        headers = Headers(scope=scope)
        # A copy of what is asked of it: the scope holds the hearing, and a cycle would wait for the collector.
        sent = {name: scope[name] for name in _SENT if name in scope}
        self.guard = guard
        self.label = label
        self.params = params
        self.chain = chain
        self.offered = _offered(scope)
        self.lines = [*headers.getlist("authorization"), *(f"Bearer {token}" for token in self.offered)]
        self.decision: Decision | None = None
        self._decided: dict[Requirement, Decision] = {}
        self.call = Call(
            method=scope.get("method", "GET"),
            url=lambda: str(HTTPConnection(sent).url),
            field=lambda name: tuple(headers.getlist(name)),
            endpoint=endpoint,
            peer=scope["client"][0] if scope.get("client") else None,
        )

    @property
    def token(self) -> AccessToken | None:
        """The verified token, where the decision was made on one."""
        return self.decision.token if self.decision is not None else None

    def ask(self, requirement: Requirement | None, params: Mapping[str, object], *, wait: bool = True) -> Decision:
        """Have the guard decide, on the token that is already verified if there is one."""
        if self.token is not None and requirement is not None:
            return self.guard.authorize(self.token, requirement, params, self.label, call=self.call)
        return self.guard.check(self.lines, requirement, params, self.label, call=self.call, wait=wait)

    async def hear(self, requirement: Requirement | None, params: Mapping[str, object]) -> Decision:
        """`ask`, without keeping the event loop waiting for a key set."""
        decision = self.ask(requirement, params, wait=False)
        if decision.pending:
            decision = await to_thread.run_sync(partial(self.ask, requirement, params))
        return decision

    async def admit(self, requirement: Requirement | None, parts: Collection[Requirement], scope: Scope) -> None:
        """Decide on the route itself, before anything of it runs; raises the refusal."""
        decision = await self.hear(requirement, self.params)
        _raise_refusal(scope, decision)
        self.decision = decision
        # INVARIANT: the whole is the all-of of its parts, so each of them has passed with it.
        self._decided = dict.fromkeys(parts, decision)
        if decision.token is not None or "auth" not in scope:
            scope["auth"] = Credentials(self.guard, decision.token)
            scope["user"] = UnauthenticatedUser() if decision.token is None else Subject(decision.token)

    def leads_to(self, app: object) -> bool:
        """Whether the judged request goes through `app`, or ends there."""
        for each in self.chain:  # noqa: SIM110 - once or twice a request: any() over a generator costs more
            if each is app:
                return True
        return False

    def known(self, requirement: Requirement) -> Decision | None:
        """What was already decided on `requirement`."""
        return self._decided.get(requirement)

    def note(self, scope: Scope, requirement: Requirement, decision: Decision) -> AccessToken | None:
        """Keep a decision; raises its refusal."""
        self._decided[requirement] = decision
        _raise_refusal(scope, decision)
        return decision.token


def _raise_refusal(scope: Scope, decision: Decision) -> None:
    if not decision.passes:
        if decision.refusal is None:
            raise ConfigurationError(f"{decision.route}: the guard did not decide")
        raise refused(scope, decision.refusal)


def _offered(scope: Scope) -> tuple[str, ...]:
    """The token among a websocket's subprotocols, taken out of them: an application must not echo it."""
    outer = scope.get(KEY)
    if isinstance(outer, Hearing):
        return outer.offered
    protocols: list[str] = list(scope.get("subprotocols") or ())
    if BEARER not in protocols[:-1]:
        return ()
    position = protocols.index(BEARER)
    scope["subprotocols"] = protocols[:position] + protocols[position + 2 :]
    return (protocols[position + 1],)


def hearing_of(scope: Scope) -> Hearing:
    """The request's hearing; `ConfigurationError` says what to install where there is none."""
    found = scope.get(KEY)
    if isinstance(found, Hearing):
        return found
    raise ConfigurationError(
        "the guard is not installed before this route: call LeastPrivilege(app, settings), or list "
        "Middleware(LeastPrivilegeMiddleware, settings=...) in the application that is served"
    )


async def settle(scope: Scope, requirement: Requirement) -> AccessToken | None:
    """Decide on a mark when its function is reached, unless that is decided; raises the refusal."""
    hearing = hearing_of(scope)
    decision = hearing.known(requirement)
    if decision is None:
        decision = await hearing.hear(requirement, scope.get("path_params", NO_PARAMS))
    return hearing.note(scope, requirement, decision)


def settle_now(scope: Scope, requirement: Requirement) -> AccessToken | None:
    """`settle`, for a function that runs in a worker thread."""
    hearing = hearing_of(scope)
    decision = hearing.known(requirement)
    if decision is None:
        decision = hearing.ask(requirement, scope.get("path_params", NO_PARAMS))
    return hearing.note(scope, requirement, decision)


def enforce(
    request: HTTPConnection, *permissions: Requirement | str, params: Mapping[str, object] = NO_PARAMS
) -> AccessToken:
    """Decide inside a view, for what depends on the body or on a loaded object. Recorded each time.

    `params` fill templates, beside the route's own parameters. Returns the token; a refusal ends the request by
    `Refused` (`RefusedSocket` on a websocket, whose token is asked about its end anew each time).
    `ConfigurationError` where the guard is not installed.
    """
    hearing = hearing_of(request.scope)
    decision = hearing.ask(all_of(*permissions), {**request.path_params, **params})
    _raise_refusal(request.scope, decision)
    return cast(AccessToken, decision.token)


def can(request: HTTPConnection, *permissions: Requirement | str, params: Mapping[str, object] = NO_PARAMS) -> bool:
    """Whether the request's token would do: a probe, never recorded; False where nothing can be decided."""
    hearing = request.scope.get(KEY)
    return isinstance(hearing, Hearing) and hearing.guard.can(
        hearing.token, all_of(*permissions), {**request.path_params, **params}
    )


def token_from(request: HTTPConnection) -> AccessToken | None:
    """The verified token of the request or websocket; None where none was asked for."""
    hearing = request.scope.get(KEY)
    return hearing.token if isinstance(hearing, Hearing) else None
