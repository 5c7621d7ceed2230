"""The dependency `Requires`, which declares what a FastAPI route requires.

Write `Annotated[AccessToken, Requires("orders:read")]` as a parameter, or `dependencies=[Requires("orders:read")]` on
a route, a router, an include or the application. A route requires all that reach it. The guard finds them and decides
before FastAPI reads the request; the dependency returns the token.
"""
# No postponed annotations here: FastAPI evaluates those of a callable instance in a place without these names.

from collections.abc import Iterable
from typing import Any

from fastapi import Security
from fastapi.openapi.models import HTTPBearer
from fastapi.requests import HTTPConnection
from fastapi.security.base import SecurityBase

from jwt_lp import ANONYMOUS, AccessToken, Requirement, all_of
from jwt_lp_starlette.decorators import Where
from jwt_lp_starlette.openapi import SCHEME
from jwt_lp_starlette.request_context import enforce_declaration, passed_before

__all__ = ["Requires"]


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
