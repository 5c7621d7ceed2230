"""Which issuer a token names, before it is verified."""

from __future__ import annotations

import pytest

from jwt_lp import Settings
from jwt_lp.guard.issuer_lookup import issuer_of
from jwt_lp.jose.signing import SigningKey

EACH = {"AUDIENCE": "orders-api", "ALGORITHMS": ["ES256"], "CEILING": ["orders:**"]}


def entry(iss: str, **more: object) -> dict[str, object]:
    return {**EACH, "ISSUER": iss, "JWKS": {"keys": [SigningKey.generate("ES256").public_jwk()]}, **more}


@pytest.mark.parametrize(
    ("claims", "expected"),
    [
        ({"iss": "https://a.example"}, "a"),
        ({"iss": "https://b.example"}, "b"),
        ({"iss": "https://c.example"}, None),
        ({"iss": None}, None),
        ({"iss": ["https://a.example"]}, None),
        ({}, "b"),
    ],
)
def test_the_issuer_of_claims(claims: dict[str, object], expected: str | None) -> None:
    """It is the one that `iss` names exactly; without `iss`, the one that may leave it out."""
    entries = {"a": entry("https://a.example"), "b": entry("https://b.example", ABSENT_CLAIMS=["iss"])}
    found = issuer_of(Settings.from_mapping({"ISSUERS": entries}).issuers, claims)
    assert expected == (None if found is None else found.name)


def test_without_such_an_issuer_a_token_needs_iss() -> None:
    """A token without `iss` has no issuer where none may leave it out."""
    assert None is issuer_of(Settings.from_mapping(entry("https://a.example")).issuers, {})
