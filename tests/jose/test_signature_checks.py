"""Checks of signatures, compared with the libraries' own."""

from __future__ import annotations

import hmac
from typing import Any

import jwt
import pytest
from cryptography.exceptions import InvalidSignature
from hypothesis import given
from hypothesis import strategies as st

from examples import examples
from jwt_lp.jose.signature_checks import signature_check
from jwt_lp.jose.signing import SigningKey

PUBLIC = ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA", "Ed448")
KEYS = {algorithm: SigningKey.generate(algorithm) for algorithm in PUBLIC}
# PyJWT has one name for both curves of RFC 8037.
NAMES = {algorithm: "EdDSA" if algorithm.startswith("Ed") else algorithm for algorithm in PUBLIC}
PARTS = {
    algorithm: jwt.PyJWK({**key.public_jwk(), "alg": NAMES[algorithm]}, NAMES[algorithm])
    for algorithm, key in KEYS.items()
}
DATA = b"header.payload"
# around the block of each hash
SECRETS = st.sampled_from([1, 63, 64, 65, 127, 128, 129]).flatmap(
    lambda n: st.binary(min_size=n, max_size=n)
) | st.binary(max_size=300)


def accepts(algorithm: str, key: Any, signed: bytes, signature: bytes) -> bool:
    try:
        return signature_check(algorithm, key)(signed, signature)
    except InvalidSignature:
        return False


@pytest.mark.parametrize("algorithm", PUBLIC)
@given(at=st.integers(0, 10**6), bit=st.integers(0, 8), other=st.binary(max_size=3))
@examples(20)
def test_a_check_decides_as_pyjwt_does(algorithm: str, at: int, bit: int, other: bytes) -> None:
    """The signature itself, with one changed bit, or over more bytes, is judged as by PyJWT's `verify`."""
    engine, key = PARTS[algorithm].Algorithm, PARTS[algorithm].key
    signature = bytearray(engine.sign(DATA, KEYS[algorithm]._key))
    if bit < 8:
        signature[at % len(signature)] ^= 1 << bit
    expected = engine.verify(DATA + other, key, bytes(signature))
    assert expected is accepts(NAMES[algorithm], key, DATA + other, bytes(signature))
    assert expected is (bit == 8 and other == b"")


@pytest.mark.parametrize("size", ["256", "384", "512"])
@given(secret=SECRETS, signed=st.binary(max_size=400), at=st.integers(0, 63))
@examples(200)
def test_a_shared_secret_makes_the_standard_librarys_hmac(size: str, secret: bytes, signed: bytes, at: int) -> None:
    """For a secret of any length and any bytes, exactly the code of `hmac.digest` is accepted, time after time."""
    check = signature_check(f"HS{size}", secret)
    code = hmac.digest(secret, signed, f"sha{size}")
    other = bytearray(code)
    other[at % len(other)] ^= 1
    assert [True, False, False, True] == [
        check(signed, code),
        check(signed, bytes(other)),
        check(signed + b"x", code),
        check(signed, code),
    ]
