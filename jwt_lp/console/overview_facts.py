"""Facts of the overview: what waits for somebody, how far campaigns are, and how fresh the data is."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, NamedTuple

from jwt_lp.console.summaries import ReviewPictures, draw_review, latest_review
from jwt_lp.stores import ElevationFilter

if TYPE_CHECKING:
    from collections.abc import Sequence

    from jwt_lp.console.state import ConsoleState
    from jwt_lp.stores import Elevation, ProcessHeartbeat, Store
    from jwt_lp.stores.audit import Actor
    from jwt_lp.stores.campaigns import Campaign, CampaignPart, CampaignState

MOST_SHOWN: Final = 20
_HEARD: Final = 900.0
"""Seconds: a process that was heard from within them is running."""

_STALE_DAYS: Final = 3


class OpenPart(NamedTuple):
    """A part of a campaign that somebody decides about."""

    campaign: Campaign
    part: CampaignPart

    @property
    def open(self) -> int:
        """The number of items without a decision."""
        return self.part.items - self.part.decided


class OpenCampaign(NamedTuple):
    """A campaign that is neither closed nor cancelled."""

    campaign: Campaign
    state: CampaignState
    days_left: int


class ServiceFreshness(NamedTuple):
    """How fresh the data of a service is.

    `until` is the time until which the store has its usage, None if it recorded none. `processes` were heard from lately,
    and the oldest of their snapshots of revocations is `age` seconds old.
    """

    service: str
    until: float | None
    processes: int
    age: float
    is_stale: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Freshness:
    """How fresh the data of the store is; `imported` is the day of the latest import of grants, "" for none."""

    services: tuple[ServiceFreshness, ...]
    more_services: int
    imported: str
    complete: bool

    own: str
    """The service of the console itself."""

    @property
    def has_records(self) -> bool:
        """Whether a service recorded its usage, besides the console."""
        return any(each.service != self.own and each.until is not None for each in self.services)


@dataclass(frozen=True, slots=True, kw_only=True)
class OverviewFacts:
    """What the first page shows. `requests` wait for an answer, and `unreviewed` were granted without an approval.

    `review` is the campaign whose numbers are shown, None before the first campaign.
    """

    mine: tuple[OpenPart, ...]
    campaigns: tuple[OpenCampaign, ...]
    requests: tuple[Elevation, ...]
    unreviewed: tuple[Elevation, ...]
    freshness: Freshness
    review: Campaign | None
    pictures: ReviewPictures | None


def read_overview(console: ConsoleState, actor: Actor, own: str) -> OverviewFacts:
    """What the store knows, and what waits for the actor; `own` is the service of the console itself."""
    store, now = console.store, console.clock()
    campaigns = store.campaigns()
    review = latest_review(campaigns)
    return OverviewFacts(
        mine=read_own_parts(store, campaigns, actor),
        campaigns=_open_campaigns(campaigns, now),
        requests=tuple(store.elevations(ElevationFilter(open_at=now, limit=MOST_SHOWN))),
        unreviewed=tuple(store.elevations(ElevationFilter(unreviewed=True, limit=MOST_SHOWN))),
        freshness=read_freshness(store, now, own),
        review=review,
        pictures=None if review is None else draw_review(review, campaigns),
    )


def read_own_parts(store: Store, campaigns: Sequence[Campaign], actor: Actor) -> tuple[OpenPart, ...]:
    """The parts of an actor that have undecided items, the next deadline first."""
    by_id = {each.id: each for each in campaigns}
    parts = (
        OpenPart(by_id[part.campaign], part)
        for part in store.parts_of(actor.issuer, actor.subject)
        if part.decided < part.items and part.campaign in by_id
    )
    return tuple(sorted(parts, key=lambda each: each.campaign.deadline))


def _open_campaigns(campaigns: Sequence[Campaign], now: float) -> tuple[OpenCampaign, ...]:
    states = ((each, each.state(now)) for each in campaigns)
    shown = [
        OpenCampaign(each, state, int((each.deadline - now) // 86400))
        for each, state in states
        if state in ("open", "overdue")
    ]
    return tuple(sorted(shown, key=lambda each: each.campaign.deadline)[:MOST_SHOWN])


def read_freshness(store: Store, now: float, own: str) -> Freshness:
    """How fresh the data of each service and of the imported grants is."""
    beats: defaultdict[str, list[ProcessHeartbeat]] = defaultdict(list)
    for beat in store.heartbeats(since=now - _HEARD):
        beats[beat.service].append(beat)
    until = dict(store.recorded_until())
    services = [
        ServiceFreshness(
            service,
            until.get(service),
            len(beats[service]),
            max((beat.age + max(0.0, now - beat.at) for beat in beats[service]), default=0.0),
            service in until and until[service] < now - _STALE_DAYS * 86400,
        )
        for service in sorted({*until, *beats})
    ]
    # What is stale comes first: it makes a review wrong.
    services.sort(key=lambda each: not each.is_stale)
    latest = store.latest_import()
    return Freshness(
        services=tuple(services[:MOST_SHOWN]),
        more_services=max(0, len(services) - MOST_SHOWN),
        imported=latest[0] if latest is not None else "",
        complete=latest is not None and latest[1],
        own=own,
    )
