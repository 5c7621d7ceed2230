"""What would an item take, and was that used since it was decided?"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from jwt_lp.review.pattern_overlap import covers, overlap

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from jwt_lp.review.plan.frozen_plan import PlanItem
    from jwt_lp.stores import UsageRow, Use


class PlannedRevocation(NamedTuple):
    """A pattern that an item takes, but for what any of `keep` covers."""

    item: PlanItem
    pattern: str
    keep: tuple[str, ...]

    def revokes(self, permission: str) -> bool:
        """Whether it would refuse some of a permission as it is declared, template or literal."""
        return overlap(self.pattern, permission) and not any(covers(each, permission) for each in self.keep)


class PlannedRevocations:
    """All that is to be taken, found by whom a row of usage is about."""

    def __init__(self, takings: Iterable[PlannedRevocation]) -> None:
        self._found: dict[tuple[str, ...], list[PlannedRevocation]] = {}
        for taking in takings:
            item = taking.item
            # A role of the policy is one, whichever issuer's members have it.
            key = ("role", item.name) if item.of == "role" else (item.of, item.issuer, item.name)
            self._found.setdefault(key, []).append(taking)

    def __bool__(self) -> bool:
        return bool(self._found)

    @property
    def subject(self) -> str | None:
        """The one subject that all of it is about; None for several, or where it is about others."""
        keys = [key for key in self._found if key[0] == "subject"]
        return keys[0][2] if len(keys) == len(self._found) == 1 else None

    def matching(self, use: Use) -> Iterator[PlannedRevocation]:
        """What would be refused of a use that passed."""
        keys = (("subject", use.issuer, use.subject), ("client", use.issuer, use.client), ("role", use.role))
        for key in keys:
            for taking in self._found.get(key, ()):
                if taking.revokes(use.permission):
                    yield taking

    def possibly_matching(self, use: Use) -> Iterator[PlannedRevocation]:
        """What may have refused a use that was refused: of a role nobody can tell, for it served nothing."""
        keys: list[tuple[str, ...]] = [("subject", use.issuer, use.subject), ("client", use.issuer, use.client)]
        keys += [key for key in self._found if key[0] == "role"]
        for key in keys:
            for taking in self._found.get(key, ()):
                if taking.revokes(use.permission):
                    yield taking


def used_since(
    rows: Iterable[UsageRow], takings: PlannedRevocations, items: Sequence[PlanItem], seen_until: float
) -> dict[str, str]:
    """Why items may not be applied any more, by their ids: what they would take was used, this way or another.

    `seen_until` is until when the review had seen everything, in seconds since the epoch.
    """
    going: set[tuple[str, ...]] = {(item.of, item.issuer, item.name, item.role, item.grant) for item in items}
    # What a role's members of one issuer did before was known when it was decided about them.
    known = {(item.name, item.grant, item.issuer): item.last_day for item in items if item.of == "role"}
    reasons: dict[str, str] = {}
    for row in rows:
        use = row.use
        if use.outcome != "granted":
            continue
        for taking in takings.matching(use):
            item = taking.item
            last_day = (
                known.get((item.name, item.grant, use.issuer), item.last_day) if item.of == "role" else item.last_day
            )
            if not (use.day > last_day or row.last > seen_until):
                continue
            if _is_credited(item, use):
                reasons[item.id] = f"{use.permission} was used on {use.day}, after the review"
            elif not _path_revoked_too(going, item, use):
                through = f"{use.grant or use.permission}{f' of the role {use.role}' if use.role else ''}"
                reasons.setdefault(
                    item.id,
                    f"{use.permission} was used on {use.day} through {through}, which stays, and an entry would refuse "
                    "that too",
                )
    return reasons


def _is_credited(item: PlanItem, use: Use) -> bool:
    """Whether the use was credited to what the item is about."""
    if item.of == "role":
        return True
    if not item.grant:
        return item.role == use.role
    return item.grant == (use.grant or use.permission) and (item.of == "client" or item.role == use.role)


def _path_revoked_too(going: set[tuple[str, ...]], item: PlanItem, use: Use) -> bool:
    """Whether the way that served goes as well."""
    grant = use.grant or use.permission
    role = "" if item.of == "client" else use.role
    return any((item.of, item.issuer, item.name, role, each) in going for each in (grant, ""))
