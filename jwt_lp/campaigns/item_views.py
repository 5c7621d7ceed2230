"""Items as reviewers see them: with their use since the freeze, and what was decided in earlier campaigns."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Final

from jwt_lp.campaigns.finding_json import finding_from_json
from jwt_lp.campaigns.later_use import later_use
from jwt_lp.campaigns.values import CampaignItemView, EarlierDecision, GroupView
from jwt_lp.review.plan.decision_groups import DecisionGroup, describe_group

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence
    from typing import Any

    from jwt_lp.policy.file import Policy
    from jwt_lp.stores import Store
    from jwt_lp.stores.campaigns import Campaign, CampaignItem

_MOST_EARLIER: Final = 3


def plain_views(items: Iterable[CampaignItem]) -> Iterator[CampaignItemView]:
    """Items without what the store has to be asked for."""
    for item in items:
        yield CampaignItemView(
            campaign=item.campaign,
            id=item.id,
            part=item.part,
            position=item.position,
            group=item.group,
            finding=finding_from_json(item.finding),
            decision=item.decision,
            version=item.version,
        )


def full_views(
    campaign: Campaign, views: Sequence[CampaignItemView], store: Store, policy: Policy
) -> tuple[CampaignItemView, ...]:
    """The same items with their use since the freeze, and their decisions in earlier campaigns."""
    decided = [(view.finding, "narrow" if view.finding.proposal == "narrow" else "remove") for view in views]
    used = later_use(campaign, decided, store, policy, together=False)
    earlier = _earlier_decisions(campaign, views, store)
    return tuple(
        replace(view, used_since=used.get(view.id, ""), history=tuple(earlier.get(view.id, ()))) for view in views
    )


def _earlier_decisions(
    campaign: Campaign, views: Sequence[CampaignItemView], store: Store
) -> dict[str, list[EarlierDecision]]:
    found: dict[str, list[EarlierDecision]] = {}
    campaigns: dict[str, Campaign | None] = {}
    for item in store.item_history([view.id for view in views], before=campaign.made_at, limit=_MOST_EARLIER):
        if item.campaign not in campaigns:
            campaigns[item.campaign] = store.campaign(item.campaign)
        other = campaigns[item.campaign]
        if other is not None and item.decision is not None:
            found.setdefault(item.id, []).append(EarlierDecision(other.id, other.name, other.day, item.decision))
    return found


def group_views(campaign: str, parts: Iterable[str], store: Store) -> Iterator[GroupView]:
    """The groups of some parts, with how many of their items are decided."""
    for part in parts:
        groups = [*map(group_from_json, store.campaign_groups(campaign, part))]
        if not groups:
            continue
        counts = store.group_counts(campaign, part)
        for group in groups:
            items, decided = counts[group.id]
            yield GroupView(part=part, group=group, sentence=describe_group(group), items=items, decided=decided)


def group_from_json(members: Mapping[str, Any]) -> DecisionGroup:
    """A group as the store keeps it."""
    values: dict[str, Any] = {**members, "findings": tuple(members["findings"])}
    return DecisionGroup(**values)
