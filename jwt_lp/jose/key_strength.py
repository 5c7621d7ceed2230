"""Is this key material known to be weak?

Numbers and bytes in, the reason for refusing them out. What is checked here verifies signatures perfectly
well, which is why no cryptographic library refuses all of it.
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

# The primes of the published ROCA test (CVE-2017-15361): those where the powers of 65537 are not everything.
_ROCA_PRIMES: Final = (11, 13, 17, 19, 37, 53, 61, 71, 73, 79, 97, 103, 107, 109, 127, 151, 157)
_WRAPPING: Final = b"\xef\xbb\xbf\xff\xfe \t\r\n\v\f"


def rsa_weakness(modulus: int, exponent: int) -> str | None:
    """Refuse RSA numbers that sign badly, however valid their signatures.

    A modulus outside 2048 to 8192 bits (RFC 7518, section 3.3), an even one and one with the ROCA fault; an
    exponent that is even, below 3 or above 64 bits (OpenSSL's own bound).
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


def secret_weakness(secret: bytes, least: int) -> str | None:
    """Refuse a secret shorter than its hash's output (RFC 7518, section 3.2) or that others know.

    Others know a public key, certificate or JWK in any form (PEM, DER, SSH, JSON), also behind a BOM, white
    space, UTF-16 or base64 (RFC 8725, section 2.1).
    """
    if len(secret) < least:
        return f"is a secret of {len(secret)} bytes: its hash asks for at least {least}"
    if any(_reads_as_public(view) for view in _views(secret)):
        return "is a secret that is also a public key, certificate or JWK, which others know"
    return None


def _is_power_of_65537(residue: int, prime: int) -> bool:
    power = 1
    for _ in range(prime - 1):
        if power == residue:
            return True
        power = power * 65537 % prime
    return False


def _views(secret: bytes) -> set[bytes]:
    """Give the bytes as they are, and as they look without what a paste or an editor wraps around them."""
    bare = secret.replace(b"\x00", b"").strip(_WRAPPING)
    views = {secret, bare, secret.strip(_WRAPPING)}
    with suppress(binascii.Error):  # most secrets are no base64
        views.add(base64.b64decode(b"".join(bare.split()), validate=True))
    return views - {b""}


def _reads_as_public(view: bytes) -> bool:
    try:
        HMACAlgorithm(HMACAlgorithm.SHA256).prepare_key(view)
    except Exception:  # noqa: BLE001 - whatever the check trips over is nothing to use as a secret
        return True
    return False
