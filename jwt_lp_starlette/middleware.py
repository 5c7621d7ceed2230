"""May this answer leave the application? The ASGI guard.

It opens a hearing for each request, which the application's routers have decided on what they are about to call,
and it withholds every response that nobody decided on or that stands in a refusal's place.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from copy import copy
from typing import Any, Final, TypeAlias, cast

from starlette.applications import Starlette
from starlette.datastructures import Headers
from starlette.middleware import Middleware
from starlette.middleware.exceptions import ExceptionMiddleware
from starlette.requests import HTTPConnection

from jwt_lp import ConfigurationError, Guard, Refusal, Settings
from jwt_lp_starlette.openapi import describe
from jwt_lp_starlette.request_context import (
    BEARER,
    CONTEXT_KEY,
    NO_PARAMETERS,
    RequestContext,
    Scope,
    can_deny_handshake,
    refusal_error,
    refusal_response,
)
from jwt_lp_starlette.route_reader import MountContext
from jwt_lp_starlette.route_table import RouteTable, install_hook

Message: TypeAlias = MutableMapping[str, Any]
Receive: TypeAlias = Callable[[], Awaitable[Message]]
Send: TypeAlias = Callable[[Message], Awaitable[None]]
App: TypeAlias = Callable[[Scope, Receive, Send], Awaitable[None]]

_LOG: Final = logging.getLogger("jwt_lp")
# The router's own answers where it calls nothing: not found, not allowed, the redirect to the other slash.
_METHOD_NOT_ALLOWED: Final = 405
_ROUTER_STATUSES: Final = frozenset({404, _METHOD_NOT_ALLOWED, 307})
_RESPONSE_STARTS: Final = frozenset({"http.response.start", "websocket.accept", "websocket.http.response.start"})


class InstalledGuard:
    """The guard of one application, with the table of its routes. `guard` may be swapped at any time."""

    def __init__(self, settings: Settings | Mapping[str, object] | Guard) -> None:
        self.guard = settings if isinstance(settings, Guard) else Guard(settings)
        self._own_guard = None if self.guard is settings else self.guard
        self._table: RouteTable | None = None
        self._faults: tuple[str, ...] | None = None
        self._routes_changed = False

    def table(self, app: Starlette) -> RouteTable:
        """The table of the application's routes as they are now."""
        found = self._table
        if found is None or found.router is not app.router or found.rules is not self.guard.rules:
            if not install_hook(app.router):
                raise ConfigurationError("a middleware of the application's router hides what it wraps")
            found = self._table = RouteTable(app.router, MountContext(owner=app), self.guard.rules)
            self._routes_changed = True
        elif found.refresh():
            self._routes_changed = True
        return found

    def start(self, app: Starlette) -> RouteTable:
        """The table, for a request. When first asked, every declaration is checked.

        `ConfigurationError` lists all faults, then and whenever it is asked again. What is not declared is logged,
        each route once, and so are faults of routes that were added after the check.
        """
        table = self.table(app)
        if self._routes_changed:
            self._routes_changed = False
            self._check_routes(app, table)
        if self._faults:
            raise ConfigurationError(*self._faults)
        return table

    def close(self) -> None:
        """Close the guard that was made here; one that was handed over is its owner's."""
        if self._own_guard is not None:
            self._own_guard.close()

    def _check_routes(self, app: Starlette, table: RouteTable) -> None:
        routes = [route for _, _, route in table.routes()]
        found = self.guard.check_routes(routes)
        for fault in found if self._faults is not None else ():
            _LOG.error("jwt_lp.E001 %s", fault)
        self._faults = found if self._faults is None else self._faults
        _describe_apps(self, app, table)


class LeastPrivilege(InstalledGuard):
    """Puts the guard into a Starlette or FastAPI application, whatever middleware it has or will get.

    `settings` is the mapping `JWT_LP`, or `Settings`, or a `Guard` of your own. `ConfigurationError` for faults of
    settings, and where the application has begun to serve.
    """

    def __init__(self, app: Starlette, settings: Settings | Mapping[str, object] | Guard) -> None:
        if app.middleware_stack is not None:
            raise ConfigurationError("the application has begun to serve: call LeastPrivilege(app, ...) before that")
        if _find_installed(app) is not None:
            raise ConfigurationError("the application has its guard already")
        super().__init__(settings)
        app.user_middleware.append(Middleware(LeastPrivilegeMiddleware, settings=self))
        app.state.jwt_lp = self
        _describe_apps(self, app)


class LeastPrivilegeMiddleware:
    """The guard for an application's list of middleware: `Middleware(LeastPrivilegeMiddleware, settings=...)`.

    Wherever it is listed, it guards innermost. A fault of settings stops the start, and where a server does not
    run one, every request is answered 500.
    """

    def __init__(self, app: App, settings: Settings | Mapping[str, object] | Guard | InstalledGuard) -> None:
        self.app = app
        self.installed: InstalledGuard | None = None
        try:
            self.installed = settings if isinstance(settings, InstalledGuard) else InstalledGuard(settings)
            innermost = _innermost(app)
            innermost.app = _GuardApp(innermost.app, self.installed, innermost)
        except ConfigurationError as error:
            # Raised here, a server would take the error for "does not speak lifespan" and go on.
            self.app = _FailedStart(error)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the call on; the guard stands further in."""
        await self.app(scope, receive, send)


def _innermost(app: Any) -> ExceptionMiddleware:
    """The one middleware that is always further in than those of a project; only the router is below it."""
    while not isinstance(app, ExceptionMiddleware):
        app = getattr(app, "app", None)
        if app is None:
            raise ConfigurationError(
                "a middleware listed after LeastPrivilegeMiddleware hides what it wraps: "
                "list Middleware(LeastPrivilegeMiddleware, settings=...) last"
            )
    if isinstance(app.app, _GuardApp):
        raise ConfigurationError("the application has two guards: list LeastPrivilegeMiddleware once")
    return app


class _FailedStart:
    """What is served of an application that must not start."""

    def __init__(self, error: ConfigurationError) -> None:
        self.faults = error.faults
        _LOG.error("jwt_lp.E001 %s", error)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        error = ConfigurationError(*self.faults)
        if scope["type"] == "lifespan":
            await receive()
            await send({"type": "lifespan.startup.failed", "message": str(error)})
        raise error


class _GuardApp:
    def __init__(self, app: App, installed: InstalledGuard, around: ExceptionMiddleware) -> None:
        self.app = app
        self.installed = installed
        self.around = around

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            table = self.installed.start(scope["app"])
        except ConfigurationError as error:
            self.app = _FailedStart(error) if not isinstance(self.app, _FailedStart) else self.app
            await self.app(scope, receive, send)
            return
        if scope["type"] == "lifespan":
            try:
                await self.app(scope, receive, send)
            finally:
                self.installed.close()
            return
        # From here on the routers' own benches decide.
        context = scope[CONTEXT_KEY] = RequestContext(self.installed.guard, scope, table)
        watch = _ResponseGate(context, scope, receive, send)
        try:
            await self.app(scope, receive, watch)
        except Exception as error:
            if context.memo.refusal is None or watch.begun:
                raise
            await self._handled(error, scope, receive, watch)

    async def _handled(self, error: Exception, scope: Scope, receive: Receive, watch: _ResponseGate) -> None:
        """Have the application's exception handlers answer here: what they send outside, nobody watches."""

        async def failing(*_: object) -> None:
            raise error

        handlers = copy(self.around)
        handlers.app = failing
        try:
            await handlers(scope, receive, watch)
        except Exception:
            # What no handler takes would be a 500.
            await watch.refuse()
            raise


class _ResponseGate:
    """Lets out what was decided on, refusals, and the router's own answers; anything else is withheld.

    `begun` says that a response has begun, or that a websocket was accepted.
    """

    def __init__(self, context: RequestContext, scope: Scope, receive: Receive, send: Send) -> None:
        self._context = context
        self._scope = scope
        self._receive = receive
        self._send = send
        self.begun = False
        self._under: Refusal | None = None
        self._accepted = False
        self._withheld = False

    async def __call__(self, message: Message) -> None:
        if self._withheld:
            return
        if not self._may_send(message) and await self._withhold():
            return
        if message["type"] in _RESPONSE_STARTS:
            self.begun, self._under = True, self._context.memo.refusal
        if message["type"] == "websocket.accept":
            self._accepted = True
            if self._context.offered_tokens and not message.get("subprotocol"):
                # A browser that offered protocols gives up unless one of them is chosen.
                message["subprotocol"] = BEARER
        await self._send(message)

    def _may_send(self, message: Message) -> bool:
        # INVARIANT: a refusal is final; what answers is what was judged; nothing else may answer with content.
        memo = self._context.memo
        if message["type"] not in _RESPONSE_STARTS:
            # What began before the refusal is not gone on with.
            return memo.refusal is self._under or message["type"] == "websocket.close"
        if memo.refusal is not None:
            return memo.permits(*_start_of(message))
        if self._context.decision is None and message.get("status") not in _ROUTER_STATUSES:
            return False
        # The endpoint that a 405 is about was found by its path and not called.
        found = self._context.passes_through(self._scope.get("endpoint"))
        return found or (self._context.decision is None and message.get("status") == _METHOD_NOT_ALLOWED)

    async def refuse(self) -> None:
        """Send the refusal, unless something was sent."""
        if not (self.begun or self._withheld):
            await self._withhold()

    async def _withhold(self) -> bool:
        refusal = self._context.memo.refusal or (await self._context.decide(None, NO_PARAMETERS)).refusal
        if refusal is None:
            return False
        self._withheld = True
        if self.begun and not self._accepted:
            # The status is out. An error has the server break the connection off, so that the client sees it end early.
            raise refusal_error(self._scope, refusal)
        if self._scope["type"] == "websocket" and (self._accepted or not can_deny_handshake(self._scope)):
            await self._send({"type": "websocket.close", "code": 1008, "reason": refusal.error or ""})
        else:
            await refusal_response(refusal)(self._scope, self._receive, self._send)
        return True


def _start_of(message: Message) -> tuple[int, str | None]:
    """Status and challenge of a response that begins; accepting a websocket is none."""
    return message.get("status", 0), Headers(raw=list(message.get("headers", ()))).get("www-authenticate")


def guard_from(request_or_app: HTTPConnection | Starlette | None = None) -> Guard:
    """The guard of a request, a websocket or an application; `ConfigurationError` where there is none."""
    if isinstance(request_or_app, HTTPConnection):
        context = request_or_app.scope.get(CONTEXT_KEY)
        if isinstance(context, RequestContext):
            return context.guard
    return installed_guard(request_or_app).guard


def installed_guard(app: object) -> InstalledGuard:
    """The application's door; `ConfigurationError` with what to add where there is none."""
    found = _find_installed(app) if isinstance(app, Starlette) else None
    if found is None:
        raise ConfigurationError(
            "there is no guard: call LeastPrivilege(app, settings), or list "
            "Middleware(LeastPrivilegeMiddleware, settings=...); then pass the application or the request"
        )
    return found


def _find_installed(app: Starlette) -> InstalledGuard | None:
    kept = getattr(app.state, CONTEXT_KEY, None)
    if isinstance(kept, InstalledGuard):
        return kept
    if not any(cast(Any, each.cls) is LeastPrivilegeMiddleware for each in app.user_middleware):
        return None
    # Listed by hand, the middleware exists only once Starlette has built the stack, as it does when first called.
    if app.middleware_stack is None:
        app.middleware_stack = app.build_middleware_stack()
    layer: Any = app.middleware_stack
    while layer is not None and not isinstance(layer, LeastPrivilegeMiddleware):
        layer = getattr(layer, "app", None)
    if isinstance(layer, LeastPrivilegeMiddleware) and isinstance(layer.app, _FailedStart):
        raise ConfigurationError(*layer.app.faults)
    return None if layer is None else layer.installed


def _describe_apps(installed: InstalledGuard, app: Starlette, table: RouteTable | None = None) -> None:
    """Have the schema of the application, and of those below it, show what is declared."""
    below = {id(mount.owner): mount.owner for _, mount, _ in table.routes()} if table is not None else {}
    for each in {id(app): app, **below}.values():
        if hasattr(each, "openapi"):
            describe(lambda: installed.table(app), each)
