"""Calls to an ASGI application in this process, with every header line unchanged."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import unquote

DENIAL: dict[str, dict[str, object]] = {"websocket.http.response": {}}


@dataclass(frozen=True, slots=True)
class AsgiAnswer:
    """An HTTP response; header names are in lower case."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


@dataclass(slots=True)
class Wire:
    """One connection: the messages that the application receives, and those that it sends."""

    incoming: list[dict[str, Any]]
    sent: list[dict[str, Any]] = field(default_factory=list)

    async def receive(self) -> dict[str, Any]:
        return self.incoming.pop(0)

    async def send(self, message: Mapping[str, Any]) -> None:
        self.sent.append(dict(message))

    def answer(self, start: str = "http.response") -> AsgiAnswer:
        first = next(message for message in self.sent if message["type"] == f"{start}.start")
        headers = {name.decode().lower(): value.decode() for name, value in first["headers"]}
        body = b"".join(message.get("body", b"") for message in self.sent if message["type"] == f"{start}.body")
        return AsgiAnswer(first["status"], headers, body)


def _scope(path: str, headers: Iterable[tuple[str, str]]) -> dict[str, Any]:
    raw, _, query = path.partition("?")
    lines = [*headers]
    lines += [] if any(name == "host" for name, _ in lines) else [("host", "api.test")]
    return {
        "path": unquote(raw),
        "raw_path": raw.encode(),
        "query_string": query.encode(),
        "root_path": "",
        "scheme": "http",
        "http_version": "1.1",
        "asgi": {"version": "3.0", "spec_version": "2.4"},
        "headers": [(name.lower().encode(), value.encode()) for name, value in lines],
        "client": ("192.0.2.7", 4711),
        "server": ("api.test", 80),
        "state": {},
    }


def request_scope(path: str, headers: Mapping[str, str]) -> dict[str, Any]:
    """The scope of a GET, for a test that calls the application directly."""
    return {**_scope(path, headers.items()), "type": "http", "method": "GET"}


async def acall(
    app: Any, method: str, path: str, headers: Iterable[tuple[str, str]] | Mapping[str, str] = (), body: bytes = b""
) -> AsgiAnswer:
    """Send one request."""
    lines = headers.items() if isinstance(headers, Mapping) else headers
    wire = Wire([{"type": "http.request", "body": body, "more_body": False}, {"type": "http.disconnect"}])
    await app({**_scope(path, lines), "type": "http", "method": method}, wire.receive, wire.send)
    return wire.answer()


def call(
    app: Any, method: str, path: str, headers: Iterable[tuple[str, str]] | Mapping[str, str] = (), body: bytes = b""
) -> AsgiAnswer:
    """Send one request, from synchronous code."""
    return asyncio.run(acall(app, method, path, headers, body))


def statuses(app: Any, *requests: str, headers: Iterable[tuple[str, str]] | Mapping[str, str] = ()) -> list[int]:
    """The status of each of `GET /path` and the like."""
    calls = [request.split(" ") for request in requests]
    return [call(app, method, path, headers).status for method, path in calls]


def connect(
    app: Any,
    path: str,
    headers: Mapping[str, str] | None = None,
    *,
    texts: Sequence[str] = (),
    protocols: Sequence[str] = (),
    denial: bool = True,
) -> Wire:
    """Open a websocket, send `texts` and disconnect."""
    incoming: list[dict[str, Any]] = [{"type": "websocket.connect"}]
    incoming += [{"type": "websocket.receive", "text": text} for text in texts]
    wire = Wire([*incoming, {"type": "websocket.disconnect", "code": 1000}])
    scope = {**_scope(path, (headers or {}).items()), "type": "websocket", "subprotocols": list(protocols)}
    asyncio.run(app({**scope, "extensions": DENIAL if denial else {}}, wire.receive, wire.send))
    return wire


def live(app: Any) -> list[dict[str, Any]]:
    """Start the application and stop it; returns the messages that it sent."""
    wire = Wire([{"type": "lifespan.startup"}, {"type": "lifespan.shutdown"}])
    asyncio.run(app({"type": "lifespan", "state": {}, "asgi": {"version": "3.0"}}, wire.receive, wire.send))
    return wire.sent
