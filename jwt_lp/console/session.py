"""Sessions of the console: the access token in the cookie, and the CSRF token that belongs to it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from jwt_lp.guard.bearer import TOKEN
from jwt_lp.guard.cookie_reader import CookieReader
from jwt_lp.guard.cookies import csrf_token
from jwt_lp_starlette import guard_from

if TYPE_CHECKING:
    from starlette.requests import HTTPConnection


def csrf_token_of(request: HTTPConnection) -> str:
    """The CSRF token that a form of this session carries; "" without a session."""
    cookies = guard_from(request.app).settings.cookies
    if cookies is None:
        return ""
    kind, token = CookieReader(cookies.name).read(request.headers.getlist("cookie"))
    return csrf_token(token) if kind is TOKEN else ""
