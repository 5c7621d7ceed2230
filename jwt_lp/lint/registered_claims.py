"""Checks of the header and the registered claims (RFC 7519 and 9068).

They cover the signature, the token type, the issuer, subject, audience and client, the dates and the size.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from jwt_lp._support.json_types import is_json_array, is_json_object
from jwt_lp.lint.detectors import display_name, looks_like_name, looks_personal
from jwt_lp.lint.rules import RuleViolation

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from jwt_lp.lint.unverified_token import UnverifiedToken

CLIENTS: Final = ("client_id", "azp", "cid", "appid")
"""The claims in which providers name the client."""

IDS: Final = ("jti", "uti")
DATES: Final = ("exp", "iat", "nbf")

LONG: Final = 15 * 60
TOO_LONG: Final = 60 * 60
LARGE: Final = 1024
TOO_LARGE: Final = 4096
MAX_ACTORS: Final = 4

_MILLISECONDS: Final = 10**11
_TYPES: Final = frozenset({"at+jwt", "application/at+jwt"})
_OTHERS: Final = ("nonce", "at_hash", "c_hash", "s_hash", "events")
# Keycloak and Cognito state the kind of the token in the payload.
_KINDS: Final = (
    ("typ", frozenset({"id", "refresh", "offline", "logout"})),
    ("token_use", frozenset({"id", "refresh"})),
)


def check_header(unverified: UnverifiedToken) -> Iterator[RuleViolation]:
    """Check the signature algorithm, duplicates, and whether it is an access token."""
    alg, typ = unverified.header.get("alg"), unverified.header.get("typ")
    if not unverified.signed or not isinstance(alg, str) or alg.lower() == "none":
        yield RuleViolation("alg-none", "header.alg", "the token is not signed: anyone could have created it")
    if not (isinstance(typ, str) and typ.lower() in _TYPES):
        what = "is not at+jwt" if "typ" in unverified.header else "is missing"
        yield RuleViolation(
            "typ", "header.typ", f"the header's typ {what}: another kind of token may be mistaken for an access token"
        )
    for name in unverified.duplicates:
        yield RuleViolation(
            "claim-twice",
            display_name(name),
            f"{display_name(name)} is duplicated, and readers differ on which value counts",
        )
    for name in _OTHERS:
        if name in unverified.claims:
            message = f"{name} belongs to ID or logout tokens, not to access tokens"
            yield RuleViolation("not-access-token", name, message, unverified.cost(name, unverified.claims[name]))
    for name, kinds in _KINDS:
        kind = unverified.claims.get(name)
        if isinstance(kind, str) and kind.lower() in kinds:
            yield RuleViolation("not-access-token", name, f"{name} says that it is not an access token")


def check_parties(unverified: UnverifiedToken) -> Iterator[RuleViolation]:
    """Check the issuer, the subject, the audience, the client and the token's ID."""
    claims = unverified.claims
    if not _is_text(claims.get("iss")):
        yield RuleViolation("iss-missing", "iss", "there is no iss: the keys to verify it with cannot be determined")
    subject = claims.get("sub")
    if not _is_text(subject):
        yield RuleViolation("sub-missing", "sub", "there is no sub: actions cannot be attributed")
    elif isinstance(subject, str) and (looks_personal(subject) or looks_like_name(subject)):
        yield RuleViolation("sub-personal", "sub", "sub looks like a person's name, address or number")
    yield from _audience(unverified)
    if not any(_is_text(claims.get(name)) for name in CLIENTS):
        yield RuleViolation("client-missing", "client_id", f"no client is named ({', '.join(CLIENTS)})")
    if not any(_is_text(claims.get(name)) for name in IDS):
        yield RuleViolation("jti-missing", "jti", "there is no jti: this token alone cannot be revoked")


def _audience(unverified: UnverifiedToken) -> Iterator[RuleViolation]:
    names = [name for name in audiences(unverified.claims) if name]
    if not names:
        yield RuleViolation("aud-missing", "aud", "there is no aud: every service that trusts the issuer accepts it")
    elif any("*" in name for name in names):
        yield RuleViolation(
            "aud-wildcard", "aud", "the audience has a wildcard: every service that it covers accepts the token"
        )
    elif len(set(names)) > 1:
        size = sum(len(name) + 3 for name in names[1:])
        message = f"it is for {len(set(names))} audiences: each can use it at the others"
        yield RuleViolation("aud-several", "aud", message, unverified.characters_saved(size))


def check_dates(unverified: UnverifiedToken, now: float) -> Iterator[RuleViolation]:
    """Check the dates and the lifetime; `now` is seconds since the epoch."""
    claims = unverified.claims
    dates = {name: date for name in DATES if (date := _date(claims.get(name))) is not None}
    for name in DATES:
        if claims.get(name) is not None and name not in dates:
            yield RuleViolation("date-malformed", name, f"{name} is not a number of seconds since 1970")
    if claims.get("exp") is None:
        yield RuleViolation("exp-missing", "exp", "there is no exp: it never expires")
    if claims.get("iat") is None:
        yield RuleViolation("iat-missing", "iat", "there is no iat: its time of issue and its lifetime are unknown")
    if "exp" in dates:
        # Without iat, its lifetime is at least the time from now on.
        lifetime = dates["exp"] - dates.get("iat", now)
        if lifetime > LONG:
            # No number, because a message never repeats a value.
            message = f"it lives longer than {'an hour' if lifetime > TOO_LONG else '15 minutes'}"
            yield RuleViolation("lifetime-long", "exp", message, severity="error" if lifetime > TOO_LONG else None)


def check_size(unverified: UnverifiedToken) -> Iterator[RuleViolation]:
    """Check the size, and the number of nested actors."""
    act, beyond, depth = unverified.claims.get("act"), None, 0
    while is_json_object(act):
        depth += 1
        if depth == MAX_ACTORS:
            beyond = act.get("act")
        act = act.get("act")
    if depth > MAX_ACTORS:
        yield RuleViolation(
            "act-depth",
            "act",
            f"{depth} actors are nested in act; only the first counts",
            unverified.cost("act", beyond),
        )
    if unverified.size > LARGE:
        bound = TOO_LARGE if unverified.size > TOO_LARGE else LARGE
        message = f"it has {unverified.size} characters: more than {bound}"
        yield RuleViolation("size", "", message, severity="error" if unverified.size > TOO_LARGE else None)


def _is_text(value: object) -> bool:
    return isinstance(value, str) and value != ""


def _date(value: object) -> float | None:
    """Seconds, or None; milliseconds, as in JavaScript, do not count as a date."""
    if isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value < _MILLISECONDS:
        return float(value)
    return None


def audiences(claims: Mapping[str, object]) -> tuple[str, ...]:
    """The audiences in `aud`, a string or a list."""
    value = claims.get("aud")
    return tuple(name for name in (value if is_json_array(value) else [value]) if isinstance(name, str))
