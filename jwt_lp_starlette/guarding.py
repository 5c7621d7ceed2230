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
from jwt_lp_starlette.hearing import BEARER, KEY, NO_PARAMS, Hearing, Scope, denies, refused, response
from jwt_lp_starlette.openapi import describe
from jwt_lp_starlette.routing import Place
from jwt_lp_starlette.table import Table, seat

Message: TypeAlias = MutableMapping[str, Any]
Receive: TypeAlias = Callable[[], Awaitable[Message]]
Send: TypeAlias = Callable[[Message], Awaitable[None]]
App: TypeAlias = Callable[[Scope, Receive, Send], Awaitable[None]]

_LOG: Final = logging.getLogger("jwt_lp")
# The router's own answers where it calls nothing: not found, not allowed, the redirect to the other slash.
_NOT_ALLOWED: Final = 405
_NATIVE: Final = frozenset({404, _NOT_ALLOWED, 307})
_STARTS: Final = frozenset({"http.response.start", "websocket.accept", "websocket.http.response.start"})


class Door:
    """The guard of one application, with the table of its routes. `guard` may be swapped at any time."""

    def __init__(self, settings: Settings | Mapping[str, object] | Guard) -> None:
        self.guard = settings if isinstance(settings, Guard) else Guard(settings)
        self._own = None if self.guard is settings else self.guard
        self._table: Table | None = None
        self._faults: tuple[str, ...] | None = None
        self._read = False

    def table(self, app: Starlette) -> Table:
        """The table of the application's routes as they are now."""
        found = self._table
        if found is None or found.router is not app.router or found.rules is not self.guard.rules:
            if not seat(app.router):
                raise ConfigurationError("a middleware of the application's router hides what it wraps")
            found = self._table = Table(app.router, Place(owner=app), self.guard.rules)
            self._read = True
        elif found.refresh():
            self._read = True
        return found

    def start(self, app: Starlette) -> Table:
        """The table, for a request. When first asked, every declaration is checked.

        `ConfigurationError` lists all faults, then and whenever it is asked again. What is not declared is logged,
        each route once, and so are faults of routes that were added after the check.
        """
        table = self.table(app)
        if self._read:
            self._read = False
            self._look(app, table)
        if self._faults:
            raise ConfigurationError(*self._faults)
        return table

    def close(self) -> None:
        """Close the guard that was made here; one that was handed over is its owner's."""
        if self._own is not None:
            self._own.close()

    def _look(self, app: Starlette, table: Table) -> None:
        routes = [route for _, _, route in table.routes()]
        found = self.guard.survey(routes)
        for fault in found if self._faults is not None else ():
            _LOG.error("jwt_lp.E001 %s", fault)
        self._faults = found if self._faults is None else self._faults
        _describe(self, app, table)


class LeastPrivilege(Door):
    """Puts the guard into a Starlette or FastAPI application, whatever middleware it has or will get.

    `settings` is the mapping `JWT_LP`, or `Settings`, or a `Guard` of your own. `ConfigurationError` for faults of
    settings, and where the application has begun to serve.
    """

    def __init__(self, app: Starlette, settings: Settings | Mapping[str, object] | Guard) -> None:
        if app.middleware_stack is not None:
            raise ConfigurationError("the application has begun to serve: call LeastPrivilege(app, ...) before that")
        if _installed(app) is not None:
            raise ConfigurationError("the application has its guard already")
        super().__init__(settings)
        app.user_middleware.append(Middleware(LeastPrivilegeMiddleware, settings=self))
        app.state.jwt_lp = self
        _describe(self, app)


class LeastPrivilegeMiddleware:
    """The guard for an application's list of middleware: `Middleware(LeastPrivilegeMiddleware, settings=...)`.

    Wherever it is listed, it guards innermost. A fault of settings stops the start, and where a server does not
    run one, every request is answered 500.
    """

    def __init__(self, app: App, settings: Settings | Mapping[str, object] | Guard | Door) -> None:
        self.app = app
        self.door: Door | None = None
        try:
            self.door = settings if isinstance(settings, Door) else Door(settings)
            innermost = _innermost(app)
            innermost.app = _Guarding(innermost.app, self.door, innermost)
        except ConfigurationError as error:
            # Raised here, a server would take the error for "does not speak lifespan" and go on.
            self.app = _Stopped(error)

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
    if isinstance(app.app, _Guarding):
        raise ConfigurationError("the application has two guards: list LeastPrivilegeMiddleware once")
    return app


class _Stopped:
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


class _Guarding:
    def __init__(self, app: App, door: Door, around: ExceptionMiddleware) -> None:
        self.app = app
        self.door = door
        self.around = around

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            table = self.door.start(scope["app"])
        except ConfigurationError as error:
            self.app = _Stopped(error) if not isinstance(self.app, _Stopped) else self.app
            await self.app(scope, receive, send)
            return
        if scope["type"] == "lifespan":
            try:
                await self.app(scope, receive, send)
            finally:
                self.door.close()
            return
        # From here on the routers' own benches decide.
        hearing = scope[KEY] = Hearing(self.door.guard, scope, table)
        watch = _Watch(hearing, scope, receive, send)
        try:
            await self.app(scope, receive, watch)
        except Exception as error:
            if hearing.memo.refusal is None or watch.begun:
                raise
            await self._handled(error, scope, receive, watch)

    async def _handled(self, error: Exception, scope: Scope, receive: Receive, watch: _Watch) -> None:
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


class _Watch:
    """Lets out what was decided on, refusals, and the router's own answers; anything else is withheld.

    `begun` says that a response has begun, or that a websocket was accepted.
    """

    def __init__(self, hearing: Hearing, scope: Scope, receive: Receive, send: Send) -> None:
        self._hearing = hearing
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
        if not self._vouched(message) and await self._withhold():
            return
        if message["type"] in _STARTS:
            self.begun, self._under = True, self._hearing.memo.refusal
        if message["type"] == "websocket.accept":
            self._accepted = True
            if self._hearing.offered and not message.get("subprotocol"):
                # A browser that offered protocols gives up unless one of them is chosen.
                message["subprotocol"] = BEARER
        await self._send(message)

    def _vouched(self, message: Message) -> bool:
        # INVARIANT: a refusal is final; what answers is what was judged; nothing else may answer with content.
        memo = self._hearing.memo
        if message["type"] not in _STARTS:
            # What began before the refusal is not gone on with.
            return memo.refusal is self._under or message["type"] == "websocket.close"
        if memo.refusal is not None:
            return memo.lets_out(*_start_of(message))
        if self._hearing.decision is None and message.get("status") not in _NATIVE:
            return False
        # The endpoint that a 405 is about was found by its path and not called.
        found = self._hearing.leads_to(self._scope.get("endpoint"))
        return found or (self._hearing.decision is None and message.get("status") == _NOT_ALLOWED)

    async def refuse(self) -> None:
        """Send the refusal, unless something was sent."""
        if not (self.begun or self._withheld):
            await self._withhold()

    async def _withhold(self) -> bool:
        refusal = self._hearing.memo.refusal or (await self._hearing.hear(None, NO_PARAMS)).refusal
        if refusal is None:
            return False
        self._withheld = True
        if self.begun and not self._accepted:
            # The status is out. An error has the server break the connection off, so that the client sees it end early.
            raise refused(self._scope, refusal)
        if self._scope["type"] == "websocket" and (self._accepted or not denies(self._scope)):
            await self._send({"type": "websocket.close", "code": 1008, "reason": refusal.error or ""})
        else:
            await response(refusal)(self._scope, self._receive, self._send)
        return True


def _start_of(message: Message) -> tuple[int, str | None]:
    """Status and challenge of a response that begins; accepting a websocket is none."""
    return message.get("status", 0), Headers(raw=list(message.get("headers", ()))).get("www-authenticate")


def guard_from(request_or_app: HTTPConnection | Starlette | None = None) -> Guard:
    """The guard of a request, a websocket or an application; `ConfigurationError` where there is none."""
    if isinstance(request_or_app, HTTPConnection):
        hearing = request_or_app.scope.get(KEY)
        if isinstance(hearing, Hearing):
            return hearing.guard
    return door_of(request_or_app).guard


def door_of(app: object) -> Door:
    """The application's door; `ConfigurationError` with what to add where there is none."""
    found = _installed(app) if isinstance(app, Starlette) else None
    if found is None:
        raise ConfigurationError(
            "there is no guard: call LeastPrivilege(app, settings), or list "
            "Middleware(LeastPrivilegeMiddleware, settings=...); then pass the application or the request"
        )
    return found


def _installed(app: Starlette) -> Door | None:
    kept = getattr(app.state, KEY, None)
    if isinstance(kept, Door):
        return kept
    if not any(cast(Any, each.cls) is LeastPrivilegeMiddleware for each in app.user_middleware):
        return None
    # Listed by hand, the middleware exists only once Starlette has built the stack, as it does when first called.
    if app.middleware_stack is None:
        app.middleware_stack = app.build_middleware_stack()
    layer: Any = app.middleware_stack
    while layer is not None and not isinstance(layer, LeastPrivilegeMiddleware):
        layer = getattr(layer, "app", None)
    if isinstance(layer, LeastPrivilegeMiddleware) and isinstance(layer.app, _Stopped):
        raise ConfigurationError(*layer.app.faults)
    return None if layer is None else layer.door


def _describe(door: Door, app: Starlette, table: Table | None = None) -> None:
    """Have the schema of the application, and of those below it, show what is declared."""
    below = {id(place.owner): place.owner for _, place, _ in table.routes()} if table is not None else {}
    for each in {id(app): app, **below}.values():
        if hasattr(each, "openapi"):
            describe(lambda: door.table(app), each)
