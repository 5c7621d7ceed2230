"""DPoP proofs: the checks of RFC 9449, section 4.3, but for whether a proof was used before."""

from __future__ import annotations

import json
from functools import lru_cache
from hashlib import sha256
from typing import TYPE_CHECKING, Final, NamedTuple

from jwt_lp._support.json_types import is_json_object
from jwt_lp.errors import InvalidToken, clears_locals
from jwt_lp.jose import jws
from jwt_lp.jose.jwk import PROOF_ALGORITHMS, UnusableKey, load_jwk, public_thumbprint
from jwt_lp.tokens.claim_checks import numeric_date, quote_value
from jwt_lp.tokens.target_uri import normal_uri

if TYPE_CHECKING:
    from collections.abc import Mapping

    from jwt_lp.jose.jwk import VerificationKey

PROOF_TYPE: Final = "dpop+jwt"
MAX_PROOF: Final = 8 * 1024
"""How many characters a proof has at most: room for a key and a signature of RSA with 8192 bits."""

MAX_JTI: Final = 256
MAX_AHEAD: Final = 5.0
"""The seconds by which `iat` of a proof may lie ahead of this clock."""


class ProofContext(NamedTuple):
    """What a proof has to fit: the request, the text of its token, and the key that the token is bound to.

    `thumbprint` is the token's `jkt`. `max_age` and `leeway` are seconds.
    """

    method: str
    url: str
    token: str
    thumbprint: object
    max_age: float
    leeway: float


@clears_locals
def verify_proof(proof: str, context: ProofContext, now: float) -> bytes:
    """Verify a proof, and return the digest by which it is recognised if it is used again.

    The digest is of the key and of `jti`, so no client can use up an identifier of another. Raises `InvalidToken`, with
    a cause that begins with `dpop_`. The signature is verified last, with a key that the token names.
    """
    compact = _parse(proof)
    jwk = _check_header(compact, context.thumbprint)
    token_id = _check_claims(_read_claims(compact.payload), context, now)
    key = _load_key(jwk, compact.algorithm)
    if not (key.supports(compact.algorithm) and key.verify(compact.signing_input, compact.signature)):
        raise InvalidToken("dpop_signature", "the proof was not signed with its key")
    return sha256(f"{context.thumbprint}.{token_id}".encode()).digest()


def _parse(proof: str) -> jws.CompactJws:
    if len(proof) > MAX_PROOF:
        raise InvalidToken("dpop_malformed", f"the proof is longer than {MAX_PROOF} characters")
    try:
        return jws.parse_compact(proof, embedded_key=True)
    except InvalidToken as error:
        raise InvalidToken("dpop_malformed", f"the proof: {error.detail}") from None


def _check_header(compact: jws.CompactJws, thumbprint: object) -> Mapping[str, object]:
    """The proof's key, which the token is bound to."""
    header = compact.header
    if header.get("typ") != PROOF_TYPE:
        raise InvalidToken("dpop_malformed", f"typ of the proof is {quote_value(header.get('typ'))}, not {PROOF_TYPE}")
    if compact.algorithm not in PROOF_ALGORITHMS:
        accepted = ", ".join(PROOF_ALGORITHMS)
        raise InvalidToken("dpop_malformed", f"alg of the proof is {quote_value(compact.algorithm)}, not of {accepted}")
    jwk = header.get("jwk")
    if not is_json_object(jwk):
        raise InvalidToken("dpop_malformed", "the header of the proof has no jwk")
    try:
        own = public_thumbprint(jwk)
    except UnusableKey as error:
        raise InvalidToken("dpop_malformed", f"the key of the proof {error.reason}") from None
    # INVARIANT: before the key is loaded, so that only keys that an issuer has bound a token to cost more than a digest.
    if own != thumbprint:
        raise InvalidToken("dpop_key", "the proof is of another key than the one that cnf.jkt of the token names")
    return jwk


def _read_claims(payload: bytes) -> dict[str, object]:
    try:
        return jws.read_json(payload, "payload")
    except InvalidToken as error:
        raise InvalidToken("dpop_malformed", f"the proof: {error.detail}") from None


def _check_claims(claims: Mapping[str, object], context: ProofContext, now: float) -> str:
    """Compare the claims with the request, and return `jti`."""
    token_id, method, url = claims.get("jti"), claims.get("htm"), claims.get("htu")
    if not (isinstance(token_id, str) and 0 < len(token_id) <= MAX_JTI):
        raise InvalidToken("dpop_malformed", f"jti of the proof is no text of 1 to {MAX_JTI} characters")
    if method != context.method:
        raise InvalidToken("dpop_method", f"htm of the proof is {quote_value(method)}, not {context.method}")
    expected = normal_uri(context.url)
    if expected is None or not isinstance(url, str) or normal_uri(url) != expected:
        named = normal_uri(url) if isinstance(url, str) else None
        raise InvalidToken(
            "dpop_url",
            f"htu of the proof is {quote_value(named)}, and this request came to {quote_value(expected)}: if a proxy is "
            "in front, have the host take scheme and name from it",
        )
    digest = jws.encode_base64url(sha256(context.token.encode()).digest())
    if claims.get("ath") != digest:
        raise InvalidToken("dpop_token", "ath of the proof is missing, or not the digest of this access token")
    _check_time(claims, context, now)
    return token_id


def _check_time(claims: Mapping[str, object], context: ProofContext, now: float) -> None:
    try:
        age = now - numeric_date(claims, "iat")
    except InvalidToken:
        raise InvalidToken("dpop_malformed", "iat of the proof is missing or not a date") from None
    if age > context.max_age + context.leeway:
        raise InvalidToken("dpop_time", f"the proof was made {age:.0f} s ago: make one for each request")
    if age < -MAX_AHEAD - context.leeway:
        raise InvalidToken("dpop_time", f"the proof is of {-age:.0f} s ahead: compare the clocks, or raise LEEWAY")


def _load_key(jwk: Mapping[str, object], algorithm: str) -> VerificationKey:
    try:
        return _load_text(json.dumps(dict(jwk), sort_keys=True), algorithm)
    except UnusableKey as error:
        raise InvalidToken("dpop_malformed", f"the key of the proof {error.reason}") from None


@lru_cache(maxsize=1024)
def _load_text(jwk: str, algorithm: str) -> VerificationKey:
    """Load a key; the keys used lately are kept, because loading one takes as long as a signature."""
    return load_jwk(json.loads(jwk), {algorithm}, trusted=False)
