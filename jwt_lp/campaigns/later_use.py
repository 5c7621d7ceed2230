"""Later use: what items would revoke and what was used since their campaign was frozen."""

from __future__ import annotations

from typing import TYPE_CHECKING

from jwt_lp.review.plan import Worksheet, from_worksheet
from jwt_lp.review.plan.deny_entries import ItemRevocations
from jwt_lp.review.plan.planned_revocations import PlannedRevocation, PlannedRevocations, used_since
from jwt_lp.review.plan.review_items import ReviewItem, ReviewOrigin
from jwt_lp.review.plan.worksheet import WorksheetDecision

if TYPE_CHECKING:
    from collections.abc import Iterable

    from jwt_lp.policy.file import Policy
    from jwt_lp.review import Finding
    from jwt_lp.stores import Store
    from jwt_lp.stores.campaigns import Campaign


def later_use(
    campaign: Campaign, decided: Iterable[tuple[Finding, str]], store: Store, policy: Policy
) -> dict[str, str]:
    """The use after the freeze of what the decisions would revoke, in a sentence each, by the ids of the findings.

    `policy` says what a membership confers.
    """
    origin = ReviewOrigin(**campaign.origin)
    rows = tuple(
        WorksheetDecision(0, ReviewItem.from_finding(finding), decision, "", "", "") for finding, decision in decided
    )
    plan = from_worksheet(Worksheet(origin, rows, len(rows)), now=campaign.made_at)
    # Edits of the policy file are not needed to know what a role's grant covers, so no text of it is.
    _, _, revocations = ItemRevocations(plan, policy, None, campaign.day).without({})
    roles = [
        PlannedRevocation(item, item.grant, item.instead) for item in plan.items if item.of == "role" and item.revokes
    ]
    indexed = PlannedRevocations([*revocations, *roles])
    if not indexed:
        return {}
    uses = store.later_uses(indexed.holders(), at=origin.made_at)
    return used_since(uses, indexed, plan.items, origin.made_at)
