"""The deadline rule: what holds for items that nobody decided about."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Final

from jwt_lp.campaigns.finding_json import finding_from_json
from jwt_lp.errors import CampaignRefused
from jwt_lp.review.findings import LAST_HOLDER
from jwt_lp.stores.campaigns import ItemFilter, WantedDecision

if TYPE_CHECKING:
    from jwt_lp.review import Finding
    from jwt_lp.stores import Store
    from jwt_lp.stores.audit import Actor
    from jwt_lp.stores.campaigns import Campaign, DeadlineRule, DecisionWord

_TOGETHER: Final = 1000
_ATTEMPTS: Final = 5


def rule_decision(rule: DeadlineRule, finding: Finding) -> DecisionWord:
    """What the rule decides about a finding; it keeps whatever a guard holds back."""
    # INVARIANT: nothing is revoked that the review itself would not revoke because of a guard.
    held_back = finding.proposal == "keep" or any(guard != LAST_HOLDER for guard in finding.guards)
    if rule == "keep" or held_back:
        return "keep"
    return "remove" if rule == "remove" else finding.proposal


def close_by_rule(store: Store, campaign: Campaign, *, actor: Actor, at: float) -> Campaign:
    """Close a campaign after the rule has decided about everything that is open."""
    for _ in range(_ATTEMPTS):
        decide_by_rule(store, campaign, actor=actor, at=at)
        # Refused if something is open again: before the deadline, a reviewer may take a decision back in between.
        with suppress(CampaignRefused):
            return store.close_campaign(campaign.id, at=at, actor=actor)
    raise CampaignRefused("reviewers take decisions back at this moment: close it again", reason="undecided")


def decide_by_rule(store: Store, campaign: Campaign, *, actor: Actor, at: float) -> int:
    """Write what the rule decides about everything that is open; return how many items that were."""
    decided = 0
    while some := _wanted(store, campaign):
        decided += len(store.decide_items(campaign.id, some, actor=actor, at=at, rule=True).changed)
    return decided


def _wanted(store: Store, campaign: Campaign) -> list[WantedDecision]:
    open_items = store.campaign_items(ItemFilter(campaign=campaign.id, decided=False, limit=_TOGETHER))
    return [
        WantedDecision(
            item=item.id,
            decision=rule_decision(campaign.undecided, finding_from_json(item.finding)),
            version=item.version,
        )
        for item in open_items
    ]
