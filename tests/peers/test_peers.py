"""Tokens are exchanged with other libraries without a difference in any claim."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import jwt
import pytest

pytest.importorskip("joserfc")

from joserfc import jwk as joserfc_jwk
from joserfc import jwt as joserfc_jwt

from jwt_lp import ClaimPolicy, Issuer
from jwt_lp.jose.signing import SigningKey
from jwt_lp.testing.authority import AUDIENCE, ISSUER, Authority
from prerequisites import require

# joserfc warns about `EdDSA`, PyJWT's name of the algorithm Ed25519.
pytestmark = [pytest.mark.peers, pytest.mark.filterwarnings("ignore:EdDSA is deprecated via RFC 9864")]

ALGORITHMS = ("ES256", "ES384", "ES512", "RS256", "PS256", "EdDSA", "HS256")
CLAIMS = {"tenant": {"id": "acmé", "of": [1, 2.5, None, True]}}


def issue_token(algorithm: str) -> tuple[Authority, str]:
    """An authority, and a downscoped token of it with claims of every kind."""
    authority = Authority(algorithm=algorithm)
    allowed = {AUDIENCE: ClaimPolicy(claims=frozenset(CLAIMS), wildcards=True)}
    issuer = Issuer(ISSUER, authority.key, audience=AUDIENCE, client="web", claims=allowed)
    first = issuer.issue("alice", permissions=["orders:*:read", "orders:list"], claims=CLAIMS)
    return authority, issuer.narrow(first, ["orders:7:read", "orders:list"])


def verified_claims(authority: Authority, token: str) -> dict[str, Any]:
    with authority.guard() as guard:
        claims: dict[str, Any] = json.loads(json.dumps(guard.verifier.verify(token).claims, default=_plain_dict))
    return claims


def _plain_dict(value: Any) -> Any:
    return dict(value)


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_pyjwt_accepts_our_tokens(algorithm: str) -> None:
    """PyJWT accepts the token with the published key and reads the same claims."""
    authority, token = issue_token(algorithm)
    key = jwt.PyJWK(authority.key.public_jwk())
    claims = jwt.decode(token, key, algorithms=[algorithm], audience=AUDIENCE, issuer=ISSUER)
    assert verified_claims(authority, token) == claims
    assert CLAIMS["tenant"] == claims["tenant"]


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_joserfc_accepts_our_tokens(algorithm: str) -> None:
    """joserfc accepts the token with the published key and reads the same claims and the header."""
    authority, token = issue_token(algorithm)
    name = "Ed25519" if algorithm == "EdDSA" else algorithm
    public: Any = {**authority.key.public_jwk(), "alg": algorithm}
    decoded = joserfc_jwt.decode(token, joserfc_jwk.import_key(public), algorithms=[algorithm, name])
    joserfc_jwt.JWTClaimsRegistry(
        iss={"essential": True, "value": ISSUER}, aud={"essential": True, "value": AUDIENCE}
    ).validate(decoded.claims)
    assert verified_claims(authority, token) == decoded.claims
    assert "at+jwt" == decoded.header["typ"]


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_tokens_of_joserfc_are_accepted(algorithm: str) -> None:
    """A token that joserfc signed with the same key is accepted, with every claim."""
    authority, token = issue_token(algorithm)
    claims = verified_claims(authority, token)
    header = {"alg": algorithm, "typ": "at+jwt", "kid": authority.key.kid}
    private: Any = authority.key.private_jwk()
    key = joserfc_jwk.import_key(private)
    foreign = joserfc_jwt.encode(header, claims, key, algorithms=[algorithm])
    assert claims == verified_claims(authority, foreign)


SCRIPT = """
import { SignJWT, jwtVerify, importJWK } from "jose";
import { readFileSync } from "node:fs";
const { algorithm, privateJwk, publicJwk, kid, claims, token, audience, issuer } = JSON.parse(readFileSync(0, "utf8"));
const signed = await new SignJWT(claims)
  .setProtectedHeader({ alg: algorithm, typ: "at+jwt", kid })
  .sign(await importJWK(privateJwk, algorithm));
const { payload } = await jwtVerify(token, await importJWK(publicJwk, algorithm), { audience, issuer, typ: "at+jwt" });
process.stdout.write(JSON.stringify({ signed, payload }));
"""


@pytest.fixture(scope="session")
def jose(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the npm package jose and a script that signs and verifies."""
    node, npm = shutil.which("node"), shutil.which("npm")
    require(node and npm, "Node and npm, to hold tokens against the package jose")
    folder = tmp_path_factory.mktemp("jose")
    (folder / "package.json").write_text('{"private": true, "type": "module"}', encoding="utf-8")
    (folder / "both.mjs").write_text(SCRIPT, encoding="utf-8")
    install = [str(npm), "install", "--silent", "--no-audit", "--no-fund", "jose@6"]
    done = subprocess.run(install, cwd=folder, capture_output=True, text=True, check=False, timeout=120)
    require(done.returncode == 0, "the npm registry, to install the package jose")
    return folder


@pytest.mark.parametrize("algorithm", ["ES256", "ES512", "RS256", "PS256", "EdDSA"])
def test_tokens_are_exchanged_with_jose(jose: Path, algorithm: str) -> None:
    """The npm package jose accepts our token, and we accept a token that it signed, with every claim."""
    authority, token = issue_token(algorithm)
    claims = verified_claims(authority, token)
    request = {
        "algorithm": algorithm,
        "privateJwk": authority.key.private_jwk(),
        "publicJwk": authority.key.public_jwk(),
        "kid": authority.key.kid,
        "claims": claims,
        "token": token,
        "audience": AUDIENCE,
        "issuer": ISSUER,
    }
    done = subprocess.run(
        ["node", "both.mjs"],
        cwd=jose,
        input=json.dumps(request),
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert "" == done.stderr
    answer = json.loads(done.stdout)
    assert claims == answer["payload"]
    assert claims == verified_claims(authority, answer["signed"])


def test_a_key_pair_of_another_library(tmp_path: Path) -> None:
    """A private JWK of joserfc works as a signing key, and joserfc accepts the tokens signed with it."""
    pair = joserfc_jwk.ECKey.generate_key("P-256", {"kid": "theirs", "alg": "ES256", "use": "sig"}, private=True)
    key = SigningKey.from_jwk(pair.as_dict(private=True))
    token = Issuer(ISSUER, key, audience=AUDIENCE, client="web").issue("alice", permissions=["a:b"])
    assert "a:b" == joserfc_jwt.decode(token, pair).claims["scope"]
