"""The ASGI guard: `LeastPrivilege`, its middleware, and the guard that an application has installed.

The guard opens a context for each request. The hooks around the application's routers decide about what they call,
and a gate withholds every response that was not authorised or that hides a refusal.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Mapping
from copy import copy
from functools import partial
from typing import Any, Final, TypeAlias, cast

from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.exceptions import ExceptionMiddleware
from starlette.requests import HTTPConnection

from jwt_lp import ConfigurationError, Guard, Settings
from jwt_lp_starlette.openapi import describe
from jwt_lp_starlette.request_context import RequestContext
from jwt_lp_starlette.response_gate import Receive, ResponseGate, Send
from jwt_lp_starlette.route_reader import MountContext
from jwt_lp_starlette.route_table import RouteTable
from jwt_lp_starlette.router_hook import install_hook
from jwt_lp_starlette.scope import CONTEXT_KEY, Scope

App: TypeAlias = Callable[[Scope, Receive, Send], Awaitable[None]]

_LOG: Final = logging.getLogger("jwt_lp")


class InstalledGuard:
    """The guard of one application, with the table of its routes. `guard` may be replaced at any time."""

    def __init__(self, settings: Settings | Mapping[str, object] | Guard) -> None:
        self.guard = settings if isinstance(settings, Guard) else Guard(settings)
        self._own_guard = None if self.guard is settings else self.guard
        self._table: RouteTable | None = None
        self._faults: tuple[str, ...] | None = None
        self._routes_changed = False

    def table(self, app: Starlette) -> RouteTable:
        """The table of the application's current routes."""
        table = self._own_table(app)
        if table is None:
            if not install_hook(app.router):
                raise ConfigurationError("a middleware of the application's router hides what it wraps")
            mount, on_change = MountContext(owner=app), partial(self._check_routes, app)
            table = self._table = RouteTable(app.router, mount, self.guard.rules, install_hook, on_change)
            self._routes_changed = True
        elif table.refresh():
            self._routes_changed = True
        return table

    def start(self, app: Starlette) -> RouteTable:
        """The table for a request. The first call checks every declaration.

        If there are faults, this call and each later one raises `ConfigurationError` with all of them. Each route
        without a declaration is logged once, and so are faults of routes that were added after the check.
        """
        table = self._own_table(app)
        if table is None or self._routes_changed:
            table = self._check_routes(app)
        if self._faults:
            raise ConfigurationError(*self._faults)
        return table

    def close(self) -> None:
        """Close the guard if it was created here. A guard that was passed in stays open: its owner closes it."""
        if self._own_guard is not None:
            self._own_guard.close()

    def _own_table(self, app: Starlette) -> RouteTable | None:
        table = self._table
        if table is None or table.router is not app.router or table.rules is not self.guard.rules:
            return None
        return table

    def _check_routes(self, app: Starlette) -> RouteTable:
        table = self.table(app)
        self._routes_changed = False
        routes = [route for _, _, route in table.routes()]
        faults = self.guard.check_routes(routes)
        for fault in faults if self._faults is not None else ():
            _LOG.error("jwt_lp.E001 %s", fault)
        self._faults = faults if self._faults is None else self._faults
        _describe_apps(self, app, table)
        return table


class LeastPrivilege(InstalledGuard):
    """Installs the guard in a Starlette or FastAPI application, whatever middleware it has or will get.

    `settings` is the mapping `JWT_LP`, or `Settings`, or a `Guard` of your own. Raises `ConfigurationError` for
    faults in the settings, and if the application has begun to serve.
    """

    def __init__(self, app: Starlette, settings: Settings | Mapping[str, object] | Guard) -> None:
        if app.middleware_stack is not None:
            raise ConfigurationError("the application has begun to serve: call LeastPrivilege(app, ...) before that")
        if _find_installed(app) is not None:
            raise ConfigurationError("the application has a guard already")
        super().__init__(settings)
        app.user_middleware.append(Middleware(LeastPrivilegeMiddleware, settings=self))
        app.state.jwt_lp = self
        _describe_apps(self, app)


class LeastPrivilegeMiddleware:
    """The guard for an application's list of middleware: `Middleware(LeastPrivilegeMiddleware, settings=...)`.

    Wherever it stands in the list, the guard is the innermost layer. Faults in the settings stop the start. If the
    server does not run the lifespan protocol, every request is answered with 500.
    """

    def __init__(self, app: App, settings: Settings | Mapping[str, object] | Guard | InstalledGuard) -> None:
        self.app = app
        self.installed: InstalledGuard | None = None
        try:
            self.installed = settings if isinstance(settings, InstalledGuard) else InstalledGuard(settings)
            innermost = _innermost(app)
            innermost.app = _GuardApp(innermost.app, self.installed, innermost)
        except ConfigurationError as error:
            # If it were raised here, a server would take it for "does not support lifespan" and go on.
            self.app = _FailedStart(error)

    def __call__(self, scope: Scope, receive: Receive, send: Send) -> Awaitable[None]:
        """Pass the call on; the guard itself is the innermost layer."""
        return self.app(scope, receive, send)


def _innermost(app: Any) -> ExceptionMiddleware:
    """The one middleware that is always inside those of a project; only the router is below it."""
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
    """Stands in for an application that must not start: fails the start, and every request."""

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
        # From here on the hooks around the routers decide.
        context = scope[CONTEXT_KEY] = RequestContext(self.installed.guard, scope, table)
        gate = ResponseGate(context, scope, receive, send)
        try:
            await self.app(scope, receive, gate)
        except Exception as error:
            if context.memo.refusal is None or gate.begun:
                raise
            await self._handle(error, scope, receive, gate)

    async def _handle(self, error: Exception, scope: Scope, receive: Receive, gate: ResponseGate) -> None:
        """Run the application's exception handlers inside the gate, which does not see what they send further out."""

        async def failing(*_: object) -> None:
            raise error

        handlers = copy(self.around)
        handlers.app = failing
        try:
            await handlers(scope, receive, gate)
        except Exception:
            # An error that no handler takes would be a 500.
            await gate.refuse()
            raise


def guard_from(request_or_app: HTTPConnection | Starlette | None = None) -> Guard:
    """The guard of a request, a websocket or an application; `ConfigurationError` if there is none."""
    if isinstance(request_or_app, HTTPConnection):
        context = request_or_app.scope.get(CONTEXT_KEY)
        if isinstance(context, RequestContext):
            return context.guard
    return installed_guard(request_or_app).guard


def installed_guard(app: object) -> InstalledGuard:
    """The application's installed guard; if there is none, `ConfigurationError` says what to add."""
    installed = _find_installed(app) if isinstance(app, Starlette) else None
    if installed is None:
        raise ConfigurationError(
            "there is no guard: call LeastPrivilege(app, settings), or list "
            "Middleware(LeastPrivilegeMiddleware, settings=...); then pass the application or the request"
        )
    return installed


def _find_installed(app: Starlette) -> InstalledGuard | None:
    installed = getattr(app.state, CONTEXT_KEY, None)
    if isinstance(installed, InstalledGuard):
        return installed
    if not any(cast(Any, middleware.cls) is LeastPrivilegeMiddleware for middleware in app.user_middleware):
        return None
    # Middleware that is listed by hand exists once Starlette has built the stack, which the first call does.
    if app.middleware_stack is None:
        app.middleware_stack = app.build_middleware_stack()
    layer: Any = app.middleware_stack
    while layer is not None and not isinstance(layer, LeastPrivilegeMiddleware):
        layer = getattr(layer, "app", None)
    if isinstance(layer, LeastPrivilegeMiddleware) and isinstance(layer.app, _FailedStart):
        raise ConfigurationError(*layer.app.faults)
    return None if layer is None else layer.installed


def _describe_apps(installed: InstalledGuard, app: Starlette, table: RouteTable | None = None) -> None:
    """Add the declarations to the OpenAPI schema of the application and of those mounted in it."""
    mounted = {id(mount.owner): mount.owner for _, mount, _ in table.routes()} if table is not None else {}
    for owner in {id(app): app, **mounted}.values():
        if hasattr(owner, "openapi"):
            describe(lambda: installed.table(app), owner, lambda: installed.guard.settings.cookies)
