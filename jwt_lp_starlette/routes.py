"""The host interface that commands and test fixtures use for Starlette and FastAPI applications."""

from __future__ import annotations

from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Final, cast

from starlette.applications import Starlette

from jwt_lp import Guard, Route
from jwt_lp_starlette.middleware import installed_guard
from jwt_lp_starlette.scope import WEBSOCKET

_CLIENTS: Final = frozenset({"httpx", "httpx2"})


class StarletteHost:
    """The adapter in the entry-point group `jwt_lp.hosts`; a FastAPI application is also a Starlette application."""

    name = "starlette"

    def recognises(self, app: object) -> bool:
        """Whether `app` is a Starlette or FastAPI application."""
        return isinstance(app, Starlette)

    def routes(self, app: object) -> Sequence[Route]:
        """Every route of the application and of those mounted in it."""
        table = installed_guard(app).table(cast(Starlette, app))
        return [route for _, _, route in table.routes()]

    def guard(self, app: object) -> Guard:
        """The application's guard; if there is none, `ConfigurationError` says what to add."""
        return installed_guard(app).guard

    def resolve(self, app: object, method: str, path: str) -> tuple[Route, Mapping[str, object]] | None:
        """The route that the router would call, and the parameters that the endpoint gets.

        `WEBSOCKET` is a method here. A route below a `Host` is not found, because the request has no host.
        """
        kind = "websocket" if method == WEBSOCKET else "http"
        scope: dict[str, Any] = {"type": kind, "method": method, "path": path, "root_path": "", "headers": []}
        target = installed_guard(app).table(cast(Starlette, app)).find(scope)
        return None if target.rule is None else (target.rule.route, target.params)

    @contextmanager
    def swap_guard(self, app: object, guard: Guard) -> Generator[object]:
        """Have the application use `guard` while the context lasts."""
        installed = installed_guard(app)
        before, installed.guard = installed.guard, guard
        try:
            yield guard
        finally:
            installed.guard = before

    def login(self, client: object, authorization: str) -> bool:
        """Have Starlette's test client, or a client of httpx, send the header from now on."""
        if not any(cls.__module__.partition(".")[0] in _CLIENTS for cls in type(client).__mro__):
            return False
        cast(Any, client).headers["Authorization"] = authorization
        return True


host: Final = StarletteHost()
