"""Does the token hold more than it needs?

Permissions and roles, held against the policy, against what routes ask for and what was used. Messages count them
and say where they stand; they never repeat one.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final, NamedTuple, Self

from jwt_lp._entries import listed, meets
from jwt_lp._rules import Found, Severity
from jwt_lp._tells import shown, words
from jwt_lp.claims import COMPACT, OPENID_SCOPES, ROLE_SCOPE
from jwt_lp.errors import GrammarError, PolicyError
from jwt_lp.permissions import Permissions, is_pattern
from jwt_lp.sources import is_array, is_object

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Sequence

    from jwt_lp._entries import Audience
    from jwt_lp._lenient import Said
    from jwt_lp.policy import Policy

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


class Held(NamedTuple):
    """What stands in one claim, in its order; each is `marks` characters longer there than it is."""

    claim: str
    texts: tuple[str, ...]
    marks: int = 1

    def found(self, rule: str, at: Sequence[int], said: Said, says: str, severity: Severity | None = None) -> Found:
        """That the rule is broken by those that stand `at` these places."""
        numbers = ", ".join(str(each + 1) for each in at[:_SHOWN])
        more = f" and {len(at) - _SHOWN} more" if len(at) > _SHOWN else ""
        spare = sum(len(self.texts[each]) + self.marks for each in at) if self.marks else 0
        what = "permissions" if self.claim not in _ROLES else "entries"
        message = f"{len(at)} of {len(self.texts)} {what} in {self.claim}: {says} (number {numbers}{more})"
        return Found(rule, self.claim, message, said.less(spare), severity)


class Known(NamedTuple):
    """Permissions, and templates of them."""

    names: frozenset[str]
    templates: tuple[str, ...]

    @classmethod
    def of(cls, names: Iterable[str]) -> Self:
        """Of `names`, in any order."""
        known = frozenset(names)
        return cls(known, tuple(name for name in known if "{" in name))

    def meets(self, text: str) -> bool:
        """Whether a permission or pattern may be, or cover, one of these."""
        if text in self.names:
            return True
        return any(meets(text, each) for each in (self.names if is_pattern(text) else self.templates))


def held(
    said: Said,
    policy: Policy,
    asked: Collection[str] | None,
    used: Collection[str] | None,
    audience: Audience | None = None,
) -> Iterator[Found]:
    """What of its grants need not be there.

    `asked` are the permissions and templates that routes ask for, `used` those that its subject used; None where
    nobody knows. `audience` is what the policy says of the one service that it is for.
    """
    yield from _wild(said, listed_too=audience is not None and audience.wildcards)
    permissions: list[Held] = []
    for each in _permissions(said, policy):
        if isinstance(each, Held):
            permissions.append(each)
        else:
            yield each
    known = [None if names is None else Known.of(names) for names in (asked, used)]
    for each in permissions:
        for found in _judged(each, said, policy, *known):
            # What no route of this service asks for may be for those that it calls.
            elsewhere = found.id == "permission-unasked" and audience is not None and audience.may_call
            yield found._replace(severity="note") if elsewhere else found
    roles = tuple(_roles(said, policy))
    yield from _twice(said, permissions, roles, policy)
    if "cnf" not in said.claims:
        yield from _unbound(said, permissions, roles, policy)


def _permissions(said: Said, policy: Policy) -> Iterator[Held | Found]:
    for name in _PERMISSIONS:
        yield from _listed(name, said.claims.get(name))
    through = said.claims.get(ROLE_SCOPE)
    if is_object(through):
        texts = [text for value in through.values() for each in _listed(ROLE_SCOPE, value) for text in each.texts]
        yield Held(ROLE_SCOPE, tuple(texts[:MAX_HELD]))
    if COMPACT in said.claims:
        yield _compact(said, policy)


def _listed(name: str, value: object) -> Iterator[Held]:
    """The texts of a claim, however it is written: a list, or one text with blanks."""
    if isinstance(value, str):
        texts, marks = value.split(), 1
    else:
        texts, marks = [each for each in (value if is_array(value) else ()) if isinstance(each, str)], _LIST_MARKS
    if texts:
        yield Held(name, tuple(texts[:MAX_HELD]), marks)


def _compact(said: Said, policy: Policy) -> Held | Found:
    value = said.claims[COMPACT]
    try:
        return Held(COMPACT, policy.decode(value)[:MAX_HELD], 0)  # type: ignore[arg-type]
    except GrammarError:
        message = f"{COMPACT} does not begin with the letter of an encoding, or is not what it writes"
        return Found("compact-unreadable", COMPACT, message, said.cost(COMPACT, value))
    except PolicyError:
        if not policy.catalogue:
            return Held(COMPACT, (), 0)
    return Found("compact-unreadable", COMPACT, f"{COMPACT} was written with another catalogue than this policy's")


def _wild(said: Said, *, listed_too: bool) -> Iterator[Found]:
    """Wildcards; with `listed_too` those are left out that the policy allows its audience, but for everything."""
    for each in _anything(said):
        at = [index for index, text in enumerate(each.texts) if "*" in _PARTS.split(text.replace("**", "*"))]
        if at:
            # Alone, it is everything.
            alone = any(each.texts[index].strip("*") == "" for index in at)
            allowed = listed_too and each.claim in (*_PERMISSIONS, ROLE_SCOPE)
            if alone or not allowed:
                yield each.found("permission-wildcard", at, said, "wildcards", "error" if alone else None)


def _anything(said: Said) -> Iterator[Held]:
    """All that is written like permissions or roles."""
    for name, value in said.claims.items():
        if name in _PERMISSIONS or "".join(words(name)) in _ROLES:
            yield from _listed(shown(name), value)
    through = said.claims.get(ROLE_SCOPE)
    for value in through.values() if is_object(through) else ():
        yield from _listed(ROLE_SCOPE, value)
    realm, clients = said.claims.get("realm_access"), said.claims.get("resource_access")
    if is_object(realm):
        yield from _listed("realm_access.roles", realm.get("roles"))
    for each in clients.values() if is_object(clients) else ():
        if is_object(each):
            yield from _listed("resource_access.roles", each.get("roles"))


def _judged(each: Held, said: Said, policy: Policy, asked: Known | None, used: Known | None) -> Iterator[Found]:
    """What is wrong with permissions; each of them is at fault at most once."""
    left = [index for index, text in enumerate(each.texts) if text not in OPENID_SCOPES]
    outside = [index for index in left if not policy.lists(each.texts[index])]
    retired = Known.of(name for name, entry in policy.catalogue.items() if entry.retired)
    gone = [index for index in outside if retired.meets(each.texts[index])]
    left = [index for index in left if index not in set(outside)]
    idle = [] if asked is None else [index for index in left if not asked.meets(each.texts[index])]
    left = [index for index in left if index not in set(idle)]
    spare = [] if used is None else [index for index in left if not used.meets(each.texts[index])]
    for rule, says, at in (
        ("permission-retired", "retired", gone),
        ("permission-unknown", "not in the catalogue", [index for index in outside if index not in set(gone)]),
        ("permission-unasked", "asked for by no route", idle),
        ("permission-unused", "never used by this subject", spare),
    ):
        if at:
            yield each.found(rule, at, said, says)


def _roles(said: Said, policy: Policy) -> Iterator[str]:
    """The roles of the policy that it names, by their own names or by those that they are conferred by."""
    outside: dict[str, list[str]] = {}
    for role in policy.roles.values():
        for _, name in filter(None, map(listed, role.sources)):
            outside.setdefault(name.partition(":")[2], []).append(role.name)
    for each in _anything(said):
        if each.claim not in (*_PERMISSIONS, ROLE_SCOPE):
            for text in each.texts:
                yield from [text] if text in policy.roles else []
                yield from outside.get(text, ())


def _twice(said: Said, permissions: Sequence[Held], roles: Sequence[str], policy: Policy) -> Iterator[Found]:
    granted = Permissions.of(policy.grants(roles))
    for each in permissions:
        if each.claim != ROLE_SCOPE:
            at = [index for index, text in enumerate(each.texts) if granted.containing(text) is not None]
            if at:
                yield each.found("role-and-permissions", at, said, "granted by a role of the token as well")


def _unbound(said: Said, permissions: Sequence[Held], roles: Sequence[str], policy: Policy) -> Iterator[Found]:
    high = Known.of(name for name, entry in policy.catalogue.items() if entry.risk == "high")
    for each in permissions:
        at = [index for index, text in enumerate(each.texts) if high.meets(text)]
        if at:
            yield each.found("cnf-missing", at, said, "of high risk, and the token is bound to no key")._replace(
                characters=0
            )
            return
    if any(high.meets(grant.text) for grant in policy.grants(roles)):
        yield Found("cnf-missing", "roles", "a role grants what is of high risk, and the token is bound to no key")
