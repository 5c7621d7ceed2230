"""Detached JWS (RFC 7515, appendix F): a compact JWS whose payload is kept elsewhere.

With the payload in base64url put back between the two dots, any JOSE library can verify it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from jwt_lp.errors import InvalidToken
from jwt_lp.jose.jws import decode_base64url, encode_base64url, read_header

if TYPE_CHECKING:
    from jwt_lp.jose.jwk import VerificationKey
    from jwt_lp.jose.signing import SigningKey


def sign_detached(payload: bytes, key: SigningKey, *, typ: str) -> str:
    """The detached JWS of `payload`."""
    header, _, rest = key.sign_compact(payload, typ=typ).partition(".")
    return f"{header}..{rest.partition('.')[2]}"


def verify_detached(detached: str, payload: bytes, key: VerificationKey, *, typ: str) -> bool:
    """Whether the key made the detached JWS of these bytes, with this `typ` and the key's own `kid`; never raises."""
    head, dots, tail = detached.partition("..")
    signature = decode_base64url(tail.encode()) if dots and detached.isascii() else None
    try:
        header = read_header(head.encode())
    except InvalidToken:
        return False
    if signature is None or header.typ != typ or header.kid != key.kid or not key.supports(header.algorithm):
        return False
    return key.verify(f"{head}.{encode_base64url(payload)}".encode(), signature)


def attach_payload(detached: str, payload: bytes) -> str:
    """The compact JWS with its payload."""
    header, _, signature = detached.partition("..")
    return f"{header}.{encode_base64url(payload)}.{signature}"
