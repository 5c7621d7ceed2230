"""Cookies with tokens on responses of Starlette and FastAPI."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TypeVar

from starlette.requests import HTTPConnection
from starlette.responses import Response

from jwt_lp import ResponseCookie
from jwt_lp_starlette.middleware import guard_from

ResponseT = TypeVar("ResponseT", bound=Response)


def set_cookie(response: ResponseT, access_token: str, request: HTTPConnection) -> ResponseT:
    """Put an access token of your own issuer, and its CSRF token, into cookies of the response; returns the response.

    `ConfigurationError` without the setting `COOKIE`, `PolicyError` (`size`) if a browser would not keep the cookie.
    """
    return add_cookies(response, guard_from(request).cookies.access(access_token))


def clear_cookie(response: ResponseT, request: HTTPConnection) -> ResponseT:
    """Remove the cookies of `set_cookie` from the browser; returns the response."""
    return add_cookies(response, guard_from(request).cookies.clear())


def add_cookies(response: ResponseT, cookies: Iterable[ResponseCookie]) -> ResponseT:
    """Add cookies to a response. No cache may keep it."""
    for cookie in cookies:
        response.headers.append("Set-Cookie", cookie.header)
    response.headers["Cache-Control"] = "no-store"
    return response
