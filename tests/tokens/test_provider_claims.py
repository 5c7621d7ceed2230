"""Claims in the shape of a profile."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from examples import examples
from jwt_lp import ConfigurationError
from jwt_lp.guard.settings import Settings
from jwt_lp.jose.signing import SigningKey
from jwt_lp.tokens.profiles import COGNITO, SHIPPED_PROFILES
from jwt_lp.tokens.provider_claims import shape_claims

REGISTERED = {
    "iss": "https://a.test",
    "sub": "alice",
    "aud": "orders-api",
    "iat": 1,
    "exp": 2,
    "jti": "j1",
    "client_id": "web",
}
KEY = SigningKey.generate("ES256", kid="k1")


@pytest.mark.parametrize("name", list(SHIPPED_PROFILES))
def test_shapes_are_those_of_the_profile(name: str) -> None:
    """The claims are a user's access token of the profile, with these permissions and this client."""
    profile = SHIPPED_PROFILES[name]
    claims, typ = shape_claims(profile, REGISTERED, ["orders:read", "orders:list"], [])
    assert (None, False) == (profile.fault(typ, claims), profile.is_app(claims))
    assert {"orders:read", "orders:list"} == {text for text, _ in profile.read_grants(claims).grants}
    capped = profile.read_ceiling(claims)
    assert capped is None or {"orders:read", "orders:list"} == {text for text, _ in capped.grants}
    assert ("orders-api", "alice", "j1") == (
        profile.audience_claim(claims)[1],
        claims[profile.subject],
        claims[profile.token_id],
    )
    expected = "orders-api" if profile is COGNITO else "web" if profile.client else None
    assert expected == profile.client_of(claims)


@pytest.mark.parametrize("name", list(SHIPPED_PROFILES))
def test_no_grant_is_written_twice(name: str) -> None:
    """Each permission is written once into a claim, and empty claims are left out."""
    profile = SHIPPED_PROFILES[name]
    claims, _ = shape_claims(profile, REGISTERED, ["orders:read"], [])
    for source in profile.sources:
        for _, _, values in source.read(claims):
            assert len(values) == len(set(values))
    bare, _ = shape_claims(profile, REGISTERED, [], [])
    assert set() == {source.path[0] for source in profile.sources} & set(bare)


ROLES = [
    ("rfc9068", ["role:clerk", "group:g", "entitlement:e"]),
    ("okta", ["group:Clerks of orders"]),
    ("entra", ["role:clerk", "group:6b2f", "wid:62e9"]),
    ("keycloak", ["realm:clerk", "client:orders-api:clerk", "client:other:clerk", "group:/staff/clerks"]),
    ("keycloak", ["client:orders-api:ns:clerk"]),
    ("keycloak", ["client:urn%3Aapi%25:clerk"]),
    ("keycloak", ["realm:a:b"]),
    ("cognito", ["group:clerks"]),
]


@pytest.mark.parametrize(
    ("name", "roles"), ROLES, ids=lambda value: value if isinstance(value, str) else " ".join(value)
)
def test_outside_roles_are_written_where_the_issuer_has_them(name: str, roles: list[str]) -> None:
    """Reading the claims again gives the same outside names."""
    claims, typ = shape_claims(SHIPPED_PROFILES[name], REGISTERED, ["orders:read"], roles)
    assert None is SHIPPED_PROFILES[name].fault(typ, claims)
    assert set(roles) == set(SHIPPED_PROFILES[name].read_grants(claims).roles)


def test_a_bare_role_goes_to_the_first_source() -> None:
    """A role without a label is written into the first source of roles."""
    claims, _ = shape_claims(SHIPPED_PROFILES["keycloak"], REGISTERED, [], ["clerk", "boss"])
    assert {"roles": ["clerk", "boss"]} == claims["realm_access"]


def profile_of(**changes: Any) -> Any:
    key = KEY.public_jwk()
    mapping = {"ISSUER": "https://a.test", "AUDIENCE": "orders-api", "ALGORITHMS": "ES256", "JWKS": {"keys": [key]}}
    return Settings.from_mapping({**mapping, "PROFILE": changes}, environ={}).issuers[0].profile


@pytest.mark.parametrize(
    "changes",
    [
        pytest.param({"PERMISSIONS": [{"path": ["a", "b"], "shape": "text"}], "CEILING": []}, id="nested text"),
        pytest.param({"PERMISSIONS": [["a", "*", "p"]], "CEILING": []}, id="below any key"),
        pytest.param({"PERMISSIONS": ["p", "scope"], "CEILING": ["scope"]}, id="two sources and a ceiling"),
        pytest.param(
            {"SUBJECT": "uid", "TOKEN_ID": "uti", "AUDIENCE": "resource", "CLIENT": ["app"]}, id="other names"
        ),
        pytest.param({"EXPECTED": {"kind": ["access", "other"]}}, id="an expected value"),
        pytest.param({"ANY_OF": [["ver", "version"]]}, id="one of two"),
        pytest.param({"TYPES": ["jwt"], "REQUIRED": ["ver"]}, id="typ JWT"),
        pytest.param({"TYPES": [""], "REQUIRED": ["ver"]}, id="no typ"),
        pytest.param({"REQUIRED": ["scope", "client_id"]}, id="the scope is required"),
        pytest.param({"BASE": "okta", "REQUIRED": ["cid", "scp"]}, id="a list of scopes is required"),
        pytest.param({"BASE": "keycloak", "REQUIRED": ["resource_access"], "ROLES": []}, id="an object is required"),
    ],
)
def test_custom_profiles(changes: dict[str, Any]) -> None:
    """Claims of a custom profile have its shape too, and confer only what was requested."""
    profile = profile_of(**changes)
    claims, typ = shape_claims(profile, REGISTERED, ["orders:read", "orders:list"], [])
    assert None is profile.fault(typ, claims)
    assert {"orders:read", "orders:list"} == {text for text, _ in profile.read_grants(claims).grants}


@pytest.mark.parametrize(
    "changes",
    [
        pytest.param({"REQUIRED": ["scope", "client_id"]}, id="text"),
        pytest.param({"BASE": "okta", "REQUIRED": ["cid", "scp"]}, id="a list"),
        pytest.param({"BASE": "keycloak", "REQUIRED": ["realm_access"]}, id="an object"),
    ],
)
def test_a_required_source_may_be_empty(changes: dict[str, Any]) -> None:
    """A required claim that holds grants is present, and empty if nothing was requested."""
    profile = profile_of(**changes)
    claims, typ = shape_claims(profile, REGISTERED, [], [])
    assert None is profile.fault(typ, claims)
    assert ((), ()) == (profile.read_grants(claims).grants, profile.read_grants(claims).roles)


def test_duplicates_are_written_once() -> None:
    """A permission that is also the outside name of a role is written once."""
    claims, _ = shape_claims(SHIPPED_PROFILES["okta"], REGISTERED, ["clerk", "clerk"], ["scope:clerk"])
    assert ["clerk"] == claims["scp"]


def test_the_registered_claims_are_not_changed() -> None:
    """The caller's mapping stays unchanged."""
    registered = dict(REGISTERED)
    shape_claims(COGNITO, registered, ["a"], ["b"])
    assert registered == REGISTERED


@examples(60)
@given(
    st.sampled_from(sorted(SHIPPED_PROFILES)),
    st.lists(st.sampled_from(["a", "a:b", "a:*", "orders:read"]), max_size=3, unique=True),
)
def test_the_claims_grant_what_was_requested(name: str, permissions: list[str]) -> None:
    """Whatever permissions are requested, reading the token gives them in their order."""
    claims, _ = shape_claims(SHIPPED_PROFILES[name], REGISTERED, permissions, [])
    assert permissions == list(dict.fromkeys(text for text, _ in SHIPPED_PROFILES[name].read_grants(claims).grants))


def test_sources_for_applications_stay_empty() -> None:
    """A user's token has no claims of applications, and a permission that it cannot hold is an error."""
    profile = profile_of(PERMISSIONS=[{"path": "p", "when": "apps", "label": "p"}], ROLES=[], CEILING=[])
    assert "p" not in shape_claims(profile, REGISTERED, [], [])[0]
    for permissions, roles in ((["a"], []), ([], ["role"])):
        with pytest.raises(ConfigurationError, match="has no claim for"):
            shape_claims(profile, REGISTERED, permissions, roles)
