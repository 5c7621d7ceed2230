"""Campaigns: the list of them, and one campaign with its parts and its progress."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from starlette.concurrency import run_in_threadpool
from starlette.routing import Route

from jwt_lp.console.answers import page
from jwt_lp.console.campaign_words import RULE_WORDS, time_left
from jwt_lp.console.decide_data import policy_moved, read_position
from jwt_lp.console.later_used import find_used
from jwt_lp.console.navigation import DECIDE, READ
from jwt_lp.console.pages import campaign_new, campaign_steps, worksheets
from jwt_lp.console.parameters import whole_number
from jwt_lp.console.pictures.burn_down import BurnDown, build_burn_down
from jwt_lp.console.reader import Reader, reader_of
from jwt_lp.permissions.requirements import any_of
from jwt_lp_starlette import requires

if TYPE_CHECKING:
    from collections.abc import Mapping

    from starlette.requests import Request
    from starlette.responses import Response

    from jwt_lp.campaigns import CampaignProgress
    from jwt_lp.stores.campaigns import Campaign, CampaignPart

_MOST_LISTED = 60


def routes() -> list[Route]:
    """The routes of this module, and of those about one campaign."""
    return [
        Route("/campaigns", campaigns, name="campaigns"),
        *campaign_new.routes(),
        Route("/campaigns/{id}", campaign, name="campaign"),
        Route("/campaigns/{id}/used", used, name="campaign_used"),
        *campaign_steps.routes(),
        *worksheets.routes(),
    ]


class ListedCampaign(NamedTuple):
    """A campaign with its state, and in words how long it still lasts."""

    campaign: Campaign
    state: str
    left: str


class ListedPart(NamedTuple):
    """An own part of a reviewer, with its campaign."""

    part: CampaignPart
    listed: ListedCampaign


@requires(any_of(READ, DECIDE))
async def campaigns(request: Request) -> Response:
    """List one's own parts, and for whoever may read everything all campaigns."""
    reader = reader_of(request)
    return page(request, "campaigns.html", await run_in_threadpool(_load_list, reader, _skipped(request)))


def _skipped(request: Request) -> int:
    return whole_number(request.query_params.get("from", ""), digits=6) or 0


def _load_list(reader: Reader, skipped: int) -> Mapping[str, object]:
    now, engine = reader.console.clock(), reader.console.campaigns
    every = {each.id: _listed(each, now) for each in engine.list()}
    own = [ListedPart(part, every[part.campaign]) for part in reader.parts() if part.campaign in every]
    shown = list(every.values())[skipped : skipped + _MOST_LISTED] if reader.may_read else []
    more = reader.may_read and len(every) > skipped + _MOST_LISTED
    return {
        "own": own,
        "campaigns": shown,
        "next": skipped + _MOST_LISTED if more else None,
        "may_read": reader.may_read,
        "may_apply": reader.may_apply,
    }


def _listed(campaign: Campaign, now: float) -> ListedCampaign:
    state = campaign.state(now)
    return ListedCampaign(campaign, state, time_left(campaign.deadline - now) if state in ("open", "overdue") else "")


class ShownCampaign(NamedTuple):
    """One campaign as its page shows it."""

    listed: ListedCampaign
    progress: CampaignProgress
    burn_down: BurnDown | None
    policy_moved: bool

    @property
    def campaign(self) -> Campaign:
        """The campaign."""
        return self.listed.campaign

    @property
    def parts(self) -> tuple[CampaignPart, ...]:
        """The parts, those with the most open items first."""
        return tuple(sorted(self.progress.parts, key=lambda part: (part.decided - part.items, part.name)))

    @property
    def is_open(self) -> bool:
        """Whether it still changes."""
        return self.listed.state in ("open", "overdue")


@requires(READ)
async def campaign(request: Request) -> Response:
    """Show one campaign."""
    reader = reader_of(request)
    shown = await run_in_threadpool(load_campaign, reader, request.path_params["id"])
    skipped = _skipped(request)
    context: dict[str, Any] = {
        "shown": shown,
        "parts_shown": shown.parts[skipped : skipped + _MOST_LISTED],
        "next": skipped + _MOST_LISTED if len(shown.parts) > skipped + _MOST_LISTED else None,
        "reader": reader,
        "wordings": RULE_WORDS,
    }
    return page(request, "campaign.html", context)


@requires(READ)
async def used(request: Request) -> Response:
    """List what was used since the freeze, some hundred items at a time."""
    part, after = request.query_params.get("part"), read_position(request.query_params.get("after"))
    context = await run_in_threadpool(_load_used, reader_of(request), request.path_params["id"], part, after)
    return page(request, "campaign_used.html", context)


def _load_used(reader: Reader, campaign_id: str, part: str | None, after: int) -> Mapping[str, object]:
    engine = reader.console.campaigns
    return {"campaign": engine.get(campaign_id), "used": find_used(engine, campaign_id, part, after)}


def load_campaign(reader: Reader, campaign_id: str) -> ShownCampaign:
    """One campaign, with its progress."""
    console = reader.console
    now, progress = console.clock(), console.campaigns.progress(campaign_id)
    found = progress.campaign
    return ShownCampaign(
        _listed(found, now),
        progress,
        build_burn_down(
            items=found.items,
            by_day=progress.by_day,
            made_at=found.made_at,
            deadline=found.deadline,
            now=found.closed_at or found.cancelled_at or now,
        ),
        policy_moved(console, found),
    )
