"""The example of two services, in which the first calls the second with a downscoped token."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import ExitStack
from importlib.util import find_spec, module_from_spec, spec_from_file_location
from pathlib import Path
from typing import Any

import pytest

from hosts.serving import HttpClient, serve

EXAMPLE = Path(__file__).parents[2] / "examples" / "on_behalf_of"
SECRET = "the-shops-own-secret-0123456789"

if not all(map(find_spec, ("flask", "starlette", "fastapi", "httpx2"))):
    pytest.skip("the example is made with Flask, FastAPI and httpx2", allow_module_level=True)


def _load(name: str) -> Any:
    spec = spec_from_file_location(f"example_{name}", EXAMPLE / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def services(monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, HttpClient]]:
    """Issuer, shop and stock, each on its own server."""

    def set_environment(**variables: str) -> None:
        for name, value in variables.items():
            monkeypatch.setenv(name, value)

    with ExitStack() as stack:
        set_environment(SHOP_SECRET=SECRET)
        tokens = stack.enter_context(serve("asgi", _load("tokens").app))
        origin = f"http://127.0.0.1:{tokens.port}"
        set_environment(JWT_LP_ISSUER="https://tokens.example", JWT_LP_ALGORITHMS="ES256", JWT_LP_OWN="true")
        set_environment(JWT_LP_JWKS_URL=f"{origin}/.well-known/jwks.json", JWT_LP_AUDIENCE="stock")
        set_environment(JWT_LP_POLICY=str(EXAMPLE / "least-privilege.toml"))
        stock = stack.enter_context(serve("wsgi", _load("stock").app))
        set_environment(
            JWT_LP_AUDIENCE="shop", TOKEN_ENDPOINT=f"{origin}/oauth/token", STOCK=f"http://127.0.0.1:{stock.port}"
        )
        module = _load("shop")
        shop = stack.enter_context(serve("asgi", module.app))
        yield {"tokens": tokens, "stock": stock, "shop": shop}
        module.stock.close()


def test_the_second_service_gets_a_token_that_can_do_one_thing(services: dict[str, HttpClient]) -> None:
    """The second service gets a token for one permission; Alice's own token is refused there."""
    token = services["tokens"].request("POST", "/login", [], b"").body.decode()
    header = [("Authorization", f"Bearer {token}")]
    stock_answer = {"count": 7, "for": "alice", "by": ["shop"], "token_holds": ["stock:roses:read"]}
    answer = services["shop"].request("GET", "/offers/roses", header)
    assert (200, {"for": "alice", "stock": stock_answer}) == (answer.status, answer.json)
    assert 401 == services["stock"].request("GET", "/items/roses", header).status
    assert 401 == services["shop"].request("GET", "/offers/roses").status
