"""Starlette: bare, with jwt-lp, and with its own AuthenticationMiddleware and PyJWT."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from jwt import InvalidTokenError
from starlette.applications import Starlette
from starlette.authentication import (
    AuthCredentials,
    AuthenticationBackend,
    AuthenticationError,
    BaseUser,
    SimpleUser,
)
from starlette.authentication import requires as starlette_requires
from starlette.middleware import Middleware
from starlette.middleware.authentication import AuthenticationMiddleware
from starlette.requests import HTTPConnection, Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from benchmarks.apps.handlers import PATH, PERMISSION
from jwt_lp_starlette import LeastPrivilege, requires

Handler = Callable[[], dict[str, Any]]


def bare(handler: Handler) -> Starlette:
    """The application without a guard."""
    return Starlette(routes=[Route(PATH, _view(handler))])


def guarded(handler: Handler, settings: Mapping[str, object]) -> Starlette:
    """The same with jwt-lp."""
    app = Starlette(routes=[Route(PATH, requires(PERMISSION)(_view(handler)))])
    LeastPrivilege(app, settings)
    return app


def with_pyjwt(handler: Handler, decode: Callable[[str], dict[str, Any]]) -> Starlette:
    """The same with Starlette's AuthenticationMiddleware, a backend that calls PyJWT, and Starlette's `requires`."""

    class Backend(AuthenticationBackend):
        async def authenticate(self, conn: HTTPConnection) -> tuple[AuthCredentials, BaseUser] | None:
            scheme, _, token = conn.headers.get("Authorization", "").partition(" ")
            if scheme.lower() != "bearer":
                return None
            try:
                claims = decode(token)
            except InvalidTokenError:
                raise AuthenticationError("the token is not valid") from None
            return AuthCredentials(claims["scope"].split()), SimpleUser(claims["sub"])

    view = starlette_requires(PERMISSION)(_view(handler))
    middleware = Middleware(AuthenticationMiddleware, backend=Backend())
    return Starlette(routes=[Route(PATH, view)], middleware=[middleware])


def _view(handler: Handler) -> Callable[[Request], Any]:
    async def orders(request: Request) -> Response:  # noqa: ARG001 - Starlette hands it over
        return JSONResponse(handler())

    return orders
