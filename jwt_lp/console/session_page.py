"""The session as a script of the console sees it: when it ends, and its CSRF token."""

from __future__ import annotations

from typing import TYPE_CHECKING

from starlette.responses import JSONResponse
from starlette.routing import Route

from jwt_lp.console.session import csrf_token_of
from jwt_lp.console.state import console_of
from jwt_lp_starlette import authenticated, token_from

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.responses import Response


def routes() -> list[Route]:
    """The route of this module."""
    return [Route("/session", session, name="session")]


@authenticated
async def session(request: Request) -> Response:
    """Tell a script of this origin when the access token ends, and the CSRF token that forms send now."""
    token = token_from(request)
    expires_at = None if token is None else token.expires_at
    left = 0 if expires_at is None else max(0, int(expires_at - console_of(request).clock()))
    return JSONResponse({"csrf_token": csrf_token_of(request), "expires_in": left})
