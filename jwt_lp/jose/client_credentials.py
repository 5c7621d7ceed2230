"""Credentials with which this service authenticates as an OAuth client: a secret, or an assertion signed with its key."""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING, Final
from urllib.parse import quote_plus

from jwt_lp.errors import clears_locals
from jwt_lp.jose.jwk import SYMMETRIC
from jwt_lp.jose.signing import sign

if TYPE_CHECKING:
    from jwt_lp.jose.signing import SigningKey

ASSERTION_TYPE: Final = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
ASSERTION_LIFETIME: Final = 60


@clears_locals
def basic_credentials(client: str, secret: str) -> str:
    """The value that follows `Basic `; client and secret are form-encoded first (RFC 6749, section 2.3.1)."""
    return base64.b64encode(f"{quote_plus(client)}:{quote_plus(secret)}".encode()).decode()


@clears_locals
def assertion_fields(client: str, key: SigningKey, audience: str, now: float, token_id: bytes) -> dict[str, str]:
    """The form fields of `private_key_jwt` (RFC 7523, section 2.2): one audience, valid for one minute, used once."""
    claims = {
        "iss": client,
        "sub": client,
        "aud": audience,
        "jti": base64.urlsafe_b64encode(token_id).decode(),
        "iat": int(now),
        "exp": int(now) + ASSERTION_LIFETIME,
    }
    return {"client_assertion_type": ASSERTION_TYPE, "client_assertion": sign(claims, key, typ="JWT")}


def assertion_key_fault(key: SigningKey) -> str | None:
    """What is wrong with a key for assertions; None if it is asymmetric."""
    if key.algorithm in SYMMETRIC:
        return f"the key {key.kid} is a shared secret: an assertion needs an asymmetric key"
    return None
