"""Checks for weak key material.

Weak keys verify signatures as well as strong ones, so no cryptographic library refuses all of them.
"""

from __future__ import annotations

import base64
import binascii
from contextlib import suppress
from typing import Final

from jwt.algorithms import HMACAlgorithm

MIN_RSA_BITS: Final = 2048
MAX_RSA_BITS: Final = 8192
MIN_EXPONENT: Final = 3
MAX_EXPONENT_BITS: Final = 64

# The primes of the published ROCA test (CVE-2017-15361): those for which the powers of 65537 are not all residues.
_ROCA_PRIMES: Final = (11, 13, 17, 19, 37, 53, 61, 71, 73, 79, 97, 103, 107, 109, 127, 151, 157)
_WRAPPING: Final = b"\xef\xbb\xbf\xff\xfe \t\r\n\v\f"


def rsa_weakness(modulus: int, exponent: int) -> str | None:
    """Return why these RSA numbers are weak, or None.

    Weak are a modulus outside 2048 to 8192 bits (RFC 7518, section 3.3), an even one and one with the ROCA weakness,
    and an exponent that is even, below 3 or above 64 bits (OpenSSL's own bound).
    """
    bits = modulus.bit_length()
    if not MIN_RSA_BITS <= bits <= MAX_RSA_BITS:
        return f"is an RSA key of {bits} bits: {MIN_RSA_BITS} to {MAX_RSA_BITS} are accepted"
    if modulus % 2 == 0:
        return "has an even RSA modulus"
    if exponent < MIN_EXPONENT or exponent % 2 == 0 or exponent.bit_length() > MAX_EXPONENT_BITS:
        return f"has an RSA exponent that is even, below {MIN_EXPONENT} or above {MAX_EXPONENT_BITS} bits"
    if all(_is_power_of_65537(modulus % prime, prime) for prime in _ROCA_PRIMES):
        return "has the ROCA weakness (CVE-2017-15361): replace it"
    return None


def secret_weakness(secret: bytes, min_length: int) -> str | None:
    """Return why this secret is weak, or None.

    Weak are a secret shorter than the hash's output (RFC 7518, section 3.2), and one that others know: a public key,
    certificate or JWK in any form (PEM, DER, SSH, JSON), also with a BOM, in white space, UTF-16 or base64 (RFC 8725,
    section 2.1).
    """
    if len(secret) < min_length:
        return f"is a secret of {len(secret)} bytes: its hash requires at least {min_length}"
    if any(_is_public_key(variant) for variant in _variants(secret)):
        return "is a secret that is also a public key, certificate or JWK, which others know"
    return None


def _is_power_of_65537(residue: int, prime: int) -> bool:
    power = 1
    for _ in range(prime - 1):
        if power == residue:
            return True
        power = power * 65537 % prime
    return False


def _variants(secret: bytes) -> set[bytes]:
    """Return the bytes as they are, and without what an editor or a paste may add around them."""
    bare = secret.replace(b"\x00", b"").strip(_WRAPPING)
    variants = {secret, bare, secret.strip(_WRAPPING)}
    with suppress(binascii.Error):  # most secrets are not base64
        variants.add(base64.b64decode(b"".join(bare.split()), validate=True))
    return variants - {b""}


def _is_public_key(variant: bytes) -> bool:
    try:
        HMACAlgorithm(HMACAlgorithm.SHA256).prepare_key(variant)
    except Exception:  # noqa: BLE001 - bytes that the check cannot handle are refused too
        return True
    return False
