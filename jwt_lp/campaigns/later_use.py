"""Later use: what items would revoke and what was used since their campaign was frozen."""

from __future__ import annotations

from typing import TYPE_CHECKING

from jwt_lp.review.plan import Worksheet, from_worksheet
from jwt_lp.review.plan.deny_entries import ItemRevocations
from jwt_lp.review.plan.planned_revocations import PlannedRevocation, PlannedRevocations, used_since
from jwt_lp.review.plan.review_items import ReviewItem, ReviewOrigin
from jwt_lp.review.plan.worksheet import WorksheetDecision

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from jwt_lp.policy.file import Policy
    from jwt_lp.review import Finding
    from jwt_lp.review.plan import Plan
    from jwt_lp.stores import Store
    from jwt_lp.stores.campaigns import Campaign


def later_use(
    campaign: Campaign, decided: Iterable[tuple[Finding, str]], store: Store, policy: Policy, *, together: bool
) -> dict[str, str]:
    """The use after the freeze of what the decisions would revoke, in a sentence each, by the ids of the findings.

    With `together`, the decisions are those of one plan: what one of them keeps, another does not revoke. `policy` says
    what a membership confers.
    """
    origin = ReviewOrigin(**campaign.origin)
    rows = tuple(
        WorksheetDecision(0, ReviewItem.from_finding(finding), decision, "", "", "") for finding, decision in decided
    )
    groups = [rows] if together else [(row,) for row in rows]
    plans = [from_worksheet(Worksheet(origin, some, len(some)), now=campaign.made_at) for some in groups]
    indexed = PlannedRevocations(each for plan in plans for each in _revocations(plan, policy, campaign.day))
    if not indexed:
        return {}
    uses = (
        use
        for use in store.later_uses(indexed.holders(), at=origin.made_at)
        if use.last_day > campaign.day or use.last > origin.made_at
    )
    # What serves a use is kept, as far as one item alone knows.
    others = [item for plan in plans for item in plan.items if together or item.of == "role"]
    return used_since(uses, indexed, others, origin.made_at)


def _revocations(plan: Plan, policy: Policy, day: str) -> Iterator[PlannedRevocation]:
    # Edits of the policy file are not needed to know what a role's grant covers, so no text of it is.
    _, _, revocations = ItemRevocations(plan, policy, None, day).without({})
    yield from revocations
    for item in plan.items:
        if item.of == "role" and item.revokes:
            yield PlannedRevocation(item, item.grant, item.instead)
