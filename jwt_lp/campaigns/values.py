"""Values of campaigns: what reviewers see, what a decision would change, and how far a campaign is."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from jwt_lp.review import Finding
    from jwt_lp.review.plan.decision_groups import DecisionGroup
    from jwt_lp.stores.campaigns import Campaign, CampaignPart, ItemDecision


class EarlierDecision(NamedTuple):
    """What was decided about the same finding in an earlier campaign, with that campaign's id, name and day."""

    campaign: str
    name: str
    day: str
    decision: ItemDecision


@dataclass(frozen=True, slots=True, kw_only=True)
class CampaignItemView:
    """An item as a reviewer sees it.

    `version` is what a decision about it must name. `used_since` says in a sentence that what the proposal would revoke
    was used after the freeze, "" if it was not. `history` has the decisions of earlier campaigns, newest first.
    """

    campaign: str
    id: str
    part: str
    position: int
    group: str
    finding: Finding
    decision: ItemDecision | None
    version: int
    used_since: str = ""
    history: tuple[EarlierDecision, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class GroupView:
    """A group of obvious removals that one decision can cover, in `sentence`, and how many of its items are decided."""

    part: str
    group: DecisionGroup
    sentence: str
    items: int
    decided: int


@dataclass(frozen=True, slots=True, kw_only=True)
class CampaignPage:
    """Some items of a campaign in the order of deciding, and the groups of the part.

    `next` is the `after` of the next page, None at the end.
    """

    items: tuple[CampaignItemView, ...]
    groups: tuple[GroupView, ...]
    next: int | None


class ItemPreview(NamedTuple):
    """What would break if one item was removed or narrowed.

    `holders` is how many would lose the grant. `last_holder` says that nobody would hold it any more. `used_since` is a
    sentence, "" without use after the freeze. `routes` are the endpoints that require it, by name. `guards` is what else
    holds a removal back.
    """

    id: str
    holders: int
    last_holder: bool
    used_since: str
    routes: tuple[str, ...]
    likelihood: float | None
    guards: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class DecisionPreview:
    """What some decisions would change.

    `revoked` counts the items that would be removed or narrowed, `holders` the holders who would lose something.
    `expected` is how many of the items are expected to be needed again, and `unknown` how many have no likelihood.
    `routes` are all endpoints that require something of it. `items` has those that would be removed or narrowed.
    """

    revoked: int
    holders: int
    last_holders: int
    used_since: int
    expected: float
    unknown: int
    routes: tuple[str, ...]
    items: tuple[ItemPreview, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class CampaignProgress:
    """How far a campaign is: its parts, the number of decisions on each day since the freeze, and what is open."""

    campaign: Campaign
    parts: tuple[CampaignPart, ...]
    by_day: tuple[tuple[str, int], ...]
    open: int
    unassigned: int
    """Open items of parts without a reviewer."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ReminderResult:
    """What became of reminders: the parts whose reviewers were told, those told within a day before, and failures.

    A failure names the part and what the webhook did; it holds no address.
    """

    sent: tuple[str, ...] = ()
    skipped: tuple[str, ...] = ()
    failed: tuple[tuple[str, str], ...] = ()


class CampaignWorksheet(NamedTuple):
    """The text of a worksheet, and the text of its sheet file, which `jwt-lp plan` needs too."""

    text: str
    sheet: str
