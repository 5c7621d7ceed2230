"""Planned revocations: the patterns that items of a plan revoke, and their use since the review."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple, cast

from jwt_lp.permissions.patterns import is_elevation
from jwt_lp.review.pattern_overlap import covers, overlap
from jwt_lp.stores import ReviewedHolder

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from jwt_lp.review.plan.frozen_plan import PlanItem
    from jwt_lp.stores import LaterUse, Use


class PlannedRevocation(NamedTuple):
    """A pattern that an item revokes, except what any pattern of `keep` covers."""

    item: PlanItem
    pattern: str
    keep: tuple[str, ...]

    def revokes(self, permission: str) -> bool:
        """Whether it would refuse a declared permission, template or literal, wholly or in part."""
        return overlap(self.pattern, permission) and not any(covers(kept, permission) for kept in self.keep)


class PlannedRevocations:
    """All planned revocations, indexed by holder."""

    def __init__(self, revocations: Iterable[PlannedRevocation]) -> None:
        self._by_holder: dict[tuple[str, ...], list[PlannedRevocation]] = {}
        for revocation in revocations:
            item = revocation.item
            # All issuers share the roles of the policy.
            key = ("role", item.name) if item.of == "role" else (item.of, item.issuer, item.name)
            self._by_holder.setdefault(key, []).append(revocation)

    def __bool__(self) -> bool:
        return bool(self._by_holder)

    @property
    def subject(self) -> str | None:
        """The subject of all the revocations; None where there are several holders or other kinds."""
        keys = [key for key in self._by_holder if key[0] == "subject"]
        return keys[0][2] if len(keys) == len(self._by_holder) == 1 else None

    def holders(self) -> Iterator[ReviewedHolder]:
        """The holders of all the revocations, each with the earliest of the last days that its items know."""
        for (of, *issuer, name), revocations in self._by_holder.items():
            last_day = min(revocation.item.last_day for revocation in revocations)
            yield ReviewedHolder(cast("Any", of), "".join(issuer), name, last_day)

    def matching(self, use: Use | LaterUse) -> Iterator[PlannedRevocation]:
        """The revocations that would refuse a use that was granted."""
        keys = (("subject", use.issuer, use.subject), ("client", use.issuer, use.client), ("role", use.role))
        for key in keys:
            for revocation in self._by_holder.get(key, ()):
                if revocation.revokes(use.permission):
                    yield revocation

    def possibly_matching(self, use: Use) -> Iterator[PlannedRevocation]:
        """The revocations that may have refused a use: each one of a role counts, because a refusal names no role."""
        keys: list[tuple[str, ...]] = [("subject", use.issuer, use.subject), ("client", use.issuer, use.client)]
        keys += [key for key in self._by_holder if key[0] == "role"]
        for key in keys:
            for revocation in self._by_holder.get(key, ()):
                if revocation.revokes(use.permission):
                    yield revocation


def used_since(
    uses: Iterable[LaterUse], revocations: PlannedRevocations, items: Sequence[PlanItem], seen_until: float
) -> dict[str, str]:
    """The reasons to drop items, by their ids: what they would revoke was used since, through their grant or another.

    Use by an elevation is no reason: it needs no standing grant.

    `seen_until` is the end of the usage that the review knew, in seconds since the epoch.
    """
    revoked: set[tuple[str, ...]] = {(item.of, item.issuer, item.name, item.role, item.grant) for item in items}
    # The review knew the earlier use by each issuer's members of a role.
    reviewed_days = {(item.name, item.grant, item.issuer): item.last_day for item in items if item.of == "role"}
    # Of several reasons, use of the grant itself comes before use through another, and a late use before an early one.
    reasons: dict[str, tuple[bool, str, str]] = {}
    for use in uses:
        if is_elevation(use.role):
            continue
        for item in {revocation.item.id: revocation.item for revocation in revocations.matching(use)}.values():
            last_day = item.last_day
            if item.of == "role":
                last_day = reviewed_days.get((item.name, item.grant, use.issuer), last_day)
            if use.last_day > last_day or use.last > seen_until:
                credited = _is_credited(item, use)
                if credited or not _path_revoked_too(revoked, item, use):
                    reason = (credited, use.last_day, _reason(use, credited=credited))
                    reasons[item.id] = max(reasons.get(item.id, reason), reason)
    return {item: text for item, (_, _, text) in reasons.items()}


def _reason(use: LaterUse, *, credited: bool) -> str:
    if credited:
        return f"{use.permission} was used on {use.last_day}, after the review"
    through = f"{use.grant or use.permission}{f' of the role {use.role}' if use.role else ''}"
    return (
        f"{use.permission} was used on {use.last_day} through {through}, which is kept, and a deny entry would "
        "refuse that use too"
    )


def _is_credited(item: PlanItem, use: LaterUse) -> bool:
    """Whether the use was credited to the grant of the item."""
    if item.of == "role":
        return True
    if not item.grant:
        return item.role == use.role
    return item.grant == (use.grant or use.permission) and (item.of == "client" or item.role == use.role)


def _path_revoked_too(revoked: set[tuple[str, ...]], item: PlanItem, use: LaterUse) -> bool:
    """Whether the plan also revokes the grant that served the use."""
    grant = use.grant or use.permission
    role = "" if item.of == "client" else use.role
    return any((item.of, item.issuer, item.name, role, name) in revoked for name in (grant, ""))
