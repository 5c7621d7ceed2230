"""Checks of verified claims: confirmation, audience, dates and the number of grants."""

from __future__ import annotations

from itertools import repeat
from typing import TYPE_CHECKING, Final, cast

from jwt_lp._support.json_types import is_json_object
from jwt_lp.errors import InvalidToken
from jwt_lp.permissions.grants import MAX_LENGTH, MAX_SEGMENTS, is_pattern

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from jwt_lp.tokens.trusted_issuer import TrustedIssuer

MAX_GRANTS: Final = 1000
MAX_PATTERNS: Final = 64
MAX_NUMERIC_DATE: Final = 10**15

_SHOWN: Final = 80


def check_claims(
    issuer: TrustedIssuer, typ: str | None, claims: Mapping[str, object], now: float
) -> tuple[float, float]:
    """Make every check of verified claims, and return `iat` and `exp`; the first fault is raised as `InvalidToken`."""
    fault = issuer.profile.fault(typ, claims)
    if fault is not None:
        raise InvalidToken(*fault)
    if "cnf" in claims:
        check_confirmation(issuer, claims["cnf"])
    if issuer.clients is not None:
        check_client(issuer, issuer.clients, claims)
    check_audience(issuer, claims)
    return check_times(issuer, claims, now)


def check_confirmation(issuer: TrustedIssuer, cnf: object) -> None:
    """Refuse a token that is bound to a key: the caller must prove possession, and no proof is checked here."""
    methods = sorted(cnf) if is_json_object(cnf) else []
    # INVARIANT: the settings accept each method by name. A `cnf` without a method is refused too, because its issuer
    # meant some binding.
    if methods and issuer.sender_constrained.issuperset(methods):
        return
    names = ", ".join(map(_plain, methods)) or "no method"
    raise InvalidToken(
        "sender_constrained",
        f"the token is bound to a key (cnf: {_cut(names)}), and no proof of that key is checked here: have the client "
        "send a bearer token, set DPOP for proofs of jkt, or name the method in SENDER_CONSTRAINED where a gateway in "
        "front checks the proof",
    )


def check_client(issuer: TrustedIssuer, clients: frozenset[str], claims: Mapping[str, object]) -> None:
    """Refuse a token that was issued to another client than these, or that names no client."""
    client = issuer.profile.client_of(claims)
    if client not in clients:
        named = "the token names no client" if client is None else f"the client is {quote_value(client)}"
        expected = ", ".join(sorted(clients))
        raise InvalidToken("client_not_accepted", f"{named}; CLIENTS accepts {_cut(expected)}")


def check_audience(issuer: TrustedIssuer, claims: Mapping[str, object]) -> None:
    """Refuse a token whose audience claim is malformed, or names none of the accepted audiences."""
    audience = claims.get(issuer.profile.audience)
    if isinstance(audience, str) and issuer.audience is not None and audience in issuer.audience:
        return
    name, value = issuer.profile.audience_claim(claims)
    # INVARIANT: the settings say that this issuer's tokens have no audience; one that is there is compared all the same.
    if "aud" in issuer.absent_claims and name not in claims:
        return
    values = value if isinstance(value, list) else [value]
    # The whole list is refused for one member of another type, because its meaning is unknown.
    if not values or not all(isinstance(item, str) and item for item in values):
        raise InvalidToken("audience", f"{name} is {quote_value(value)}: it has to be a string or a list of strings")
    if issuer.audience is not None and issuer.audience.isdisjoint(values):
        expected = ", ".join(sorted(issuer.audience))
        remedy = issuer.profile.remedy("audience", expected) or f'ask the issuer for a token for "{expected}"'
        if issuer.own:
            exchange = f'have the caller exchange it for one for "{expected}" (OnBehalfOf)'
            remedy = f"{exchange}, or correct AUDIENCE if this service is meant"
        raise InvalidToken("audience", f"{name} is {quote_value(value)}: {remedy}")


def leeway_of(issuer: TrustedIssuer, claims: Mapping[str, object]) -> float:
    """The seconds for which a token with these claims is accepted after its `exp`."""
    if not issuer.leeway or not issuer.own:
        return issuer.leeway
    # INVARIANT: a token that rests on an elevation ends with it, however the clocks differ.
    lineage = claims.get("lineage")
    return 0.0 if is_json_object(lineage) and "elevations" in lineage else issuer.leeway


def check_times(issuer: TrustedIssuer, claims: Mapping[str, object], now: float) -> tuple[float, float]:
    """Return `iat` and `exp` of a token that is valid now; refuse any other, and one that lives too long."""
    issued_at, expires_at = numeric_date(claims, "iat"), numeric_date(claims, "exp")
    not_before = numeric_date(claims, "nbf") if "nbf" in claims else issued_at
    if now >= expires_at + leeway_of(issuer, claims):
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


def numeric_date(claims: Mapping[str, object], name: str) -> float:
    """Return the date in a claim, in seconds since the epoch; raise `InvalidToken` for anything else."""
    value = claims.get(name)
    # A NumericDate is a JSON number (RFC 7519, section 2): no string, no bool. Integers stay exact. Beyond the bound,
    # a float is no longer exact to the second.
    if (type(value) is int or type(value) is float) and 0 <= value < MAX_NUMERIC_DATE:
        return value
    raise InvalidToken("date", f"{name} is missing or not a date (a number of seconds since 1970)")


def check_bounds(texts: Sequence[str], *, patterns: bool) -> None:
    """Refuse more or longer grants than are read, and more patterns if `patterns` count."""
    if len(texts) > MAX_GRANTS:
        raise InvalidToken("too_many_grants", f"the token carries {len(texts)} grants; at most {MAX_GRANTS} are read")
    # Each of these is one pass in C, because every grant of a new set is checked.
    if texts and (max(map(len, texts)) > MAX_LENGTH or max(map(str.count, texts, repeat(":"))) >= MAX_SEGMENTS):
        raise InvalidToken(
            "grant_too_long", f"a grant has more than {MAX_SEGMENTS} segments or {MAX_LENGTH} characters"
        )
    count = sum(map(is_pattern, texts)) if patterns and "*" in "".join(texts) else 0
    if count > MAX_PATTERNS:
        raise InvalidToken("too_many_patterns", f"the token carries {count} patterns; at most {MAX_PATTERNS} are read")


def quote_value(value: object) -> str:
    """Return `value` for a log line: control characters escaped, ASCII only, and shortened."""
    return _cut(ascii(list(cast("tuple[object, ...]", value))) if isinstance(value, tuple) else ascii(value))


def _plain(name: str) -> str:
    return ascii(name)[1:-1]


def _cut(text: str) -> str:
    return text if len(text) <= _SHOWN else text[:_SHOWN] + "…"
