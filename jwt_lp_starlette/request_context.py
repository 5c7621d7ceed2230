"""What was decided about this request, and what may a view ask?

A `Hearing` stands in the request's scope from the guard on. What it holds was decided once; a mark or a
dependency that asks again gets the same answer.
"""

from __future__ import annotations

from collections.abc import Mapping, MutableMapping
from functools import partial
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final, TypeAlias, cast

from anyio import get_current_task, to_thread
from starlette.authentication import UnauthenticatedUser
from starlette.datastructures import Headers
from starlette.exceptions import HTTPException, WebSocketException
from starlette.requests import HTTPConnection
from starlette.responses import Response
from starlette.websockets import WebSocket, WebSocketState

from jwt_lp import AccessToken, Call, ConfigurationError, Decision, DecisionMemo, Guard, Refusal, Requirement, all_of
from jwt_lp_starlette.principal import Credentials, Subject

if TYPE_CHECKING:
    from jwt_lp_starlette.route_reader import RouteRule
    from jwt_lp_starlette.route_table import RouteTable, RouteTarget

Scope: TypeAlias = MutableMapping[str, Any]

CONTEXT_KEY: Final = "jwt_lp"
BEARER: Final = "bearer"
WEBSOCKET: Final = "WEBSOCKET"
NO_PARAMETERS: Final[Mapping[str, object]] = MappingProxyType({})
_POLICY_VIOLATION: Final = 1008
_COPIED_SCOPE_KEYS: Final = (
    "type",
    "method",
    "scheme",
    "client",
    "server",
    "root_path",
    "path",
    "query_string",
    "headers",
)


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


def refusal_response(refusal: Refusal) -> Response:
    """The refusal as a response: its status, every header, its body."""
    return Response(refusal.body, refusal.status, dict(refusal.headers))


def refusal_error(scope: Scope, refusal: Refusal) -> Refused | RefusedSocket:
    """The exception that ends this request with `refusal`, for raising below Starlette's ExceptionMiddleware."""
    # Mounted applications have handlers of their own, and their default for an HTTPException would put another
    # body under our headers. A handler that the application registered for these two is left in place.
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
    """Whether the server can answer a handshake with a response of ours; otherwise closing is all there is."""
    return "websocket.http.response" in (scope.get("extensions") or ())


class RequestContext:
    """One request before the guard: what it sent, and what was decided.

    `label` is the method and the full template, `endpoint` the dotted name of what is called, `chain` the
    applications that the request was found to pass through and the endpoints it ends at. `tables` are those of the
    routers on its way, the latest found first.
    """

    def __init__(self, guard: Guard, scope: Scope, table: RouteTable) -> None:
        outer = scope.get(CONTEXT_KEY)
        self.guard = guard
        self.outer = outer if isinstance(outer, RequestContext) else None
        self.tables: tuple[RouteTable, ...] = (table,)
        self.chain: tuple[object, ...] = (scope.get("endpoint"),)
        self.label = f"{request_method(scope)} (no route)"
        self.endpoint = ""
        self.offered_tokens: tuple[str, ...] = (
            _take_offered_token(scope) if self.outer is None else self.outer.offered_tokens
        )
        self.decision: Decision | None = None
        self.memo = DecisionMemo()
        # A copy of what is asked of it: the scope holds the hearing, and a cycle would wait for the collector.
        self._scope = {name: scope[name] for name in _COPIED_SCOPE_KEYS if name in scope}
        self._headers = Headers(scope=scope)
        self.lines = [*self._headers.getlist("authorization"), *(f"Bearer {token}" for token in self.offered_tokens)]

    @property
    def token(self) -> AccessToken | None:
        """The verified token, where the decision was made on one."""
        return self.decision.token if self.decision is not None else None

    def decide_now(self, requirement: Requirement, params: Mapping[str, object]) -> Decision:
        """Have the guard decide, here and now: 503 where that would keep an event loop waiting for a key set."""
        decision = self._check(requirement, params, wait=not _on_event_loop())
        return self.guard.refuse_pending(requirement, self.label) if decision.pending else decision

    async def decide(self, requirement: Requirement | None, params: Mapping[str, object]) -> Decision:
        """Have the guard decide, in a worker thread where a key set has to be waited for."""
        decision = self._check(requirement, params, wait=False)
        if decision.pending:
            decision = await to_thread.run_sync(partial(self._check, requirement, params, wait=True))
        return decision

    async def admit(self, target: RouteTarget, rule: RouteRule, scope: Scope) -> None:
        """Decide on what a router is about to call, before anything of it runs; raises the refusal."""
        requirement = rule.route.requirement
        self.label = f"{request_method(scope)} {rule.route.template}"
        self.endpoint = rule.route.endpoint
        decision = self.memo.find(requirement, target.params)
        if decision is None:
            # INVARIANT: the whole is the all-of of its parts, so each of them has passed with it.
            decision = self.memo.keep(rule.parts, target.params, await self.decide(requirement, target.params))
        self.decision = self.require_pass(scope, decision)
        if decision.token is not None or "auth" not in scope:
            scope["auth"] = Credentials(self.guard, decision.token)
            scope["user"] = UnauthenticatedUser() if decision.token is None else Subject(decision.token)

    def passes_through(self, app: object) -> bool:
        """Whether the request was found to go through `app`, or to end there."""
        for each in self.chain:  # noqa: SIM110 - once or twice a request: any() over a generator costs more
            if each is app:
                return True
        return False

    def require_pass(self, scope: Scope, decision: Decision) -> Decision:
        """The decision, if the request passes; raises its refusal, which is then the outer guards' too."""
        if decision.refusal is not None:
            each: RequestContext | None = self
            while each is not None:
                each.memo.note(decision)
                each = each.outer
            raise refusal_error(scope, decision.refusal)
        if not decision.passes:
            raise ConfigurationError(f"{decision.route}: the guard did not decide")
        return decision

    def _check(self, requirement: Requirement | None, params: Mapping[str, object], *, wait: bool) -> Decision:
        sent, headers = self._scope, self._headers
        call = Call(
            method=sent.get("method", "GET"),
            url=lambda: str(HTTPConnection(sent).url),
            field=lambda name: tuple(headers.getlist(name)),
            endpoint=self.endpoint,
            peer=sent["client"][0] if sent.get("client") else None,
        )
        if self.token is not None and requirement is not None:
            return self.guard.authorize(self.token, requirement, params, self.label, call=call)
        return self.guard.check(self.lines, requirement, params, self.label, call=call, wait=wait)


def _on_event_loop() -> bool:
    try:
        get_current_task()
    except RuntimeError:
        return False
    return True


def request_method(scope: Scope) -> str:
    """The request's method; `WEBSOCKET` counts as one."""
    return WEBSOCKET if scope["type"] == "websocket" else scope["method"]


def _take_offered_token(scope: Scope) -> tuple[str, ...]:
    """The token among a websocket's subprotocols, taken out of them: an application must not echo it."""
    protocols: list[str] = list(scope.get("subprotocols") or ())
    if BEARER not in protocols[:-1]:
        return ()
    position = protocols.index(BEARER)
    scope["subprotocols"] = protocols[:position] + protocols[position + 2 :]
    return (protocols[position + 1],)


def context_of(scope: Scope) -> RequestContext:
    """The request's hearing; `ConfigurationError` says what to install where there is none."""
    found = scope.get(CONTEXT_KEY)
    if isinstance(found, RequestContext):
        return found
    raise ConfigurationError(
        "the guard is not installed before this route: call LeastPrivilege(app, settings), or list "
        "Middleware(LeastPrivilegeMiddleware, settings=...) in the application that is served"
    )


async def enforce_mark(scope: Scope, requirement: Requirement) -> AccessToken | None:
    """Decide on a mark when its function is reached, unless that is decided; raises the refusal."""
    context, params = context_of(scope), scope.get("path_params", NO_PARAMETERS)
    decision = context.memo.find(requirement, params)
    if decision is None:
        decision = context.memo.keep((requirement,), params, await context.decide(requirement, params))
    return context.require_pass(scope, decision).token


def enforce_mark_sync(scope: Scope, requirement: Requirement) -> AccessToken | None:
    """`settle`, for a function that is not asynchronous."""
    context, params = context_of(scope), scope.get("path_params", NO_PARAMETERS)
    decision = context.memo.find(requirement, params)
    if decision is None:
        decision = context.memo.keep((requirement,), params, context.decide_now(requirement, params))
    return context.require_pass(scope, decision).token


def enforce(
    request: HTTPConnection, *permissions: Requirement | str, params: Mapping[str, object] = NO_PARAMETERS
) -> AccessToken:
    """Decide inside a view, for what depends on the body or on a loaded object. Recorded each time.

    `params` fill templates, beside the route's own parameters. Returns the token; a refusal ends the request by
    `Refused` (`RefusedSocket` on a websocket, whose token is asked about its end anew each time), and it is final:
    no answer but the refusal gets out, whatever catches the exception. On an event loop's own thread a key set is
    not waited for: the refusal is 503. `ConfigurationError` where the guard is not installed.
    """
    context = context_of(request.scope)
    decision = context.decide_now(all_of(*permissions), {**request.path_params, **params})
    return cast(AccessToken, context.require_pass(request.scope, decision).token)


def can(request: HTTPConnection, *permissions: Requirement | str, params: Mapping[str, object] = NO_PARAMETERS) -> bool:
    """Whether the request's token would do: a probe, never recorded; False where nothing can be decided."""
    context = request.scope.get(CONTEXT_KEY)
    return isinstance(context, RequestContext) and context.guard.can(
        context.token, all_of(*permissions), {**request.path_params, **params}
    )


def token_from(request: HTTPConnection) -> AccessToken | None:
    """The verified token of the request or websocket; None where none was asked for."""
    context = request.scope.get(CONTEXT_KEY)
    return context.token if isinstance(context, RequestContext) else None
