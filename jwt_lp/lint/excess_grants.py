"""Does the token hold more than it needs?

Permissions and roles, held against the policy, against what routes ask for and what was used. Messages count them
and say where they stand; they never repeat one.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final, NamedTuple, Self

from jwt_lp._support.json_types import is_json_array, is_json_object
from jwt_lp.errors import GrammarError, PolicyError
from jwt_lp.lint.detectors import display_name, split_words
from jwt_lp.lint.rules import RuleViolation, Severity
from jwt_lp.permissions.grants import Permissions, is_pattern
from jwt_lp.policy.schema import overlaps, parse_role_source
from jwt_lp.tokens.claims import COMPACT_CLAIM, OPENID_SCOPES, ROLE_SCOPE_CLAIM

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Sequence

    from jwt_lp.lint.unverified_token import UnverifiedToken
    from jwt_lp.policy.file import Policy
    from jwt_lp.policy.schema import Audience

MAX_HELD: Final = 500
"""How many permissions and roles of a claim are looked at."""

_SHOWN: Final = 8
_PERMISSIONS: Final = ("scope", "scp", "permissions")
_ROLES: Final = frozenset(
    {
        *("roles", "role", "groups", "entitlements", "authorities", "cognitogroups"),
        *("scopes", "privileges", "perms", "permission", "permissions"),
    }
)
_PARTS: Final = re.compile(r"[:./]")
_LIST_MARKS: Final = 3


class ClaimEntries(NamedTuple):
    """What stands in one claim, in its order; each is `separator_length` characters longer there than it is."""

    claim: str
    texts: tuple[str, ...]
    separator_length: int = 1

    def violation(
        self, rule: str, at: Sequence[int], unverified: UnverifiedToken, says: str, severity: Severity | None = None
    ) -> RuleViolation:
        """That the rule is broken by those that stand `at` these places."""
        numbers = ", ".join(str(each + 1) for each in at[:_SHOWN])
        more = f" and {len(at) - _SHOWN} more" if len(at) > _SHOWN else ""
        spare = sum(len(self.texts[each]) + self.separator_length for each in at) if self.separator_length else 0
        what = "permissions" if self.claim not in _ROLES else "entries"
        message = f"{len(at)} of {len(self.texts)} {what} in {self.claim}: {says} (number {numbers}{more})"
        return RuleViolation(rule, self.claim, message, unverified.characters_saved(spare), severity)


class PermissionSet(NamedTuple):
    """Permissions, and templates of them."""

    names: frozenset[str]
    templates: tuple[str, ...]

    @classmethod
    def of(cls, names: Iterable[str]) -> Self:
        """Of `names`, in any order."""
        known = frozenset(names)
        return cls(known, tuple(name for name in known if "{" in name))

    def overlaps(self, text: str) -> bool:
        """Whether a permission or pattern may be, or cover, one of these."""
        if text in self.names:
            return True
        return any(overlaps(text, each) for each in (self.names if is_pattern(text) else self.templates))


def check_excess_grants(
    unverified: UnverifiedToken,
    policy: Policy,
    required: Collection[str] | None,
    used: Collection[str] | None,
    audience: Audience | None = None,
) -> Iterator[RuleViolation]:
    """What of its grants need not be there.

    `required` are the permissions and templates that routes ask for, `used` those that its subject used; None where
    nobody knows. `audience` is what the policy says of the one service that it is for.
    """
    yield from _check_wildcards(unverified, listed_too=audience is not None and audience.wildcards)
    permissions: list[ClaimEntries] = []
    for each in _permissions(unverified, policy):
        if isinstance(each, ClaimEntries):
            permissions.append(each)
        else:
            yield each
    known = [None if names is None else PermissionSet.of(names) for names in (required, used)]
    for each in permissions:
        for found in _check_permissions(each, unverified, policy, *known):
            # What no route of this service asks for may be for those that it calls.
            elsewhere = found.id == "permission-unasked" and audience is not None and audience.may_call
            yield found._replace(severity="note") if elsewhere else found
    roles = tuple(_roles(unverified, policy))
    yield from _check_role_overlap(unverified, permissions, roles, policy)
    if "cnf" not in unverified.claims:
        yield from _check_key_binding(unverified, permissions, roles, policy)


def _permissions(unverified: UnverifiedToken, policy: Policy) -> Iterator[ClaimEntries | RuleViolation]:
    for name in _PERMISSIONS:
        yield from _listed(name, unverified.claims.get(name))
    through = unverified.claims.get(ROLE_SCOPE_CLAIM)
    if is_json_object(through):
        texts = [text for value in through.values() for each in _listed(ROLE_SCOPE_CLAIM, value) for text in each.texts]
        yield ClaimEntries(ROLE_SCOPE_CLAIM, tuple(texts[:MAX_HELD]))
    if COMPACT_CLAIM in unverified.claims:
        yield _compact(unverified, policy)


def _listed(name: str, value: object) -> Iterator[ClaimEntries]:
    """The texts of a claim, however it is written: a list, or one text with blanks."""
    if isinstance(value, str):
        texts, separator_length = value.split(), 1
    else:
        texts, separator_length = (
            [each for each in (value if is_json_array(value) else ()) if isinstance(each, str)],
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


def _check_wildcards(unverified: UnverifiedToken, *, listed_too: bool) -> Iterator[RuleViolation]:
    """Wildcards; with `listed_too` those are left out that the policy allows its audience, but for everything."""
    for each in _all_entries(unverified):
        at = [index for index, text in enumerate(each.texts) if "*" in _PARTS.split(text.replace("**", "*"))]
        if at:
            # Alone, it is everything.
            alone = any(each.texts[index].strip("*") == "" for index in at)
            allowed = listed_too and each.claim in (*_PERMISSIONS, ROLE_SCOPE_CLAIM)
            if alone or not allowed:
                yield each.violation("permission-wildcard", at, unverified, "wildcards", "error" if alone else None)


def _all_entries(unverified: UnverifiedToken) -> Iterator[ClaimEntries]:
    """All that is written like permissions or roles."""
    for name, value in unverified.claims.items():
        if name in _PERMISSIONS or "".join(split_words(name)) in _ROLES:
            yield from _listed(display_name(name), value)
    through = unverified.claims.get(ROLE_SCOPE_CLAIM)
    for value in through.values() if is_json_object(through) else ():
        yield from _listed(ROLE_SCOPE_CLAIM, value)
    realm, clients = unverified.claims.get("realm_access"), unverified.claims.get("resource_access")
    if is_json_object(realm):
        yield from _listed("realm_access.roles", realm.get("roles"))
    for each in clients.values() if is_json_object(clients) else ():
        if is_json_object(each):
            yield from _listed("resource_access.roles", each.get("roles"))


def _check_permissions(
    each: ClaimEntries,
    unverified: UnverifiedToken,
    policy: Policy,
    required: PermissionSet | None,
    used: PermissionSet | None,
) -> Iterator[RuleViolation]:
    """What is wrong with permissions; each of them is at fault at most once."""
    left = [index for index, text in enumerate(each.texts) if text not in OPENID_SCOPES]
    outside = [index for index in left if not policy.catalogue_has(each.texts[index])]
    retired = PermissionSet.of(name for name, entry in policy.catalogue.items() if entry.retired)
    gone = [index for index in outside if retired.overlaps(each.texts[index])]
    left = [index for index in left if index not in set(outside)]
    idle = [] if required is None else [index for index in left if not required.overlaps(each.texts[index])]
    left = [index for index in left if index not in set(idle)]
    spare = [] if used is None else [index for index in left if not used.overlaps(each.texts[index])]
    for rule, says, at in (
        ("permission-retired", "retired", gone),
        ("permission-unknown", "not in the catalogue", [index for index in outside if index not in set(gone)]),
        ("permission-unasked", "required by no route", idle),
        ("permission-unused", "never used by this subject", spare),
    ):
        if at:
            yield each.violation(rule, at, unverified, says)


def _roles(unverified: UnverifiedToken, policy: Policy) -> Iterator[str]:
    """The roles of the policy that it names, by their own names or by those that they are conferred by."""
    outside: dict[str, list[str]] = {}
    for role in policy.roles.values():
        for _, name in filter(None, map(parse_role_source, role.sources)):
            outside.setdefault(name.partition(":")[2], []).append(role.name)
    for each in _all_entries(unverified):
        if each.claim not in (*_PERMISSIONS, ROLE_SCOPE_CLAIM):
            for text in each.texts:
                yield from [text] if text in policy.roles else []
                yield from outside.get(text, ())


def _check_role_overlap(
    unverified: UnverifiedToken, permissions: Sequence[ClaimEntries], roles: Sequence[str], policy: Policy
) -> Iterator[RuleViolation]:
    granted = Permissions.of(policy.grants(roles))
    for each in permissions:
        if each.claim != ROLE_SCOPE_CLAIM:
            at = [index for index, text in enumerate(each.texts) if granted.find_containing(text) is not None]
            if at:
                yield each.violation("role-and-permissions", at, unverified, "also granted by a role of the token")


def _check_key_binding(
    unverified: UnverifiedToken, permissions: Sequence[ClaimEntries], roles: Sequence[str], policy: Policy
) -> Iterator[RuleViolation]:
    high = PermissionSet.of(name for name, entry in policy.catalogue.items() if entry.risk == "high")
    for each in permissions:
        at = [index for index, text in enumerate(each.texts) if high.overlaps(text)]
        if at:
            yield each.violation(
                "cnf-missing", at, unverified, "of high risk, and the token is not bound to a key"
            )._replace(characters=0)
            return
    if any(high.overlaps(grant.text) for grant in policy.grants(roles)):
        yield RuleViolation(
            "cnf-missing", "roles", "a role grants a high-risk permission, and the token is not bound to a key"
        )
