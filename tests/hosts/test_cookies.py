"""The conformance table with the token in a cookie."""

from __future__ import annotations

from collections.abc import Iterator
from importlib import import_module

import pytest

from hosts.conformance import CASES, POLICY, Case, World, as_cookie
from hosts.serving import serve
from hosts.test_conformance import MODES, Served
from jwt_lp.testing.authority import Authority

pytestmark = pytest.mark.host

WORLD = World(Authority(policy=POLICY))
# One mode of each host, because the table is long.
ONE_EACH = {"django-async", "drf", "flask", "starlette-sync", "fastapi"}
SENT_AS_COOKIE = [case for case in CASES if as_cookie(case, WORLD) is not None]


def serve_with_cookies(request: pytest.FixtureRequest) -> Iterator[Served]:
    module, mode = request.param
    settings = {**WORLD.authority.settings(CLIENTS=["tests", "mobile"]), "COOKIE": True}
    with import_module(module).MODES[mode](settings) as (kind, app), serve(kind, app) as client:
        yield Served(client, WORLD)


@pytest.fixture(
    scope="module",
    params=[each for each in MODES if each[1] in ONE_EACH],
    ids=[mode for _, mode in MODES if mode in ONE_EACH],
)
def served_once(request: pytest.FixtureRequest) -> Iterator[Served]:
    yield from serve_with_cookies(request)


def test_most_of_the_table_is_sent_as_a_cookie() -> None:
    """The mode leaves out only cases about the header itself."""
    assert len(SENT_AS_COOKIE) > 150


@pytest.mark.parametrize("case", SENT_AS_COOKIE, ids=lambda case: case.name)
def test_every_host_answers_a_cookie_as_a_header(served_once: Served, case: Case) -> None:
    """A token in the cookie gets the status, challenge and error code that it gets in the header."""
    method, _, path = case.request.partition(" ")
    headers = as_cookie(case, served_once.world) or ()
    answer = served_once.client.request(method, path, headers, b"" if method == "POST" else None)
    assert (case.status, case.challenge) == (answer.status, answer.headers.get("www-authenticate"))
    if case.json is not None:
        assert case.json == answer.json
    if case.status in {401, 403} and method != "HEAD":
        assert case.error == answer.json.get("error")
