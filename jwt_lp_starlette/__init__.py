"""Least privilege for Starlette and FastAPI: put the guard in, declare every route, ask inside a view."""

from jwt_lp_starlette.marks import authenticated, external, public, requires
from jwt_lp_starlette.middleware import LeastPrivilege, LeastPrivilegeMiddleware, guard_from
from jwt_lp_starlette.request_context import Refused, RefusedSocket, can, enforce, token_from
from jwt_lp_starlette.tokens import token_endpoint

__all__ = [
    "LeastPrivilege",
    "LeastPrivilegeMiddleware",
    "Refused",
    "RefusedSocket",
    "authenticated",
    "can",
    "enforce",
    "external",
    "guard_from",
    "public",
    "requires",
    "token_endpoint",
    "token_from",
]
