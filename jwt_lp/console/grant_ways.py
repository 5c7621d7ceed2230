"""Ways to a permission: the roles and the direct grants that confer it, and whether anybody holds one of them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Literal, NamedTuple, TypeAlias

from jwt_lp.review.pattern_overlap import covers, pattern_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from jwt_lp.policy.file import Policy
    from jwt_lp.stores import Store
    from jwt_lp.stores.lookups import HolderCount

MOST_COUNTED: Final = 8
"""The most ways whose holders are counted for one page; each may take thousands of rows."""

MOST_LOOKED_UP: Final = 60
"""The most ways of which one page asks whether anybody has them."""

HeldBySomebody: TypeAlias = Literal["yes", "no", "unknown", "not looked up"]

_MOST_SEGMENTS: Final = 6


class GrantWay(NamedTuple):
    """A role with the grant that confers the permission, or with the role "" a direct grant.

    `holders` is None where they were not counted.
    """

    role: str
    grant: str
    holders: HolderCount | None


def ways_to(store: Store, policy: Policy, permission: str) -> tuple[GrantWay, ...]:
    """The ways to a permission: direct grants that somebody holds first, then the roles of the policy."""
    direct = [grant for grant in covering_grants(permission) if store.grant_holders(grant, limit=1)]
    ways = [*(("", grant) for grant in direct), *covering_roles(policy, permission)]
    return tuple(
        GrantWay(role, grant, _count(store, role, grant) if place < MOST_COUNTED else None)
        for place, (role, grant) in enumerate(ways)
    )


def covering_roles(policy: Policy, permission: str) -> Iterator[tuple[str, str]]:
    """The roles whose definition confers a permission, each with its first grant that does."""
    for name in sorted(policy.roles):
        for grant in policy.roles[name].grants:
            # Only a pattern is worth the comparison: a policy may have ten thousand grants.
            if grant.text == permission or (grant.pattern and covers(grant.text, permission)):
                yield name, grant.text
                break


def covering_grants(permission: str) -> tuple[str, ...]:
    """The permission itself, and the patterns that cover it and end in wildcards, the narrowest first."""
    exact = pattern_of(permission)
    segments = exact.split(":")
    if len(segments) > _MOST_SEGMENTS:
        return tuple(dict.fromkeys((permission, exact)))
    candidates = [permission, exact]
    for kept in range(len(segments) - 1, -1, -1):
        candidates.append(":".join((*segments[:kept], *["*"] * (len(segments) - kept))))
        candidates.append(":".join((*segments[:kept], "**")))
    return tuple(dict.fromkeys(grant for grant in candidates if covers(grant, permission)))


def _count(store: Store, role: str, grant: str) -> HolderCount:
    return store.count_role_members(role) if role else store.count_grant_holders(grant)


class HeldPermissions:
    """Answers whether anybody holds a permission; asks the store about each role and each grant once.

    After `MOST_LOOKED_UP` questions to the store it knows no more.
    """

    def __init__(self, store: Store, policy: Policy) -> None:
        self._store: Final = store
        self._policy: Final = policy
        self._found: Final[dict[tuple[str, str], bool]] = {}
        self._known: Final[dict[str, HeldBySomebody]] = {}

    def held(self, permission: str) -> HeldBySomebody:
        """`unknown` for a template that no role and no pattern covers: somebody may hold a value of it."""
        if permission not in self._known:
            self._known[permission] = self._look_up(permission)
        return self._known[permission]

    def _look_up(self, permission: str) -> HeldBySomebody:
        ways = [*covering_roles(self._policy, permission), *(("", grant) for grant in covering_grants(permission))]
        for role, grant in ways:
            way = (role, "") if role else ("", grant)
            if way not in self._found:
                if len(self._found) >= MOST_LOOKED_UP:
                    return "not looked up"
                self._found[way] = bool(
                    self._store.role_members(role, limit=1) if role else self._store.grant_holders(grant, limit=1)
                )
            if self._found[way]:
                return "yes"
        return "unknown" if "{" in permission else "no"
