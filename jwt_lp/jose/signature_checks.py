"""Checks of signatures, each made for one key (RFC 7518, section 3; RFC 8037, section 3.1).

The signature algorithms are those of cryptography. The hashes are those of hashlib, which takes less time for the same
digest. What depends on the key alone is prepared once.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from hmac import compare_digest
from typing import Any, Final, TypeAlias

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding
from cryptography.hazmat.primitives.asymmetric.utils import Prehashed, encode_dss_signature

SignatureCheck: TypeAlias = Callable[[bytes, bytes], bool]
"""Takes the signed bytes and a signature of the right length; raises, or returns False, if the signature is wrong."""

Hash: TypeAlias = Callable[[bytes], Any]

_HASHES: Final[dict[str, tuple[Hash, hashes.HashAlgorithm]]] = {
    "256": (hashlib.sha256, hashes.SHA256()),
    "384": (hashlib.sha384, hashes.SHA384()),
    "512": (hashlib.sha512, hashes.SHA512()),
}
_INNER: Final = bytes(byte ^ 0x36 for byte in range(256))
_OUTER: Final = bytes(byte ^ 0x5C for byte in range(256))


def signature_check(algorithm: str, key: Any) -> SignatureCheck:
    """Make the check for `key`, which is a public key of cryptography, or the bytes of a shared secret."""
    family, size = algorithm[:2], algorithm[2:]
    if family == "HS":
        return _hmac_check(key, f"sha{size}")
    if family == "Ed":
        return _eddsa_check(key)
    hash_of, kind = _HASHES[size]
    hashed = Prehashed(kind)
    if family == "ES":
        return _ecdsa_check(key, hash_of, ec.ECDSA(hashed))
    if family == "PS":
        return _rsa_check(key, hash_of, padding.PSS(mgf=padding.MGF1(kind), salt_length=kind.digest_size), hashed)
    return _rsa_check(key, hash_of, padding.PKCS1v15(), hashed)


def _rsa_check(key: Any, hash_of: Hash, scheme: padding.AsymmetricPadding, hashed: Prehashed) -> SignatureCheck:
    verify = key.verify

    def check(signed: bytes, signature: bytes) -> bool:
        verify(signature, hash_of(signed).digest(), scheme, hashed)
        return True

    return check


def _ecdsa_check(key: Any, hash_of: Hash, scheme: ec.ECDSA) -> SignatureCheck:
    verify = key.verify

    def check(signed: bytes, signature: bytes) -> bool:
        # RFC 7518, section 3.4: the two numbers one after the other, in place of the DER that cryptography takes.
        half = len(signature) // 2
        numbers = int.from_bytes(signature[:half], "big"), int.from_bytes(signature[half:], "big")
        verify(encode_dss_signature(*numbers), hash_of(signed).digest(), scheme)
        return True

    return check


def _eddsa_check(key: Any) -> SignatureCheck:
    verify = key.verify

    def check(signed: bytes, signature: bytes) -> bool:
        verify(signature, signed)
        return True

    return check


def _hmac_check(secret: bytes, name: str) -> SignatureCheck:
    """HMAC as RFC 2104, section 4 suggests: the padded keys are hashed once, and each message starts from a copy."""
    block = hashlib.new(name).block_size
    padded = (hashlib.new(name, secret).digest() if len(secret) > block else secret).ljust(block, b"\0")
    inner, outer = (hashlib.new(name, padded.translate(table)) for table in (_INNER, _OUTER))

    def check(signed: bytes, signature: bytes) -> bool:
        message = inner.copy()
        message.update(signed)
        code = outer.copy()
        code.update(message.digest())
        return compare_digest(code.digest(), signature)

    return check
