"""The metadata of a protected resource, as its hosts send it."""

from __future__ import annotations

import json
from typing import Any

import pytest

from jwt_lp import AUTHENTICATED, PUBLIC, ResourceMetadata, Route, Settings, all_of, any_of
from jwt_lp.jose.signing import SigningKey

JWKS = {"keys": [SigningKey.generate("ES256", kid="k1").public_jwk()]}
ROUTES = (
    Route(("GET",), "/b", "app.b", any_of("b:read", "a:read")),
    Route(("GET",), "/a", "app.a", all_of("a:read", "a:{x}:read")),
    Route(("GET",), "/me", "app.me", AUTHENTICATED),
    Route(("GET",), "/public", "app.public", PUBLIC),
    Route(("GET",), "/undeclared", "app.undeclared"),
)


def issuer(name: str, **more: Any) -> dict[str, Any]:
    return {"ISSUER": name, "AUDIENCE": "orders", "ALGORITHMS": "ES256", "JWKS": JWKS, "CEILING": ["a:**"], **more}


def settings(*issuers: str, **more: Any) -> Settings:
    entries = {f"i{number}": issuer(name) for number, name in enumerate(issuers)}
    return Settings.from_mapping({"ISSUERS": entries, **more}, environ={})


def members(read: Settings) -> dict[str, Any]:
    answer = ResourceMetadata(read, ROUTES).get()
    assert 200 == answer.status
    return dict(json.loads(answer.body))


def test_the_members() -> None:
    """Every issuer that has an address is named, and every permission that a route requires and no template."""
    read = settings(
        "https://one.test/", "two", "http://127.0.0.1:8080", RESOURCE="https://api.test/x", SERVICE="orders"
    )
    assert {
        "resource": "https://api.test/x",
        "resource_name": "orders",
        "authorization_servers": ["https://one.test/", "http://127.0.0.1:8080"],
        "scopes_supported": ["a:read", "b:read"],
        "bearer_methods_supported": ["header"],
    } == members(read)


def test_members_without_a_value_are_left_out() -> None:
    """A service without a name, or without issuers that have an address, says nothing about them."""
    read = settings("one", RESOURCE="https://api.test", SHOW_REQUIREMENT=False)
    assert {"resource": "https://api.test", "bearer_methods_supported": ["header"]} == members(read)


@pytest.mark.parametrize(
    ("resource", "suffixes"),
    [
        ("https://api.test", {""}),
        ("https://api.test/", {"", "/"}),
        ("https://api.test/x", {"", "/x"}),
        ("https://api.test/x/", {"", "/x/"}),
        (None, set[str]()),
    ],
)
def test_the_paths_of_the_metadata(resource: str | None, suffixes: set[str]) -> None:
    """The metadata is at its path, and at that path with the resource's own; without RESOURCE it is nowhere."""
    metadata = ResourceMetadata(settings("one", RESOURCE=resource), ROUTES)
    found = {suffix for suffix in ("", "/", "/x", "/x/", "/y", "x") if metadata.get(suffix).status == 200}
    assert suffixes == found
    assert 404 == json.loads(metadata.get("/y").body)["status"]


def test_the_members_about_dpop() -> None:
    """The algorithms of proofs are named where `DPOP` is set, and that it is required where every issuer requires it."""
    names = ("dpop_signing_alg_values_supported", "dpop_bound_access_tokens_required")
    found = [
        tuple(
            members(Settings.from_mapping({"ISSUERS": entries, "RESOURCE": "https://api.test"}, environ={})).get(n)
            for n in names
        )
        for entries in (
            {"a": issuer("one", DPOP=True)},
            {"a": issuer("one", DPOP="required"), "b": issuer("two")},
            {"a": issuer("one", DPOP="required")},
        )
    ]
    algorithms = ["ES256", "ES384", "ES512", "EdDSA", "Ed25519", "PS256", "RS256"]
    assert [(algorithms, None), (algorithms, None), (algorithms, True)] == found
