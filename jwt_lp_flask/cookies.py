"""Cookies with tokens on Flask's responses."""

from __future__ import annotations

from collections.abc import Iterable

from flask import Response

from jwt_lp import ResponseCookie
from jwt_lp_flask.extension import app_guard_of


def set_cookie(response: Response, access_token: str) -> Response:
    """Put an access token of your own issuer, and its CSRF token, into cookies of the response; returns the response.

    `ConfigurationError` without the setting `COOKIE`, `PolicyError` (`size`) if a browser would not keep the cookie.
    """
    return add_cookies(response, app_guard_of().guard.cookies.access(access_token))


def clear_cookie(response: Response) -> Response:
    """Remove the cookies of `set_cookie` from the browser; returns the response."""
    return add_cookies(response, app_guard_of().guard.cookies.clear())


def add_cookies(response: Response, cookies: Iterable[ResponseCookie]) -> Response:
    """Add cookies to a response. No cache may keep it."""
    for cookie in cookies:
        response.headers.add("Set-Cookie", cookie.header)
    response.headers["Cache-Control"] = "no-store"
    return response
