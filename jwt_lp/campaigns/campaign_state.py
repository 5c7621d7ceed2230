"""The state of a campaign: whether it is there, and whether its items may be decided about."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

from jwt_lp.campaigns.finding_json import finding_from_json
from jwt_lp.errors import CampaignClosed, CampaignRefused, CampaignUnknown
from jwt_lp.stores.campaigns import ItemFilter

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from jwt_lp.review import Finding
    from jwt_lp.stores import Store
    from jwt_lp.stores.campaigns import Campaign, CampaignItem, CampaignPart

_TOGETHER: Final = 500
"""Ids in one query."""


def find_campaign(store: Store, campaign: str) -> Campaign:
    """The campaign with this id; `CampaignUnknown` if there is none."""
    found = store.campaign(campaign)
    if found is None:
        raise CampaignUnknown("there is no such campaign: list them to find its id")
    return found


def find_part(store: Store, campaign: str, name: str) -> CampaignPart:
    """The part of a campaign with this name; `CampaignUnknown` if there is none."""
    for part in store.campaign_parts(campaign):
        if part.name == name:
            return part
    raise CampaignUnknown("the campaign has no such part")


def find_items(store: Store, campaign: str, ids: Iterable[str]) -> dict[str, CampaignItem]:
    """The items with these ids; `CampaignUnknown` if one is missing."""
    wanted = list(dict.fromkeys(ids))
    found = {item.id: item for item in list_items(store, ItemFilter(campaign=campaign), wanted)}
    if len(found) != len(wanted):
        raise CampaignUnknown("the campaign has no such item")
    return found


def list_items(store: Store, which: ItemFilter, ids: Sequence[str] | None = None) -> list[CampaignItem]:
    """The items that match, in order; of those with `ids`, however many, if there are any."""
    if ids is None:
        return [*store.campaign_items(which)]
    chosen = (ids[start : start + _TOGETHER] for start in range(0, len(ids), _TOGETHER))
    found = [item for some in chosen for item in store.campaign_items(replace(which, ids=some))]
    return sorted(found, key=lambda item: (item.part, item.position))[: which.limit]


def findings_of(items: Iterable[CampaignItem]) -> dict[str, Finding]:
    """The findings of items, by their ids."""
    return {item.id: finding_from_json(item.finding) for item in items}


def require_changeable(campaign: Campaign, now: float) -> None:
    """`CampaignClosed` if the campaign is closed or cancelled."""
    state = campaign.state(now)
    if state in ("closed", "cancelled"):
        raise CampaignClosed(f"the campaign is {state}: nothing in it changes any more")


def require_open(campaign: Campaign, now: float) -> None:
    """`CampaignClosed` if the campaign is closed or cancelled, `CampaignRefused` if its deadline is past."""
    require_changeable(campaign, now)
    if campaign.state(now) == "overdue":
        deadline = datetime.fromtimestamp(campaign.deadline, UTC).isoformat(timespec="minutes")
        raise CampaignRefused(
            f"the deadline was {deadline.replace('+00:00', 'Z')}: what nobody decided follows the campaign's rule",
            reason="deadline",
        )
