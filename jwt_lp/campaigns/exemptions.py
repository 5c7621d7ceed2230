"""Exemptions of earlier campaigns, which hold until their last day."""

from __future__ import annotations

from typing import TYPE_CHECKING

from jwt_lp.campaigns.campaign_sheets import reviewer_text
from jwt_lp.review import ReviewExemption
from jwt_lp.stores.campaigns import ItemFilter

if TYPE_CHECKING:
    from collections.abc import Iterator

    from jwt_lp.stores import Store


def standing_exemptions(store: Store, day: str) -> Iterator[ReviewExemption]:
    """The exemptions of closed campaigns that still hold on a day, those of the newest campaign last."""
    closed = [each.id for each in reversed(store.campaigns()) if each.closed_at is not None]
    items = (item for id_ in closed for item in store.campaign_items(ItemFilter(campaign=id_, decision="exempt")))
    return (
        ReviewExemption(item.id, decision.until, reviewer_text(decision), decision.comment)
        for item in items
        if (decision := item.decision) is not None and decision.until >= day
    )
