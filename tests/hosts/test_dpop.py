"""The table of DPoP: every host gives the same, right answer to tokens that are bound to a key, over real HTTP."""

from __future__ import annotations

from collections.abc import Iterator
from importlib import import_module

import pytest

from hosts.conformance import DPOP_CASES, POLICY, DpopCase, World
from hosts.serving import serve
from hosts.test_conformance import MODES, Served
from jwt_lp.jose.jwk import PROOF_ALGORITHMS
from jwt_lp.testing import Authority, DpopKey

pytestmark = pytest.mark.host

GRANTS = ("orders:list", "orders:create", "orders:*:read", "files:**", "items:3:use", "caught:use", "caught:more")


@pytest.fixture(scope="module", params=MODES, ids=[mode for _, mode in MODES])
def served(request: pytest.FixtureRequest) -> Iterator[Served]:
    module, mode = request.param
    world = World(Authority(policy=POLICY))
    settings = world.authority.settings(DPOP=True)
    with import_module(module).MODES[mode](settings) as (kind, app), serve(kind, app) as client:
        yield Served(client, world)


def _token(served: Served, key: DpopKey) -> str:
    return served.world.authority.token(permissions=GRANTS, claims=key.claims)


@pytest.mark.parametrize("case", DPOP_CASES, ids=lambda case: case.name)
def test_every_host_checks_proofs_alike(served: Served, case: DpopCase) -> None:
    """Each host gives the status, the error code and the challenges of the table."""
    method, _, path = case.request.partition(" ")
    key = DpopKey()
    url = f"http://127.0.0.1:{served.client.port}{path}"
    answer = served.client.request(
        method, path, case.headers(key, _token(served, key), url), b"" if method == "POST" else None
    )
    challenge = answer.headers.get("www-authenticate", "")
    assert (case.status, case.status != 200) == (answer.status, f'algs="{" ".join(PROOF_ALGORITHMS)}"' in challenge)
    if case.status != 200:
        assert case.error == answer.json.get("error")
        assert ("Bearer" in challenge) is (case.error != "invalid_dpop_proof")


def test_no_host_accepts_a_proof_twice(served: Served) -> None:
    """The same request, sent again, is refused."""
    key = DpopKey()
    url = f"http://127.0.0.1:{served.client.port}/orders"
    headers = tuple(key.headers("GET", url, _token(served, key)).items())
    answers = [served.client.request("GET", "/orders", headers) for _ in range(2)]
    assert [(200, None), (401, "invalid_dpop_proof")] == [(each.status, each.json.get("error")) for each in answers]
