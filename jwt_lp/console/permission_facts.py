"""Facts about a permission: who holds it and by which way, who used it, and which routes ask for it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, timedelta
from itertools import islice
from typing import TYPE_CHECKING, Final

from jwt_lp.console.grant_ways import ways_to
from jwt_lp.console.holder_facts import DAYS_SHOWN, ROWS
from jwt_lp.console.pictures.scales import day_of
from jwt_lp.console.pictures.use_over_time import build_strip
from jwt_lp.console.route_facts import MOST_POINTS
from jwt_lp.review.pattern_overlap import overlap, permissions_in

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from jwt_lp.console.grant_ways import GrantWay
    from jwt_lp.console.pictures.use_over_time import Strip
    from jwt_lp.console.state import ConsoleState
    from jwt_lp.policy.elevation_rules import ElevationRule
    from jwt_lp.policy.entries import CatalogueEntry
    from jwt_lp.stores import EnforcementPointRow
    from jwt_lp.stores.lookups import EndpointUse, FoundHolder, HolderUse

_MOST_USES: Final = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class PermissionFacts:
    """What is known of a permission.

    `entry` is that of the catalogue, None if it has none. `holders` is one page of those who hold exactly this grant;
    `more` says that others follow. `points` are the enforcement points that ask for it, out of `asked`.
    """

    name: str
    entry: CatalogueEntry | None
    risk: str
    ways: tuple[GrantWay, ...]
    holders: tuple[FoundHolder, ...]
    more: bool
    uses: tuple[HolderUse, ...]
    refusals: tuple[HolderUse, ...]
    all_uses: bool
    strip: Strip
    refused: int
    endpoints: tuple[EndpointUse, ...]
    points: tuple[EnforcementPointRow, ...]
    asked: int
    elevation: ElevationRule | None

    @property
    def is_known(self) -> bool:
        """Whether the policy or the store knows the permission."""
        return bool(self.entry or self.holders or self.uses or self.refusals or self.points or self.elevation)


def read_permission(console: ConsoleState, name: str, *, after: FoundHolder | None = None) -> PermissionFacts:
    """What the policy and the store know of a permission; the holders are those behind `after`."""
    store, policy = console.store, console.policy
    today = day_of(console.clock())
    since = (date.fromisoformat(today) - timedelta(days=DAYS_SHOWN)).isoformat()
    holders = store.grant_holders(name, limit=ROWS + 1, after=after)
    found = store.permission_uses(name, limit=_MOST_USES)
    granted = tuple(each for each in found.uses if each.outcome == "granted")
    days = store.permission_days(name, since=since)
    points = tuple(points_asking(islice(store.enforcement_points(), MOST_POINTS), name))
    return PermissionFacts(
        name=name,
        entry=policy.catalogue.get(name),
        risk=policy.risk(name),
        ways=ways_to(store, policy, name)[:ROWS],
        holders=holders[:ROWS],
        more=len(holders) > ROWS,
        uses=granted[:ROWS],
        refusals=tuple(each for each in found.uses if each.outcome != "granted")[:ROWS],
        all_uses=found.complete and len(found.uses) < _MOST_USES and len(granted) <= ROWS,
        strip=build_strip(((each.day, each.uses) for each in days), since, today),
        refused=sum(each.refused for each in days),
        endpoints=store.endpoint_uses(name, limit=ROWS),
        points=points[:ROWS],
        asked=len(points),
        elevation=policy.elevation_rule(name),
    )


def points_asking(points: Iterable[EnforcementPointRow], permission: str) -> Iterator[EnforcementPointRow]:
    """The enforcement points whose requirement has the permission, or a template of it."""
    is_literal = "*" not in permission and "{" not in permission
    for point in points:
        # Most points are left out by a look at the text.
        if is_literal and permission not in point.requirement and "{" not in point.requirement:
            continue
        if any(overlap(term, permission) for term in permissions_in(point.requirement)):
            yield point
