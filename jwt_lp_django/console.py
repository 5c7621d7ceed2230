"""An ASGI application, such as the console, as URL patterns of a Django project, under WSGI and ASGI."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any, Final, TypeAlias

from django.http import HttpRequest, HttpResponse
from django.urls import URLPattern, re_path
from django.views.decorators.csrf import csrf_exempt

from jwt_lp_django.decorators import external
from jwt_lp_django.transactions import without_atomic_requests

Message: TypeAlias = MutableMapping[str, Any]
Receive: TypeAlias = Callable[[], Awaitable[Message]]
Send: TypeAlias = Callable[[Message], Awaitable[None]]
App: TypeAlias = Callable[[MutableMapping[str, Any], Receive, Send], Awaitable[None]]

_CHUNK: Final = 65536
_METHODS: Final = ("GET", "HEAD", "POST")


def console_urls(console: App) -> list[URLPattern]:
    """A URL pattern for everything below: `path("access/", include(console_urls(create_console(...))))`.

    It is `external`, because the console has a guard of its own, and exempt from Django's CSRF check, which the console's
    guard makes. Django checks the host (`ALLOWED_HOSTS`); the whole response is held in memory.
    """
    return [re_path(r"^(?P<below>.*)\Z", _view(console), name="jwt_lp_console")]


def _view(app: App) -> Any:
    @csrf_exempt
    @external("the console has a guard of its own", methods=_METHODS)
    async def view(request: HttpRequest, below: str) -> HttpResponse:
        exchange = _Exchange(request)
        await app(_scope(request, below), exchange.receive, exchange.send)
        return exchange.response()

    return without_atomic_requests(view)


def _scope(request: HttpRequest, below: str) -> dict[str, Any]:
    """The request as ASGI describes it. The host is the one that Django accepts."""
    headers = {**request.headers, "Host": request.get_host()}
    return {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.3"},
        "http_version": "1.1",
        "method": request.method or "",
        "scheme": request.scheme,
        "path": request.path,
        "raw_path": None,
        "query_string": request.META.get("QUERY_STRING", "").encode("latin-1", "replace"),
        "root_path": request.path[: len(request.path) - len(below)].rstrip("/"),
        "headers": [(name.lower().encode("latin-1"), value.encode("latin-1")) for name, value in headers.items()],
        "client": (request.META["REMOTE_ADDR"], 0) if request.META.get("REMOTE_ADDR") else None,
        "server": None,
    }


class _Exchange:
    """The body of a request in parts, and the response that an application sends."""

    def __init__(self, request: HttpRequest) -> None:
        self._request = request
        self._ended = False
        self._status = 0
        self._headers: list[tuple[bytes, bytes]] = []
        self._parts: list[bytes] = []

    async def receive(self) -> Message:
        """The next part of the body; after the last one it waits, because Django does not tell of a disconnection."""
        if self._ended:
            await asyncio.Event().wait()
        part = self._request.read(_CHUNK)
        self._ended = not part
        return {"type": "http.request", "body": part, "more_body": bool(part)}

    async def send(self, message: Message) -> None:
        """Keep a part of the response."""
        if message["type"] == "http.response.start":
            self._status, self._headers = message["status"], list(message.get("headers", ()))
        else:
            self._parts.append(message.get("body", b""))

    def response(self) -> HttpResponse:
        """The response that was sent."""
        response = HttpResponse(b"".join(self._parts), status=self._status)
        del response.headers["Content-Type"]
        for name, value in self._headers:
            response.headers[name.decode("latin-1")] = value.decode("latin-1")
        return response
