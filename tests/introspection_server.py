"""An introspection endpoint on loopback (RFC 7662), with the failures of the key set server."""

from __future__ import annotations

import base64
import json
import time
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qs, unquote_plus

from jwks_server import KeyServer, _Handler

ISSUER = "https://login.example.com/"
AUDIENCE = "orders-api"
CLIENT, SECRET = "orders api", "s3cret:+&"


@dataclass(frozen=True)
class Asked:
    """One request: its form, its header fields, and the client that the Basic credentials name."""

    form: dict[str, list[str]]
    headers: dict[str, str]

    @property
    def token(self) -> str:
        return self.form["token"][0]

    @property
    def basic(self) -> tuple[str, str]:
        text = base64.b64decode(self.headers["authorization"].removeprefix("Basic ")).decode()
        client, _, secret = text.partition(":")
        return unquote_plus(client), unquote_plus(secret)


class IntrospectionServer(KeyServer):
    """Answers for `tokens`; a text is sent as it is, and any other token is not active.

    `behaviour`, `open` and `headers` are those of `KeyServer`; `delays` holds seconds by token.
    """

    def __init__(self, **tokens: Any) -> None:
        super().__init__()
        self.tokens: dict[str, Any] = dict(tokens)
        self.delays: dict[str, float] = {}
        self.asked: list[Asked] = []
        self.behaviour = "introspect"
        self._server.RequestHandlerClass = type("Handler", (_Introspection,), {"keys": self})

    @property
    def url(self) -> str:
        """The URL of the endpoint."""
        return f"{self.origin}/introspect"

    def settings(self, **changes: object) -> dict[str, object]:
        """The setting `INTROSPECTION` for this server."""
        return {"URL": self.url, "CLIENT": CLIENT, "SECRET": SECRET, **changes}


class _Introspection(_Handler):
    keys: IntrospectionServer

    def do_POST(self) -> None:  # noqa: N802 - the name that the server looks for
        body = self.rfile.read(int(self.headers["Content-Length"])).decode()
        headers = {name.lower(): value for name, value in self.headers.items()}
        asked = Asked(parse_qs(body, strict_parsing=True), headers)
        self.keys.asked.append(asked)
        self.keys.paths.append(self.path)
        self.token = asked.token
        getattr(self, self.keys.behaviour)()

    def introspect(self) -> None:
        self.keys.open.wait(self.keys.delays.get(self.token, 0))
        answer = self.keys.tokens.get(self.token, {"active": False})
        self.answer((answer if isinstance(answer, str) else json.dumps(answer)).encode())

    def error_400(self) -> None:
        self.answer(b'{"error": "invalid_request"}', 400)

    def error_401(self) -> None:
        self.answer(b'{"error": "invalid_client"}', 401)

    def megabyte(self) -> None:
        self.answer(json.dumps({"active": True, "filler": "x" * 1024 * 1024}).encode())

    def ok(self) -> None:
        self.introspect()


def active(**changes: object) -> dict[str, object]:
    """The answer for an active token that may list orders; a change to None removes a member."""
    now = int(time.time())
    members: dict[str, object] = {
        "active": True,
        "iss": ISSUER,
        "sub": "alice",
        "aud": AUDIENCE,
        "client_id": "web",
        "scope": "orders:list orders:read",
        "token_type": "Bearer",
        "iat": now - 10,
        "exp": now + 300,
    }
    return {name: value for name, value in {**members, **changes}.items() if value is not None}
