"""Verification of access tokens (RFC 7519, section 7.2; RFC 8725; RFC 9068, section 4)."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass
from hashlib import sha256
from typing import TYPE_CHECKING, Any, cast

from jwt_lp.errors import InvalidToken, clear_locals, clears_locals
from jwt_lp.jose import jws
from jwt_lp.jose.jwk import header_algorithms
from jwt_lp.tokens.cache import TokenCache
from jwt_lp.tokens.claim_checks import check_claims, leeway_of, numeric_date, quote_value
from jwt_lp.tokens.claims import AccessToken, make_token
from jwt_lp.tokens.delegation import Lineage
from jwt_lp.tokens.grant_reader import GrantReader
from jwt_lp.tokens.quick_reader import QuickChecks, ReadToken, read_plain

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from jwt_lp.jose.jwk import VerificationKey
    from jwt_lp.jose.jwks import KeySource
    from jwt_lp.policy.file import Policy
    from jwt_lp.tokens.trusted_issuer import TrustedIssuer


@dataclass(slots=True, eq=False)
class CacheEntry:
    """A verified token with what may end its use: its issuer's keys, and two clocks."""

    token: AccessToken
    keys: KeySource
    generation: int
    usable_until: float
    keys_end: float


class AcceptedIssuer:
    """An issuer, the `alg` values that its tokens may have, and what reads and checks their claims."""

    __slots__ = ("algorithms", "grants", "issuer", "quick_checks")

    def __init__(self, issuer: TrustedIssuer, policy: Policy, *, several: bool) -> None:
        self.issuer: TrustedIssuer = issuer
        self.algorithms: frozenset[str] = header_algorithms(issuer.algorithms)
        self.quick_checks: QuickChecks = QuickChecks(issuer)
        self.grants: GrantReader = GrantReader(issuer, policy, several=several)

    def make_token(
        self,
        claims: dict[str, Any],
        dates: tuple[float, float],
        digest: bytes,
        development: bool,  # noqa: FBT001 - by position, as every new token takes this path
    ) -> AccessToken:
        """Make the token of claims that were checked; `InvalidToken` if their grants cannot be read."""
        issuer = self.issuer
        profile = issuer.profile
        app = profile.is_app(claims)
        permissions, roles, ignored_roles = self.grants.read(claims, app)
        return make_token(
            issuer.issuer,
            issuer.name,
            claims[profile.subject],
            profile.client_of(claims),
            permissions,
            claims,
            dates[0],
            dates[1],
            claims.get(profile.token_id),
            roles,
            digest[:6].hex(),
            ignored_roles,
            app,
            development,
            Lineage.from_claims(claims, issuer.issuer) if issuer.own else None,
        )


class Verifier:
    """Verifies access tokens of the given issuers, and of no other.

    `clock` gives seconds since the epoch. `monotonic` is a clock that is never set; it measures how long keys may be
    used.
    """

    def __init__(
        self,
        issuers: Sequence[TrustedIssuer],
        policy: Policy,
        *,
        clock: Callable[[], float] = time.time,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        # INVARIANT: keys are looked up under the issuer that the token names, never in one pool.
        self._issuers = {issuer.issuer: AcceptedIssuer(issuer, policy, several=len(issuers) > 1) for issuer in issuers}
        self._unnamed = next(
            (self._issuers[issuer.issuer] for issuer in issuers if "iss" in issuer.absent_claims), None
        )
        self._clock = clock
        self._monotonic = monotonic
        self._cache: TokenCache[CacheEntry] = TokenCache()

    def verify(
        self, token: str | Any, *, wait: bool = True, now: float | None = None, cache_key: bytes | None = None
    ) -> AccessToken:
        """Verify `token` and return it as an `AccessToken`.

        `now` is the clock's time, if the caller has it already, and `cache_key` what `recall` returned. Raises
        `InvalidToken` for every token that is not valid here, `KeysUnavailable` if the keys that are needed cannot be
        had, and with `wait=False` `KeysPending` if only a fetch can decide.
        """
        raw = b""
        try:
            if not isinstance(token, str) or len(token) > jws.MAX_TOKEN or not token.isascii():
                # The parser refuses such a token and says why; hashing it first would cost a millisecond per megabyte.
                jws.parse_compact(token)
            now = self._clock() if now is None else now
            if cache_key is None:
                known = self.recall(token, now)
                if isinstance(known, AccessToken):
                    return known
                cache_key = known
            raw = token.encode("ascii")
            entry = self._verify(token, raw, now, cache_key, wait)
        except BaseException as error:
            # INVARIANT: no frame of ours shows the token or its claims in a traceback.
            clear_locals(error)
            del token, raw
            raise
        self._cache.put(cache_key, entry)
        return entry.token

    def recall(self, token: str, now: float) -> AccessToken | bytes:
        """The access token of a text that was verified before, if it is valid still; otherwise its cache key.

        `token` is ASCII, and bounded by the caller. The key is its SHA-256, so that no text is kept in memory.
        """
        # INVARIANT: the digest is of the whole text, signature included.
        cache_key = sha256(token.encode()).digest()
        entry = self._cache.young.get(cache_key) or self._cache.get(cache_key)
        if entry is None:
            return cache_key
        # INVARIANT: a hit is never used after the token or its keys expire, or the issuer's keys change.
        if (
            now < entry.usable_until
            and entry.generation == entry.keys.generation
            and (entry.keys_end == math.inf or self._monotonic() < entry.keys_end)
        ):
            return entry.token
        self._cache.drop(cache_key)
        return cache_key

    def _verify(
        self,
        token: str,
        raw: bytes,
        now: float,
        digest: bytes,
        wait: bool,  # noqa: FBT001 - by position, as every new token takes this path
    ) -> CacheEntry:
        header, claims, signed, signature = read_plain(raw) or _read_carefully(token)
        _, algorithm, kid, typ = header
        name = claims.get("iss")
        accepted = self._issuers.get(name) if isinstance(name, str) else None
        if accepted is None and "iss" not in claims:
            # INVARIANT: one issuer at most may leave out `iss`, and its own keys verify the token; a null is no absence.
            accepted = self._unnamed
        if accepted is None:
            configured = ", ".join(self._issuers)
            raise InvalidToken("issuer", f"iss is {quote_value(name)}; configured is {configured} (compared exactly)")
        issuer = accepted.issuer
        keys, development = issuer.keys, False
        # Development tokens are recognised by their kid: a token of the issuer without a kid is not one.
        if issuer.development is not None and kid is not None:
            development = bool(issuer.development.find(kid, algorithm))
            keys = issuer.development if development else keys
        if not development and algorithm not in accepted.algorithms:
            allowed = ", ".join(sorted(issuer.algorithms))
            raise InvalidToken("algorithm", f"alg is {quote_value(algorithm)}; ALGORITHMS allows {allowed}")
        generation = keys.generation
        issued_at = claims.get("iat")
        age = now - issued_at - issuer.leeway if type(issued_at) is int else _age(issuer, claims, now)
        candidates = keys.find(kid, algorithm, wait=wait, age=age)
        _check_signature(candidates, kid, algorithm, signed, signature)
        # Read the clock again: waiting for keys may have taken two seconds.
        now = self._clock()
        dates = accepted.quick_checks.check(typ, claims, now) or check_claims(issuer, typ, claims, now)
        access_token = accepted.make_token(claims, dates, digest, development)
        # The keys may become too old before the token expires.
        usable_for = keys.usable_for()
        # A float is compared with the clock's time faster than an int.
        usable_until = float(min(dates[1] + leeway_of(issuer, claims), now + usable_for))
        return CacheEntry(access_token, keys, generation, usable_until, self._monotonic() + usable_for)


def _read_carefully(token: str) -> ReadToken:
    compact = jws.parse_compact(token)
    typ = cast("str | None", compact.header.get("typ"))
    header = jws.JoseHeader(compact.header, compact.algorithm, compact.kid, typ)
    return header, jws.read_json(compact.payload, "payload"), compact.signing_input, compact.signature


def _age(issuer: TrustedIssuer, claims: Mapping[str, object], now: float) -> float:
    """Return the seconds since the token was signed, by its own `iat`, which is not verified yet."""
    try:
        return now - numeric_date(claims, "iat") - issuer.leeway
    except InvalidToken:
        # The token will be refused, whatever its key.
        return math.inf


@clears_locals
def verify_signature(token: str, keys: KeySource, *, wait: bool = True) -> tuple[Mapping[str, object], bytes]:
    """Return `(header, payload)` of a compact JWS that one of `keys` signed; the claims are not checked.

    Raises `InvalidToken`, and `KeysUnavailable` or `KeysPending` as `KeySource.find` does.
    """
    compact = jws.parse_compact(token)
    kid, algorithm = compact.kid, compact.algorithm
    _check_signature(keys.find(kid, algorithm, wait=wait), kid, algorithm, compact.signing_input, compact.signature)
    return compact.header, compact.payload


def _check_signature(
    candidates: tuple[VerificationKey, ...], kid: str | None, algorithm: str, signed: bytes, signature: bytes
) -> None:
    if not candidates:
        raise InvalidToken(
            "unknown_key", f"the key set has no {quote_value(algorithm)} key with kid {quote_value(kid)}"
        )
    for key in candidates:
        if key.verify(signed, signature):
            return
    raise InvalidToken("signature", "the signature was not made by a key of this issuer")
