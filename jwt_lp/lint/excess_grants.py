"""Checks for permissions and roles that a token does not need.

They are compared with the policy, with what routes require and with what was used. Messages give their number and
their positions, and never repeat one.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final, NamedTuple, Self

from jwt_lp._support.json_types import is_json_array, is_json_object
from jwt_lp.errors import GrammarError, PolicyError
from jwt_lp.lint.detectors import display_name, split_words
from jwt_lp.lint.rules import RuleViolation, Severity
from jwt_lp.permissions.grants import Permissions, is_pattern
from jwt_lp.policy.matching import overlaps, parse_role_source
from jwt_lp.tokens.claims import COMPACT_CLAIM, OPENID_SCOPES, ROLE_SCOPE_CLAIM

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Sequence

    from jwt_lp.lint.unverified_token import UnverifiedToken
    from jwt_lp.policy.entries import Audience
    from jwt_lp.policy.file import Policy

MAX_HELD: Final = 500
"""The number of permissions or roles of one claim that are checked."""

_SHOWN: Final = 8
_PERMISSIONS: Final = ("scope", "scp", "permissions")
_ROLES: Final = frozenset(
    {
        *("roles", "role", "groups", "entitlements", "authorities", "cognitogroups"),
        *("scopes", "privileges", "perms", "permission", "permissions"),
    }
)
_PARTS: Final = re.compile(r"[:./]")
# two quotes and a comma
_LIST_MARKS: Final = 3


class ClaimEntries(NamedTuple):
    """The permissions or roles in one claim, in order; each takes `separator_length` more characters there."""

    claim: str
    texts: tuple[str, ...]
    separator_length: int = 1

    def violation(
        self, rule: str, indices: Sequence[int], unverified: UnverifiedToken, why: str, severity: Severity | None = None
    ) -> RuleViolation:
        """A violation of `rule` by the entries at these positions."""
        numbers = ", ".join(str(index + 1) for index in indices[:_SHOWN])
        more = f" and {len(indices) - _SHOWN} more" if len(indices) > _SHOWN else ""
        size = sum(len(self.texts[index]) + self.separator_length for index in indices) if self.separator_length else 0
        what = "permissions" if self.claim not in _ROLES else "entries"
        message = f"{len(indices)} of {len(self.texts)} {what} in {self.claim}: {why} (number {numbers}{more})"
        return RuleViolation(rule, self.claim, message, unverified.characters_saved(size), severity)


class PermissionSet(NamedTuple):
    """A set of permissions and templates."""

    names: frozenset[str]
    templates: tuple[str, ...]

    @classmethod
    def of(cls, names: Iterable[str]) -> Self:
        """Make one of `names`, in any order."""
        distinct = frozenset(names)
        return cls(distinct, tuple(name for name in distinct if "{" in name))

    def overlaps(self, text: str) -> bool:
        """Whether a permission or pattern matches one of these."""
        if text in self.names:
            return True
        return any(overlaps(text, name) for name in (self.names if is_pattern(text) else self.templates))


def check_excess_grants(
    unverified: UnverifiedToken,
    policy: Policy,
    required: Collection[str] | None,
    used: Collection[str] | None,
    audience: Audience | None = None,
) -> Iterator[RuleViolation]:
    """The violations of its grants.

    `required` are the permissions and templates that routes require, and `used` those that the subject used; None if
    unknown. `audience` is the policy's entry for the token's audience, if there is exactly one.
    """
    yield from _check_wildcards(unverified, allowed_by_policy=audience is not None and audience.wildcards)
    permissions: list[ClaimEntries] = []
    for item in _permissions(unverified, policy):
        if isinstance(item, ClaimEntries):
            permissions.append(item)
        else:
            yield item
    comparisons = [None if names is None else PermissionSet.of(names) for names in (required, used)]
    for entries in permissions:
        for violation in _check_permissions(entries, unverified, policy, *comparisons):
            # A permission that no route of this service requires may be meant for the services that it calls.
            elsewhere = violation.id == "permission-unasked" and audience is not None and audience.may_call
            yield violation._replace(severity="note") if elsewhere else violation
    roles = tuple(_roles(unverified, policy))
    yield from _check_role_overlap(unverified, permissions, roles, policy)
    if "cnf" not in unverified.claims:
        yield from _check_key_binding(unverified, permissions, roles, policy)


def _permissions(unverified: UnverifiedToken, policy: Policy) -> Iterator[ClaimEntries | RuleViolation]:
    for name in _PERMISSIONS:
        yield from _listed(name, unverified.claims.get(name))
    role_scope = unverified.claims.get(ROLE_SCOPE_CLAIM)
    if is_json_object(role_scope):
        lists = [entries for value in role_scope.values() for entries in _listed(ROLE_SCOPE_CLAIM, value)]
        texts = [text for entries in lists for text in entries.texts]
        yield ClaimEntries(ROLE_SCOPE_CLAIM, tuple(texts[:MAX_HELD]))
    if COMPACT_CLAIM in unverified.claims:
        yield _compact(unverified, policy)


def _listed(name: str, value: object) -> Iterator[ClaimEntries]:
    """The entries of a claim, which is a list or one text with blanks."""
    if isinstance(value, str):
        texts, separator_length = value.split(), 1
    else:
        texts, separator_length = (
            [text for text in (value if is_json_array(value) else ()) if isinstance(text, str)],
            _LIST_MARKS,
        )
    if texts:
        yield ClaimEntries(name, tuple(texts[:MAX_HELD]), separator_length)


def _compact(unverified: UnverifiedToken, policy: Policy) -> ClaimEntries | RuleViolation:
    value = unverified.claims[COMPACT_CLAIM]
    try:
        return ClaimEntries(COMPACT_CLAIM, policy.decode(value)[:MAX_HELD], 0)  # type: ignore[arg-type]
    except GrammarError:
        message = f"{COMPACT_CLAIM} does not begin with the letter of a known encoding, or is not in its canonical form"
        return RuleViolation("compact-unreadable", COMPACT_CLAIM, message, unverified.cost(COMPACT_CLAIM, value))
    except PolicyError:
        if not policy.catalogue:
            return ClaimEntries(COMPACT_CLAIM, (), 0)
    return RuleViolation(
        "compact-unreadable", COMPACT_CLAIM, f"{COMPACT_CLAIM} was written with another catalogue than this policy's"
    )


def _check_wildcards(unverified: UnverifiedToken, *, allowed_by_policy: bool) -> Iterator[RuleViolation]:
    """Wildcards. Those in permissions are left out if `allowed_by_policy`, unless one grants everything."""
    for entries in _all_entries(unverified):
        indices = [index for index, text in enumerate(entries.texts) if "*" in _PARTS.split(text.replace("**", "*"))]
        if indices:
            grants_all = any(entries.texts[index].strip("*") == "" for index in indices)
            allowed = allowed_by_policy and entries.claim in (*_PERMISSIONS, ROLE_SCOPE_CLAIM)
            if grants_all or not allowed:
                severity: Severity | None = "error" if grants_all else None
                yield entries.violation("permission-wildcard", indices, unverified, "wildcards", severity)


def _all_entries(unverified: UnverifiedToken) -> Iterator[ClaimEntries]:
    """The entries of all claims that hold permissions or roles, also those of other providers."""
    for name, value in unverified.claims.items():
        if name in _PERMISSIONS or "".join(split_words(name)) in _ROLES:
            yield from _listed(display_name(name), value)
    role_scope = unverified.claims.get(ROLE_SCOPE_CLAIM)
    for value in role_scope.values() if is_json_object(role_scope) else ():
        yield from _listed(ROLE_SCOPE_CLAIM, value)
    realm, clients = unverified.claims.get("realm_access"), unverified.claims.get("resource_access")
    if is_json_object(realm):
        yield from _listed("realm_access.roles", realm.get("roles"))
    for client in clients.values() if is_json_object(clients) else ():
        if is_json_object(client):
            yield from _listed("resource_access.roles", client.get("roles"))


def _check_permissions(
    entries: ClaimEntries,
    unverified: UnverifiedToken,
    policy: Policy,
    required: PermissionSet | None,
    used: PermissionSet | None,
) -> Iterator[RuleViolation]:
    """The violations of permissions; each permission counts for at most one rule."""
    texts = entries.texts
    remaining = [index for index, text in enumerate(texts) if text not in OPENID_SCOPES]
    not_live = [index for index in remaining if not policy.catalogue_has(texts[index])]
    retired_set = PermissionSet.of(name for name, entry in policy.catalogue.items() if entry.retired)
    retired = [index for index in not_live if retired_set.overlaps(texts[index])]
    unknown = [index for index in not_live if index not in set(retired)]
    remaining = [index for index in remaining if index not in set(not_live)]
    unrequired = [] if required is None else [index for index in remaining if not required.overlaps(texts[index])]
    remaining = [index for index in remaining if index not in set(unrequired)]
    unused = [] if used is None else [index for index in remaining if not used.overlaps(texts[index])]
    for rule, why, indices in (
        ("permission-retired", "retired", retired),
        ("permission-unknown", "not in the catalogue", unknown),
        ("permission-unasked", "required by no route", unrequired),
        ("permission-unused", "never used by this subject", unused),
    ):
        if indices:
            yield entries.violation(rule, indices, unverified, why)


def _roles(unverified: UnverifiedToken, policy: Policy) -> Iterator[str]:
    """The policy's roles that it names, directly or by an external role that confers them."""
    external: dict[str, list[str]] = {}
    for role in policy.roles.values():
        for _, name in filter(None, map(parse_role_source, role.sources)):
            external.setdefault(name.partition(":")[2], []).append(role.name)
    for entries in _all_entries(unverified):
        if entries.claim not in (*_PERMISSIONS, ROLE_SCOPE_CLAIM):
            for text in entries.texts:
                yield from [text] if text in policy.roles else []
                yield from external.get(text, ())


def _check_role_overlap(
    unverified: UnverifiedToken, permissions: Sequence[ClaimEntries], roles: Sequence[str], policy: Policy
) -> Iterator[RuleViolation]:
    granted = Permissions.of(policy.grants(roles))
    for entries in permissions:
        if entries.claim != ROLE_SCOPE_CLAIM:
            indices = [index for index, text in enumerate(entries.texts) if granted.find_containing(text) is not None]
            if indices:
                why = "also granted by a role of the token"
                yield entries.violation("role-and-permissions", indices, unverified, why)


def _check_key_binding(
    unverified: UnverifiedToken, permissions: Sequence[ClaimEntries], roles: Sequence[str], policy: Policy
) -> Iterator[RuleViolation]:
    high = PermissionSet.of(name for name, entry in policy.catalogue.items() if entry.risk == "high")
    for entries in permissions:
        indices = [index for index, text in enumerate(entries.texts) if high.overlaps(text)]
        if indices:
            why = "of high risk, and the token is not bound to a key"
            yield entries.violation("cnf-missing", indices, unverified, why)._replace(characters=0)
            return
    if any(high.overlaps(grant.text) for grant in policy.grants(roles)):
        yield RuleViolation(
            "cnf-missing", "roles", "a role grants a high-risk permission, and the token is not bound to a key"
        )
