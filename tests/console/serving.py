"""A console for tests, and a person's browser without a screen for it."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from html import unescape
from typing import Any
from urllib.parse import urlencode

from hosts.serving import HttpAnswer, HttpClient, serve
from issued_tokens import claims_of
from jwt_lp import Guard, Issuer, Policy, SigningKey

KEY = SigningKey.generate(kid="console")
ISSUER = "https://id.test/"
EVERYTHING = (
    "jwt-lp:review:read",
    "jwt-lp:review:decide",
    "jwt-lp:review:apply",
    "jwt-lp:elevation:approve",
    "jwt-lp:revocation:write",
)
POLICY: dict[str, Any] = {
    "version": 1,
    "permissions": {name: {} for name in (*EVERYTHING, "orders:read", "orders:create", "orders:delete")},
    "roles": {
        "clerk": {"grants": ["orders:read", "orders:create"]},
        "manager": {"grants": ["orders:*"]},
    },
    "audiences": {"console": {}},
}


def settings(store: object, **more: object) -> dict[str, object]:
    """The settings of a console's guard, over plain http for tests without a browser."""
    return {
        "ISSUER": ISSUER,
        "AUDIENCE": "console",
        "ALGORITHMS": ["ES256"],
        "JWKS": {"keys": [KEY.public_jwk()]},
        "OWN": True,
        "POLICY": POLICY,
        "STORE": store,
        "COOKIE": True,
        **more,
    }


def token(subject: str, *permissions: str, clock: Callable[[], float] = time.time, **more: Any) -> str:
    """An access token of a person, with these permissions."""
    policy = Policy.from_mapping(POLICY)
    issuer = Issuer(ISSUER, KEY, policy=policy, audience="console", client="web", clock=clock)
    return issuer.issue(subject, permissions=list(permissions), **more)


@dataclass
class Person:
    """Somebody who uses a served console: sends requests as a browser does, with the cookie of a sign-in.

    With `renew`, the session goes on however far a test moves the console's clock.
    """

    client: HttpClient
    token: str
    guard: Guard
    root: str = ""
    cookies: dict[str, str] = field(default_factory=dict[str, str])
    renew: Callable[[], str] | None = None

    @property
    def csrf_token(self) -> str:
        """The CSRF token of this session."""
        self._go_on()
        assert self.guard.settings.cookies is not None
        return {each.name: each.value for each in self.guard.settings.cookies.access(self.token)}["__Host-csrf"]

    def headers(self, **more: str) -> list[tuple[str, str]]:
        """The headers that a browser sends with a request from a page of the console."""
        self._go_on()
        sent = {"Sec-Fetch-Site": "same-origin", "Sec-Fetch-Mode": "navigate", "Accept": "text/html"}
        if self.token:
            sent["Cookie"] = f"__Host-access={self.token}"
        return list({**sent, **{name.replace("_", "-"): value for name, value in more.items()}}.items())

    def _go_on(self) -> None:
        if self.renew is not None:
            claims = claims_of(self.token)
            if not claims["iat"] <= self.guard._clock() < claims["exp"]:
                self.token = self.renew()

    def get(self, path: str, **headers: str) -> HttpAnswer:
        """Open a page."""
        return self.client.request("GET", path, self.headers(**headers))

    def post(self, path: str, fields: Mapping[str, object] = {}, **headers: str) -> HttpAnswer:
        """Send a form with its CSRF token."""
        body = urlencode({"csrf_token": self.csrf_token, **fields}, doseq=True).encode()
        headers = {"Content_Type": "application/x-www-form-urlencoded", **headers}
        return self.client.request("POST", path, self.headers(**headers), body)

    def follow(self, answer: HttpAnswer) -> HttpAnswer:
        """Open the page to which a redirect leads."""
        assert 303 == answer.status, (answer.status, answer.body[:2000])
        return self.get(answer.headers["location"])


def text_of(answer: HttpAnswer) -> str:
    """The visible text of a page."""
    html = re.sub(r"<(script|style).*?</\1>|<!--.*?-->", " ", answer.body.decode(), flags=re.DOTALL)
    return " ".join(unescape(re.sub(r"<[^>]+>", " ", html)).split())


@dataclass
class ServedConsole:
    """A console on a real server."""

    app: Any
    client: HttpClient
    guard: Guard
    store: Any

    @property
    def url(self) -> str:
        """Where a browser opens it."""
        return f"http://127.0.0.1:{self.client.port}"

    def person(self, subject: str, *permissions: str, **more: Any) -> Person:
        """Somebody who is signed in with these permissions; without any, with all of the console."""

        def renew() -> str:
            return token(subject, *(permissions or EVERYTHING), clock=self.guard._clock, **more)

        return Person(self.client, renew(), self.guard, renew=renew)

    def stranger(self) -> Person:
        """Somebody who is not signed in."""
        return Person(self.client, "", self.guard)

    def context(self, browser: Any, person: Person, **options: Any) -> Any:
        """A context of a real browser in which `person` is signed in; every fault of a page's scripts fails a test."""
        context = browser.new_context(**options)
        assert self.guard.settings.cookies is not None
        context.add_cookies(
            [
                {"name": each.name, "value": each.value, "domain": "127.0.0.1", "path": "/", "secure": True,
                 "httpOnly": each.http_only, "sameSite": each.same_site}
                for each in self.guard.settings.cookies.access(person.token)
            ]
        )  # fmt: skip
        return context


@contextmanager
def served_console(store: Any, **options: Any) -> Iterator[ServedConsole]:
    """A console over `store`; the options are those of `create_console`."""
    from jwt_lp.console import create_console

    app = create_console(settings(store), **options)
    with serve("asgi", app) as client:
        yield ServedConsole(app, client, app.guard, store)
