"""What does the token carry that nothing is decided by?

Personal data, secrets, flags for everything, what nobody reads: by the names of claims and by what their values look
like, at every depth. At most one finding for each claim, the worst.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from jwt_lp._checks import CLIENTS, DATES, IDS
from jwt_lp._rules import Found
from jwt_lp._tells import named_personal, named_secret, personal, prose, secret, shown, words
from jwt_lp.sources import is_array, is_object

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

    from jwt_lp._lenient import Said

KNOWN: Final = frozenset(
    {
        *("iss", "sub", "aud", *DATES, *IDS, *CLIENTS),
        *("scope", "scp", "permissions", "roles", "groups", "entitlements", "cperm", "role_scope"),
        *("auth_time", "acr", "amr", "act", "may_act", "cnf", "authorization_details", "lineage", "sub_id"),
        # by which the profiles of providers know an access token, and where they put grants
        *("typ", "token_use", "azpacr", "appidacr", "idtyp", "oid", "uid", "wids", "ver"),
        *("realm_access", "resource_access", "cognito:groups"),
    }
)
"""The claims that a verifier reads, here or as a standard has it."""

# Objects that a standard has, or that are ours.
_OBJECTS: Final = frozenset(
    {
        "act",
        "may_act",
        "cnf",
        "authorization_details",
        "lineage",
        "sub_id",
        "role_scope",
        "realm_access",
        "resource_access",
    }
)
# What stands in them as a name is a role's or a key's, and tells nothing.
_OTHER_NAMES: Final = frozenset({"cnf", "role_scope", "resource_access", "act", "may_act", "lineage", "sub_id"})
# They have checks of their own.
_ELSEWHERE: Final = frozenset({"iss", "sub", "aud", *DATES, "nonce", "at_hash", "c_hash", "s_hash", "events"})
_LISTS: Final = frozenset({"scope", "scp", "permissions", "roles", "groups", "entitlements", "cperm"})

_SUPERUSER: Final = frozenset(
    {
        *("admin", "isadmin", "administrator", "isadministrator", "superuser", "issuperuser", "root", "isroot"),
        *("superadmin", "issuperadmin", "sysadmin", "issysadmin", "globaladmin", "isglobaladmin", "sudo", "god"),
    }
)


class _Place(NamedTuple):
    """A member of an object: where it stands, and whether its name tells anything."""

    path: str
    name: str
    value: object
    telling: bool


def carried(said: Said, read: Collection[str]) -> Iterator[Found]:
    """What of its claims need not be there; `read` are the names that a verifier reads besides `KNOWN`."""
    claims = said.claims
    for name, value in claims.items():
        if name in _ELSEWHERE:
            continue
        found = list(_within(_Place(shown(name), name, value, telling=True), said, name))
        if not found:
            found = list(_idle(said, name, value, read))
        yield from found


def _within(place: _Place, said: Said, top: str) -> Iterator[Found]:
    """What is wrong with this member, or else with those below it."""
    found = _told(place)
    if found is not None:
        yield Found(found[0], place.path, found[1], said.cost(place.name, place.value))
        return
    telling = place.telling and top not in _OTHER_NAMES
    seen: set[str] = set()
    for name, value in _members(place.value):
        # Elements of a list are told apart by nothing: each name in them counts once.
        path = f"{place.path}.{shown(name)}"
        if path in seen:
            continue
        below = list(_within(_Place(path, name, value, telling), said, top))
        seen |= {path} if below else set()
        yield from below


def _members(value: object) -> Iterator[tuple[str, object]]:
    if is_object(value):
        yield from value.items()
    elif is_array(value):
        for each in value:
            yield from _members(each)


def _told(place: _Place) -> tuple[str, str] | None:
    path, name, value, telling = place
    texts = list(_texts(value))
    says = value is not None and not isinstance(value, bool) and value not in ("", 0)
    if any(map(secret, texts)):
        return "secret-value", f"{path} holds what looks like a token, a key or a password's hash"
    if telling and says and named_secret(name):
        return "secret-claim", f"{path} is named like a secret"
    if telling and says and named_personal(name):
        return "pii-claim", f"{path} is named like personal data"
    if any(map(personal, texts)):
        return (
            "pii-value",
            f"{path} holds what looks like an e-mail address, a card's number, an IBAN or a phone number",
        )
    if telling and _is_true(value) and "".join(words(name)) in _SUPERUSER:
        return "superuser", f"{path} gives everything by one flag"
    return None


def _texts(value: object) -> Iterator[str]:
    """The value as text; of a list that of each element, but for objects, whose members are looked at one by one."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, int | float) and not isinstance(value, bool):
        yield str(value)
    elif is_array(value):
        for each in value:
            yield from _texts(each)


def _is_true(value: object) -> bool:
    return value is True or value == 1 or (isinstance(value, str) and value.lower() in {"true", "1", "yes"})


def _idle(said: Said, name: str, value: object, read: Collection[str]) -> Iterator[Found]:
    """What is wrong with a claim that is neither personal nor secret."""
    path = shown(name)
    if name not in KNOWN and name not in read:
        yield Found("dead-claim", path, f"no verifier reads {path}", said.cost(name, value))
    elif name not in _OBJECTS and any(True for _ in _members(value)):
        yield Found("nested-claim", path, f"{path} holds an object", said.cost(name, value))
    elif name not in _LISTS and any(map(prose, _texts(value))):
        yield Found("free-text", path, f"{path} holds prose", said.cost(name, value))
