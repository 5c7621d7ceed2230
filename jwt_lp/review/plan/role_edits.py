"""Which roles of the policy lose a grant, and which may not?

A role may have a grant of its own, or through roles that it includes. It goes only where everybody who would lose it
was decided about.
"""

from __future__ import annotations

import tomllib
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from jwt_lp.permissions.grants import Permissions
from jwt_lp.review.pattern_overlap import overlap

if TYPE_CHECKING:
    from collections.abc import Container, Iterable, Mapping

    from jwt_lp.review.plan.frozen_plan import PlanItem


@dataclass(frozen=True, slots=True)
class RoleEdits:
    """What can be done: the edits by (role, grant), and the grants that each role has left."""

    edits: Mapping[tuple[str, str], tuple[str, ...]] = field(default_factory=dict[tuple[str, str], tuple[str, ...]])
    left: Mapping[str, tuple[str, ...]] = field(default_factory=dict[str, tuple[str, ...]])

    def keep(self, role: str, pattern: str) -> tuple[str, ...]:
        """What a deny entry on the role has to leave, so that live tokens hold what the edited policy says."""
        return tuple(each for each in self.left.get(role, ()) if overlap(each, pattern))


def plan_role_edits(
    items: Iterable[PlanItem], text: str | None, dropped: dict[str, str], stays: Container[tuple[str, str]] = ()
) -> RoleEdits:
    """What of `items`, all of them about roles, can be done to the policy's text; `dropped` is told why not.

    `stays` are grants, each with its role, that some issuer's members keep: the role is one for all of them.
    """
    listed = list(items)
    if text is None:
        dropped.update((item.id, "there is no policy file that could be edited") for item in listed)
        return RoleEdits()
    roles: dict[str, Any] = tomllib.loads(text).get("roles", {})
    groups: dict[tuple[str, str], list[PlanItem]] = {}
    for item in listed:
        if item.name not in roles:
            dropped[item.id] = f"the policy has no role {item.name}"
        else:
            groups.setdefault((item.name, item.grant), []).append(item)
    for key, group in groups.items():
        if key in stays or len({item.instead for item in group}) > 1:
            dropped.update(
                (item.id, "it was decided otherwise for another issuer, and the role is one") for item in group
            )
    before = _effective_grants(roles, {})
    while True:
        alive = {key: group for key, group in groups.items() if not any(item.id in dropped for item in group)}
        edits = {
            (role, grant): group[0].instead
            for (role, grant), group in alive.items()
            if grant in roles[role].get("grants", ())
        }
        left = _effective_grants(roles, edits)
        wrong = _conflicts(roles, before, left, alive, edits)
        if not wrong:
            return RoleEdits(edits, left)
        for key, reason in wrong.items():
            dropped.update((item.id, reason) for item in groups[key])


def _conflicts(
    roles: Mapping[str, Any],
    before: Mapping[str, tuple[str, ...]],
    left: Mapping[str, tuple[str, ...]],
    alive: Mapping[tuple[str, str], list[PlanItem]],
    edits: Mapping[tuple[str, str], tuple[str, ...]],
) -> dict[tuple[str, str], str]:
    """Which (role, grant) cannot go, and why."""
    found: dict[tuple[str, str], str] = {}
    for role, grant in alive:
        if grant not in before[role]:
            found[role, grant] = f"the role {role} does not grant {grant} any more"
        elif grant in left[role]:
            through = [each for each in _included_roles(roles, role) if grant in left[each]]
            found[role, grant] = f"it comes through the role {through[0]}, which keeps it"
    for role, grants in before.items():
        for grant in grants:
            # What it has by another grant it does not lose.
            held = Permissions.of(left[role], patterns=True)
            if grant in left[role] or (role, grant) in alive or held.find_containing(grant) is not None:
                continue
            for each in _included_roles(roles, role):
                if (each, grant) in edits:
                    found[each, grant] = f"the role {role} includes it and would lose {grant} too: decide that as well"
    return found


def _included_roles(roles: Mapping[str, Any], role: str) -> list[str]:
    """Every role that a role includes, through others too."""
    found: list[str] = []
    ahead = list(roles[role].get("includes", ()))
    while ahead:
        name = ahead.pop(0)
        if name not in found:
            found.append(name)
            ahead += roles[name].get("includes", ())
    return found


def _effective_grants(
    roles: Mapping[str, Any], edits: Mapping[tuple[str, str], tuple[str, ...]]
) -> dict[str, tuple[str, ...]]:
    own = {
        name: [new for grant in role.get("grants", ()) for new in edits.get((name, grant), (grant,))]
        for name, role in roles.items()
    }
    return {
        name: tuple(dict.fromkeys(grant for each in (name, *_included_roles(roles, name)) for grant in own[each]))
        for name in roles
    }
