"""Does the token say who made it, for whom, for whose use, and for how long?

Header and registered claims (RFC 7519 and 9068). Nothing here looks at what a claim holds but for these.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from jwt_lp._rules import Found
from jwt_lp._tells import a_name, personal, shown
from jwt_lp.sources import is_array, is_object

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from jwt_lp._lenient import Said

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
# Keycloak and Cognito say in the payload what kind of token it is.
_KINDS: Final = (
    ("typ", frozenset({"id", "refresh", "offline", "logout"})),
    ("token_use", frozenset({"id", "refresh"})),
)


def signed(said: Said) -> Iterator[Found]:
    """How it is signed, and whether it is an access token at all."""
    alg, typ = said.header.get("alg"), said.header.get("typ")
    if not said.signed or not isinstance(alg, str) or alg.lower() == "none":
        yield Found("alg-none", "header.alg", "the token is not signed: anybody could have written it")
    if not (isinstance(typ, str) and typ.lower() in _TYPES):
        what = "is not at+jwt" if "typ" in said.header else "is missing"
        yield Found("typ", "header.typ", f"the header's typ {what}: another kind of token may be taken for this one")
    for name in said.twice:
        yield Found("claim-twice", shown(name), f"{shown(name)} stands twice, and readers differ on which one counts")
    for name in _OTHERS:
        if name in said.claims:
            message = f"{name} is what ID or logout tokens have, and access tokens do not"
            yield Found("not-access-token", name, message, said.cost(name, said.claims[name]))
    for name, kinds in _KINDS:
        kind = said.claims.get(name)
        if isinstance(kind, str) and kind.lower() in kinds:
            yield Found("not-access-token", name, f"{name} says that it is no access token")


def named(said: Said) -> Iterator[Found]:
    """Who made it, about whom, for whom, and for which client."""
    claims = said.claims
    if not _is_text(claims.get("iss")):
        yield Found("iss-missing", "iss", "there is no iss: nobody can know whose keys to ask")
    subject = claims.get("sub")
    if not _is_text(subject):
        yield Found("sub-missing", "sub", "there is no sub: nobody can say who did what")
    elif isinstance(subject, str) and (personal(subject) or a_name(subject)):
        yield Found("sub-personal", "sub", "sub looks like a person's name, address or number")
    yield from _audience(said)
    if not any(_is_text(claims.get(name)) for name in CLIENTS):
        yield Found("client-missing", "client_id", f"no client is named ({', '.join(CLIENTS)})")
    if not any(_is_text(claims.get(name)) for name in IDS):
        yield Found("jti-missing", "jti", "there is no jti: this one token cannot be taken back")


def _audience(said: Said) -> Iterator[Found]:
    value = said.claims.get("aud")
    listed = [each for each in (value if is_array(value) else [value]) if isinstance(each, str) and each]
    if not listed:
        yield Found("aud-missing", "aud", "there is no aud: every service that trusts the issuer takes it")
    elif any("*" in each for each in listed):
        yield Found("aud-wildcard", "aud", "the audience has a wildcard: it is for every service that this covers")
    elif len(set(listed)) > 1:
        spare = sum(len(each) + 3 for each in listed[1:])
        message = f"it is for {len(set(listed))} audiences: each can use it at the others"
        yield Found("aud-several", "aud", message, said.less(spare))


def dated(said: Said, now: float) -> Iterator[Found]:
    """When it was made, and for how long it lives; `now` is seconds since the epoch."""
    claims = said.claims
    dates = {name: date for name in DATES if (date := _date(claims.get(name))) is not None}
    for name in DATES:
        if claims.get(name) is not None and name not in dates:
            yield Found("date-malformed", name, f"{name} is no number of seconds since 1970")
    if claims.get("exp") is None:
        yield Found("exp-missing", "exp", "there is no exp: it is good for ever")
    if claims.get("iat") is None:
        yield Found(
            "iat-missing", "iat", "there is no iat: nobody can tell when it was made, nor for how long it lives"
        )
    if "exp" in dates:
        # Without iat it has lived at least until now.
        lifetime = dates["exp"] - dates.get("iat", now)
        if lifetime > LONG:
            # No number: it would say what exp and iat say.
            message = f"it lives longer than {'an hour' if lifetime > TOO_LONG else '15 minutes'}"
            yield Found("lifetime-long", "exp", message, severity="error" if lifetime > TOO_LONG else None)


def sized(said: Said) -> Iterator[Found]:
    """How large it is, and how many actors it drags along."""
    act, beyond, depth = said.claims.get("act"), None, 0
    while is_object(act):
        depth += 1
        if depth == MAX_ACTORS:
            beyond = act.get("act")
        act = act.get("act")
    if depth > MAX_ACTORS:
        yield Found("act-depth", "act", f"{depth} actors stand in act; only the first counts", said.cost("act", beyond))
    if said.size > LARGE:
        bound = TOO_LARGE if said.size > TOO_LARGE else LARGE
        message = f"it has {said.size} characters: more than {bound}"
        yield Found("size", "", message, severity="error" if said.size > TOO_LARGE else None)


def _is_text(value: object) -> bool:
    return isinstance(value, str) and value != ""


def _date(value: object) -> float | None:
    """Seconds, or None: milliseconds, as JavaScript counts, are taken for no date."""
    if isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value < _MILLISECONDS:
        return float(value)
    return None


def audiences(claims: Mapping[str, object]) -> tuple[str, ...]:
    """The audiences that it names."""
    value = claims.get("aud")
    return tuple(each for each in (value if is_array(value) else [value]) if isinstance(each, str))
