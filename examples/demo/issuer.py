"""The demo's issuer: a key set served over HTTP on loopback, and tokens signed with its first key."""

from __future__ import annotations

import json
import secrets
import tempfile
import threading
import time
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Final

from jwt_lp.jose.signing import SigningKey, sign

from .elevation import Agent

AUDIENCE: Final = "https://orders.example"
POLICY: Final = Path(__file__).parents[1] / "least-privilege.toml"


def _new_keys() -> list[SigningKey]:
    return [SigningKey.generate("ES256") for _ in range(2)]


@dataclass
class DemoIssuer:
    """The issuer, and what the steps of the demo share: the store, kept tokens, the agent, the plan's journal and notes."""

    server: ThreadingHTTPServer
    store: str
    folder: Path
    keys: list[SigningKey] = field(default_factory=_new_keys)
    tokens: dict[str, str] = field(default_factory=dict[str, str])
    notes: list[str] = field(default_factory=list[str])
    journal: Path = Path()
    agent: Agent = field(default_factory=Agent)
    policy: Path = POLICY
    audience: str = AUDIENCE

    @property
    def url(self) -> str:
        """Its `iss`, and the address that serves its key set."""
        return f"http://127.0.0.1:{self.server.server_port}"

    def token(self, scope: str = "", *, lifetime: int = 300, roles: tuple[str, ...] = (), **changes: object) -> str:
        """Sign a token for alice that expires in `lifetime` seconds. `changes` replaces claims."""
        now = int(time.time())
        claims: dict[str, object] = {
            "iss": self.url,
            "sub": "alice",
            "aud": AUDIENCE,
            "client_id": "demo",
            "iat": now - 10,
            "exp": now + lifetime,
            "jti": secrets.token_hex(8),
            "scope": scope,
        }
        return sign({**claims, **({"roles": list(roles)} if roles else {}), **changes}, self.keys[0])

    def kept_token(self, subject: str, scope: str) -> str:
        """One token for `subject`, signed at the first call and the same at every later one."""
        return self.tokens.setdefault(subject, self.token(scope, sub=subject))

    def tampered_token(self) -> str:
        """A token whose signature was changed."""
        content, _, signature = self.token("orders:list").rpartition(".")
        return f"{content}.{'A' if signature[0] != 'A' else 'B'}{signature[1:]}"

    def forged_token(self) -> str:
        """A token in this issuer's name, signed with a key that it does not have.

        It is older than the key sets that the guards hold, so they know that its key does not exist (401). A newer one
        might be signed with a new key, and gets 503 where the guard may not fetch the set yet.
        """
        return DemoIssuer(self.server, self.store, self.folder).token("orders:list", iat=int(time.time()) - 240)

    def rotate(self) -> None:
        """Sign with the other key, which was published from the start."""
        self.keys.reverse()

    def stop(self) -> None:
        """Stop serving the key set."""
        self.server.shutdown()
        self.server.server_close()


@contextmanager
def serve_issuer() -> Generator[DemoIssuer]:
    """Serve a new issuer in a thread. Its store is deleted afterwards; the folder of its review is kept."""

    class JwksHandler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = json.dumps({"keys": [key.public_jwk() for key in issuer.keys]}).encode()
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the base class's name
            """Log nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), JwksHandler)
    with tempfile.TemporaryDirectory() as folder:
        issuer = DemoIssuer(server, f"sqlite:///{folder}/access.db", Path(tempfile.mkdtemp(prefix="jwt-lp-demo-")))
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield issuer
