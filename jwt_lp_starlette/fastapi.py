"""How does a FastAPI route say what it asks for?

`Annotated[AccessToken, Requires("orders:read")]` as a parameter, or `dependencies=[Requires("orders:read")]` on a
route, a router, an include or the application; all that reach a route are asked for. The guard finds them and
decides before FastAPI reads the request; the dependency hands over the token.
"""
# No postponed annotations here: FastAPI evaluates those of a callable instance where these names do not exist.

from collections.abc import Iterable
from typing import Any, cast

from fastapi import Security
from fastapi.openapi.models import HTTPBearer
from fastapi.requests import HTTPConnection
from fastapi.security.base import SecurityBase

from jwt_lp import AccessToken, Requirement, all_of
from jwt_lp_starlette.marks import Where
from jwt_lp_starlette.openapi import SCHEME
from jwt_lp_starlette.request_context import enforce_mark

__all__ = ["Requires"]


class _RequirementScheme(SecurityBase):
    def __init__(self, requirement: Requirement) -> None:
        self.model = HTTPBearer(bearerFormat="JWT")
        self.scheme_name = SCHEME
        self.__jwt_lp__ = requirement

    async def __call__(self, connection: HTTPConnection) -> AccessToken:
        return cast(AccessToken, await enforce_mark(connection.scope, self.__jwt_lp__))


def Requires(  # noqa: N802 - reads as FastAPI's own Depends and Security do
    *permissions: Requirement | str, where: Where | None = None, unbound: Iterable[str] = (), enforce: bool = False
) -> Any:
    """Declare what a route asks for; the parameter so annotated is the request's verified token.

    The arguments are those of `requires`; any valid token will do for `Requires(AUTHENTICATED)`. Without the guard
    the route raises `ConfigurationError`. While the operator only observes, the token may be None.
    """
    return Security(_RequirementScheme(all_of(*permissions, where=where, unbound=unbound, enforce=enforce)))
