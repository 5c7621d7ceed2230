"""What does the token carry that nothing is decided by?

Personal data, secrets, flags for everything, what nobody reads: by the names of claims and by what their values look
like, at every depth. At most one finding for each claim, the worst.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from jwt_lp._support.json_types import is_json_array, is_json_object
from jwt_lp.lint.detectors import (
    display_name,
    is_personal_name,
    is_secret_name,
    looks_like_prose,
    looks_personal,
    looks_secret,
    split_words,
)
from jwt_lp.lint.registered_claims import CLIENTS, DATES, IDS
from jwt_lp.lint.rules import RuleViolation

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

    from jwt_lp.lint.unverified_token import UnverifiedToken

READ_CLAIMS: Final = frozenset(
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


class _ClaimMember(NamedTuple):
    """A member of an object: where it stands, and whether its name tells anything."""

    path: str
    name: str
    value: object
    name_matters: bool


def check_unused_claims(unverified: UnverifiedToken, read: Collection[str]) -> Iterator[RuleViolation]:
    """What of its claims need not be there; `read` are the names that a verifier reads besides `READ_CLAIMS`."""
    claims = unverified.claims
    for name, value in claims.items():
        if name in _ELSEWHERE:
            continue
        found = list(_check_member(_ClaimMember(display_name(name), name, value, name_matters=True), unverified, name))
        if not found:
            found = list(_check_plain_claim(unverified, name, value, read))
        yield from found


def _check_member(place: _ClaimMember, unverified: UnverifiedToken, top: str) -> Iterator[RuleViolation]:
    """What is wrong with this member, or else with those below it."""
    found = _member_fault(place)
    if found is not None:
        yield RuleViolation(found[0], place.path, found[1], unverified.cost(place.name, place.value))
        return
    name_matters = place.name_matters and top not in _OTHER_NAMES
    seen: set[str] = set()
    for name, value in _members(place.value):
        # Elements of a list are told apart by nothing: each name in them counts once.
        path = f"{place.path}.{display_name(name)}"
        if path in seen:
            continue
        below = list(_check_member(_ClaimMember(path, name, value, name_matters), unverified, top))
        seen |= {path} if below else set()
        yield from below


def _members(value: object) -> Iterator[tuple[str, object]]:
    if is_json_object(value):
        yield from value.items()
    elif is_json_array(value):
        for each in value:
            yield from _members(each)


def _member_fault(place: _ClaimMember) -> tuple[str, str] | None:
    path, name, value, name_matters = place
    texts = list(_texts(value))
    says = value is not None and not isinstance(value, bool) and value not in ("", 0)
    if any(map(looks_secret, texts)):
        return "secret-value", f"{path} holds what looks like a token, a key or a password's hash"
    if name_matters and says and is_secret_name(name):
        return "secret-claim", f"{path} is named like a secret"
    if name_matters and says and is_personal_name(name):
        return "pii-claim", f"{path} is named like personal data"
    if any(map(looks_personal, texts)):
        return (
            "pii-value",
            f"{path} holds what looks like an e-mail address, a card's number, an IBAN or a phone number",
        )
    if name_matters and _is_true(value) and "".join(split_words(name)) in _SUPERUSER:
        return "superuser", f"{path} grants everything by one flag"
    return None


def _texts(value: object) -> Iterator[str]:
    """The value as text; of a list that of each element, but for objects, whose members are looked at one by one."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, int | float) and not isinstance(value, bool):
        yield str(value)
    elif is_json_array(value):
        for each in value:
            yield from _texts(each)


def _is_true(value: object) -> bool:
    return value is True or value == 1 or (isinstance(value, str) and value.lower() in {"true", "1", "yes"})


def _check_plain_claim(
    unverified: UnverifiedToken, name: str, value: object, read: Collection[str]
) -> Iterator[RuleViolation]:
    """What is wrong with a claim that is neither personal nor secret."""
    path = display_name(name)
    if name not in READ_CLAIMS and name not in read:
        yield RuleViolation("dead-claim", path, f"no verifier reads {path}", unverified.cost(name, value))
    elif name not in _OBJECTS and any(True for _ in _members(value)):
        yield RuleViolation("nested-claim", path, f"{path} holds an object", unverified.cost(name, value))
    elif name not in _LISTS and any(map(looks_like_prose, _texts(value))):
        yield RuleViolation("free-text", path, f"{path} holds free text", unverified.cost(name, value))
