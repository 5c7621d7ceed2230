"""Refresh tokens that are none, and refresh tokens where an access token is wanted."""

from __future__ import annotations

import base64
import hmac
import json
from contextlib import closing
from typing import TYPE_CHECKING, Any

import pytest

from jwt_lp import (
    AUTHENTICATED,
    ClaimProfile,
    ClientRefused,
    ConfigurationError,
    Guard,
    InvalidToken,
    Issuer,
    Settings,
    SignIn,
    SigningKey,
    StaticKeys,
    Verifier,
)
from jwt_lp.jose.client_credentials import ASSERTION_TYPE
from jwt_lp.jose.signing import sign
from jwt_lp.oauth.private_key_jwt import PrivateKeyJwt
from jwt_lp.tokens.claim_sources import ClaimSource
from jwt_lp.tokens.custom_profile import read_custom_profile
from jwt_lp.tokens.profiles import SHIPPED_PROFILES
from jwt_lp.tokens.trusted_issuer import TrustedIssuer
from signin.signin_world import ISSUER, KEY, NOW, POLICY, World, new_world, read

if TYPE_CHECKING:
    from pathlib import Path

pytest.importorskip("sqlalchemy", reason="needs SQLAlchemy (extra `sql`)")

OTHER_KEY = SigningKey.generate(kid="k1")


@pytest.fixture
def world(tmp_path: Path) -> World:
    return new_world(tmp_path)


def forged(token: str, key: SigningKey = KEY, typ: str | None = "refresh+jwt", **changes: Any) -> str:
    """A refresh token with other claims, signed by a key of this name; a claim of None is left out."""
    claims = {**json.loads(_decoded(token)), **changes}
    return sign({name: value for name, value in claims.items() if value is not None}, key, typ=typ)


def _decoded(token: str) -> bytes:
    payload = token.split(".")[1]
    return base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4))


def unsigned(token: str, algorithm: str) -> str:
    header = json.dumps({"alg": algorithm, "kid": "k1", "typ": "refresh+jwt"}).encode()
    return f"{base64.urlsafe_b64encode(header).rstrip(b'=').decode()}.{token.split('.')[1]}."


def _hmac_with_the_public_key(token: str) -> str:
    signed = unsigned(token, "HS256").rstrip(".")
    signature = hmac.digest(json.dumps(KEY.public_jwk()).encode(), signed.encode(), "sha256")
    return f"{signed}.{base64.urlsafe_b64encode(signature).rstrip(b'=').decode()}"


BAD_TOKENS = {
    "an access token": lambda world, token: read(world.obtain())["access_token"],
    "an access token that says it is one": lambda world, token: forged(
        read(world.obtain())["access_token"], typ="refresh+jwt"
    ),
    "alg none": lambda world, token: unsigned(token, "none"),
    "alg nOnE": lambda world, token: unsigned(token, "nOnE") + "AA",
    "a shared secret made of the public key": lambda world, token: _hmac_with_the_public_key(token),
    "another issuer's": lambda world, token: forged(token, iss="https://other.test/", aud="https://other.test/"),
    "a cookie of another key": lambda world, token: forged(token, OTHER_KEY),
    "a key with another name": lambda world, token: forged(token, SigningKey.generate(kid="k2")),
    "for another audience": lambda world, token: forged(token, aud="shop"),
    "for several audiences": lambda world, token: forged(token, aud=[ISSUER]),
    "without a typ": lambda world, token: forged(token, typ=None),
    "of typ JWT": lambda world, token: forged(token, typ="JWT"),
    "with a claim more": lambda world, token: forged(token, scope="orders:read"),
    "with a claim less": lambda world, token: forged(token, iat=None),
    "another subject's family": lambda world, token: forged(token, sub="bob"),
    "a subject that is no text": lambda world, token: forged(token, sub=7),
    "an unknown family": lambda world, token: forged(token, family="f"),
    "a family that is no text": lambda world, token: forged(token, family=["f"]),
    "an empty family": lambda world, token: forged(token, family=""),
    "a long family": lambda world, token: forged(token, family="f" * 65),
    "a counter that is text": lambda world, token: forged(token, counter="0"),
    "a counter that is true": lambda world, token: forged(token, counter=True),
    "a counter that is a float": lambda world, token: forged(token, counter=0.0),
    "a negative counter": lambda world, token: forged(token, counter=-1),
    "a counter beyond a column": lambda world, token: forged(token, counter=2**63),
    "a counter ahead of the store": lambda world, token: forged(token, counter=1),
    "expired": lambda world, token: forged(token, exp=int(NOW)),
    "an expiry that is text": lambda world, token: forged(token, exp="1900000000"),
    "a changed payload": lambda world, token: token.replace(token.split(".")[1], _changed(token)),
    "a changed signature": lambda world, token: token[:-4] + ("AAAA" if token[-4:] != "AAAA" else "BBBB"),
    "a padded signature": lambda world, token: token + "=",
    "a blank behind": lambda world, token: token + " ",
    "no token": lambda world, token: "hunter2",
    "not ASCII": lambda world, token: token[:-1] + "é",
    "8,000 dots": lambda world, token: "." * 8000,
}


def _changed(token: str) -> str:
    changed = _decoded(token).replace(b"alice", b"admin")
    return base64.urlsafe_b64encode(changed).rstrip(b"=").decode()


@pytest.mark.parametrize("name", BAD_TOKENS)
def test_what_is_no_refresh_token_of_ours_changes_nothing(world: World, name: str) -> None:
    """401 with one sentence; the session goes on, and nothing is revoked."""
    token = read(world.obtain())["refresh_token"]
    bad = BAD_TOKENS[name](world, token)
    assert bad != token
    answers = [
        world.sign_in.refresh(None, b"", refresh_token=bad, address=None),
        world.sign_in.sign_out_everywhere(None, b"", refresh_token=bad, address=None),
    ]
    assert [401, 401] == [answer.status for answer in answers]
    assert 1 == len({answer.body for answer in answers})
    assert [] == list(world.store.revocations())
    assert 200 == world.refresh(token).status


def test_two_issuers_with_one_store_and_one_key(tmp_path: Path) -> None:
    """A family belongs to its issuer."""
    world = new_world(tmp_path)
    other = Issuer("https://other.test/", KEY, audience="shop", client="web", clock=world.clock)
    token = read(world.obtain())["refresh_token"]
    stolen = forged(token, iss=other.issuer, aud=other.issuer)
    answer = SignIn(other, world.store, clock=world.clock).refresh(None, b"", refresh_token=stolen, address=None)
    assert (401, 200) == (answer.status, world.refresh(token).status)


LENIENT = ClaimProfile(
    name="lenient",
    sources=(ClaimSource(("scope",), "scope"),),
    types=frozenset({"", "jwt", "at+jwt", "jws", "refresh", "refresh+jws"}),
    forbidden=frozenset(),
    client=("family",),
    token_id="family",
)


@pytest.mark.parametrize("profile", [*SHIPPED_PROFILES.values(), LENIENT], ids=lambda profile: profile.name)
def test_no_service_takes_a_refresh_token_for_an_access_token(world: World, profile: ClaimProfile) -> None:
    """Its typ is refused in every profile, also where its audience is the issuer; the lenient one takes any other."""
    token = read(world.obtain())["refresh_token"]
    keys = StaticKeys.from_jwks({"keys": [KEY.public_jwk()]})
    accepted = TrustedIssuer("me", ISSUER, frozenset({ISSUER}), frozenset({"ES256"}), profile, keys, max_lifetime=1e9)
    verifier = Verifier([accepted], POLICY, clock=world.clock)
    with pytest.raises(InvalidToken, match="typ"):
        verifier.verify(token)
    if profile is LENIENT:
        assert "alice" == verifier.verify(forged(token, typ="JWT")).subject


def test_a_guard_refuses_a_refresh_token(world: World) -> None:
    """Also on a route that requires no permission."""
    token = read(world.obtain())["refresh_token"]
    issuer = {"ISSUER": ISSUER, "AUDIENCE": ISSUER, "JWKS": {"keys": [KEY.public_jwk()]}, "ALGORITHMS": ["ES256"]}
    settings = Settings.from_mapping({"ISSUERS": {"me": {**issuer, "OWN": True, "MAX_LIFETIME": 8 * 86400}}})
    with closing(Guard(settings, clock=world.clock)) as guard:
        refusal = guard.check([f"Bearer {token}"], AUTHENTICATED, {}, "GET /x").refusal
        assert refusal is not None
        assert (401, "invalid_token") == (refusal.status, refusal.error)


def test_an_issuer_takes_no_refresh_token(world: World) -> None:
    """Neither to verify, nor to narrow, nor to renew."""
    token = read(world.obtain())["refresh_token"]
    for call in (
        lambda: world.issuer.verify(token),
        lambda: world.issuer.narrow(token, ["orders:read"]),
        lambda: world.issuer.renew(token, permissions=["orders:read"]),
    ):
        with pytest.raises(InvalidToken, match="typ"):
            call()


def test_no_client_authenticates_with_a_refresh_token(world: World) -> None:
    """An assertion has another typ and other claims."""
    token = read(world.obtain())["refresh_token"]
    clients = PrivateKeyJwt({"alice": {"keys": [KEY.public_jwk()]}}, audience=ISSUER, clock=world.clock)
    form = {"client_id": ["alice"], "client_assertion": [token], "client_assertion_type": [ASSERTION_TYPE]}
    with pytest.raises(ClientRefused):
        clients.authenticate(form, ())


@pytest.mark.parametrize("typ", ["refresh+jwt", "Application/Refresh+JWT"])
def test_no_profile_can_accept_refresh_tokens(typ: str) -> None:
    """It is refused at start, in the settings and in code."""
    with pytest.raises(ConfigurationError, match=r"TYPES: refresh\+jwt is the typ of refresh tokens"):
        read_custom_profile({"TYPES": ["at+jwt", typ]})
    with pytest.raises(ConfigurationError, match="the typ of refresh tokens"):
        ClaimProfile(name="x", sources=(ClaimSource(("scope",), "scope"),), types=frozenset({"refresh+jwt"}))
