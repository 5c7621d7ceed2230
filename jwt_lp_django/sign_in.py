"""The endpoints of sign-in as URL patterns, and sign-in of Django's own users."""

from __future__ import annotations

from collections.abc import Iterable
from contextvars import ContextVar
from functools import partial
from typing import Any, Final

from django.contrib import auth
from django.core.exceptions import ValidationError
from django.http import HttpRequest, HttpResponse
from django.middleware.csrf import get_token, rotate_token
from django.urls import URLPattern, path
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.debug import sensitive_variables

from jwt_lp import Call, Granted, Issuer, SignIn, SignInEndpoints
from jwt_lp_django.cookies import add_cookies
from jwt_lp_django.decisions import header_lines
from jwt_lp_django.decorators import external
from jwt_lp_django.guard_access import guard_from
from jwt_lp_django.transactions import without_atomic_requests

SOURCE: Final = "django"
"""The name that stands for Django in a role's `from`: `django/group:NAME`, `django/permission:app.codename`."""

_REQUEST: ContextVar[HttpRequest | None] = ContextVar("jwt_lp_sign_in_request", default=None)


def sign_in_endpoints(sign_in: SignIn, *, cookies: bool = False) -> list[URLPattern]:
    """URL patterns for `token`, `refresh`, `sign-out` and `sign-out-everywhere`, with their declarations.

    Use them as `path("auth/", include(sign_in_endpoints(sign_in)))`. Each endpoint is `external`, because it checks a
    password or a refresh token itself. With `cookies` the tokens are in cookies, and the guard needs the setting
    `COOKIE`. They are exempt from Django's CSRF check: with `cookies` they check the request's origin, otherwise they
    read no cookie.
    """
    endpoints = SignInEndpoints(sign_in, cookies=cookies)
    return [path(name, _view(endpoints, name), name=f"jwt_lp_{name}") for name in endpoints.reasons]


def user_sign_in(issuer: Issuer, store: Any, **more: Any) -> SignIn:
    """A `SignIn` of Django's users; the other arguments are those of `SignIn`.

    Each of `AUTHENTICATION_BACKENDS` is asked, as `django.contrib.auth.authenticate` does, so its signals are sent. The
    subject is the user's primary key. Unless `permissions` is given, a user has the roles of the policy whose `from` lists
    one of its groups or permissions: `django/group:NAME` or `django/permission:app.codename`. They are read at each
    refresh, and a user that is inactive or was deleted is signed out then.
    """
    more.setdefault("authenticate", authenticate_user)
    more.setdefault("permissions", partial(user_grants, issuer))
    return SignIn(issuer, store, **more)


@sensitive_variables()
def authenticate_user(username: str, password: str) -> str | None:
    """The primary key of the user that every backend of Django was asked for; None if none knows it."""
    model: Any = auth.get_user_model()
    credentials = {model.USERNAME_FIELD: username, "password": password}
    user = auth.authenticate(_REQUEST.get(), **credentials)
    return None if user is None or not user.is_active else str(user.pk)


def user_grants(issuer: Issuer, subject: str) -> Granted | None:
    """The roles of the policy that a user has now by its groups and permissions; None if it may not sign in."""
    model: Any = auth.get_user_model()
    try:
        user = model._default_manager.get(pk=subject)  # noqa: SLF001 - the documented way to a swapped user model
    except (model.DoesNotExist, ValidationError, ValueError, TypeError):
        return None
    if not user.is_active:
        return None
    names = [f"group:{name}" for name in _group_names(user)]
    names += [f"permission:{permission}" for permission in sorted(user.get_all_permissions())]
    # INVARIANT: only entries that name Django count: another issuer may have groups of the same names.
    return Granted(roles=issuer.policy.resolve_external_roles(names, SOURCE, several=True)[0])


def _group_names(user: Any) -> Iterable[str]:
    groups = getattr(user, "groups", None)
    return () if groups is None else groups.order_by("name").values_list("name", flat=True)


def _view(endpoints: SignInEndpoints, name: str) -> Any:
    @csrf_exempt
    @external(endpoints.reasons[name], methods=("POST",))
    def view(request: HttpRequest) -> HttpResponse:
        token = _REQUEST.set(request)
        try:
            # INVARIANT: no local variable holds the request's content, because tools render tracebacks with locals.
            answer, added = endpoints.post(
                name,
                request.META.get("CONTENT_TYPE"),
                request.read(endpoints.max_body + 1),
                path=request.path,
                call=_call(request),
                cookies=guard_from().settings.cookies if endpoints.cookies else None,
                csrf=partial(_csrf_token, request, name),
            )
        finally:
            _REQUEST.reset(token)
        return add_cookies(HttpResponse(answer.body, status=answer.status, headers=dict(answer.headers)), added)

    return without_atomic_requests(view)


def _csrf_token(request: HttpRequest, name: str) -> str:
    """Django's CSRF token: a new one after a sign-in, as Django's own login has it."""
    if name == "token":
        rotate_token(request)
    return get_token(request)


def _call(request: HttpRequest) -> Call:
    # The address that the server gives, or what a middleware of the project made of it.
    peer: str | None = request.META.get("REMOTE_ADDR") or None
    return Call(
        request.method or "", request.build_absolute_uri, partial(header_lines, request), "jwt_lp_sign_in", peer
    )
