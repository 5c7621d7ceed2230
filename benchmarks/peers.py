"""The same decision with other libraries, written as a careful user would: verify, check the claims, look the scope up.

Keys are parsed once. Nothing is done that a decision does not need, so what is compared is the library.
"""

from __future__ import annotations

import base64
import hmac
from collections.abc import Callable
from functools import partial
from typing import Any, Final, TypeAlias, cast

import jwt
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from jwt_lp.testing.authority import AUDIENCE, ISSUER, Authority

Decide: TypeAlias = Callable[[str], bool]
"""Whether a token may do what is asked; a token that is not valid raises the library's own error."""

REQUIRED: Final = ("exp", "iat", "iss", "sub", "aud")


def public_key(authority: Authority) -> Any:
    """The key that verifies the authority's tokens, as cryptography has it; for HS256 the secret's bytes."""
    return jwt.PyJWK(cast("dict[str, Any]", authority.key.public_jwk())).key


def pem(authority: Authority) -> str:
    """The public key as text, as most documentation shows it."""
    encoded: bytes = public_key(authority).public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    return encoded.decode()


def decode_with_pyjwt(authority: Authority) -> Callable[[str], dict[str, Any]]:
    """`jwt.decode` of PyJWT with everything but the token."""
    return partial(
        jwt.decode,
        key=jwt.PyJWK(cast("dict[str, Any]", authority.key.public_jwk())),
        algorithms=[authority.key.algorithm],
        audience=AUDIENCE,
        issuer=ISSUER,
        options=cast("Any", {"require": list(REQUIRED)}),
    )


def pyjwt(authority: Authority, wanted: str) -> Decide:
    """`jwt.decode`, and the scope."""
    decode = decode_with_pyjwt(authority)
    return lambda token: wanted in decode(token)["scope"].split()


def joserfc(authority: Authority, wanted: str) -> Decide:
    """`joserfc.jwt.decode`, its registry of claims, and the scope."""
    from joserfc import jwk
    from joserfc import jwt as joserfc_jwt

    algorithm = authority.key.algorithm
    key = jwk.import_key(cast("Any", {**authority.key.public_jwk(), "alg": algorithm}))
    registry = joserfc_jwt.JWTClaimsRegistry(
        iss={"essential": True, "value": ISSUER},
        aud={"essential": True, "value": AUDIENCE},
        sub={"essential": True},
        exp={"essential": True},
        iat={"essential": True},
    )

    def decide(token: str) -> bool:
        claims = joserfc_jwt.decode(token, key, algorithms=[algorithm]).claims
        registry.validate(claims)
        return wanted in claims["scope"].split()

    return decide


def bare_verification(authority: Authority, tokens: list[str]) -> Callable[[str], object]:
    """Nothing but the signature's verification by cryptography: the token is parsed beforehand."""
    key = public_key(authority)
    parts = {token: _signed(token, key) for token in tokens}
    if isinstance(key, rsa.RSAPublicKey):
        scheme, digest = padding.PKCS1v15(), SHA256()
        return lambda token: key.verify(*parts[token], scheme, digest)
    if isinstance(key, ec.EllipticCurvePublicKey):
        curve_scheme = ec.ECDSA(SHA256())
        return lambda token: key.verify(*parts[token], curve_scheme)
    if isinstance(key, ed25519.Ed25519PublicKey):
        return lambda token: key.verify(*parts[token])

    def verify(token: str) -> None:
        signature, signed = parts[token]
        assert hmac.compare_digest(hmac.digest(key, signed, "sha256"), signature)

    return verify


def _signed(token: str, key: object) -> tuple[bytes, bytes]:
    """The signature in the form that `key` verifies, and what was signed."""
    signed, _, text = token.rpartition(".")
    signature = base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
    if isinstance(key, ec.EllipticCurvePublicKey):
        half = len(signature) // 2
        signature = encode_dss_signature(int.from_bytes(signature[:half]), int.from_bytes(signature[half:]))
    return signature, signed.encode()
