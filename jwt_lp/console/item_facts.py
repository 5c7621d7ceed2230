"""Facts about one item: its use over time, every way to the same permissions, and who else holds the grant."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, timedelta
from typing import TYPE_CHECKING, Final, NamedTuple

from jwt_lp.console.pictures.scales import day_of
from jwt_lp.console.pictures.use_over_time import build_strip
from jwt_lp.review.pattern_overlap import overlap

if TYPE_CHECKING:
    from collections.abc import Sequence

    from jwt_lp.console.pictures.use_over_time import Strip
    from jwt_lp.console.state import ConsoleState
    from jwt_lp.review import Finding
    from jwt_lp.stores import Store
    from jwt_lp.stores.lookups import FoundHolder, HolderCount, HolderGrant, UseDay

_DAYS: Final = 730
_MOST_DAYS: Final = 3000
_MOST_GRANTS: Final = 1000
_MOST_ROWS: Final = 20


class HeldBy(NamedTuple):
    """Who holds the same grant, or has the same role: how many, and the first of them."""

    what: str
    number: HolderCount
    first: tuple[FoundHolder, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class ItemFacts:
    """What the store knows about one item. `strip` is None where uses are not kept by day, as for roles."""

    strip: Strip | None
    uses: tuple[UseDay, ...]
    since: str
    ways: tuple[HolderGrant, ...]
    held_by: HeldBy | None


def read_item_facts(console: ConsoleState, finding: Finding) -> ItemFacts:
    """What the store knows about the holder's use of the grant, and about its other holders."""
    store, today = console.store, day_of(console.clock())
    since = (date.fromisoformat(today) - timedelta(days=_DAYS)).isoformat()
    days = _use_days(store, finding, since) if finding.of == "subject" else ()
    return ItemFacts(
        strip=build_strip(((each.day, each.uses) for each in days), since, today) if finding.of == "subject" else None,
        uses=tuple(days[:_MOST_ROWS]),
        since=since,
        ways=_ways(store, finding),
        held_by=_held_by(store, finding),
    )


def _use_days(store: Store, finding: Finding, since: str) -> Sequence[UseDay]:
    grant = finding.grant or None
    days = store.use_days(issuer=finding.issuer, subject=finding.name, grant=grant, since=since, limit=_MOST_DAYS)
    return [each for each in days if each.outcome == "granted"]


def _ways(store: Store, finding: Finding) -> tuple[HolderGrant, ...]:
    """What the holder has that covers some of the same permissions, this item included."""
    if finding.of == "role":
        return ()
    subject, client = (finding.name, None) if finding.of == "subject" else (None, finding.name)
    held = store.holder_grants(issuer=finding.issuer, subject=subject, client=client, limit=_MOST_GRANTS)
    if not finding.grant:
        return tuple(each for each in held if each.role == finding.role)[:_MOST_ROWS]
    same = (each for each in held if each.grant and overlap(each.grant, finding.grant))
    return tuple(same)[:_MOST_ROWS]


def _held_by(store: Store, finding: Finding) -> HeldBy | None:
    if finding.of == "role" or finding.role:
        role = finding.name if finding.of == "role" else finding.role
        return HeldBy(f"the role {role}", store.count_role_members(role), store.role_members(role, limit=_MOST_ROWS))
    grant = finding.grant
    return HeldBy(f"the grant {grant}", store.count_grant_holders(grant), store.grant_holders(grant, limit=_MOST_ROWS))
