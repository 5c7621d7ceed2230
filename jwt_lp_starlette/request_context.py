"""The context of one request: its decisions, and what a view may ask of the guard.

The guard puts a `RequestContext` into the request's scope. Each decision is made once: a declaration or a dependency
that asks again gets the same answer.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote

from anyio import get_current_task, to_thread
from starlette.datastructures import URL, Headers
from starlette.exceptions import HTTPException, WebSocketException
from starlette.requests import HTTPConnection
from starlette.responses import Response
from starlette.websockets import WebSocket, WebSocketState

from jwt_lp import (
    ANONYMOUS,
    AccessToken,
    Call,
    ConfigurationError,
    Decision,
    DecisionMemo,
    Guard,
    Refusal,
    Requirement,
    all_of,
    cross_origin_fault,
)
from jwt_lp_starlette.principal import Subject
from jwt_lp_starlette.scope import BEARER, CONTEXT_KEY, NO_PARAMETERS, Scope, request_method

if TYPE_CHECKING:
    from jwt_lp_starlette.route_table import RouteTable

_POLICY_VIOLATION: Final = 1008
_MISSING: Final = object()


class Refused(HTTPException):
    """Ends a request with a refusal. `refusal` says why; its headers and body reach the client."""

    def __init__(self, refusal: Refusal) -> None:
        super().__init__(refusal.status, refusal.description, dict(refusal.headers))
        self.refusal = refusal


class RefusedSocket(WebSocketException):
    """Ends a websocket with a refusal: it answers the handshake, or closes an open socket with code 1008.

    The close reason is the error code of RFC 6750, so that a client can tell an expired token from one that lacks
    permissions.
    """

    def __init__(self, refusal: Refusal) -> None:
        super().__init__(_POLICY_VIOLATION, refusal.error)
        self.refusal = refusal


def refusal_response(refusal: Refusal) -> Response:
    """The refusal as a response: its status, every header, its body."""
    return Response(refusal.body, refusal.status, dict(refusal.headers))


def refusal_error(scope: Scope, refusal: Refusal) -> Refused | RefusedSocket:
    """The exception that ends this request with `refusal`; raise it inside Starlette's ExceptionMiddleware."""
    # Mounted applications have their own handlers, and their default for an HTTPException would put another body
    # under our headers. A handler that the application registered for these two stays in place.
    handlers: dict[Any, Any] = scope.get("starlette.exception_handlers", ({}, {}))[0]
    handlers.setdefault(Refused, _answer_refusal)
    handlers.setdefault(RefusedSocket, _answer_refusal)
    return RefusedSocket(refusal) if scope["type"] == "websocket" else Refused(refusal)


async def _answer_refusal(connection: HTTPConnection, error: Refused | RefusedSocket) -> Response | None:
    if not isinstance(connection, WebSocket):
        return refusal_response(error.refusal)
    if connection.application_state is WebSocketState.CONNECTING and can_deny_handshake(connection.scope):
        return refusal_response(error.refusal)
    if connection.application_state is not WebSocketState.DISCONNECTED and isinstance(error, RefusedSocket):
        await connection.close(error.code, error.reason)
    return None


def can_deny_handshake(scope: Scope) -> bool:
    """Whether the server can answer a handshake with an HTTP response; otherwise the socket can only be closed."""
    return "websocket.http.response" in (scope.get("extensions") or ())


class RequestContext:
    """One request: what it sent, and what was decided about it.

    `label` is the method and the full template. `endpoint` is the dotted name of what is called. `chain` has the
    applications that the request passes through and the endpoints at which it ends. `tables` are those of the
    routers on its way, the last found first. `outer` is the context of a guarded application around this one.
    `decision` is the last one about a route, and `memo` has all of them.
    """

    __slots__ = (
        "_params",
        "_parts",
        "_received",
        "chain",
        "decision",
        "endpoint",
        "guard",
        "label",
        "lines",
        "memo",
        "offered_tokens",
        "outer",
        "tables",
    )

    def __init__(self, guard: Guard, scope: Scope, table: RouteTable) -> None:
        outer = scope.get(CONTEXT_KEY)
        self.guard = guard
        self.outer = outer if isinstance(outer, RequestContext) else None
        self.tables: tuple[RouteTable, ...] = (table,)
        self.chain: tuple[object, ...] = (scope.get("endpoint"),)
        self.label = ""
        self.endpoint = ""
        self.offered_tokens: tuple[str, ...] = ()
        self.decision: Decision | None = None
        self.memo = DecisionMemo()
        self._parts: tuple[Requirement | None, ...] = ()
        self._params: Mapping[str, object] = NO_PARAMETERS
        self.lines = [value.decode("latin-1") for name, value in scope["headers"] if name == b"authorization"]
        if scope["type"] == "websocket":
            self.offered_tokens = _take_offered_token(scope) if self.outer is None else self.outer.offered_tokens
            self.lines += [f"Bearer {token}" for token in self.offered_tokens]
        # A copy, made before the scope refers to this context: nothing changes what was received, and a reference back
        # would be a cycle.
        self._received = dict(scope)

    @property
    def token(self) -> AccessToken | None:
        """The verified token that the decision was made with; None if there was none."""
        return self.decision.token if self.decision is not None else None

    def ask(self, requirement: Requirement | None, params: Mapping[str, object], *, wait: bool = False) -> Decision:
        """Have the guard decide; without `wait`, the decision is `pending` if the guard must wait for a key set."""
        received = self._received
        client = received.get("client")
        peer = client[0] if client else None
        outermost = self
        while outermost.outer is not None:
            outermost = outermost.outer
        call = Call(
            request_method(received),
            self._url,
            self._field,
            self.endpoint,
            peer,
            received["path"],
            memo=outermost.memo,
        )
        if requirement is not None and requirement.session is not None:
            call = call._replace(session=partial(self._session_fault, call))
        label = self.label or f"{request_method(received)} (no route)"
        token = self.token
        if token is not None and requirement is not None:
            return self.guard.authorize(token, requirement, params, label, call=call)
        return self.guard.check(self.lines, requirement, params, label, call=call, wait=wait)

    def admit(
        self, scope: Scope, parts: tuple[Requirement | None, ...], params: Mapping[str, object], decision: Decision
    ) -> None:
        """Keep the decision about a route for each of its requirements; raises the refusal."""
        self.memo.keep(parts, params, decision)
        self.decision = self.require_pass(scope, decision)
        # A copy, because the endpoint and its middleware get the parameters themselves, and may change them.
        self._parts, self._params = parts, dict(params)

    def passed(self, requirement: Requirement, params: Mapping[str, object]) -> Decision | None:
        """The decision by which the request passed this requirement with these parameters before, if there is one."""
        if requirement in self._parts and _are_same(params, self._params):
            return self.decision
        decision = self.memo.find(requirement, params)
        return decision if decision is not None and decision.passes else None

    async def wait_for(self, requirement: Requirement | None, params: Mapping[str, object]) -> Decision:
        """Have the guard decide in a worker thread, where it may wait for a key set."""
        return await to_thread.run_sync(partial(self.ask, requirement, params, wait=True))

    async def decide(self, requirement: Requirement | None, params: Mapping[str, object]) -> Decision:
        """Have the guard decide, in a worker thread if it must wait for a key set."""
        decision = self.ask(requirement, params)
        return await self.wait_for(requirement, params) if decision.pending else decision

    def decide_now(self, requirement: Requirement, params: Mapping[str, object]) -> Decision:
        """Have the guard decide in this thread; 503 if an event loop would have to wait for a key set."""
        decision = self.ask(requirement, params, wait=not _on_event_loop())
        return self.guard.refuse_pending(requirement, decision.route) if decision.pending else decision

    def _session_fault(self, call: Call) -> str | None:
        """Why the session does not let the request pass; None if its user is signed in.

        Starlette checks no CSRF, so an unsafe method, and a websocket, needs a request of the same origin.
        """
        user = self._received.get("user")
        # Subject is the user of a token, that of a guard around this one.
        if isinstance(user, Subject) or not getattr(user, "is_authenticated", False):
            return "nobody is signed in"
        return cross_origin_fault(call._replace(method=request_method(self._received)))

    def _url(self) -> str:
        # Starlette writes the decoded path into its URL as it is.
        return str(URL(scope={**self._received, "path": quote(self._received["path"])}))

    def _field(self, name: str) -> tuple[str, ...]:
        return tuple(Headers(scope=self._received).getlist(name))

    def table_of(self, router: object) -> RouteTable | None:
        """The table of a router on the request's way; None if the router is not known."""
        for table in self.tables:
            if table.router is router:
                return table
        return None

    def passes_through(self, app: object) -> bool:
        """Whether the request passes through `app`, or ends there."""
        for link in self.chain:  # noqa: SIM110 - any() over a generator costs more, on the path of each request
            if link is app:
                return True
        return False

    def require_pass(self, scope: Scope, decision: Decision) -> Decision:
        """The decision, if the request passes. Otherwise note the refusal in the outer contexts too, and raise it."""
        if decision.passes:
            return decision
        if decision.refusal is None:
            raise ConfigurationError(f"{decision.route}: the guard did not decide")
        context: RequestContext | None = self
        while context is not None:
            context.memo.note(decision)
            context = context.outer
        raise refusal_error(scope, decision.refusal)


def _are_same(params: Mapping[str, object], others: Mapping[str, object]) -> bool:
    """Whether both have the very same values. Equal is not enough, because 1 equals True."""
    if len(params) != len(others):
        return False
    for name, value in others.items():  # noqa: SIM110 - like above
        if params.get(name, _MISSING) is not value:
            return False
    return True


def _on_event_loop() -> bool:
    try:
        get_current_task()
    except RuntimeError:
        return False
    return True


def _take_offered_token(scope: Scope) -> tuple[str, ...]:
    """The token among a websocket's subprotocols. It is removed from them, so that an application cannot echo it."""
    protocols: list[str] = list(scope.get("subprotocols") or ())
    if BEARER not in protocols[:-1]:
        return ()
    position = protocols.index(BEARER)
    scope["subprotocols"] = protocols[:position] + protocols[position + 2 :]
    return (protocols[position + 1],)


def context_of(scope: Scope) -> RequestContext:
    """The request's context; if there is none, `ConfigurationError` says what to install."""
    context = scope.get(CONTEXT_KEY)
    if isinstance(context, RequestContext):
        return context
    raise ConfigurationError(
        "the guard is not installed before this route: call LeastPrivilege(app, settings), or list "
        "Middleware(LeastPrivilegeMiddleware, settings=...) in the application that is served"
    )


def passed_before(scope: Scope, requirement: Requirement) -> Decision | None:
    """The decision by which the request passed a declaration before its function is reached, if there is one."""
    return context_of(scope).passed(requirement, scope.get("path_params", NO_PARAMETERS))


async def enforce_declaration(scope: Scope, requirement: Requirement) -> AccessToken | None:
    """Decide about a declaration when its function is reached, unless that was decided; raises the refusal."""
    context, params = context_of(scope), scope.get("path_params", NO_PARAMETERS)
    decision = context.memo.find(requirement, params)
    if decision is None:
        decision = context.memo.keep((requirement,), params, await context.decide(requirement, params))
    return context.require_pass(scope, decision).token


def enforce_declaration_sync(scope: Scope, requirement: Requirement) -> AccessToken | None:
    """`enforce_declaration` for a function that is not asynchronous."""
    context, params = context_of(scope), scope.get("path_params", NO_PARAMETERS)
    decision = context.memo.find(requirement, params)
    if decision is None:
        decision = context.memo.keep((requirement,), params, context.decide_now(requirement, params))
    return context.require_pass(scope, decision).token


def enforce(
    request: HTTPConnection, *permissions: Requirement | str, params: Mapping[str, object] = NO_PARAMETERS
) -> AccessToken:
    """Decide inside a view, for what depends on the body or on a loaded object. Each decision is recorded.

    `params` fill templates, in addition to the route's own parameters. Returns the token, in observe mode
    `jwt_lp.ANONYMOUS` if there is no valid one. A refusal raises `Refused`,
    or `RefusedSocket` on a websocket, where each call checks again whether the token has expired. A refusal is
    final: whatever catches the exception, only the refusal is sent. On the thread of an event loop the guard does
    not wait for a key set: it refuses with 503. Raises `ConfigurationError` if the guard is not installed.
    """
    context = context_of(request.scope)
    decision = context.decide_now(all_of(*permissions), {**request.path_params, **params})
    return context.require_pass(request.scope, decision).token or ANONYMOUS


def can(request: HTTPConnection, *permissions: Requirement | str, params: Mapping[str, object] = NO_PARAMETERS) -> bool:
    """Whether the request's token passes `permissions`; never recorded. False if it cannot be decided."""
    context = request.scope.get(CONTEXT_KEY)
    return isinstance(context, RequestContext) and context.guard.can(
        context.token, all_of(*permissions), {**request.path_params, **params}
    )


def token_from(request: HTTPConnection) -> AccessToken | None:
    """The verified token of the request or websocket; None if no token was verified."""
    context = request.scope.get(CONTEXT_KEY)
    return context.token if isinstance(context, RequestContext) else None
