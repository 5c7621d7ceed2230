"""The conformance table with the token in a cookie, and the table of forged and malformed cookies."""

from __future__ import annotations

from collections.abc import Iterator
from importlib import import_module

import pytest

from hosts.conformance import CASES, COOKIE_CASES, POLICY, Case, CookieCase, World, as_cookie
from hosts.serving import serve
from hosts.test_conformance import MODES, Served
from jwt_lp.testing.authority import Authority

pytestmark = pytest.mark.host

WORLD = World(Authority(policy=POLICY))
# One mode of each host, because the table is long.
ONE_EACH = {"django-async", "drf", "flask", "starlette-sync", "fastapi"}
SENT_AS_COOKIE = [case for case in CASES if as_cookie(case, WORLD) is not None]


def _serve(request: pytest.FixtureRequest) -> Iterator[Served]:
    module, mode = request.param
    settings = WORLD.authority.settings(COOKIE=True, CLIENTS=["tests", "mobile"])
    with import_module(module).MODES[mode](settings) as (kind, app), serve(kind, app) as client:
        yield Served(client, WORLD)


# One fixture for both tables: settings of Django have to be given back in the opposite order, and pytest keeps only one.
@pytest.fixture(scope="module", params=MODES, ids=[mode for _, mode in MODES])
def served(request: pytest.FixtureRequest) -> Iterator[Served]:
    yield from _serve(request)


def test_most_of_the_table_is_sent_as_a_cookie() -> None:
    """The mode leaves out only cases about the header itself."""
    assert len(SENT_AS_COOKIE) > 150


@pytest.mark.parametrize(
    "served", [each for each in MODES if each[1] in ONE_EACH], ids=lambda mode: mode[1], indirect=True, scope="module"
)
@pytest.mark.parametrize("case", SENT_AS_COOKIE, ids=lambda case: case.name)
def test_every_host_answers_a_cookie_as_a_header(served: Served, case: Case) -> None:
    """A token in the cookie gets the status, challenge and error code that it gets in the header."""
    method, _, path = case.request.partition(" ")
    headers = as_cookie(case, served.world) or ()
    answer = served.client.request(method, path, headers, b"" if method == "POST" else None)
    assert (case.status, case.challenge) == (answer.status, answer.headers.get("www-authenticate"))
    if case.json is not None:
        assert case.json == answer.json
    if case.status in {401, 403} and method != "HEAD":
        assert case.error == answer.json.get("error")


@pytest.mark.parametrize("case", COOKIE_CASES, ids=lambda case: case.name)
def test_every_host_refuses_what_a_browser_was_made_to_send(served: Served, case: CookieCase) -> None:
    """Each host gives the status and error code of the table of cookies."""
    method, _, path = case.request.partition(" ")
    token = WORLD.bearer("orders:list", "orders:create", "orders:delete")[0].removeprefix("Bearer ")
    answer = served.client.request(method, path, case.headers(token), b"" if method == "POST" else None)
    assert case.status == answer.status
    if case.status in {400, 401, 403}:
        assert case.error == answer.json.get("error")
        assert "no-store" == answer.headers["cache-control"]
    if case.error == "csrf":
        assert "Bearer" == answer.headers["www-authenticate"]
        assert "X-CSRF" in answer.json["detail"]
