"""Checks for claims that no decision needs: personal data, secrets, superuser flags and claims that nobody reads.

They use the names of claims and the form of their values, at every depth. A claim gets at most one finding, the worst.
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
        # claims by which provider profiles recognise an access token, or that hold grants
        *("typ", "token_use", "azpacr", "appidacr", "idtyp", "oid", "uid", "wids", "ver"),
        *("realm_access", "resource_access", "cognito:groups"),
    }
)
"""The claims that a verifier reads, either this one or according to a standard."""

# Objects that a standard or this project defines.
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
# The names inside these are names of roles, clients or key members, so they say nothing about the value.
_OTHER_NAMES: Final = frozenset({"cnf", "role_scope", "resource_access", "act", "may_act", "lineage", "sub_id"})
# Claims that other checks cover.
_ELSEWHERE: Final = frozenset({"iss", "sub", "aud", *DATES, "nonce", "at_hash", "c_hash", "s_hash", "events"})
_LISTS: Final = frozenset({"scope", "scp", "permissions", "roles", "groups", "entitlements", "cperm"})

_SUPERUSER: Final = frozenset(
    {
        *("admin", "isadmin", "administrator", "isadministrator", "superuser", "issuperuser", "root", "isroot"),
        *("superadmin", "issuperadmin", "sysadmin", "issysadmin", "globaladmin", "isglobaladmin", "sudo", "god"),
    }
)


class _ClaimMember(NamedTuple):
    """A member of an object, with its path, and whether its name says something about the value."""

    path: str
    name: str
    value: object
    name_matters: bool


def check_unused_claims(unverified: UnverifiedToken, read: Collection[str]) -> Iterator[RuleViolation]:
    """The violations of its claims; `read` are the names that a verifier reads besides `READ_CLAIMS`."""
    claims = unverified.claims
    for name, value in claims.items():
        if name in _ELSEWHERE:
            continue
        member = _ClaimMember(display_name(name), name, value, name_matters=True)
        violations = list(_check_member(member, unverified, name))
        yield from violations or _check_plain_claim(unverified, name, value, read)


def _check_member(member: _ClaimMember, unverified: UnverifiedToken, top: str) -> Iterator[RuleViolation]:
    """The violation of this member, or else those of the members inside it."""
    fault = _member_fault(member)
    if fault is not None:
        yield RuleViolation(fault[0], member.path, fault[1], unverified.cost(member.name, member.value))
        return
    name_matters = member.name_matters and top not in _OTHER_NAMES
    seen: set[str] = set()
    for name, value in _members(member.value):
        # A path has no list positions, so each name in a list is reported once.
        path = f"{member.path}.{display_name(name)}"
        if path in seen:
            continue
        violations = list(_check_member(_ClaimMember(path, name, value, name_matters), unverified, top))
        seen |= {path} if violations else set()
        yield from violations


def _members(value: object) -> Iterator[tuple[str, object]]:
    if is_json_object(value):
        yield from value.items()
    elif is_json_array(value):
        for element in value:
            yield from _members(element)


def _member_fault(member: _ClaimMember) -> tuple[str, str] | None:
    """The rule that the member violates, and the message; None if it violates none."""
    path, name, value, name_matters = member
    texts = list(_texts(value))
    has_content = value is not None and not isinstance(value, bool) and value not in ("", 0)
    if any(map(looks_secret, texts)):
        return "secret-value", f"{path} holds what looks like a token, a key or a password's hash"
    if name_matters and has_content and is_secret_name(name):
        return "secret-claim", f"{path} is named like a secret"
    if name_matters and has_content and is_personal_name(name):
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
    """The value as text; for a list, its elements without objects, whose members are checked one by one."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, int | float) and not isinstance(value, bool):
        yield str(value)
    elif is_json_array(value):
        for element in value:
            yield from _texts(element)


def _is_true(value: object) -> bool:
    return value is True or value == 1 or (isinstance(value, str) and value.lower() in {"true", "1", "yes"})


def _check_plain_claim(
    unverified: UnverifiedToken, name: str, value: object, read: Collection[str]
) -> Iterator[RuleViolation]:
    """The violation of a claim that is neither personal nor secret."""
    path = display_name(name)
    if name not in READ_CLAIMS and name not in read:
        yield RuleViolation("dead-claim", path, f"no verifier reads {path}", unverified.cost(name, value))
    elif name not in _OBJECTS and any(True for _ in _members(value)):
        yield RuleViolation("nested-claim", path, f"{path} holds an object", unverified.cost(name, value))
    elif name not in _LISTS and any(map(looks_like_prose, _texts(value))):
        yield RuleViolation("free-text", path, f"{path} holds free text", unverified.cost(name, value))
