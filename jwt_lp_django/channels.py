"""The guard for Django Channels: a router that decides before it calls a consumer."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Final, cast

from asgiref.sync import sync_to_async
from channels.routing import URLRouter, get_default_application
from django.conf import settings
from django.urls import URLPattern

from jwt_lp import Call, ConfigurationError, Decision, Refusal, Requirement, Route
from jwt_lp_django.guard_access import guard_from
from jwt_lp_django.marks import to_requirement
from jwt_lp_django.template import route_template
from jwt_lp_django.user import TokenUser

_POLICY_VIOLATION: Final = 1008
_BEARER: Final = "bearer"
_PREFIX: Final = "jwt_lp.prefix"


class GuardedURLRouter(URLRouter):
    """A `URLRouter` that calls a consumer only after the guard has let the connection pass.

    What a consumer requires is its class's `required_permissions`: a permission, a requirement, or a decorator of this
    package such as `public`. A consumer without one is refused, unless a rule of the settings applies to its route; so is
    any other application. The token is that of the Authorization header, or the subprotocol after `bearer`. The scope has
    `access_token` and, with a token, `user`. A refused handshake is answered with the refusal, where the server can send
    it, and otherwise closed with code 1008. `ConfigurationError` for a declaration that is none.
    """

    def __init__(self, routes: Sequence[Any]) -> None:
        guarded: list[Any] = [_guarded(route) for route in routes]
        super().__init__(guarded)

    def endpoints(self, prefix: str = "") -> Iterator[Route]:
        """The routes with their declarations; `prefix` is the route of what contains this router."""
        for route in cast("list[Any]", self.routes):
            yield from route.callback.listed(prefix)


class _Nested:
    """A router inside a router."""

    _path_routing = True

    def __init__(self, router: Any, pattern: str) -> None:
        self._router = router if isinstance(router, GuardedURLRouter) else GuardedURLRouter(router.routes)
        self._pattern = pattern

    async def __call__(self, scope: dict[str, Any], receive: Any, send: Any) -> None:
        inner: Any = {**scope, _PREFIX: scope.get(_PREFIX, "") + self._pattern}
        await self._router(inner, receive, send)

    def listed(self, prefix: str) -> Iterator[Route]:
        yield from self._router.endpoints(prefix + self._pattern)


class _Endpoint:
    """A consumer, or another application, with its declaration."""

    def __init__(self, application: Any, pattern: str) -> None:
        self._application = application
        self._pattern = pattern
        consumer = getattr(application, "consumer_class", None)
        target: Any = consumer or application
        self._name = f"{target.__module__}.{getattr(target, '__qualname__', type(target).__qualname__)}"
        declared: object = getattr(consumer, "required_permissions", None)
        self._requirement = None if declared is None else to_requirement(declared)
        faults = () if self._requirement is None else guard_from().faults(self._requirement)
        if faults:
            raise ConfigurationError(*(f"{self._name}: {fault}" for fault in faults))

    def listed(self, prefix: str) -> Iterator[Route]:
        yield self._route("WEBSOCKET", prefix)

    def _route(self, method: str, prefix: str) -> Route:
        hint = 'required_permissions = "..."'
        template = route_template(prefix + self._pattern)
        own = Route((method,), template, self._name, self._requirement, "required_permissions", hint=hint)
        # A rule of the settings is read again each time, because tests replace the guard.
        return own if self._requirement is not None else guard_from().rules.declare(own)

    async def __call__(self, scope: dict[str, Any], receive: Any, send: Any) -> None:
        is_socket = scope["type"] == "websocket"
        route = self._route("WEBSOCKET" if is_socket else str(scope.get("method", "")), scope.get(_PREFIX, ""))
        decision = await _decide(scope, route.requirement, route)
        if decision.refusal is not None:
            await _refuse(scope, receive, send, decision.refusal)
            return
        scope["access_token"] = decision.token
        if decision.token is not None:
            scope["user"] = TokenUser(decision.token, guard_from())
        await self._application(scope, receive, send)


def _guarded(route: Any) -> URLPattern:
    pattern, callback = str(route.pattern).removeprefix("^"), route.callback
    if getattr(callback, "_path_routing", False) is True:
        callback = _Nested(callback, pattern)
    elif not isinstance(callback, _Endpoint):
        callback = _Endpoint(callback, pattern)
    return URLPattern(route.pattern, callback, route.default_args, route.name)


async def _decide(scope: dict[str, Any], requirement: Requirement | None, route: Route) -> Decision:
    guard, lines = guard_from(), _field(scope, "authorization")
    method = str(scope.get("method", "GET"))
    if scope["type"] == "websocket":
        method = "WEBSOCKET"
        lines = (*lines, *(f"Bearer {token}" for token in _take_offered_token(scope)))
    client = scope.get("client")

    def field(name: str) -> tuple[str, ...]:
        return _field(scope, name)

    call = Call(
        method,
        lambda: str(scope.get("path", "")),
        field,
        route.endpoint,
        client[0] if client else None,
    )
    params = scope["url_route"]["kwargs"]
    decision = guard.check(lines, requirement, params, route.label, call=call, wait=False)
    if decision.pending:
        check = sync_to_async(guard.check, thread_sensitive=False)
        decision = await check(lines, requirement, params, route.label, call=call, wait=True)
    # INVARIANT: what nobody could decide is refused.
    return guard.refuse_pending(requirement, route.label) if decision.pending else decision


def _field(scope: dict[str, Any], name: str) -> tuple[str, ...]:
    wanted = name.lower().encode("latin-1")
    return tuple(value.decode("latin-1") for key, value in scope["headers"] if key.lower() == wanted)


def _take_offered_token(scope: dict[str, Any]) -> tuple[str, ...]:
    """The token among the subprotocols. It is removed from them, so that a consumer cannot echo it."""
    protocols: list[str] = list(scope.get("subprotocols") or ())
    if _BEARER not in protocols[:-1]:
        return ()
    position = protocols.index(_BEARER)
    scope["subprotocols"] = protocols[:position] + protocols[position + 2 :]
    return (protocols[position + 1],)


async def _refuse(scope: dict[str, Any], receive: Any, send: Any, refusal: Refusal) -> None:
    is_socket = scope["type"] == "websocket"
    if is_socket:
        # The handshake itself.
        await receive()
        if "websocket.http.response" not in (scope.get("extensions") or ()):
            await send({"type": "websocket.close", "code": _POLICY_VIOLATION, "reason": refusal.error or ""})
            return
    kind = "websocket.http.response" if is_socket else "http.response"
    headers = [(name.lower().encode(), value.encode()) for name, value in refusal.headers.items()]
    await send({"type": f"{kind}.start", "status": refusal.status, "headers": headers})
    await send({"type": f"{kind}.body", "body": refusal.body})


def channels_routes() -> list[Route]:
    """The routes of every router in `ASGI_APPLICATION`; those of a router that is not guarded have no declaration."""
    if not getattr(settings, "ASGI_APPLICATION", None):
        return []
    return list(_routes_below(get_default_application()))


def _routes_below(application: Any) -> Iterator[Route]:
    if isinstance(application, GuardedURLRouter):
        yield from application.endpoints()
    elif isinstance(application, URLRouter):
        # It asks nobody: what it serves is open, and listed as a route without a declaration.
        hint = "GuardedURLRouter([...]) instead of URLRouter([...])"
        for route in cast("list[Any]", application.routes):
            yield Route(("WEBSOCKET",), route_template(str(route.pattern)), "channels.routing.URLRouter", hint=hint)
    for inner in getattr(application, "application_mapping", {}).values():
        yield from _routes_below(inner)
    # What Channels' own middleware wraps is in `inner`, and in `application` for those that check a host's name.
    for name in ("inner", "application", "app"):
        wrapped = getattr(application, name, None)
        if wrapped is not None:
            yield from _routes_below(wrapped)
