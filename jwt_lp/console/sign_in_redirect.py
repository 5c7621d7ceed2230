"""Redirects to the host's sign-in, for pages that somebody opens without a session."""

from __future__ import annotations

from http import HTTPStatus
from typing import TYPE_CHECKING, Any

from starlette.datastructures import Headers

from jwt_lp.console.addresses import page_of, sign_in_target

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, MutableMapping

    from jwt_lp.console.state import ConsoleState


class SignInRedirectMiddleware:
    """Turns a 401 for a page into a redirect to the sign-in, which leads back to the page. Pure ASGI.

    Where the host has no sign-in page, the 401 stays, and its page says so. Requests of scripts keep their 401.
    """

    def __init__(self, app: Callable[..., Awaitable[None]], state: ConsoleState) -> None:
        self.app = app
        self._sign_in_url = state.sign_in_url

    async def __call__(self, scope: MutableMapping[str, Any], receive: Any, send: Any) -> None:
        """Pass the call on; replace its answer where it is a 401 for a page."""
        if not (self._sign_in_url and scope["type"] == "http" and _opens_page(scope)):
            await self.app(scope, receive, send)
            return
        redirected = False

        async def redirecting(message: MutableMapping[str, Any]) -> None:
            nonlocal redirected
            if message["type"] == "http.response.start" and _is_refusal(message):
                redirected = True
                target = sign_in_target(self._sign_in_url, page_of(scope))
                headers = [(b"location", target.encode("ascii")), (b"content-length", b"0")]
                await send({"type": message["type"], "status": int(HTTPStatus.SEE_OTHER), "headers": headers})
                await send({"type": "http.response.body", "body": b""})
            elif not redirected:
                await send(message)

        await self.app(scope, receive, redirecting)


def _is_refusal(message: MutableMapping[str, Any]) -> bool:
    """Whether it begins a 401 of the guard, which has a challenge; that of a sign-in page has none."""
    challenged = any(name.lower() == b"www-authenticate" for name, _ in message.get("headers", ()))
    return bool(message["status"] == HTTPStatus.UNAUTHORIZED and challenged)


def _opens_page(scope: MutableMapping[str, Any]) -> bool:
    headers = Headers(scope=scope)
    if scope["method"] not in ("GET", "HEAD"):
        return False
    mode = headers.get("sec-fetch-mode")
    return mode == "navigate" if mode is not None else "text/html" in headers.get("accept", "")
