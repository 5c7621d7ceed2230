"""A client's key for DPoP in tests: its thumbprint, and the proofs that it makes (RFC 9449)."""

from __future__ import annotations

import json
import secrets
import time
from hashlib import sha256
from typing import TYPE_CHECKING
from urllib.parse import urldefrag

from jwt_lp.errors import clears_locals
from jwt_lp.jose.jwk import public_thumbprint
from jwt_lp.jose.jws import encode_base64url
from jwt_lp.jose.signing import SigningKey
from jwt_lp.tokens.dpop import PROOF_TYPE

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

__all__ = ["DpopKey"]


class DpopKey:
    """A new key of a client. `clock` returns seconds since the epoch.

    `claims` bind a token to the key: `authority.token(claims=key.claims)`.
    """

    def __init__(self, algorithm: str = "ES256", *, clock: Callable[[], float] = time.time) -> None:
        self.key: SigningKey = SigningKey.generate(algorithm)
        self._clock = clock
        self.thumbprint: str = public_thumbprint(self.key.public_jwk())

    @property
    def claims(self) -> dict[str, object]:
        """The claims of a token that is bound to this key: `cnf` with `jkt`."""
        return {"cnf": {"jkt": self.thumbprint}}

    @clears_locals
    def proof(
        self,
        method: str,
        url: str,
        token: str,
        *,
        claims: Mapping[str, object] | None = None,
        typ: str | None = PROOF_TYPE,
    ) -> str:
        """Make a proof for one request with `token`; the query and the fragment of `url` are left out.

        `claims` are added last and may replace any claim; None removes one. `typ` replaces the `typ` of the header.
        """
        body: dict[str, object] = {
            "jti": secrets.token_urlsafe(16),
            "htm": method,
            "htu": urldefrag(url).url.partition("?")[0],
            "iat": int(self._clock()),
            "ath": encode_base64url(sha256(token.encode()).digest()),
            **(claims or {}),
        }
        payload = json.dumps({name: value for name, value in body.items() if value is not None})
        return self.key.sign_compact(payload.encode(), typ=typ, embedded_key=True)

    @clears_locals
    def headers(self, method: str, url: str, token: str) -> dict[str, str]:
        """The headers of one request with `token`: `Authorization`, and `DPoP` with a new proof."""
        return {"Authorization": f"DPoP {token}", "DPoP": self.proof(method, url, token)}
