"""The dependency `Requires`, which declares what a FastAPI route requires.

Write `Annotated[AccessToken, Requires("orders:read")]` as a parameter, or `dependencies=[Requires("orders:read")]` on
a route, a router, an include or the application. A route requires all that reach it. The guard finds them and decides
before FastAPI reads the request; the dependency returns the token.
"""
# No postponed annotations here: FastAPI evaluates those of a callable instance in a place without these names.

from collections.abc import Iterable
from typing import Any

from fastapi import APIRouter, Security
from fastapi.openapi.models import HTTPBearer
from fastapi.requests import HTTPConnection
from fastapi.security.base import SecurityBase

from jwt_lp import (
    ANONYMOUS,
    AccessToken,
    ElevationEndpoints,
    Elevations,
    Requirement,
    SignIn,
    SignInEndpoints,
    all_of,
)
from jwt_lp_starlette.decorators import Where
from jwt_lp_starlette.elevation import elevation_view
from jwt_lp_starlette.openapi import SCHEME
from jwt_lp_starlette.request_context import enforce_declaration, passed_before
from jwt_lp_starlette.sign_in import sign_in_view

__all__ = ["Requires", "elevation_router", "sign_in_router"]


class _RequirementScheme(SecurityBase):
    def __init__(self, requirement: Requirement) -> None:
        self.model = HTTPBearer(bearerFormat="JWT")
        self.scheme_name = SCHEME
        self.__jwt_lp__ = requirement

    async def __call__(self, connection: HTTPConnection) -> AccessToken:
        decision = passed_before(connection.scope, self.__jwt_lp__)
        if decision is None:
            return await enforce_declaration(connection.scope, self.__jwt_lp__) or ANONYMOUS
        return decision.token or ANONYMOUS


def Requires(  # noqa: N802 - named like FastAPI's Depends and Security
    *permissions: Requirement | str,
    where: Where | None = None,
    unbound: Iterable[str] = (),
    enforce: bool = False,
    or_session: str | None = None,
) -> Any:
    """Declare what a route requires; a parameter with this annotation gets the request's verified token.

    The arguments are those of `requires`; `Requires(AUTHENTICATED)` accepts any valid token. Without the guard
    the route raises `ConfigurationError`. In observe mode, the parameter is `jwt_lp.ANONYMOUS` if there is no valid
    token.
    """
    requirement = all_of(*permissions, where=where, unbound=unbound, enforce=enforce, or_session=or_session)
    return Security(_RequirementScheme(requirement))


def sign_in_router(sign_in: SignIn, *, cookies: bool = False) -> APIRouter:
    """A router with `token`, `refresh`, `sign-out` and `sign-out-everywhere`, with their declarations and OpenAPI.

    Use it as `app.include_router(sign_in_router(sign_in), prefix="/auth")`. Each endpoint is `external`, because it checks
    a password or a refresh token itself. With `cookies` the tokens are in cookies, and the guard needs the setting
    `COOKIE`.
    """
    endpoints = SignInEndpoints(sign_in, cookies=cookies)
    router = APIRouter(tags=["sign-in"])
    for name in endpoints.reasons:
        router.add_api_route(
            f"/{name}",
            sign_in_view(endpoints, name),
            methods=["POST"],
            name=f"jwt_lp_{name}",
            summary=name.replace("-", " ").capitalize(),
            response_model=None,
            openapi_extra=_operation(name, cookies=cookies),
        )
    return router


def elevation_router(elevations: Elevations | None = None, url: str = "/elevations") -> APIRouter:
    """A router with the endpoints of elevation at `url`, with their declarations and OpenAPI.

    Use it as `app.include_router(elevation_router())`. Each endpoint requires a valid token, in observe mode too. Without
    `elevations`, those of the application's guard are used: by its `POLICY`, in its `STORE`.
    """
    router = APIRouter(tags=["elevation"])
    for name, endpoint in ElevationEndpoints.endpoints.items():
        router.add_api_route(
            f"{url}{endpoint.path}",
            elevation_view(name, elevations),
            methods=[endpoint.method],
            name=f"jwt_lp_elevation_{name}",
            summary=endpoint.summary,
            status_code=201 if name == "ask" else 200,
            response_model=None,
            openapi_extra=ElevationEndpoints.operation(name),
        )
    return router


def _operation(name: str, *, cookies: bool) -> dict[str, Any]:
    """What the schema says about the body of an endpoint, which FastAPI does not read."""
    if cookies and name != "token":
        return {}
    secret = {"type": "string", "format": "password"}
    fields = {"username": {"type": "string"}, "password": secret} if name == "token" else {"refresh_token": secret}
    schema = {"type": "object", "required": [*fields], "properties": fields}
    types = ("application/json", "application/x-www-form-urlencoded")
    return {"requestBody": {"required": True, "content": {each: {"schema": schema} for each in types}}}
