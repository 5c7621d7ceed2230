"""Preview of decisions: who would lose what, and what would break."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from jwt_lp.campaigns.later_use import later_use
from jwt_lp.campaigns.values import DecisionPreview, ItemPreview
from jwt_lp.review.findings import LAST_HOLDER
from jwt_lp.review.pattern_overlap import covers, overlap, permissions_in

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from jwt_lp.policy.file import Policy
    from jwt_lp.review import Finding
    from jwt_lp.stores import Store
    from jwt_lp.stores.campaigns import Campaign, WantedDecision

_REVOKING: Final = ("remove", "narrow")


def preview_decisions(
    campaign: Campaign,
    wanted: Sequence[WantedDecision],
    findings: Mapping[str, Finding],
    store: Store,
    policy: Policy,
) -> DecisionPreview:
    """What decisions about `findings`, which are there by their ids, would change."""
    used = later_use(campaign, [(findings[each.item], each.decision) for each in wanted], store, policy, together=True)
    routes = _Routes(store, policy)
    items = tuple(
        _preview_item(findings[each.item], used, routes.requiring(findings[each.item], each.decision))
        for each in wanted
        if each.decision in _REVOKING
    )
    removed = [findings[item.id] for item in items]
    holders = {(found.of, found.issuer, found.name) for found in removed if found.of != "role"}
    known = [item.likelihood for item in items if item.likelihood is not None]
    return DecisionPreview(
        revoked=len(items),
        holders=len(holders) + sum(item.holders for item in items if findings[item.id].of == "role"),
        last_holders=sum(item.last_holder for item in items),
        used_since=sum(bool(item.used_since) for item in items),
        expected=sum(known),
        unknown=len(items) - len(known),
        routes=tuple(dict.fromkeys(route for item in items for route in item.routes)),
        items=items,
    )


def _preview_item(finding: Finding, used: Mapping[str, str], routes: tuple[str, ...]) -> ItemPreview:
    return ItemPreview(
        id=finding.id,
        holders=max(finding.members, 1) if finding.of == "role" else 1,
        last_holder=LAST_HOLDER in finding.guards,
        used_since=used.get(finding.id, ""),
        routes=routes,
        likelihood=finding.likelihood,
        guards=tuple(guard for guard in finding.guards if guard != LAST_HOLDER),
    )


class _Routes:
    """The endpoints that require something, with what they require."""

    def __init__(self, store: Store, policy: Policy) -> None:
        self._policy: Final = policy
        self._points: Final = tuple(
            dict.fromkeys(
                (f"{point.method} {point.endpoint}", permission)
                for point in store.enforcement_points()
                for permission in permissions_in(point.requirement)
            )
        )
        self._found: Final[dict[tuple[str, tuple[str, ...]], tuple[str, ...]]] = {}

    def requiring(self, finding: Finding, decision: str) -> tuple[str, ...]:
        """The endpoints that require what would be lost."""
        kept = finding.instead if decision == "narrow" else ()
        return tuple(
            dict.fromkeys(route for pattern in self._patterns(finding) for route in self._requiring(pattern, kept))
        )

    def _patterns(self, finding: Finding) -> tuple[str, ...]:
        """The patterns that a finding is about; those of the role for a membership."""
        if finding.grant:
            return (finding.grant,)
        role = self._policy.roles.get(finding.role)
        return () if role is None else tuple(grant.text for grant in role.grants)

    def _requiring(self, pattern: str, kept: tuple[str, ...]) -> tuple[str, ...]:
        key = pattern, kept
        if key not in self._found:
            self._found[key] = tuple(
                route
                for route, permission in self._points
                if overlap(pattern, permission) and not any(covers(grant, permission) for grant in kept)
            )
        return self._found[key]
