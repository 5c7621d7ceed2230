"""Facts about a subject or a client: what it holds and by which way, and what it used, when and where."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from datetime import date, timedelta
from itertools import islice
from typing import TYPE_CHECKING, Final, Literal, NamedTuple

from jwt_lp.console.pictures.scales import day_of
from jwt_lp.console.pictures.use_over_time import build_strip
from jwt_lp.stores import ElevationFilter
from jwt_lp.stores.campaigns import ItemFilter
from jwt_lp.stores.lookups import RevocationFilter

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from jwt_lp.console.pictures.use_over_time import Strip
    from jwt_lp.console.state import ConsoleState
    from jwt_lp.stores import Elevation, Store, StoredRevocation
    from jwt_lp.stores.campaigns import Campaign, CampaignItem
    from jwt_lp.stores.lookups import HolderGrant, HolderUse, UseDay

ROWS: Final = 60
"""The most rows of a table on one page."""

DAYS_SHOWN: Final = 365
_MOST_GRANTS: Final = 1000
_MOST_USES: Final = 1000
_MOST_DAYS: Final = 5000
_MOST_CAMPAIGNS: Final = 6
_MOST_PLACES: Final = 20
_MOST_DECISIONS: Final = 30

HolderKind = Literal["subject", "client"]


class Holding(NamedTuple):
    """A grant or a role that is held, with its use. `strip` is its use over time, None where it was not used lately."""

    held: HolderGrant
    risk: str
    uses: int
    last_used: str
    strip: Strip | None


class Place(NamedTuple):
    """An endpoint of a service that was used, what was asked for there, and the last day."""

    service: str
    endpoint: str
    permission: str
    uses: int
    last_day: str


class PastDecision(NamedTuple):
    """An item of a campaign about a holder, and the campaign."""

    campaign: Campaign
    item: CampaignItem


@dataclass(frozen=True, slots=True, kw_only=True)
class HolderFacts:
    """What is known of a subject or a client.

    `holdings` is the page of what it holds that was asked for, out of `held`. `uses` and `refusals` are the most recent
    ones; `all_uses` is False where the store has more. `strip` is the use since `since`, None for a client, whose days
    the store has by subject only.
    """

    of: HolderKind
    issuer: str
    name: str
    held: int
    holdings: tuple[Holding, ...]
    uses: tuple[HolderUse, ...]
    refusals: tuple[HolderUse, ...]
    all_uses: bool
    since: str
    strip: Strip | None
    places: tuple[Place, ...]
    elevations: tuple[Elevation, ...]
    revocations: tuple[StoredRevocation, ...]
    decisions: tuple[PastDecision, ...]

    @property
    def is_known(self) -> bool:
        """Whether the store knows anything about it."""
        return bool(self.held or self.uses or self.refusals or self.revocations or self.elevations or self.decisions)

    @property
    def last_used(self) -> str:
        """The last day of use, "" for none."""
        return max((each.last_day for each in self.uses), default="")


def read_holder(console: ConsoleState, of: HolderKind, issuer: str, name: str, *, page: int = 0) -> HolderFacts:
    """What the store knows of a holder; `page` is that of the list of what it holds."""
    store = console.store
    today = day_of(console.clock())
    since = (date.fromisoformat(today) - timedelta(days=DAYS_SHOWN)).isoformat()
    subject, client = (name, None) if of == "subject" else (None, name)
    held = store.holder_grants(issuer=issuer, subject=subject, client=client, limit=_MOST_GRANTS)
    found = store.holder_uses(issuer=issuer, subject=subject, client=client, limit=_MOST_USES)
    granted = [each for each in found.uses if each.outcome == "granted"]
    since, days = _days(store, issuer, name, since) if of == "subject" else (since, ())
    shown = held[page * ROWS : (page + 1) * ROWS]
    return HolderFacts(
        of=of,
        issuer=issuer,
        name=name,
        held=len(held),
        holdings=tuple(_holdings(console, shown, granted, days, (since, today))),
        uses=tuple(granted[:ROWS]),
        refusals=tuple(islice((each for each in found.uses if each.outcome != "granted"), ROWS)),
        all_uses=found.complete and len(granted) <= ROWS,
        since=since,
        strip=build_strip(((each.day, each.uses) for each in days), since, today) if of == "subject" else None,
        places=tuple(_places(days)),
        elevations=_elevations(console, issuer, name) if of == "subject" else (),
        revocations=store.revocation_page(RevocationFilter(lifted=False, of=of, issuer=issuer, name=name, limit=ROWS)),
        decisions=tuple(past_decisions(store, (of, issuer, name))),
    )


def _days(store: Store, issuer: str, subject: str, since: str) -> tuple[str, tuple[UseDay, ...]]:
    """The days of use, and the first day from which all of them are there."""
    days = store.use_days(issuer=issuer, subject=subject, since=since, limit=_MOST_DAYS)
    if len(days) == _MOST_DAYS:
        # The oldest day may be there in part; it is left out unless it is the only one.
        oldest, newest = days[-1].day, days[0].day
        since = min(newest, (date.fromisoformat(oldest) + timedelta(days=1)).isoformat())
    return since, tuple(each for each in days if each.outcome == "granted" and each.day >= since)


def _holdings(
    console: ConsoleState,
    held: Iterable[HolderGrant],
    uses: Sequence[HolderUse],
    days: Iterable[UseDay],
    span: tuple[str, str],
) -> Iterator[Holding]:
    # A day names the grant, but not the role.
    by_grant: defaultdict[tuple[str, str], list[tuple[str, int]]] = defaultdict(list)
    for day in days:
        by_grant[day.permission, day.grant].append((day.day, day.uses))
    for each in held:
        served = [use for use in uses if each.role == use.role and each.grant in ("", use.grant)]
        permissions = dict.fromkeys((use.permission, use.grant) for use in served)
        used_on = [found for key in permissions for found in by_grant.get(key, ())]
        yield Holding(
            each,
            console.policy.risk(each.grant) if each.grant else "",
            sum(use.uses for use in served),
            max((use.last_day for use in served), default=""),
            build_strip(used_on, *span, small=True) if used_on else None,
        )


def _places(days: Iterable[UseDay]) -> Iterator[Place]:
    """Where it was used, the most recent first."""
    found: defaultdict[tuple[str, str, str], list[UseDay]] = defaultdict(list)
    for each in days:
        found[each.service, each.endpoint, each.permission].append(each)
    places = (
        Place(*key, sum(each.uses for each in rows), max(each.day for each in rows)) for key, rows in found.items()
    )
    yield from sorted(places, key=lambda place: (place.last_day, place.uses), reverse=True)[:_MOST_PLACES]


def _elevations(console: ConsoleState, issuer: str, subject: str) -> tuple[Elevation, ...]:
    """Those that are held or wait for an answer, then the latest others."""
    which = ElevationFilter(issuer=issuer, subject=subject, newest_first=True, limit=ROWS)
    now = console.clock()
    return tuple(
        sorted(console.store.elevations(which), key=lambda each: each.state(now) not in ("approved", "requested"))
    )


def past_decisions(store: Store, holder: tuple[str, str, str]) -> Iterator[PastDecision]:
    """What the latest campaigns asked about a holder (kind, issuer and name), and what was decided."""
    for campaign in store.campaigns()[:_MOST_CAMPAIGNS]:
        for item in store.campaign_items(ItemFilter(campaign=campaign.id, holder=holder, limit=_MOST_DECISIONS)):
            yield PastDecision(campaign, item)
