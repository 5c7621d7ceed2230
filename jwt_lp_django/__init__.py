"""Least privilege access with JWTs for Django and Django REST framework.

`INSTALLED_APPS += ["jwt_lp_django"]`, `MIDDLEWARE = ["jwt_lp_django.middleware.LeastPrivilegeMiddleware", *MIDDLEWARE]`
and `JWT_LP = {...}`. What REST framework needs besides is in `jwt_lp_django.drf`.
"""

from __future__ import annotations

from jwt_lp_django.apps import guard_from
from jwt_lp_django.decorators import (
    LeastPrivilegeMixin,
    authenticated,
    can,
    enforce,
    external,
    public,
    requires,
    token_from,
)
from jwt_lp_django.include import guarded
from jwt_lp_django.tokens import token_endpoint
from jwt_lp_django.user import TokenUser

__all__ = [
    "LeastPrivilegeMixin",
    "TokenUser",
    "authenticated",
    "can",
    "enforce",
    "external",
    "guard_from",
    "guarded",
    "public",
    "requires",
    "token_endpoint",
    "token_from",
]
