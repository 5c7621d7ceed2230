"""Campaigns: what a store keeps of them, and the protocol of a store for them.

A campaign is a frozen review whose decisions are made by reviewers until a deadline. Its items never change, but for the
decision about each. Times are seconds since the epoch, days are ISO dates in UTC.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Literal, NamedTuple, Protocol, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence

    from jwt_lp.stores.audit import Actor, AuditEntry, AuditFilter, WantedEntry

DeadlineRule: TypeAlias = Literal["keep", "remove", "proposal"]
"""What holds for items that nobody decided by the deadline; `proposal` is what the review proposes for each."""

CampaignSplit: TypeAlias = Literal["manager", "team", "role", "issuer"]
"""What the items of one part have in common."""

CampaignState: TypeAlias = Literal["open", "overdue", "closed", "cancelled"]
"""Open; past its deadline and not closed; closed, so that its plan can be made; and given up."""

DecisionWord: TypeAlias = Literal["keep", "remove", "narrow", "exempt"]
"""What was decided about an item. An exemption lasts until a day."""


MAX_IDS: Final = 1000
"""The most ids in one `ItemFilter`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Campaign:
    """One campaign: what it is about, and how far it is.

    `made_at` is when the review was frozen, and `day` the day of the review. `stages` are the stages of its plan as text
    (`notice=14d,trial=30d`, "" for none). `origin` says from what the review was made, and `summary` has its numbers;
    both are stored as JSON. `items` is the number of items, `decided` of those with a decision; the store counts both.
    """

    id: str
    name: str
    made_at: float
    day: str
    deadline: float
    undecided: DeadlineRule
    split: CampaignSplit
    made_by: Actor
    origin: Mapping[str, Any]
    summary: Mapping[str, Any]
    stages: str = ""
    items: int = 0
    decided: int = 0
    closed_at: float | None = None
    cancelled_at: float | None = None

    def state(self, now: float) -> CampaignState:
        """Its state at the time `now`."""
        if self.cancelled_at is not None:
            return "cancelled"
        if self.closed_at is not None:
            return "closed"
        return "overdue" if now >= self.deadline else "open"


@dataclass(frozen=True, slots=True, kw_only=True)
class CampaignPart:
    """The items of a campaign that one reviewer decides about; a name of "" where nobody is in charge.

    `delegated_by` gave the part to its reviewer. `version` is the number of its assignments so far. The store counts
    `items` and `decided`.
    """

    campaign: str
    name: str
    reviewer: Actor | None = None
    items: int = 0
    decided: int = 0
    delegated_by: Actor | None = None
    reminded_at: float | None = None
    version: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class ItemDecision:
    """What was decided about an item, by whom and when.

    `until` is the last day of an exemption, "" for others. With `rule` the deadline rule decided, and nobody did. `group`
    is the group whose one decision this was, "" if it was decided alone.
    """

    decision: DecisionWord
    by: Actor
    at: float
    until: str = ""
    comment: str = ""
    rule: bool = False
    group: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class CampaignItem:
    """A finding of a campaign that needs a decision.

    `id` is the finding's, which is the same in later reviews. `position` is unique in its part, and says in which order
    its items are shown. `group` is the id of its group of decisions, "" for none. `finding` is the finding as JSON, with
    `of`, `issuer`, `name`, `role`, `grant` and `proposal` at least. `version` is the number of changes of its decision.
    """

    campaign: str
    id: str
    part: str
    position: int
    finding: Mapping[str, Any]
    group: str = ""
    decision: ItemDecision | None = None
    version: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class ItemFilter:
    """Which items of a campaign are listed; None for any.

    `holder` is whom the finding is about: `of`, issuer and name. `after` is the position of the last item of the page
    before, and `limit` the most items of a page. `ValueError` if `after` is given without `part`, and for more than
    `MAX_IDS` ids.
    """

    campaign: str
    part: str | None = None
    ids: Sequence[str] | None = None
    decided: bool | None = None
    decision: DecisionWord | None = None
    group: str | None = None
    holder: tuple[str, str, str] | None = None
    grant: str | None = None
    role: str | None = None
    after: int | None = None
    limit: int | None = None

    def __post_init__(self) -> None:
        if self.after is not None and self.part is None:
            raise ValueError("a position is one in a part: name the part, too")
        if self.ids is not None and len(self.ids) > MAX_IDS:
            raise ValueError(f"at most {MAX_IDS} items can be named at once")


@dataclass(frozen=True, slots=True, kw_only=True)
class WantedDecision:
    """A decision that somebody wants to write; "" takes the decision back, and the item is open again.

    `version` is that of the item as it was seen. `group` is the group whose one decision this is.
    """

    item: str
    decision: DecisionWord | Literal[""]
    version: int
    until: str = ""
    comment: str = ""
    group: str = ""


class DecideResult(NamedTuple):
    """The ids of the items whose decisions were written, and the items that had changed, as they are now."""

    changed: tuple[str, ...]
    conflicts: tuple[CampaignItem, ...]


class CampaignStore(Protocol):
    """Storage of campaigns and of the audit trail. Every store of `jwt_lp.stores` has it.

    Every method is atomic and safe to call from several threads and processes. A method that changes something writes
    its entries of the audit trail in the same transaction. It raises `StoreError` and `ConfigurationError` as the methods
    of `Store` do, `CampaignUnknown` if there is no such campaign, part or item, and `CampaignClosed` if the campaign
    is closed or cancelled; then nothing is written.

    Texts are stored without NUL characters and lone surrogates, and names of parts and ids of items are cut as all names
    in the store are (`fit_text`). The dates of a campaign are not judged: the engine of campaigns does that.
    """

    def add_campaign(
        self,
        campaign: Campaign,
        parts: Iterable[CampaignPart],
        items: Iterable[CampaignItem],
        groups: Iterable[tuple[str, Mapping[str, Any]]],
        entry: WantedEntry,
    ) -> None:
        """Write a campaign with all that belongs to it; `StoreError` if its id exists.

        The items are read as a stream. `groups` are the names of their parts and the groups as JSON, in their order.
        `ValueError` if an item, or a group, is of a part that is not among `parts`, or of another campaign.
        """
        ...

    def campaigns(self) -> tuple[Campaign, ...]:
        """All campaigns, the newest first."""
        ...

    def campaign(self, campaign_id: str) -> Campaign | None:
        """The campaign with this id, or None."""
        ...

    def campaign_parts(self, campaign: str) -> tuple[CampaignPart, ...]:
        """The parts of a campaign, by name; none if there is no such campaign."""
        ...

    def parts_of(self, issuer: str, subject: str) -> tuple[CampaignPart, ...]:
        """The parts of a reviewer in campaigns that are neither closed nor cancelled; the next deadline first."""
        ...

    def campaign_groups(self, campaign: str, part: str) -> tuple[Mapping[str, Any], ...]:
        """The groups of a part, in the order in which they were written."""
        ...

    def group_counts(self, campaign: str, part: str) -> Mapping[str, tuple[int, int]]:
        """The numbers of items and of decisions in each group of a part; "" has those in no group."""
        ...

    def campaign_items(self, which: ItemFilter) -> Iterator[CampaignItem]:
        """The items that match, streamed, ordered by part and position."""
        ...

    def item_history(
        self, ids: Collection[str], *, before: float | None = None, limit: int = 3
    ) -> tuple[CampaignItem, ...]:
        """The items with these ids in all campaigns that were made before a time, the newest campaign first.

        At most `limit` of each id.
        """
        ...

    def decide_items(
        self,
        campaign: str,
        wanted: Sequence[WantedDecision],
        *,
        actor: Actor,
        at: float,
        parts: Sequence[CampaignPart] | None = None,
        rule: bool = False,
        override: bool = False,
    ) -> DecideResult:
        """Write decisions in one transaction; those of items whose version is another one are conflicts.

        `CampaignRefused` if an item is decided about twice, is in none of `parts`, or if one of these, as they were read,
        was assigned since. With `override` no version of an item is compared. What takes back a decision that there is
        not changes nothing. One entry `decided` for each changed item.
        """
        ...

    def assign_part(
        self,
        campaign: str,
        part: str,
        reviewer: Actor | None,
        *,
        version: int,
        actor: Actor,
        at: float,
        delegated: bool = False,
    ) -> CampaignPart:
        """Give a part to a reviewer, None for nobody; return it as it is then. An entry `assigned` or `delegated`.

        `CampaignRefused` if its version is another one: somebody else assigned it.
        """
        ...

    def mark_reminded(self, campaign: str, parts: Sequence[str], *, at: float, actor: Actor) -> None:
        """Note that the reviewers of these parts were reminded. An entry `reminded` for each."""
        ...

    def close_campaign(self, campaign: str, *, at: float, actor: Actor) -> Campaign:
        """Close it, so that no decision follows; `CampaignRefused` if items are undecided. An entry `closed`."""
        ...

    def cancel_campaign(self, campaign: str, *, at: float, actor: Actor, reason: str = "") -> Campaign:
        """Give it up. An entry `cancelled`."""
        ...

    def decisions_by_day(self, campaign: str) -> tuple[tuple[str, int], ...]:
        """The days on which decisions were made that stand now, and how many of each day, in order."""
        ...

    def append_audit(self, wanted: Sequence[WantedEntry]) -> tuple[AuditEntry, ...]:
        """Add entries to the audit trail, all or none; return them as they are stored."""
        ...

    def audit_entries(self, which: AuditFilter) -> Iterator[AuditEntry]:
        """The entries that match, streamed, in the order of their numbers."""
        ...

    def audit_head(self) -> tuple[int, str]:
        """The sequence number and the hash of the last entry; 0 and "" if there is none."""
        ...
