"""Least privilege access with JWTs for Django and Django REST framework.

`INSTALLED_APPS += ["jwt_lp_django"]`, `MIDDLEWARE = ["jwt_lp_django.middleware.LeastPrivilegeMiddleware", *MIDDLEWARE]`
and `JWT_LP = {...}`. `jwt_lp_django.drf` holds the classes for REST framework.
"""

from __future__ import annotations

from jwt_lp_django.console import console_urls
from jwt_lp_django.cookies import clear_cookie, set_cookie
from jwt_lp_django.decisions import token_from
from jwt_lp_django.decorators import (
    authenticated,
    can,
    enforce,
    external,
    public,
    requires,
)
from jwt_lp_django.elevation import arequest_elevation, elevation_endpoints, request_elevation
from jwt_lp_django.guard_access import guard_from
from jwt_lp_django.include import guarded
from jwt_lp_django.metadata import resource_metadata
from jwt_lp_django.mixin import LeastPrivilegeMixin
from jwt_lp_django.sign_in import sign_in_endpoints, user_sign_in
from jwt_lp_django.tokens import token_endpoint
from jwt_lp_django.user import TokenUser

__all__ = [
    "LeastPrivilegeMixin",
    "TokenUser",
    "arequest_elevation",
    "authenticated",
    "can",
    "clear_cookie",
    "console_urls",
    "elevation_endpoints",
    "enforce",
    "external",
    "guard_from",
    "guarded",
    "public",
    "request_elevation",
    "requires",
    "resource_metadata",
    "set_cookie",
    "sign_in_endpoints",
    "token_endpoint",
    "token_from",
    "user_sign_in",
]
