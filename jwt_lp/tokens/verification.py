"""Is this token genuine, for us, alive?

RFC 7519, section 7.2; RFC 8725; RFC 9068, section 4.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from hashlib import sha256
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final, NamedTuple, cast

from jwt_lp._support.json_types import is_json_object
from jwt_lp.errors import GrammarError, InvalidToken, PolicyError, clear_locals, clears_locals
from jwt_lp.jose import jws
from jwt_lp.jose.jwk import header_algorithms
from jwt_lp.permissions.grants import (
    MAX_LENGTH,
    MAX_SEGMENTS,
    Grant,
    Permissions,
    is_pattern,
    is_scope_token,
    within_limits,
)
from jwt_lp.tokens.cache import TokenCache
from jwt_lp.tokens.claims import COMPACT_CLAIM, ROLE_SCOPE_CLAIM, AccessToken, ClaimProfile, ConferredGrants
from jwt_lp.tokens.delegation import Lineage

if TYPE_CHECKING:
    from jwt_lp.jose.remote_jwks import KeySource, StaticKeys
    from jwt_lp.policy.file import Policy

MAX_GRANTS: Final = 1000
MAX_PATTERNS: Final = 64
MAX_NUMERIC_DATE: Final = 10**15

CONFIRMATIONS: Final = frozenset({"jwk", "jwe", "jku", "kid", "x5t#S256", "jkt", "osc"})
"""The registered confirmation methods: the members of `cnf` (RFC 7800, section 6.2; RFC 8705, 9203 and 9449)."""

_SHOWN: Final = 80


@dataclass(frozen=True, slots=True)
class TrustedIssuer:
    """One issuer whose tokens we take, and how far.

    `audience` is None for the issuer's own eyes alone: it has to read what it made for others. `own` marks an issuer of ours: wildcards count and `roles` are the policy's. `ceiling` holds the patterns it
    may confer at all, None for no bound. `sender_constrained` holds the confirmation methods of tokens that are taken
    although nobody here checks the proof. `leeway` and `max_lifetime` are seconds. `copy_claims` says which of its
    claims, by its own names, become which of ours where one of its tokens is narrowed. `development` holds the
    development key, if one is in use.
    """

    name: str
    issuer: str
    audience: frozenset[str] | None
    algorithms: frozenset[str]
    profile: ClaimProfile
    keys: KeySource
    own: bool = False
    patterns: bool = False
    leeway: float = 0.0
    max_lifetime: float = 86400.0
    ceiling: Permissions | None = None
    sender_constrained: frozenset[str] = frozenset()
    development: StaticKeys | None = None
    copy_claims: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))


class _CacheEntry(NamedTuple):
    token: AccessToken
    keys: KeySource
    generation: int
    usable_until: float
    keys_end: float


class Verifier:
    """Verifies access tokens of the issuers it was given, and of no other.

    `clock` gives seconds since the epoch. `monotonic` is never set: how long keys may be used is asked of it.
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
        # Tokens of one client mostly carry the same grants: they share one value of them.
        self._cached_permissions = lru_cache(maxsize=256)(self._build_permissions)

    def verify(self, token: str | Any, *, wait: bool = True, now: float | None = None) -> AccessToken:
        """Return what the token comes to. `now` is what the clock says, for a caller who has just asked it.

        Raises `InvalidToken` for whatever is no good token here, `KeysUnavailable` where no keys could be had to
        tell, and with `wait=False` `KeysPending` where only a fetch could tell.
        """
        try:
            if not isinstance(token, str) or len(token) > jws.MAX_TOKEN or not token.isascii():
                # Before it is hashed: that costs a millisecond a megabyte. The reader refuses it and says why.
                jws.parse_compact(token)
            now = self._clock() if now is None else now
            key = sha256(token.encode("ascii")).digest()
            found = self._cache.get(key)
            if found is not None:
                # INVARIANT: a hit is never served past its life, its keys' life or a change of its issuer's keys.
                if (
                    now < found.usable_until
                    and found.generation == found.keys.generation
                    and (found.keys_end == math.inf or self._monotonic() < found.keys_end)
                ):
                    return found.token
                self._cache.drop(key)
            fresh = self._verify(token, key.hex()[:12], wait=wait)
        except BaseException as error:
            # INVARIANT: no frame of ours keeps the token or its claims for whoever renders the traceback.
            clear_locals(error)
            del token
            raise
        self._cache.put(key, fresh)
        return fresh.token

    def _verify(self, token: str, fingerprint: str, *, wait: bool) -> _CacheEntry:
        compact = jws.parse_compact(token)
        claims: dict[str, Any] = jws.read_json(compact.payload, "payload")
        issuer = self._issuer(claims.get("iss"))
        keys, development = issuer.keys, False
        # By name alone: a token of the issuer's own without a kid is not a development token.
        if issuer.development is not None and compact.kid is not None:
            development = bool(issuer.development.find(compact.kid, compact.algorithm))
            keys = issuer.development if development else keys
        if not development and compact.algorithm not in self._accepted[issuer.name]:
            allowed = ", ".join(sorted(issuer.algorithms))
            raise InvalidToken("algorithm", f"alg is {_quote_value(compact.algorithm)}; ALGORITHMS allows {allowed}")
        generation = keys.generation
        _check_signature(compact, keys, wait=wait, age=self._age(issuer, claims))
        fault = issuer.profile.fault(compact.header.get("typ"), claims)
        if fault is not None:
            raise InvalidToken(*fault)
        if "cnf" in claims:
            _check_confirmation(issuer, claims["cnf"])
        _check_audience(issuer, claims)
        # Asked again: waiting for keys may have taken two seconds.
        now = self._clock()
        issued_at, expires_at = _check_times(issuer, claims, now)
        verified = self._token(issuer, claims, issued_at, expires_at, fingerprint, development=development)
        # Keys may grow too old to be used before the token does.
        usable_for = keys.usable_for()
        usable_until = min(expires_at + issuer.leeway, now + usable_for)
        return _CacheEntry(verified, keys, generation, usable_until, self._monotonic() + usable_for)

    def _issuer(self, name: object) -> TrustedIssuer:
        found = self._issuers.get(name) if isinstance(name, str) else None
        if found is None:
            configured = ", ".join(self._issuers)
            raise InvalidToken("issuer", f"iss is {_quote_value(name)}; configured is {configured} (compared exactly)")
        return found

    def _age(self, issuer: TrustedIssuer, claims: Mapping[str, object]) -> float:
        """The seconds since the token was signed, as it says itself before anybody knows whether it is genuine."""
        try:
            return self._clock() - _date(claims, "iat") - issuer.leeway
        except InvalidToken:
            # It is no good whatever its key.
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
        # Tokens of our own issuer carry what it meant them to confer; a provider's ceiling is the provider's.
        capped = None if issuer.own else profile.read_ceiling(claims, app=app)
        # A ceiling of just what was granted cuts nothing.
        if capped is not None and (roles or capped.permissions != granted.permissions):
            permissions &= self._cached_permissions(capped, self._map_roles(issuer, capped)[0], patterns, ())
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
            # INVARIANT: what a role no longer confers is not held through it, wherever the role is known.
            confers = Permissions.of(self._policy.roles[role].grants) if role in self._policy.roles else None
            direct += [
                Grant(text, ROLE_SCOPE_CLAIM, role, patterns)
                for text in texts
                if is_scope_token(text) and (confers is None or confers.find_containing(text) is not None)
            ]
        _check_bounds([grant.text for grant in direct], patterns=patterns)
        return Permissions.of([*direct, *self._policy.grants(roles)])

    def _read_own_claims(
        self, granted: ConferredGrants, claims: Mapping[str, object]
    ) -> tuple[ConferredGrants, tuple[tuple[str, tuple[str, ...]], ...]]:
        """What only tokens of ours have: compact permissions, and those that were held through a role."""
        if COMPACT_CLAIM in claims:
            try:
                names = self._policy.decode(cast(str, claims[COMPACT_CLAIM]))
            except (GrammarError, PolicyError) as error:
                raise InvalidToken("compact", f"{COMPACT_CLAIM} cannot be read: {error}") from None
            granted = granted._replace(permissions=(*granted.permissions, (COMPACT_CLAIM, "permission:", names)))
        by_role = claims.get(ROLE_SCOPE_CLAIM, {})
        if not is_json_object(by_role) or not all(isinstance(texts, str) for texts in by_role.values()):
            raise InvalidToken("claim_type", f"{ROLE_SCOPE_CLAIM} is not an object of strings")
        return granted, tuple((role, tuple(cast(str, texts).split(" "))) for role, texts in by_role.items())

    def _map_roles(self, issuer: TrustedIssuer, conferred: ConferredGrants) -> tuple[tuple[str, ...], int]:
        """The policy's roles that are conferred, and how many outside roles were ignored."""
        if not conferred.external_roles and (issuer.own or not self._policy.maps_external_roles):
            return (), 0
        outside = conferred.roles
        if issuer.own:
            # Only the first claim that has roles is ours to write; there they stand by the policy's names.
            first = next(source.label for source in issuer.profile.sources if source.kind == "roles")
            named = [name.removeprefix(f"{first}:") for name in outside if name.startswith(f"{first}:")]
            roles = tuple(name for name in named if name in self._policy.roles)
            return roles, len(outside) - len(roles)
        several = len(self._issuers) > 1
        ignored_roles = self._policy.resolve_external_roles(outside, issuer.name, several=several)[1] if outside else 0
        return self._policy.resolve_external_roles(conferred.external_names, issuer.name, several=several)[
            0
        ], ignored_roles


@clears_locals
def verify_signature(token: str, keys: KeySource, *, wait: bool = True) -> tuple[Mapping[str, object], bytes]:
    """Return `(header, payload)` of a compact JWS whose signature one of `keys` made.

    Says nothing about the claims. Raises `InvalidToken`, and `KeysUnavailable` or `KeysPending` as the keys do.
    """
    compact = jws.parse_compact(token)
    _check_signature(compact, keys, wait=wait, age=0.0)
    return compact.header, compact.payload


def _check_signature(compact: jws.CompactJws, keys: KeySource, *, wait: bool, age: float) -> None:
    found = keys.find(compact.kid, compact.algorithm, wait=wait, age=age)
    if not found:
        raise InvalidToken(
            "unknown_key",
            f"the key set has no {_quote_value(compact.algorithm)} key with kid {_quote_value(compact.kid)}",
        )
    for key in found:
        if key.verify(compact.signing_input, compact.signature):
            return
    raise InvalidToken("signature", "the signature was not made by a key of this issuer")


def _check_confirmation(issuer: TrustedIssuer, cnf: object) -> None:
    """Refuse a token that is bound to a key: its bearer has to prove that he holds it, and no proof is checked here."""
    methods = sorted(cnf) if is_json_object(cnf) else []
    # INVARIANT: each method has been accepted by its name. A `cnf` that names none is refused all the same, since
    # its issuer meant some binding.
    if methods and issuer.sender_constrained.issuperset(methods):
        return
    named = ", ".join(map(_plain, methods)) or "no method"
    raise InvalidToken(
        "sender_constrained",
        f"the token is bound to a key (cnf: {_cut(named)}), and no proof of that key is checked here: have the client "
        "send a bearer token, or name the method in SENDER_CONSTRAINED where a gateway in front checks the proof",
    )


def _check_audience(issuer: TrustedIssuer, claims: Mapping[str, object]) -> None:
    said = claims.get(issuer.profile.audience)
    if isinstance(said, str) and issuer.audience is not None and said in issuer.audience:
        return
    name, value = issuer.profile.audience_claim(claims)
    values = value if isinstance(value, list) else [value]
    # One member of another type spoils the list: nobody can say what its issuer meant.
    if not values or not all(isinstance(each, str) and each for each in values):
        raise InvalidToken("audience", f"{name} is {_quote_value(value)}: it has to be a string or a list of strings")
    if issuer.audience is not None and issuer.audience.isdisjoint(values):
        wanted = ", ".join(sorted(issuer.audience))
        remedy = issuer.profile.remedy("audience", wanted) or f'ask the issuer for a token for "{wanted}"'
        if issuer.own:
            narrowed = f'have the caller exchange it for one for "{wanted}" (OnBehalfOf)'
            remedy = f"{narrowed}, or correct AUDIENCE if this service is meant"
        raise InvalidToken("audience", f"{name} is {_quote_value(value)}: {remedy}")


def _check_times(issuer: TrustedIssuer, claims: Mapping[str, object], now: float) -> tuple[float, float]:
    issued_at, expires_at = _date(claims, "iat"), _date(claims, "exp")
    not_before = _date(claims, "nbf") if "nbf" in claims else issued_at
    if now >= expires_at + issuer.leeway:
        raise InvalidToken("expired", f"the token expired {now - expires_at:.0f} s ago")
    latest = max(issued_at, not_before)
    if now < latest - issuer.leeway:
        raise InvalidToken(
            "not_yet_valid",
            f"the token is not valid for another {latest - now:.0f} s: compare the clocks, or raise LEEWAY",
        )
    if issued_at > expires_at:
        raise InvalidToken("lifetime", "exp is before iat")
    if expires_at - issued_at > issuer.max_lifetime:
        raise InvalidToken(
            "lifetime",
            f"the token lives {expires_at - issued_at:.0f} s, MAX_LIFETIME is {issuer.max_lifetime:.0f} s: "
            "have the issuer make shorter-lived tokens",
        )
    return issued_at, expires_at


def _date(claims: Mapping[str, object], name: str) -> float:
    value = claims.get(name)
    # A NumericDate is a JSON number (RFC 7519, section 2): no string, no bool. Integers stay exact, and beyond
    # the bound a float loses the second.
    if isinstance(value, (int, float)) and value is not True and value is not False and 0 <= value < MAX_NUMERIC_DATE:
        return value
    raise InvalidToken("date", f"{name} is missing or not a date (a number of seconds since 1970)")


def _check_bounds(texts: Sequence[str], *, patterns: bool) -> None:
    if len(texts) > MAX_GRANTS:
        raise InvalidToken("too_many_grants", f"the token carries {len(texts)} grants; at most {MAX_GRANTS} are read")
    if not all(map(within_limits, texts)):
        raise InvalidToken(
            "grant_too_long", f"a grant has more than {MAX_SEGMENTS} segments or {MAX_LENGTH} characters"
        )
    count = sum(map(is_pattern, texts)) if patterns and "*" in "".join(texts) else 0
    if count > MAX_PATTERNS:
        raise InvalidToken("too_many_patterns", f"the token carries {count} patterns; at most {MAX_PATTERNS} are read")


def _quote_value(value: object) -> str:
    """`value` for a log line: control characters escaped, ASCII only, and never long."""
    return _cut(ascii(list(cast(tuple[object, ...], value))) if isinstance(value, tuple) else ascii(value))


def _plain(name: str) -> str:
    return ascii(name)[1:-1]


def _cut(text: str) -> str:
    return text if len(text) <= _SHOWN else text[:_SHOWN] + "…"
