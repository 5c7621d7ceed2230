"""An issuer with a store, for tests of sign-in."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from clock import Clock
from jwt_lp import Granted, Issuer, Policy, SignIn, SigningKey
from jwt_lp.revocation.poller import RevocationPoller
from jwt_lp.stores import open_store
from jwt_lp.tokens.verification import Verifier

if TYPE_CHECKING:
    from pathlib import Path

    from jwt_lp import Answer

NOW = 1_800_000_000.25
ISSUER = "https://issuer.test/"
JSON = "application/json"
FORM = "application/x-www-form-urlencoded"
KEY = SigningKey.generate(kid="k1")
PASSWORD = "correct horse"
POLICY = Policy.from_mapping(
    {
        "version": 1,
        "permissions": {"orders:read": {}, "orders:write": {}, "stock:read": {}},
        "roles": {"clerk": {"grants": ["stock:read"]}},
        "audiences": {"shop": {}, "stock": {}},
    }
)


class World:
    """A SignIn over a store, with what its callables return, and what a guard would see of the revocations."""

    def __init__(self, url: str, folder: Path, **more: Any) -> None:
        self.folder = folder
        self.clock = Clock(NOW)
        self.store = open_store(url)
        self.issuer = Issuer(ISSUER, KEY, policy=POLICY, audience="shop", client="web", clock=self.clock)
        self.users = {"alice": PASSWORD, "bob": PASSWORD}
        self.granted: dict[str, Granted | list[str] | None] = {}
        self.references = 0
        settings = {"authenticate": self.authenticate, "permissions": self.permissions, **more}
        self.sign_in = SignIn(self.issuer, self.store, reference=lambda: "ref", clock=self.clock, **settings)
        self.sessions = self.sign_in.sessions

    def authenticate(self, username: str, password: str) -> str | None:
        return username if self.users.get(username) == password else None

    def permissions(self, subject: str) -> Granted | list[str] | None:
        return self.granted.get(subject, ["orders:read"])

    def obtain(self, username: str = "alice", password: str = PASSWORD, address: str | None = "192.0.2.1") -> Answer:
        return self.sign_in.obtain(JSON, to_json(username=username, password=password), address=address)

    def refresh(self, token: str) -> Answer:
        return self.sign_in.refresh(JSON, to_json(refresh_token=token), address=None)

    def accepts(self, access_token: str) -> bool:
        """Whether a guard that has polled the store just now accepts an access token."""
        poller = RevocationPoller(self.store, retention=3600, wall=self.clock)
        poller.poll()
        verifier: Verifier = self.issuer._verifier
        return poller.match_token(verifier.verify(access_token)).cause is None


def to_json(**fields: object) -> bytes:
    return json.dumps(fields).encode()


def read(answer: Answer) -> Any:
    return json.loads(answer.body)


def new_world(folder: Path, **more: Any) -> World:
    return World(f"sqlite:///{folder / 'store.db'}", folder, **more)
