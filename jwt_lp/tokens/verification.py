"""Verification of access tokens (RFC 7519, section 7.2; RFC 8725; RFC 9068, section 4)."""

from __future__ import annotations

import math
import time
from functools import lru_cache
from hashlib import sha256
from typing import TYPE_CHECKING, Any, NamedTuple, cast

from jwt_lp._support.json_types import is_json_object
from jwt_lp.errors import GrammarError, InvalidToken, PolicyError, clear_locals, clears_locals
from jwt_lp.jose import jws
from jwt_lp.jose.jwk import header_algorithms
from jwt_lp.permissions.grants import Grant, Permissions, is_scope_token
from jwt_lp.tokens.cache import TokenCache
from jwt_lp.tokens.claim_checks import (
    check_audience,
    check_bounds,
    check_confirmation,
    check_times,
    numeric_date,
    quote_value,
)
from jwt_lp.tokens.claims import COMPACT_CLAIM, ROLE_SCOPE_CLAIM, AccessToken, ConferredGrants
from jwt_lp.tokens.delegation import Lineage

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from jwt_lp.jose.remote_jwks import KeySource
    from jwt_lp.policy.file import Policy
    from jwt_lp.tokens.trusted_issuer import TrustedIssuer


class _CacheEntry(NamedTuple):
    token: AccessToken
    keys: KeySource
    generation: int
    usable_until: float
    keys_end: float


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
        self._issuers: Mapping[str, TrustedIssuer] = {issuer.issuer: issuer for issuer in issuers}
        self._accepted = {issuer.name: header_algorithms(issuer.algorithms) for issuer in issuers}
        self._policy = policy
        self._clock = clock
        self._monotonic = monotonic
        self._cache: TokenCache[_CacheEntry] = TokenCache()
        # Tokens of one client mostly carry the same grants, so they share one `Permissions` object.
        self._cached_permissions = lru_cache(maxsize=256)(self._build_permissions)

    def verify(self, token: str | Any, *, wait: bool = True, now: float | None = None) -> AccessToken:
        """Verify `token` and return it as an `AccessToken`. `now` is the clock's time, if the caller has it already.

        Raises `InvalidToken` for every token that is not valid here, `KeysUnavailable` if the keys that are needed
        cannot be had, and with `wait=False` `KeysPending` if only a fetch can decide.
        """
        try:
            if not isinstance(token, str) or len(token) > jws.MAX_TOKEN or not token.isascii():
                # The parser refuses such a token and says why; hashing it first would cost a millisecond per megabyte.
                jws.parse_compact(token)
            now = self._clock() if now is None else now
            key = sha256(token.encode("ascii")).digest()
            cached = self._cache.get(key)
            if cached is not None:
                # INVARIANT: a hit is never used after the token or its keys expire, or the issuer's keys change.
                if (
                    now < cached.usable_until
                    and cached.generation == cached.keys.generation
                    and (cached.keys_end == math.inf or self._monotonic() < cached.keys_end)
                ):
                    return cached.token
                self._cache.drop(key)
            entry = self._verify(token, key.hex()[:12], wait=wait)
        except BaseException as error:
            # INVARIANT: no frame of ours shows the token or its claims in a traceback.
            clear_locals(error)
            del token
            raise
        self._cache.put(key, entry)
        return entry.token

    def _verify(self, token: str, fingerprint: str, *, wait: bool) -> _CacheEntry:
        compact = jws.parse_compact(token)
        claims: dict[str, Any] = jws.read_json(compact.payload, "payload")
        issuer = self._issuer(claims.get("iss"))
        keys, development = issuer.keys, False
        # Development tokens are recognised by their kid: a token of the issuer without a kid is not one.
        if issuer.development is not None and compact.kid is not None:
            development = bool(issuer.development.find(compact.kid, compact.algorithm))
            keys = issuer.development if development else keys
        if not development and compact.algorithm not in self._accepted[issuer.name]:
            allowed = ", ".join(sorted(issuer.algorithms))
            raise InvalidToken("algorithm", f"alg is {quote_value(compact.algorithm)}; ALGORITHMS allows {allowed}")
        generation = keys.generation
        _check_signature(compact, keys, wait=wait, age=self._age(issuer, claims))
        fault = issuer.profile.fault(compact.header.get("typ"), claims)
        if fault is not None:
            raise InvalidToken(*fault)
        if "cnf" in claims:
            check_confirmation(issuer, claims["cnf"])
        check_audience(issuer, claims)
        # Read the clock again: waiting for keys may have taken two seconds.
        now = self._clock()
        issued_at, expires_at = check_times(issuer, claims, now)
        access_token = self._token(issuer, claims, issued_at, expires_at, fingerprint, development=development)
        # The keys may become too old before the token expires.
        usable_for = keys.usable_for()
        usable_until = min(expires_at + issuer.leeway, now + usable_for)
        return _CacheEntry(access_token, keys, generation, usable_until, self._monotonic() + usable_for)

    def _issuer(self, name: object) -> TrustedIssuer:
        issuer = self._issuers.get(name) if isinstance(name, str) else None
        if issuer is None:
            configured = ", ".join(self._issuers)
            raise InvalidToken("issuer", f"iss is {quote_value(name)}; configured is {configured} (compared exactly)")
        return issuer

    def _age(self, issuer: TrustedIssuer, claims: Mapping[str, object]) -> float:
        """Return the seconds since the token was signed, by its own `iat`, which is not verified yet."""
        try:
            return self._clock() - numeric_date(claims, "iat") - issuer.leeway
        except InvalidToken:
            # The token will be refused, whatever its key.
            return math.inf

    def _token(
        self,
        issuer: TrustedIssuer,
        claims: dict[str, Any],
        issued_at: float,
        expires_at: float,
        fingerprint: str,
        *,
        development: bool,
    ) -> AccessToken:
        profile = issuer.profile
        app = profile.is_app(claims)
        granted = profile.read_grants(claims, app=app)
        by_role: tuple[tuple[str, tuple[str, ...]], ...] = ()
        if issuer.own:
            granted, by_role = self._read_own_claims(granted, claims)
        roles, ignored_roles = self._map_roles(issuer, granted)
        patterns = issuer.own or issuer.patterns
        permissions = self._cached_permissions(granted, roles, patterns, by_role)
        # Our own issuers have applied every ceiling when they made the token.
        ceiling = None if issuer.own else profile.read_ceiling(claims, app=app)
        # A ceiling equal to the grants removes nothing.
        if ceiling is not None and (roles or ceiling.permissions != granted.permissions):
            permissions &= self._cached_permissions(ceiling, self._map_roles(issuer, ceiling)[0], patterns, ())
        if issuer.ceiling is not None:
            permissions &= issuer.ceiling
        return AccessToken(
            issuer=issuer.issuer,
            issuer_name=issuer.name,
            subject=claims[profile.subject],
            client=profile.client_of(claims),
            permissions=permissions,
            _claims=claims,
            issued_at=issued_at,
            expires_at=expires_at,
            token_id=claims.get(profile.token_id),
            roles=roles,
            fingerprint=fingerprint,
            ignored_roles=ignored_roles,
            app=app,
            development=development,
            lineage=Lineage.from_claims(claims, issuer.issuer) if issuer.own else None,
        )

    def _build_permissions(
        self,
        conferred: ConferredGrants,
        roles: tuple[str, ...],
        patterns: bool,  # noqa: FBT001
        by_role: tuple[tuple[str, tuple[str, ...]], ...],
    ) -> Permissions:
        direct = [Grant(text, source, pattern=patterns) for text, source in conferred.grants]
        for role, texts in by_role:
            # INVARIANT: if the policy has the role, a grant that the role no longer confers is not held through it.
            conferred_by_role = Permissions.of(self._policy.roles[role].grants) if role in self._policy.roles else None
            direct += [
                Grant(text, ROLE_SCOPE_CLAIM, role, patterns)
                for text in texts
                if is_scope_token(text)
                and (conferred_by_role is None or conferred_by_role.find_containing(text) is not None)
            ]
        check_bounds([grant.text for grant in direct], patterns=patterns)
        return Permissions.of([*direct, *self._policy.grants(roles)])

    def _read_own_claims(
        self, granted: ConferredGrants, claims: Mapping[str, object]
    ) -> tuple[ConferredGrants, tuple[tuple[str, tuple[str, ...]], ...]]:
        """Add what only our own tokens carry: compact permissions, and permissions held through a role."""
        if COMPACT_CLAIM in claims:
            try:
                names = self._policy.decode(cast("str", claims[COMPACT_CLAIM]))
            except (GrammarError, PolicyError) as error:
                raise InvalidToken("compact", f"{COMPACT_CLAIM} cannot be read: {error}") from None
            granted = granted._replace(permissions=(*granted.permissions, (COMPACT_CLAIM, "permission:", names)))
        by_role = claims.get(ROLE_SCOPE_CLAIM, {})
        if not is_json_object(by_role) or not all(isinstance(texts, str) for texts in by_role.values()):
            raise InvalidToken("claim_type", f"{ROLE_SCOPE_CLAIM} is not an object of strings")
        return granted, tuple((role, tuple(cast("str", texts).split(" "))) for role, texts in by_role.items())

    def _map_roles(self, issuer: TrustedIssuer, conferred: ConferredGrants) -> tuple[tuple[str, ...], int]:
        """Return the policy's roles that are conferred, and how many outside roles were ignored."""
        if not conferred.external_roles and (issuer.own or not self._policy.maps_external_roles):
            return (), 0
        external_roles = conferred.roles
        if issuer.own:
            # Our issuers write roles only into the first claim for roles, by the policy's names.
            label = next(source.label for source in issuer.profile.sources if source.kind == "roles")
            names = [name.removeprefix(f"{label}:") for name in external_roles if name.startswith(f"{label}:")]
            roles = tuple(name for name in names if name in self._policy.roles)
            return roles, len(external_roles) - len(roles)
        resolve, several = self._policy.resolve_external_roles, len(self._issuers) > 1
        ignored_roles = resolve(external_roles, issuer.name, several=several)[1] if external_roles else 0
        return resolve(conferred.external_names, issuer.name, several=several)[0], ignored_roles


@clears_locals
def verify_signature(token: str, keys: KeySource, *, wait: bool = True) -> tuple[Mapping[str, object], bytes]:
    """Return `(header, payload)` of a compact JWS that one of `keys` signed; the claims are not checked.

    Raises `InvalidToken`, and `KeysUnavailable` or `KeysPending` as `KeySource.find` does.
    """
    compact = jws.parse_compact(token)
    _check_signature(compact, keys, wait=wait, age=0.0)
    return compact.header, compact.payload


def _check_signature(compact: jws.CompactJws, keys: KeySource, *, wait: bool, age: float) -> None:
    candidates = keys.find(compact.kid, compact.algorithm, wait=wait, age=age)
    if not candidates:
        raise InvalidToken(
            "unknown_key",
            f"the key set has no {quote_value(compact.algorithm)} key with kid {quote_value(compact.kid)}",
        )
    for key in candidates:
        if key.verify(compact.signing_input, compact.signature):
            return
    raise InvalidToken("signature", "the signature was not made by a key of this issuer")
