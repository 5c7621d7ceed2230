"""Campaigns that are made by hand, without the care that a freeze takes."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from console.campaign_world import ENGINEER, MIA, CampaignWorld
from console.serving import ISSUER
from jwt_lp.campaigns.finding_json import finding_to_json
from jwt_lp.stores.audit import WantedEntry
from jwt_lp.stores.campaigns import Campaign, CampaignItem, CampaignPart
from review_factory import make_finding


def hand_made(world: CampaignWorld, number: int, *findings: Any, name: str = "By hand") -> str:
    """A campaign whose items are all in Mia's part, without the care that a freeze takes."""
    campaign = f"{number:032x}"
    origin = {"review": "d" * 64, "policy": "", "path": "", "made_at": 1_700_000_000.0, "source": "imported",
              "complete": True, "grants": 10}  # fmt: skip
    value = Campaign(
        id=campaign, name=name, made_at=1_700_000_000.0, day="2026-11-01", deadline=4_000_000_000.0,
        undecided="keep", split="manager", made_by=ENGINEER, origin=origin, summary={},
    )  # fmt: skip
    items = [
        CampaignItem(campaign=campaign, id=found.id, part="mia", position=position, finding=finding_to_json(found))
        for position, found in enumerate(findings)
    ]
    entry = WantedEntry(actor=ENGINEER, at=1_700_000_000.0, action="frozen", campaign=campaign, object=campaign)
    world.store.add_campaign(value, [CampaignPart(campaign=campaign, name="mia", reviewer=MIA)], items, [], entry)
    return campaign


def finding_of(number: int, name: str, grant: str = "orders:create", **more: Any) -> Any:
    """A finding of the tests' issuer, with an id as a review gives it."""
    return replace(make_finding(name, grant, **({"issuer": ISSUER} | more)), id=f"{number:016x}")
