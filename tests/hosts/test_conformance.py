"""The conformance table: every host gives the same, right answer to each case, over real HTTP."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from importlib import import_module
from importlib.util import find_spec

import pytest

from hosts.apps import caught
from hosts.conformance import CASES, CATCHERS, OK, POLICY, Case, World
from hosts.serving import HttpClient, serve
from jwks_server import KeyServer
from jwt_lp.testing.authority import Authority

pytestmark = pytest.mark.host

APPS = {
    "django": ("hosts.apps.django_app", ("django-sync", "django-async")),
    "rest_framework": ("hosts.apps.drf_app", ("drf",)),
    "flask": ("hosts.apps.flask_app", ("flask", "flask-async")),
    "starlette": ("hosts.apps.starlette_app", ("starlette-sync", "starlette-async")),
    "fastapi": ("hosts.apps.fastapi_app", ("fastapi",)),
}
INSTALLED = [host for host in APPS if find_spec(host)]
MODES = [(APPS[host][0], mode) for host in INSTALLED for mode in APPS[host][1]]


@dataclass(frozen=True)
class Served:
    client: HttpClient
    world: World


def _served(request: pytest.FixtureRequest, **changes: object) -> Iterator[Served]:
    module, mode = request.param
    world = World(Authority(policy=POLICY))
    # A change to None removes the setting.
    settings = {name: value for name, value in world.authority.settings(**changes).items() if value is not None}
    with import_module(module).MODES[mode](settings) as (kind, app), serve(kind, app) as client:
        yield Served(client, world)


@pytest.fixture(scope="module", params=MODES, ids=[mode for _, mode in MODES])
def served(request: pytest.FixtureRequest) -> Iterator[Served]:
    yield from _served(request)


@pytest.fixture(params=MODES, ids=[mode for _, mode in MODES])
def observing(request: pytest.FixtureRequest) -> Iterator[Served]:
    yield from _served(request, OBSERVE_UNTIL=datetime.now(UTC).date() + timedelta(days=7))


@pytest.fixture(params=MODES, ids=[mode for _, mode in MODES])
def keyless(request: pytest.FixtureRequest) -> Iterator[Served]:
    """Applications whose issuer's key set is at a local port without a server."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    yield from _served(request, JWKS=None, JWKS_URL=f"http://127.0.0.1:{port}/jwks.json")


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_every_host_answers_alike(served: Served, case: Case, caplog: pytest.LogCaptureFixture) -> None:
    """Each host gives the status, error code and challenge of the table, and logs each reference that it gives."""
    method, _, path = case.request.partition(" ")
    lines = [("Authorization", value) for value in case.credential(served.world)]
    answer = served.client.request(method, path, [*lines, *case.headers], b"" if method == "POST" else None)
    assert (case.status, case.challenge) == (answer.status, answer.headers.get("www-authenticate"))
    if case.json is not None:
        assert case.json == answer.json
    if case.status in {400, 401, 403} and method != "HEAD":
        assert case.error == answer.json.get("error")
        assert "no-store" == answer.headers["cache-control"]
        reference = answer.json.get("reference", "")
        # Anybody can cause refusals without a credential, so they are logged at INFO, which is off by default.
        assert (10 if case.error else 0) == len(reference)
        assert reference in caplog.text


@pytest.mark.parametrize(("module", "mode"), MODES, ids=[mode for _, mode in MODES])
def test_a_token_of_a_new_key_gets_503_during_the_cool_down(module: str, mode: str) -> None:
    """In the cool-down, a token of a new key gets 503 with the time left; one older than the key set gets 401."""
    authority = Authority(policy=POLICY)
    world = World(authority)
    with KeyServer(authority.key.public_jwk()) as keys:
        settings = {name: value for name, value in authority.settings().items() if name != "JWKS"}
        settings["JWKS_URL"] = keys.url
        with import_module(module).MODES[mode](settings) as (kind, app), serve(kind, app) as client:

            def ask(credential: list[str]) -> tuple[int, str | None]:
                answer = client.request("GET", "/orders", [("Authorization", credential[0])])
                return answer.status, answer.headers.get("retry-after")

            assert (200, None) == ask(world.bearer("orders:list"))
            authority.rotate()
            keys.serve(authority.key.public_jwk())
            status, after = ask(world.bearer("orders:list"))
            assert (503, True) == (status, after is not None and 1 <= int(after) <= 30)
            old = {"iat": int(time.time()) - 60}
            assert (401, None) == ask(world.bearer("orders:list", claims=old))
        assert 1 == len(keys.paths)


def test_the_table_is_long_enough() -> None:
    """The table has at least 70 cases, each with its own name."""
    names = [case.name for case in CASES]
    assert len(names) >= 70
    assert len(names) == len(set(names))


def test_concurrent_requests_keep_their_subject(served: Served) -> None:
    """Each of many concurrent requests is answered for its own subject."""
    subjects = [f"user{number}" for number in range(40)]
    headers = {name: served.world.bearer("orders:list", subject=name)[0] for name in subjects}

    def ask(name: str) -> str:
        return str(served.client.request("GET", "/slow", [("Authorization", headers[name])]).json["subject"])

    with ThreadPoolExecutor(16) as pool:
        assert subjects == list(pool.map(ask, subjects))


def test_a_preflight_never_calls_the_view(served: Served) -> None:
    """The host answers a preflight without the view, or the guard refuses it."""
    headers = [("Origin", "https://other.test"), ("Access-Control-Request-Method", "GET")]
    answer = served.client.request("OPTIONS", "/orders", headers)
    assert b"subject" not in answer.body


def test_observe_mode_withholds_nothing(observing: Served) -> None:
    """In observe mode nothing is refused, so no response is withheld, whatever the code catches."""
    headers = [("Authorization", observing.world.bearer()[0])]
    answers = {by: observing.client.request("GET", f"/caught/{by}", headers) for by in CATCHERS}
    assert dict.fromkeys(CATCHERS, (200, OK)) == {by: (answer.status, answer.json) for by, answer in answers.items()}


def test_observe_mode_gives_views_an_anonymous_token(observing: Served) -> None:
    """A view that uses its token gets one that holds nothing if the caller's is missing or not valid."""
    world = observing.world
    nobody = {"subject": "", "anonymous": True, "holds": False}
    expired = world.bearer("orders:list", claims={"iat": 1, "exp": 2})
    for credential in ([], ["Bearer x"], expired, world.crafted(key=world.stranger), ["Bearer a.b.c, Bearer a.b.c"]):
        lines = [("Authorization", value) for value in credential]
        for path in ("/by-token", "/open-by-token"):
            answer = observing.client.request("GET", path, lines)
            assert (200, nobody) == (answer.status, answer.json), credential
    lacking = observing.client.request("GET", "/by-token", [("Authorization", world.bearer("orders:read")[0])])
    assert {"subject": "alice", "anonymous": False, "holds": False} == lacking.json


def test_a_public_view_gets_an_anonymous_token(served: Served) -> None:
    """A public view that uses the token gets the anonymous one, whatever was sent; no other view gets it."""
    held = served.world.bearer("orders:list")
    for credential in ([], ["Bearer x"], held):
        answer = served.client.request("GET", "/open-by-token", [("Authorization", value) for value in credential])
        assert (200, {"subject": "", "anonymous": True, "holds": False}) == (answer.status, answer.json)
    answer = served.client.request("GET", "/by-token", [("Authorization", held[0])])
    assert {"subject": "alice", "anonymous": False, "holds": True} == answer.json
    assert 401 == served.client.request("GET", "/by-token").status


def test_a_503_is_final(keyless: Served) -> None:
    """A 503 is final: it is sent before any view runs, and even if a view catches it."""
    headers = [("Authorization", keyless.world.bearer("caught:use")[0])]
    for path in ("/orders", "/caught/view", "/caught/public", "/caught/open"):
        answer = keyless.client.request("GET", path, headers)
        assert (503, None) == (answer.status, answer.headers.get("www-authenticate"))
        # The rest of the cool-down after the failed fetch.
        assert 1 <= int(answer.headers["retry-after"]) <= 30
        assert "no-store" == answer.headers["cache-control"]


def test_a_refusal_after_the_response_withholds_nothing(served: Served) -> None:
    """A task that outlives the response is refused; this response and the next are sent."""
    caught.OUTCOMES.clear()
    headers = [("Authorization", served.world.bearer()[0])]
    for _ in range(2):
        answer = served.client.request("GET", "/caught/background", headers)
        assert (200, OK) == (answer.status, answer.json)
    deadline = time.monotonic() + 10
    while len(caught.OUTCOMES) < 2 and time.monotonic() < deadline:
        time.sleep(0.02)
    assert [True, True] == caught.OUTCOMES
