"""Verification of opaque access tokens by introspection (RFC 7662), beside that of JWTs."""

from __future__ import annotations

import re
import time
from dataclasses import replace
from typing import TYPE_CHECKING, Final, NamedTuple

from jwt_lp.errors import InvalidToken
from jwt_lp.jose.jwks import KeySet, StaticKeys
from jwt_lp.jose.jws import decode_base64url, read_json
from jwt_lp.tokens.cache import TokenCache
from jwt_lp.tokens.claim_checks import check_claims, quote_value
from jwt_lp.tokens.verification import AcceptedIssuer, CacheEntry, Verifier

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from jwt_lp.policy.file import Policy
    from jwt_lp.tokens.introspection_endpoint import IntrospectionEndpoint
    from jwt_lp.tokens.trusted_issuer import TrustedIssuer

MAX_OPAQUE: Final = 4096
"""How many characters of an opaque token are sent at most."""
REFUSED_TTL: Final = 10.0
"""For how many seconds a refusal is given again without asking."""
MAX_REFUSED: Final = 4096

# The characters of a bearer token (RFC 6750, section 2.1).
_OPAQUE: Final = re.compile(r"[A-Za-z0-9._~+/-]+=*")
# Members that say what kind of token was introspected. Servers write them in either form.
_KINDS: Final = (
    ("token_type", frozenset({"bearer", "access_token"})),
    ("token_use", frozenset({"access", "access_token"})),
)
_NO_KEYS: Final = StaticKeys(KeySet.of(()))


class _Refusal(NamedTuple):
    """A refusal that is given again until `until`, on the clock that is never set."""

    until: float
    cause: str
    detail: str


class IntrospectingVerifier(Verifier):
    """A `Verifier` that asks `endpoint` about the opaque tokens of `issuer`, and verifies JWTs as always.

    An accepted answer is used for `ttl` seconds, or until the token expires. `absent_claims` are claims of `iss`, `aud`
    and `iat` that an answer need not have.
    """

    def __init__(
        self,
        issuers: Sequence[TrustedIssuer],
        policy: Policy,
        issuer: TrustedIssuer,
        endpoint: IntrospectionEndpoint,
        *,
        ttl: float,
        absent_claims: frozenset[str] = frozenset(),
        clock: Callable[[], float] = time.time,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        super().__init__(issuers, policy, clock=clock, monotonic=monotonic)
        # An opaque token has no header and so no typ, and RFC 7662 requires no member but `active`.
        profile = replace(issuer.profile, types=frozenset({""}), required=())
        self._opaque = AcceptedIssuer(
            replace(issuer, profile=profile, keys=_NO_KEYS, absent_claims=absent_claims, development=None),
            policy,
            several=len(issuers) > 1,
        )
        self._endpoint = endpoint
        self._ttl = ttl
        self._refused: TokenCache[_Refusal] = TokenCache(MAX_REFUSED)

    def _verify(self, token: str, raw: bytes, now: float, digest: bytes, wait: bool) -> CacheEntry:  # noqa: FBT001 - as above
        # INVARIANT: a JWT is never sent anywhere, whatever became of it here.
        if not is_opaque(token):
            return super()._verify(token, raw, now, digest, wait)
        refusal = self._refused.get(digest)
        if refusal is not None and self._monotonic() < refusal.until:
            raise InvalidToken(refusal.cause, refusal.detail)
        # What is used for `ttl` is counted from before the question, so that a slow answer is no fresher than it is.
        asked_at, asked = self._clock(), self._monotonic()
        answer = self._endpoint.ask(token, digest, wait=wait)
        try:
            return self._read(answer, digest, asked_at, asked)
        except InvalidToken as error:
            self._refused.put(digest, _Refusal(self._monotonic() + REFUSED_TTL, error.cause, error.detail))
            raise

    def _read(self, answer: dict[str, object], digest: bytes, asked_at: float, asked: float) -> CacheEntry:
        """The token that the answer describes; `InvalidToken` if it is not one for this service."""
        accepted, now = self._opaque, self._clock()
        issuer = accepted.issuer
        _check_answer(issuer, answer)
        undated = "iat" not in answer and "iat" in issuer.absent_claims
        # Without `iat` the lifetime is counted from now.
        claims = {**answer, "iat": int(now)} if undated else answer
        issued_at, expires_at = check_claims(issuer, None, claims, now)
        # INVARIANT: a token that may be old is revoked by every revocation of its subject or client.
        issued_at = 0.0 if undated else issued_at
        token = accepted.make_token(answer, (issued_at, expires_at), digest, False)  # noqa: FBT003 - no development key
        usable_until = float(min(expires_at + issuer.leeway, asked_at + self._ttl))
        return CacheEntry(token, _NO_KEYS, _NO_KEYS.generation, usable_until, asked + self._ttl)


def is_opaque(token: str) -> bool:
    """Whether a text can only be an opaque token: no JWT, whole or damaged, and made of a bearer token's characters.

    A text with two dots or more is a JWT, and so is one that begins with a JOSE header.
    """
    if token.count(".") > 1 or len(token) > MAX_OPAQUE or not _OPAQUE.fullmatch(token):
        return False
    header = decode_base64url(token.partition(".")[0].encode("ascii"))
    if header is None:
        return True
    try:
        read_json(header, "header")
    except InvalidToken:
        return True
    return False


def _check_answer(issuer: TrustedIssuer, answer: Mapping[str, object]) -> None:
    """Check what a JWT does not have, or has elsewhere: whether it is active, its kind and its issuer."""
    active = answer.get("active")
    # INVARIANT: only JSON's `true` is active: no text, no number.
    if active is not True:
        raise InvalidToken("inactive", f"the introspection endpoint says: active is {quote_value(active)}")
    for name, kinds in _KINDS:
        kind = answer.get(name)
        if name in answer and name not in issuer.profile.expected and str(kind).lower() not in kinds:
            raise InvalidToken("not_access_token", f"the introspected token's {name} is {quote_value(kind)}")
    if "iss" not in answer and "iss" in issuer.absent_claims:
        return
    if answer.get("iss") != issuer.issuer:
        raise InvalidToken(
            "issuer",
            f"iss of the introspected token is {quote_value(answer.get('iss'))}; configured is {issuer.issuer} (compared "
            "exactly): if the endpoint never says it, name iss in ABSENT_CLAIMS of INTROSPECTION",
        )
