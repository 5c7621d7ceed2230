"""Introspection of opaque tokens in every host, over real HTTP, against an endpoint on loopback."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from importlib import import_module
from typing import Any

import pytest

from hosts.conformance import BARE, INVALID, POLICY, lacking
from hosts.serving import HttpAnswer, HttpClient, serve
from hosts.test_conformance import MODES
from introspection_server import IntrospectionServer, active
from jwks_server import eventually
from jwt_lp import SigningKey
from jwt_lp.jose.signing import sign

pytestmark = pytest.mark.host

KEY = SigningKey.generate("ES256")


@dataclass(frozen=True)
class Served:
    client: HttpClient
    endpoint: IntrospectionServer

    def ask(self, token: str, path: str = "/orders") -> HttpAnswer:
        return self.client.request("GET", path, [("Authorization", f"Bearer {token}")])


@pytest.fixture(scope="module", params=MODES, ids=[mode for _, mode in MODES])
def served(request: pytest.FixtureRequest) -> Iterator[Served]:
    module, mode = request.param
    with IntrospectionServer() as endpoint:
        settings: dict[str, Any] = {
            "ISSUER": "https://login.example.com/",
            "AUDIENCE": "orders-api",
            "ALGORITHMS": ["ES256"],
            "JWKS": {"keys": [KEY.public_jwk()]},
            "POLICY": POLICY,
            "INTROSPECTION": endpoint.settings(),
        }
        with import_module(module).MODES[mode](settings) as (kind, app), serve(kind, app) as client:
            yield Served(client, endpoint)


@pytest.fixture
def endpoint(served: Served) -> IntrospectionServer:
    served.endpoint.asked.clear()
    served.endpoint.behaviour = "introspect"
    return served.endpoint


def test_an_active_token_passes(served: Served, endpoint: IntrospectionServer) -> None:
    """The endpoint is asked once for several requests, and the view gets the token's subject."""
    endpoint.tokens["good"] = active(sub="alice", scope="orders:list")
    for _ in range(3):
        answer = served.ask("good")
        assert (200, "alice") == (answer.status, answer.json["subject"])
    assert 1 == len(endpoint.asked)
    answer = served.client.request("GET", "/by-token", [("Authorization", "Bearer good")])
    assert {"subject": "alice", "anonymous": False, "holds": True} == answer.json


@pytest.mark.parametrize(
    ("name", "answer", "status", "challenge"),
    [
        ("inactive", lambda: {"active": False}, 401, INVALID),
        ("text", lambda: active(active="true"), 401, INVALID),
        ("audience", lambda: active(aud="another"), 401, INVALID),
        ("undated", lambda: active(exp=None), 401, INVALID),
        ("scope", lambda: active(scope="orders:read"), 403, lacking("orders:list")),
    ],
    ids=lambda value: value if isinstance(value, str) and value.isalpha() else "",
)
def test_other_answers_are_refused(
    served: Served, endpoint: IntrospectionServer, name: str, answer: Callable[[], object], status: int, challenge: str
) -> None:
    """Each host gives the status and the challenge that it gives for a JWT, the second time without a question."""
    endpoint.tokens[name] = answer()
    for _ in range(2):
        refused = served.ask(name)
        assert (status, challenge) == (refused.status, refused.headers.get("www-authenticate"))
    assert 1 == len(endpoint.asked)


def test_jwts_are_decided_without_the_endpoint(served: Served, endpoint: IntrospectionServer) -> None:
    """A JWT passes or is refused by itself; a request without a credential is asked for one."""
    claims = active(jti="1", active=None)
    stranger = SigningKey.generate("ES256", kid=KEY.kid)
    assert 200 == served.ask(sign(claims, KEY, typ="at+jwt")).status
    assert 401 == served.ask(sign(claims, stranger, typ="at+jwt")).status
    assert BARE == served.client.request("GET", "/orders").headers["www-authenticate"]
    assert [] == endpoint.asked


def test_a_slow_answer_holds_up_nobody_else(served: Served, endpoint: IntrospectionServer) -> None:
    """While one caller waits for the endpoint, a JWT and a public route are answered."""
    endpoint.tokens["slow"] = active()
    endpoint.delays["slow"] = 10
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(served.ask, "slow")
        assert eventually(lambda: len(endpoint.asked) == 1)
        assert 200 == served.ask(sign(active(jti="1", active=None), KEY, typ="at+jwt")).status
        assert 200 == served.client.request("GET", "/public").status
        assert not waiting.done()
        endpoint.open.set()
        assert 200 == waiting.result().status
    endpoint.open.clear()


def test_an_outage_is_503(served: Served, endpoint: IntrospectionServer) -> None:
    """The token is neither accepted nor called invalid, and the client hears when to ask again."""
    endpoint.behaviour = "html"
    answer = served.ask("unknown")
    assert (503, None) == (answer.status, answer.headers.get("www-authenticate"))
    assert 1 <= int(answer.headers["retry-after"]) <= 5
    assert "no-store" == answer.headers["cache-control"]
    endpoint.behaviour = "introspect"
    endpoint.tokens["unknown"] = active()
    assert 200 == served.ask("unknown").status
