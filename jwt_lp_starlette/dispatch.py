"""The call of a router for the routes that the guard has found: by the router's own code, but without its search."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from types import FunctionType
from typing import Any, Final

from starlette.routing import BaseRoute, Match, Router

from jwt_lp_starlette.scope import Scope

FRAMEWORK_MODULES: Final = frozenset({"starlette.routing", "fastapi.routing"})


class MatchedRoute(BaseRoute):
    """A route of which the answer of `matches` is known: it has matched, and adds `child` to the scope."""

    def __init__(self, route: BaseRoute, child: Scope) -> None:
        self._route = route
        self._child = child

    def matches(self, scope: Scope) -> tuple[Match, Scope]:
        """The known answer."""
        return Match.FULL, self._child

    def handle(self, scope: Scope, receive: Any, send: Any) -> Any:
        """Have the route handle the request, as if the router had found it: its own coroutine."""
        if scope.get("route") is self:
            scope["route"] = self._route
        return self._route.handle(scope, receive, send)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._route, name)


class NarrowedRouter:
    """A router with no other than these `routes`; everything else is the router's own."""

    __slots__ = ("_router", "routes")

    def __init__(self, router: Router, routes: Sequence[BaseRoute]) -> None:
        self._router = router
        self.routes = routes

    def __getattr__(self, name: str) -> Any:
        return getattr(self._router, name)


def framework_function(app: Any) -> Callable[..., Awaitable[None]] | None:
    """The function behind a router's bound `app`, to call it with a `NarrowedRouter`; None if it is a project's own."""
    function = getattr(app, "__func__", None)
    if not isinstance(function, FunctionType) or function.__module__ not in FRAMEWORK_MODULES:
        return None
    return function if function.__name__ == "app" else None
