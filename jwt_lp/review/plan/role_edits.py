"""Edits of the policy's roles that a plan allows, and the reasons against the others.

A role may have a grant of its own or through the roles that it includes. A grant is removed only if the plan has a
decision for every role that would lose it.
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
    """The possible edits by (role, grant), and the remaining grants of each role."""

    edits: Mapping[tuple[str, str], tuple[str, ...]] = field(default_factory=dict[tuple[str, str], tuple[str, ...]])
    remaining: Mapping[str, tuple[str, ...]] = field(default_factory=dict[str, tuple[str, ...]])

    def keep(self, role: str, pattern: str) -> tuple[str, ...]:
        """The grants that a deny entry on the role must keep, so that live tokens match the edited policy."""
        return tuple(grant for grant in self.remaining.get(role, ()) if overlap(grant, pattern))


def plan_role_edits(
    items: Iterable[PlanItem], text: str | None, dropped: dict[str, str], kept: Container[tuple[str, str]] = ()
) -> RoleEdits:
    """The edits of the policy's text for `items`, all about roles; `dropped` gets the reasons against the others.

    `kept` has each (role, grant) that some issuer's members keep; all issuers share the role.
    """
    listed = list(items)
    if text is None:
        dropped.update((item.id, "there is no policy file to edit") for item in listed)
        return RoleEdits()
    roles: dict[str, Any] = tomllib.loads(text).get("roles", {})
    groups: dict[tuple[str, str], list[PlanItem]] = {}
    for item in listed:
        if item.name not in roles:
            dropped[item.id] = f"the policy has no role {item.name}"
        else:
            groups.setdefault((item.name, item.grant), []).append(item)
    for key, group in groups.items():
        if key in kept or len({item.instead for item in group}) > 1:
            dropped.update(
                (item.id, "the decision for another issuer differs, and all issuers share the role") for item in group
            )
    before = _effective_grants(roles, {})
    while True:
        alive = {key: group for key, group in groups.items() if not any(item.id in dropped for item in group)}
        edits = {
            (role, grant): group[0].instead
            for (role, grant), group in alive.items()
            if grant in roles[role].get("grants", ())
        }
        remaining = _effective_grants(roles, edits)
        conflicts = _conflicts(roles, before, remaining, alive, edits)
        if not conflicts:
            return RoleEdits(edits, remaining)
        for key, reason in conflicts.items():
            dropped.update((item.id, reason) for item in groups[key])


def _conflicts(
    roles: Mapping[str, Any],
    before: Mapping[str, tuple[str, ...]],
    remaining: Mapping[str, tuple[str, ...]],
    alive: Mapping[tuple[str, str], list[PlanItem]],
    edits: Mapping[tuple[str, str], tuple[str, ...]],
) -> dict[tuple[str, str], str]:
    """The reason against each (role, grant) that cannot be removed."""
    reasons: dict[tuple[str, str], str] = {}
    for role, grant in alive:
        if grant not in before[role]:
            reasons[role, grant] = f"the role {role} does not grant {grant} any more"
        elif grant in remaining[role]:
            through = [name for name in _included_roles(roles, role) if grant in remaining[name]]
            reasons[role, grant] = f"it comes through the role {through[0]}, which keeps it"
    for role, grants in before.items():
        for grant in grants:
            # A grant that another grant covers is not lost.
            held = Permissions.of(remaining[role], patterns=True)
            if grant in remaining[role] or (role, grant) in alive or held.find_containing(grant) is not None:
                continue
            for included in _included_roles(roles, role):
                if (included, grant) in edits:
                    reasons[included, grant] = (
                        f"the role {role} includes it and would lose {grant} too: decide that as well"
                    )
    return reasons


def _included_roles(roles: Mapping[str, Any], role: str) -> list[str]:
    """Every role that a role includes, directly or through others."""
    included: list[str] = []
    pending = list(roles[role].get("includes", ()))
    while pending:
        name = pending.pop(0)
        if name not in included:
            included.append(name)
            pending += roles[name].get("includes", ())
    return included


def _effective_grants(
    roles: Mapping[str, Any], edits: Mapping[tuple[str, str], tuple[str, ...]]
) -> dict[str, tuple[str, ...]]:
    own = {
        name: [new for grant in role.get("grants", ()) for new in edits.get((name, grant), (grant,))]
        for name, role in roles.items()
    }
    return {
        name: tuple(dict.fromkeys(grant for role in (name, *_included_roles(roles, name)) for grant in own[role]))
        for name in roles
    }
