"""Least privilege with JWTs for Starlette and FastAPI: the guard, declarations on routes, and decisions in views."""

from jwt_lp_starlette.cookies import clear_cookie, set_cookie
from jwt_lp_starlette.decorators import authenticated, external, public, requires
from jwt_lp_starlette.elevation import elevation_endpoints, request_elevation
from jwt_lp_starlette.local_user import local_user
from jwt_lp_starlette.metadata import resource_metadata
from jwt_lp_starlette.middleware import LeastPrivilege, LeastPrivilegeMiddleware, guard_from
from jwt_lp_starlette.request_context import Refused, RefusedSocket, can, enforce, token_from
from jwt_lp_starlette.sign_in import sign_in_endpoints
from jwt_lp_starlette.tokens import token_endpoint

__all__ = [
    "LeastPrivilege",
    "LeastPrivilegeMiddleware",
    "Refused",
    "RefusedSocket",
    "authenticated",
    "can",
    "clear_cookie",
    "elevation_endpoints",
    "enforce",
    "external",
    "guard_from",
    "local_user",
    "public",
    "request_elevation",
    "requires",
    "resource_metadata",
    "set_cookie",
    "sign_in_endpoints",
    "token_endpoint",
    "token_from",
]
