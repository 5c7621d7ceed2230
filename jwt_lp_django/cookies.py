"""Cookies with tokens on Django's responses."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Literal, TypeVar, cast

from django.http.response import HttpResponseBase
from django.middleware.csrf import get_token, rotate_token

from jwt_lp import ResponseCookie
from jwt_lp_django.decisions import django_request
from jwt_lp_django.guard_access import guard_from

ResponseT = TypeVar("ResponseT", bound=HttpResponseBase)


def set_cookie(response: ResponseT, access_token: str, request: Any) -> ResponseT:
    """Put an access token of your own issuer into a cookie of the response; returns the response.

    Django sends its CSRF cookie with it: a new one where the request had no access token in a cookie, as after
    Django's own login. `ConfigurationError` without the setting `COOKIE`, `PolicyError` (`size`) if a browser would not
    keep the cookie.
    """
    cookies, http = guard_from().cookies, django_request(request)
    if cookies.name in http.COOKIES:
        get_token(http)
    else:
        rotate_token(http)
    return add_cookies(response, cookies.access(access_token, csrf=False))


def clear_cookie(response: ResponseT, request: Any) -> ResponseT:
    """Remove the cookie of `set_cookie` from the browser; returns the response."""
    rotate_token(django_request(request))
    return add_cookies(response, guard_from().cookies.clear(csrf=False))


def add_cookies(response: ResponseT, cookies: Iterable[ResponseCookie]) -> ResponseT:
    """Add cookies to a response. No cache may keep it."""
    for cookie in cookies:
        response.set_cookie(
            cookie.name,
            cookie.value,
            max_age=cookie.max_age,
            path=cookie.path,
            secure=cookie.secure,
            httponly=cookie.http_only,
            samesite=cast(Literal["Lax", "Strict", "None"], cookie.same_site),
        )
    response.headers["Cache-Control"] = "no-store"
    return response
