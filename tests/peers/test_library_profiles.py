"""Tokens of djangorestframework-simplejwt and Flask-JWT-Extended, made by the libraries, under their profiles."""

from __future__ import annotations

from base64 import urlsafe_b64encode
from types import SimpleNamespace
from typing import Any

import pytest

from jwt_lp import AUTHENTICATED, Decision, Guard, all_of

pytestmark = pytest.mark.peers

SECRET = "an-hs256-secret-of-sixty-four-characters-for-these-tests-alone-.."
LIBRARIES = {"simplejwt": "rest_framework_simplejwt", "flask-jwt-extended": "flask_jwt_extended"}


def settings(profile: str, **changes: Any) -> dict[str, Any]:
    k = urlsafe_b64encode(SECRET.encode()).rstrip(b"=").decode()
    return {
        "ISSUER": "https://shop.example.com",
        "AUDIENCE": "orders-api",
        "ALGORITHMS": ["HS256"],
        "JWKS": {"kty": "oct", "k": k, "alg": "HS256"},
        "PROFILE": profile,
        "ABSENT_CLAIMS": ["iss", "aud"],
        **changes,
    }


def simplejwt_token(kind: str, claims: dict[str, Any], **options: Any) -> str:
    pytest.importorskip("rest_framework_simplejwt")
    from hosts.django_setup import configure

    configure()
    from django.test import override_settings

    with override_settings(SIMPLE_JWT={"SIGNING_KEY": SECRET, **options}):
        from rest_framework_simplejwt import state, tokens

        backend = state.TokenBackend("HS256", SECRET, "", options.get("AUDIENCE"), options.get("ISSUER"))
        made = getattr(tokens, kind).for_user(SimpleNamespace(id=7, is_active=True))
        made.payload.update(claims)
        return str(backend.encode(made.payload))


def flask_token(kind: str, claims: dict[str, Any], **options: Any) -> str:
    extended = pytest.importorskip("flask_jwt_extended")
    from flask import Flask

    app = Flask(__name__)
    app.config.update(JWT_SECRET_KEY=SECRET, **options)
    extended.JWTManager(app)
    with app.app_context():
        make = getattr(extended, f"create_{kind}_token")
        return str(make(identity="7", additional_claims=claims))


def access_token(profile: str, claims: dict[str, Any] | None = None, **options: Any) -> str:
    if profile == "simplejwt":
        return simplejwt_token("AccessToken", claims or {}, **options)
    return flask_token("access", claims or {}, **options)


def refresh_token(profile: str) -> str:
    return simplejwt_token("RefreshToken", {}) if profile == "simplejwt" else flask_token("refresh", {})


def check(settings: dict[str, Any], token: str, *permissions: str) -> Decision:
    with Guard(settings) as guard:
        requirement = all_of(*permissions) if permissions else AUTHENTICATED
        return guard.check(f"Bearer {token}", requirement, {}, "GET /orders")


@pytest.mark.parametrize("profile", LIBRARIES)
def test_an_access_token_is_accepted(profile: str) -> None:
    """A token that the library makes by default, without `iss` and `aud`, names its user and grants nothing."""
    decision = check(settings(profile), access_token(profile))
    assert decision.passes
    assert decision.token is not None
    assert ("https://shop.example.com", "7", None) == (
        decision.token.issuer,
        decision.token.subject,
        decision.token.client,
    )
    assert decision.token.token_id
    assert [] == list(decision.token.permissions)
    assert check(settings(profile), access_token(profile), "orders:read").refusal is not None


@pytest.mark.parametrize("profile", LIBRARIES)
@pytest.mark.parametrize(
    "claims", [{"permissions": ["orders:read"]}, {"scope": "orders:read"}, {"roles": ["clerk"]}, {"groups": "clerk"}]
)
def test_what_a_project_adds_confers_grants(profile: str, claims: dict[str, Any]) -> None:
    """Permissions count as they are, and roles where the policy lists them."""
    policy = {
        "version": 1,
        "roles": {"reader": {"grants": ["orders:read"], "from": ["role:clerk", "group:clerk"]}},
    }
    assert check(settings(profile, POLICY=policy), access_token(profile, claims), "orders:read").passes


@pytest.mark.parametrize("profile", LIBRARIES)
def test_a_role_for_every_token(profile: str) -> None:
    """A profile that reads the type as a role confers that role with each access token of the library."""
    claim = "token_type" if profile == "simplejwt" else "type"
    policy = {"version": 1, "roles": {"member": {"grants": ["orders:read"], "from": [f"{claim}:access"]}}}
    with_type = settings(profile, POLICY=policy, PROFILE={"BASE": profile, "ROLES": [claim]})
    assert check(with_type, access_token(profile), "orders:read").passes


@pytest.mark.parametrize("profile", LIBRARIES)
def test_a_refresh_token_is_refused(profile: str) -> None:
    """A refresh token of the same key is no access token."""
    assert_refused(settings(profile), refresh_token(profile))


def test_a_sliding_token_is_refused() -> None:
    """A sliding token of simplejwt can be refreshed, so it is no access token."""
    assert_refused(settings("simplejwt"), simplejwt_token("SlidingToken", {}))


@pytest.mark.parametrize("profile", LIBRARIES)
@pytest.mark.parametrize("absent", [[], ["iss"], ["aud"]])
def test_each_claim_is_needed_unless_the_settings_say_otherwise(profile: str, absent: list[str]) -> None:
    """Without ABSENT_CLAIMS for both, a token that has neither `iss` nor `aud` is refused."""
    assert_refused(settings(profile, ABSENT_CLAIMS=absent), access_token(profile))


@pytest.mark.parametrize("profile", LIBRARIES)
def test_a_claim_that_is_there_is_compared(profile: str) -> None:
    """With an `iss` or an `aud`, a token is accepted only if they are those of the settings, whatever may be absent."""
    good = {"iss": "https://shop.example.com", "aud": "orders-api"}
    for absent in ([], ["iss", "aud"]):
        assert check(settings(profile, ABSENT_CLAIMS=absent), access_token(profile, good)).passes
    wrong: dict[str, Any]
    for wrong in ({"iss": "https://other.example"}, {"iss": ""}, {"aud": "other-api"}, {"aud": None}, {"aud": []}):
        assert_refused(settings(profile), access_token(profile, {**good, **wrong}))
        assert_refused(settings(profile), access_token(profile, wrong))


@pytest.mark.parametrize("profile", LIBRARIES)
def test_the_token_of_another_key_is_refused(profile: str) -> None:
    """The key says whose a token without `iss` is."""
    other = {"kty": "oct", "k": urlsafe_b64encode(b"x" * 64).rstrip(b"=").decode(), "alg": "HS256"}
    assert_refused(settings(profile, JWKS=other), access_token(profile))


def assert_refused(settings: dict[str, Any], token: str) -> None:
    refusal = check(settings, token).refusal
    assert refusal is not None
    assert (401, "invalid_token") == (refusal.status, refusal.error)
