"""Requests to applications in this process, without a server and without a network."""

from __future__ import annotations

import asyncio
import io
from collections.abc import Callable, Iterator, MutableMapping
from contextlib import contextmanager
from typing import Any, Protocol


class Client(Protocol):
    """Sends GET requests for one path to one application."""

    def status(self, authorization: str | None) -> int:
        """Send one request and return its status."""
        ...

    def repeat(self, authorization: str | None, number: int) -> int:
        """Send so many equal requests, all of which have to succeed, and return the number."""
        ...


class WsgiClient:
    """A client of a WSGI application."""

    def __init__(self, app: Callable[..., Any], path: str, prepare: Callable[[], None] = lambda: None) -> None:
        self._app = app
        self._prepare = prepare
        self._status = ""
        self._environ: dict[str, Any] = {
            "REQUEST_METHOD": "GET",
            "SCRIPT_NAME": "",
            "PATH_INFO": path,
            "QUERY_STRING": "",
            "SERVER_NAME": "127.0.0.1",
            "SERVER_PORT": "80",
            "SERVER_PROTOCOL": "HTTP/1.1",
            "REMOTE_ADDR": "127.0.0.1",
            "HTTP_HOST": "127.0.0.1",
            "HTTP_ACCEPT": "application/json",
            "HTTP_USER_AGENT": "benchmarks",
            "wsgi.version": (1, 0),
            "wsgi.url_scheme": "http",
            "wsgi.input": io.BytesIO(),
            "wsgi.errors": io.StringIO(),
            "wsgi.multithread": True,
            "wsgi.multiprocess": False,
            "wsgi.run_once": False,
        }

    def status(self, authorization: str | None) -> int:
        """Send one request and return its status."""
        self._send(self._with(authorization), 1)
        return int(self._status.partition(" ")[0])

    def repeat(self, authorization: str | None, number: int) -> int:
        """Send so many equal requests, all of which have to succeed, and return the number."""
        self._send(self._with(authorization), number)
        assert self._status.startswith("200"), self._status
        return number

    def _with(self, authorization: str | None) -> dict[str, Any]:
        return self._environ | ({} if authorization is None else {"HTTP_AUTHORIZATION": authorization})

    def _send(self, environ: dict[str, Any], number: int) -> None:
        self._prepare()
        app, start_response = self._app, self._start_response
        for _ in range(number):
            body = app(environ.copy(), start_response)
            b"".join(body)
            close = getattr(body, "close", None)
            if close is not None:
                close()

    def _start_response(self, status: str, _headers: object, _exc_info: object = None) -> None:
        self._status = status


class AsgiClient:
    """A client of an ASGI application, on an event loop of its own."""

    def __init__(self, app: Callable[..., Any], path: str, loop: asyncio.AbstractEventLoop) -> None:
        self._app = app
        self._loop = loop
        self._status = 0
        self._scope: dict[str, Any] = {
            "type": "http",
            "asgi": {"version": "3.0", "spec_version": "2.3"},
            "http_version": "1.1",
            "method": "GET",
            "scheme": "http",
            "path": path,
            "raw_path": path.encode(),
            "root_path": "",
            "query_string": b"",
            "client": ("127.0.0.1", 50000),
            "server": ("127.0.0.1", 80),
        }

    def status(self, authorization: str | None) -> int:
        """Send one request and return its status."""
        self._loop.run_until_complete(self._send(authorization, 1))
        return self._status

    def repeat(self, authorization: str | None, number: int) -> int:
        """Send so many equal requests, all of which have to succeed, and return the number."""
        self._loop.run_until_complete(self._send(authorization, number))
        assert self._status == 200, self._status  # noqa: PLR2004 - the status OK
        return number

    async def _send(self, authorization: str | None, number: int) -> None:
        headers = [(b"host", b"127.0.0.1"), (b"accept", b"application/json"), (b"user-agent", b"benchmarks")]
        if authorization is not None:
            headers.append((b"authorization", authorization.encode()))
        app, scope, receive, reply = self._app, self._scope, self._receive, self._reply
        for _ in range(number):
            await app({**scope, "headers": [*headers]}, receive, reply)

    async def _receive(self) -> dict[str, Any]:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def _reply(self, message: MutableMapping[str, Any]) -> None:
        if message["type"] == "http.response.start":
            self._status = message["status"]


@contextmanager
def event_loop() -> Iterator[asyncio.AbstractEventLoop]:
    """An event loop, closed at the end together with its threads."""
    with asyncio.Runner() as runner:
        yield runner.get_loop()
