"""Decision making: decisions are checked as a whole, and then stored."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from jwt_lp.campaigns.campaign_sheets import load_parts, make_sheet_file, wanted_rows
from jwt_lp.campaigns.campaign_state import find_campaign, find_items, find_part, findings_of, require_open
from jwt_lp.campaigns.decision_checks import (
    NOT_YOURS,
    OwnAccess,
    check_decisions,
    check_own,
    check_part,
    decider_of,
    may_decide,
)
from jwt_lp.errors import CampaignError, CampaignRefused, ConfigurationError, InvalidDecision
from jwt_lp.review.plan import read_worksheet
from jwt_lp.stores.campaigns import DecideResult

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from jwt_lp.campaigns.campaign_sheets import SheetPart
    from jwt_lp.campaigns.values import CampaignItemView
    from jwt_lp.policy.file import Policy
    from jwt_lp.review import Person
    from jwt_lp.stores import Store
    from jwt_lp.stores.audit import Actor
    from jwt_lp.stores.campaigns import Campaign, CampaignItem, CampaignPart, WantedDecision
    from jwt_lp.usage.usage_records import SubjectNaming


@dataclass(frozen=True, slots=True)
class DecisionMaker:
    """Stores decisions about the items of a store's campaigns, after all checks."""

    store: Store
    naming: SubjectNaming
    clock: Callable[[], float]
    people: Mapping[str, Person]
    policy: Callable[[], Policy]

    def decide(self, actor: Actor, campaign: str, wanted: Sequence[WantedDecision], part: str) -> DecideResult:
        """Store decisions about the items of one part."""
        now = self.clock()
        found = find_campaign(self.store, campaign)
        require_open(found, now)
        check_part(actor, known := find_part(self.store, campaign, part))
        items = find_items(self.store, campaign, (each.item for each in wanted))
        if any(item.part != part for item in items.values()):
            raise CampaignRefused("a decision is about an item of another part: decide part by part", reason="part")
        tidied = self._check(actor, wanted, items, {part: known}, now)
        return self.store.decide_items(campaign, tidied, actor=actor, at=now, parts=[known])

    def refusals(self, actor: Actor, campaign: str, items: Iterable[CampaignItemView], decision: str) -> dict[str, str]:
        """Why the actor may not decide so about items, by their ids; what nothing is against is left out."""
        parts = {part.name: part for part in self.store.campaign_parts(campaign)}
        own = OwnAccess(self.store, self.naming, self.people, self.policy)
        try:
            require_open(find_campaign(self.store, campaign), self.clock())
        except CampaignError as error:
            return {item.id: str(error) for item in items}
        found = ((item.id, _refusal(actor, item, parts[item.part], decision, own)) for item in items)
        return {id_: reason for id_, reason in found if reason}

    def read_worksheet(self, actor: Actor, campaign: str, text: str, part: str | None) -> DecideResult:
        """Store the decisions of a worksheet; those of an operator by whom the worksheet names as the reviewer."""
        now = self.clock()
        found = find_campaign(self.store, campaign)
        require_open(found, now)
        parts = self._parts_of(actor, campaign, part)
        # One query for all parts, where every part is the actor's; a campaign may have thousands.
        everything = part is None and not actor.issuer
        sheets = load_parts(self.store, campaign, None if everything else parts)
        wanted = self._read(actor, found, text, sheets)
        every = [each for some in wanted.values() for each in some]
        items = find_items(self.store, campaign, (each.item for each in every))
        tidied = {each.item: each for each in self._check(actor, every, items, parts, now)}
        changed: list[str] = []
        conflicts: list[CampaignItem] = []
        for reviewer, some in wanted.items():
            by = replace(actor, name=reviewer) if reviewer else actor
            result = self.store.decide_items(
                campaign, [tidied[each.item] for each in some], actor=by, at=now, parts=list(parts.values())
            )
            changed += result.changed
            conflicts += result.conflicts
        return DecideResult(tuple(changed), tuple(conflicts))

    def _check(
        self,
        actor: Actor,
        wanted: Sequence[WantedDecision],
        items: Mapping[str, CampaignItem],
        parts: Mapping[str, CampaignPart],
        now: float,
    ) -> tuple[WantedDecision, ...]:
        """The decisions in their stored form; `InvalidDecision` and `CampaignRefused` as `Campaigns.decide` says."""
        findings = findings_of(items.values())
        today = datetime.fromtimestamp(now, UTC).date().isoformat()
        tidied = check_decisions(wanted, {id_: (findings[id_], items[id_].group) for id_ in items}, today=today)
        own = OwnAccess(self.store, self.naming, self.people, self.policy)
        by_part: dict[str, list[tuple[WantedDecision, CampaignItem]]] = {}
        for each in tidied:
            item = items[each.item]
            by_part.setdefault(item.part, []).append((each, item))
        for name, mine in by_part.items():
            check_own(mine, findings.__getitem__, actor, decider_of(actor, parts[name]), own)
        return tidied

    def _parts_of(self, actor: Actor, campaign: str, part: str | None) -> dict[str, CampaignPart]:
        """The parts that a worksheet of the actor may be about: the one that is named, else all of the actor's."""
        if part is not None:
            check_part(actor, known := find_part(self.store, campaign, part))
            return {part: known}
        parts = self.store.campaign_parts(campaign)
        mine = {each.name: each for each in parts if may_decide(actor, each)}
        if not mine:
            raise CampaignRefused("no part of the campaign is yours", reason="part")
        return mine

    def _read(
        self, actor: Actor, campaign: Campaign, text: str, sheets: Mapping[str, SheetPart]
    ) -> dict[str, list[WantedDecision]]:
        operator = not actor.issuer
        try:
            sheet = read_worksheet(
                text,
                make_sheet_file(campaign, sheets.values()),
                partial=True,
                # Whoever is signed in decides, whatever the worksheet says.
                reviewer="" if operator else actor.name or actor.subject,
            )
        except ConfigurationError as error:
            raise InvalidDecision(*error.faults) from None
        return wanted_rows(sheet.decisions, sheets.values(), with_reviewer=operator)


def _refusal(actor: Actor, item: CampaignItemView, part: CampaignPart, decision: str, own: OwnAccess) -> str:
    if not may_decide(actor, part):
        return NOT_YOURS
    decider = decider_of(actor, part)
    return "" if decider is None else own.refusal(item.finding, decision, decider)
