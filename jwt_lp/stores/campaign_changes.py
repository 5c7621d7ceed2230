"""The changes that a campaign allows. Every store applies them, to what it read under its lock.

These are pure functions: they return what is to be written, or raise `CampaignError`.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from jwt_lp.errors import CampaignClosed, CampaignRefused, CampaignUnknown
from jwt_lp.stores.audit import Actor, WantedEntry
from jwt_lp.stores.campaigns import ItemDecision
from jwt_lp.stores.row_keys import fit_text, storable_text

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping, Sequence

    from jwt_lp.stores.campaigns import Campaign, CampaignItem, CampaignPart, WantedDecision

NO_ITEM: Final = "there is no such item in this campaign"


class Deciding(NamedTuple):
    """Who decides, when, and for what: the other arguments of `CampaignStore.decide_items`."""

    actor: Actor
    at: float
    parts: Sequence[CampaignPart] | None = None
    rule: bool = False
    override: bool = False


class Assignment(NamedTuple):
    """To whom a part is given, by whom and when: the other arguments of `CampaignStore.assign_part`."""

    reviewer: Actor | None
    version: int
    actor: Actor
    at: float
    delegated: bool = False


class ItemChange(NamedTuple):
    """An item as it was read, and its new decision; None if its decision was taken back."""

    item: CampaignItem
    decision: ItemDecision | None

    @property
    def version(self) -> int:
        """The version of the item after the change."""
        return self.item.version + 1


class PlannedDecisions(NamedTuple):
    """What is to be written, the ids of the items that had changed, and the entries of the audit trail."""

    changes: tuple[ItemChange, ...]
    conflicts: tuple[str, ...]
    entries: tuple[WantedEntry, ...]

    @property
    def decided(self) -> Mapping[str, int]:
        """How many more items of each part have a decision; no part that stays the same."""
        more: Counter[str] = Counter()
        for item, decision in self.changes:
            more[item.part] += (decision is not None) - (item.decision is not None)
        return {part: more[part] for part in sorted(more) if more[part]}


def found_campaign(campaign: Campaign | None) -> Campaign:
    """The campaign; `CampaignUnknown` if there is none."""
    if campaign is None:
        raise CampaignUnknown("there is no such campaign")
    return campaign


def check_open(campaign: Campaign | None) -> Campaign:
    """The campaign, if it exists and is neither closed nor cancelled."""
    found = found_campaign(campaign)
    if found.cancelled_at is not None:
        raise CampaignClosed("the campaign was cancelled")
    if found.closed_at is not None:
        raise CampaignClosed("the campaign is closed, so no decision can be made any more")
    return found


def wanted_ids(wanted: Sequence[WantedDecision]) -> list[str]:
    """The ids of the items as they are stored; `CampaignRefused` if one is named twice."""
    ids = [fit_text(each.item) for each in wanted]
    if len(set(ids)) < len(ids):
        raise CampaignRefused("an item is decided about twice in one request", reason="twice")
    return ids


def check_parts(stored: Callable[[], Sequence[CampaignPart]], deciding: Deciding) -> None:
    """Refuse decisions if one of the parts that they are for was assigned since it was read."""
    # INVARIANT: this is checked under the lock of the campaign, so nobody decides about a part that was taken away.
    if deciding.parts is None:
        return
    versions = {part.name: part.version for part in stored()}
    for part in deciding.parts:
        if versions.get(part.name) != part.version:
            raise CampaignRefused("the part was given to somebody else: look at it again", reason="version")


def plan_decisions(
    items: Mapping[str, CampaignItem], wanted: Sequence[WantedDecision], deciding: Deciding
) -> PlannedDecisions:
    """What these decisions change, of items by id."""
    parts = None if deciding.parts is None else {part.name for part in deciding.parts}
    changes: list[ItemChange] = []
    conflicts: list[str] = []
    for each in wanted:
        item = items.get(fit_text(each.item))
        if item is None:
            raise CampaignUnknown(NO_ITEM)
        if parts is not None and item.part not in parts:
            raise CampaignRefused("an item is of another part of the campaign", reason="part")
        if each.version != item.version and not deciding.override:
            conflicts.append(item.id)
        elif each.decision or item.decision is not None:
            changes.append(ItemChange(item, _decision(each, deciding)))
    entries = [_decided_entry(change, deciding) for change in changes]
    return PlannedDecisions(tuple(changes), tuple(conflicts), tuple(entries))


def _decision(wanted: WantedDecision, deciding: Deciding) -> ItemDecision | None:
    if not wanted.decision:
        return None
    return ItemDecision(
        decision=wanted.decision,
        by=deciding.actor,
        at=deciding.at,
        until=wanted.until,
        comment=wanted.comment,
        rule=deciding.rule,
        group=wanted.group,
    )


def _decided_entry(change: ItemChange, deciding: Deciding) -> WantedEntry:
    item, decision = change
    details: dict[str, Any] = {
        "decision": "" if decision is None else decision.decision,
        "until": "" if decision is None else decision.until,
        "comment": "" if decision is None else storable_text(decision.comment),
        "before": "" if item.decision is None else item.decision.decision,
        "part": item.part,
        "version": change.version,
    }
    # Only where they say something, because there is an entry for each of many items.
    details |= {name: True for name in ("rule", "override") if getattr(deciding, name)}
    if decision is not None and decision.group:
        details["group"] = decision.group
    return WantedEntry(
        actor=deciding.actor,
        at=deciding.at,
        action="decided",
        campaign=item.campaign,
        object=item.id,
        details=details,
    )


def check_part(part: CampaignPart | None) -> CampaignPart:
    """The part; `CampaignUnknown` if there is none."""
    if part is None:
        raise CampaignUnknown("the campaign has no such part")
    return part


def check_assignment(part: CampaignPart, wanted: Assignment) -> CampaignPart:
    """The part, if nobody else has assigned it since."""
    if part.version != wanted.version:
        raise CampaignRefused("somebody else has assigned this part: look at it again", reason="version")
    return part


def apply_assignment(part: CampaignPart, wanted: Assignment) -> CampaignPart:
    """The part after the assignment."""
    reviewer, delegated_by = (
        None if actor is None else storable_actor(actor)
        for actor in (wanted.reviewer, wanted.actor if wanted.delegated else None)
    )
    return replace(part, reviewer=reviewer, delegated_by=delegated_by, version=part.version + 1)


def check_complete(campaign: Campaign) -> Campaign:
    """The campaign, if none of its items is undecided."""
    if campaign.decided < campaign.items:
        undecided = campaign.items - campaign.decided
        raise CampaignRefused(f"{undecided} of its items are undecided", reason="undecided")
    return campaign


def assigned_entry(before: CampaignPart, after: CampaignPart, wanted: Assignment) -> WantedEntry:
    """The entry about an assignment."""
    return WantedEntry(
        actor=wanted.actor,
        at=wanted.at,
        action="delegated" if wanted.delegated else "assigned",
        campaign=before.campaign,
        object=before.name,
        details={"reviewer": _actor_details(after.reviewer), "before": _actor_details(before.reviewer)},
    )


def reminded_entries(parts: Collection[CampaignPart], by: Actor, at: float) -> list[WantedEntry]:
    """The entries about reminders."""
    return [
        WantedEntry(
            actor=by,
            at=at,
            action="reminded",
            campaign=part.campaign,
            object=part.name,
            details={"reviewer": _actor_details(part.reviewer)},
        )
        for part in parts
    ]


def closed_entry(campaign: Campaign, by: Actor, at: float) -> WantedEntry:
    """The entry about the end of the deciding."""
    return WantedEntry(actor=by, at=at, action="closed", campaign=campaign.id, details={"items": campaign.items})


def cancelled_entry(campaign: Campaign, by: Actor, at: float, reason: str) -> WantedEntry:
    """The entry about a campaign that was given up."""
    details = {"reason": reason, "items": campaign.items, "decided": campaign.decided}
    return WantedEntry(actor=by, at=at, action="cancelled", campaign=campaign.id, details=details)


def _actor_details(actor: Actor | None) -> dict[str, str] | None:
    """An actor in the details of an entry."""
    return None if actor is None else {"issuer": actor.issuer, "subject": actor.subject, "name": actor.name}


def storable_actor(actor: Actor) -> Actor:
    """The actor with texts that every database accepts."""
    return Actor(
        issuer=storable_text(actor.issuer), subject=storable_text(actor.subject), name=storable_text(actor.name)
    )
