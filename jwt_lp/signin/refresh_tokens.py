"""Refresh tokens: a JWS that the issuer's keys sign, and that names a family and a number.

No service takes one for an access token: its `typ` is `refresh+jwt`, and its audience is the issuer (RFC 8725, sections
3.11 and 3.12).
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Final, NamedTuple

from jwt_lp.errors import InvalidToken, clears_locals
from jwt_lp.jose.jws import parse_compact, read_json
from jwt_lp.jose.signing import OwnKeySource
from jwt_lp.tokens.claim_checks import numeric_date
from jwt_lp.tokens.claims import REFRESH_TYPE
from jwt_lp.tokens.verification import verify_signature

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from jwt_lp.issuing.issuer import Issuer
    from jwt_lp.stores.families import RefreshFamily

_CLAIMS: Final = frozenset({"iss", "sub", "aud", "iat", "exp", "family", "counter"})
_MAX_COUNTER: Final = 2**53
_MAX_FAMILY: Final = 64


class RefreshToken(NamedTuple):
    """What a verified refresh token says; `counter` is its number in the family."""

    issuer: str
    subject: str
    family: str
    counter: int
    expires_at: float

    def __repr__(self) -> str:
        return f"RefreshToken(family={self.family!r}, masked)"


class RefreshTokenCodec:
    """Makes and verifies the refresh tokens of one issuer. `clock` returns seconds since the epoch."""

    def __init__(self, issuer: Issuer, clock: Callable[[], float]) -> None:
        self._issuer = issuer.issuer
        self._signing_keys = issuer.keys
        self._verification_keys = OwnKeySource(issuer.keys)
        self._clock = clock

    def make(self, family: RefreshFamily, counter: int, expires_at: float) -> str:
        """Return the token with this number in its family."""
        claims = {
            "iss": self._issuer,
            "sub": family.subject,
            "aud": self._issuer,
            "iat": int(self._clock()),
            "exp": int(expires_at),
            "family": family.id,
            "counter": counter,
        }
        payload = json.dumps(claims, separators=(",", ":"), ensure_ascii=False).encode()
        return self._signing_keys.current.sign_compact(payload, typ=REFRESH_TYPE)

    @clears_locals
    def read(self, token: str, *, expired: bool = False) -> RefreshToken:
        """Verify a token, and return what it says; `InvalidToken` for any other text.

        A token that has expired is accepted only if `expired`.
        """
        compact = parse_compact(token)
        # INVARIANT: only this issuer's refresh tokens pass: an access token, an assertion or an ID token of the same
        # keys has another typ (RFC 8725, section 3.11).
        if compact.header.get("typ") != REFRESH_TYPE:
            raise InvalidToken("typ", f"the header's typ is not {REFRESH_TYPE}: this is no refresh token")
        if compact.algorithm not in self._verification_keys.algorithms:
            raise InvalidToken("algorithm", "alg is not one of this issuer's keys")
        _, payload = verify_signature(token, self._verification_keys)
        claims = read_json(payload, "payload")
        if claims.keys() != _CLAIMS or claims["iss"] != self._issuer or claims["aud"] != self._issuer:
            raise InvalidToken("issuer", "iss, aud or the set of claims is not that of this issuer's refresh tokens")
        return self._check(claims, expired=expired)

    def _check(self, claims: Mapping[str, object], *, expired: bool) -> RefreshToken:
        subject, family, counter = claims["sub"], claims["family"], claims["counter"]
        # `type`, because True is an int, too.
        if not (isinstance(subject, str) and isinstance(family, str) and type(counter) is int):
            raise InvalidToken("claim_type", "a claim is not of its type")
        if not (0 < len(family) <= _MAX_FAMILY and 0 <= counter < _MAX_COUNTER):
            raise InvalidToken("claim_type", "family or counter is out of its bounds")
        expires_at = numeric_date(claims, "exp")
        if not expired and self._clock() >= expires_at:
            raise InvalidToken("expired", f"the refresh token expired {self._clock() - expires_at:.0f} s ago")
        return RefreshToken(self._issuer, subject, family, counter, expires_at)
