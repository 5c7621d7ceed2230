"""Findings about requirements that no request reached and permissions that no route requires."""

from __future__ import annotations

from typing import TYPE_CHECKING

from jwt_lp.review.analysis.finding_parts import make_finding, score_members
from jwt_lp.review.analysis.risk_score import GrantBreadth, breadth_part, risk_part
from jwt_lp.review.pattern_overlap import overlap

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from jwt_lp.policy.file import Policy
    from jwt_lp.review.findings import Finding
    from jwt_lp.review.pattern_overlap import EnforcedPermissions
    from jwt_lp.stores import EnforcementPointRow, RequestedPermission


def findings(
    points: Iterable[EnforcementPointRow],
    requested: Iterable[RequestedPermission],
    enforced: EnforcedPermissions,
    policy: Policy,
) -> Iterator[Finding]:
    """Enforcement points that no request reached, and permissions of the catalogue that none of them requires."""
    reached = {(row.service, row.endpoint, row.method, row.requirement) for row in requested}
    for point in points:
        if (point.service, point.endpoint, point.method, point.requirement) not in reached:
            yield make_finding(
                kind="requirement",
                verdict="dormant",
                proposal="keep",
                of="service",
                issuer="",
                name=f"{point.service}: {point.method} {point.endpoint}",
                role="",
                grant=point.requirement,
                reason=f"No request reached it since {point.first_day}.",
                first_day=point.first_day,
                last_day="",
                held_since=point.first_day,
            )
    if not enforced:
        return
    for name, entry in policy.catalogue.items():
        if not entry.retired and not enforced.matching(name):
            yield make_finding(
                kind="permission",
                verdict="unobservable",
                proposal="keep",
                of="catalogue",
                issuer="",
                name=name,
                role="",
                grant=name,
                reason="It is in the catalogue, but no known enforcement point requires it.",
                risk=entry.risk,
                **score_members(risk_part(entry.risk), breadth_part(GrantBreadth(1, 0))),
                others=tuple(other for other in policy.catalogue if other != name and overlap(other, name)),
            )
