"""The table of forged and malformed cookies, in every host."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from hosts.conformance import COOKIE_CASES, CookieCase
from hosts.test_conformance import MODES, Served
from hosts.test_cookies import WORLD, serve_with_cookies

pytestmark = pytest.mark.host


# In a file of its own: two fixtures of a module that change Django's settings would end in any order.
@pytest.fixture(scope="module", params=MODES, ids=[mode for _, mode in MODES])
def served(request: pytest.FixtureRequest) -> Iterator[Served]:
    yield from serve_with_cookies(request)


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
