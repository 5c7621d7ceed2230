"""Campaigns as they are read: their parts, items, worksheets and plans."""

from __future__ import annotations

import secrets
import time
from typing import TYPE_CHECKING, Final

from jwt_lp.campaigns.campaign_sheets import join_texts, load_parts, make_plan, sheet_text, write_parts
from jwt_lp.campaigns.campaign_state import find_campaign, find_items, find_part, findings_of, list_items
from jwt_lp.campaigns.decision_making import DecisionMaker
from jwt_lp.campaigns.decision_preview import preview_decisions
from jwt_lp.campaigns.item_views import full_views, group_views, plain_views
from jwt_lp.campaigns.policy_source import PolicySource
from jwt_lp.campaigns.values import CampaignPage, CampaignProgress, CampaignWorksheet
from jwt_lp.errors import CampaignRefused, ConfigurationError
from jwt_lp.stores.campaigns import ItemFilter
from jwt_lp.usage.recorder import plain_subject

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence
    from os import PathLike

    from jwt_lp.campaigns.campaign_sheets import SheetPart
    from jwt_lp.campaigns.values import CampaignItemView, DecisionPreview
    from jwt_lp.policy.file import Policy
    from jwt_lp.review import Person
    from jwt_lp.review.plan import Plan
    from jwt_lp.stores import Store
    from jwt_lp.stores.audit import Actor
    from jwt_lp.stores.campaigns import Campaign, CampaignPart, WantedDecision
    from jwt_lp.usage.usage_records import SubjectNaming
    from jwt_lp.webhooks import Webhook


class CampaignReader:
    """What is read of the campaigns of a store. `Campaigns` adds what changes them, and says what the arguments are."""

    def __init__(
        self,
        store: Store,
        policy: Policy | str | PathLike[str] | None,
        *,
        people: Mapping[str, Person] | None = None,
        issuer_names: Mapping[str, str] | None = None,
        naming: SubjectNaming = plain_subject,
        webhooks: Sequence[Webhook] = (),
        clock: Callable[[], float] = time.time,
        new_id: Callable[[], str] = lambda: secrets.token_hex(16),
    ) -> None:
        if not callable(getattr(store, "decide_items", None)):
            raise ConfigurationError(
                "this store keeps no campaigns: use one of jwt_lp.stores, or add CampaignStore to it"
            )
        self._store: Final = store
        self._policy: Final = PolicySource(policy)
        self._people: Final = people or {}
        self._issuer_names: Final = issuer_names or {}
        self._naming: Final = naming
        self._webhooks: Final = tuple(webhooks)
        self._clock: Final = clock
        self._new_id: Final = new_id
        self._decisions: Final = DecisionMaker(store, naming, clock, self._people, self._policy.read)

    def list(self) -> tuple[Campaign, ...]:
        """All campaigns, newest first."""
        return self._store.campaigns()

    def get(self, campaign: str) -> Campaign:
        """The campaign with this id."""
        return find_campaign(self._store, campaign)

    def parts(self, campaign: str) -> tuple[CampaignPart, ...]:
        """The parts of a campaign, by name."""
        return self._store.campaign_parts(find_campaign(self._store, campaign).id)

    def parts_for(self, actor: Actor) -> tuple[CampaignPart, ...]:
        """The parts that the actor decides about, of campaigns that are neither closed nor cancelled."""
        return self._store.parts_of(actor.issuer, actor.subject)

    def items(
        self,
        campaign: str,
        *,
        part: str | None = None,
        ids: Sequence[str] | None = None,
        decided: bool | None = None,
        group: str | None = None,
        after: int = -1,
        limit: int = 60,
        details: bool = True,
    ) -> CampaignPage:
        """A page of the items of a part, in the order of deciding; `group` is the id of a group, "" for those in none.

        None for `part` is the first page of the whole campaign, for `ids`, `decided` and `group` any. Without `details`
        the groups of the part, use since the freeze and earlier decisions are left out, which is quick for thousands of items.
        """
        found = find_campaign(self._store, campaign)
        which = ItemFilter(
            campaign=campaign,
            part=part,
            decided=decided,
            group=group,
            after=None if part is None else after,
            limit=limit + 1,
        )
        views = [*plain_views(list_items(self._store, which, ids))]
        more = len(views) > limit and part is not None
        del views[limit:]
        following = views[-1].position if more else None
        if not details:
            return CampaignPage(items=tuple(views), groups=(), next=following)
        parts = [part] if part is not None else [each.name for each in self._store.campaign_parts(campaign)]
        return CampaignPage(
            items=full_views(found, views, self._store, self._policy.read()),
            groups=tuple(group_views(campaign, parts, self._store)),
            next=following,
        )

    def item(self, campaign: str, item: str) -> CampaignItemView:
        """One item, with its use since the freeze and its earlier decisions."""
        found = find_campaign(self._store, campaign)
        views = [*plain_views(find_items(self._store, campaign, [item]).values())]
        return full_views(found, views, self._store, self._policy.read())[0]

    def refusals(
        self, actor: Actor, campaign: str, items: Iterable[CampaignItemView], decision: str = "keep"
    ) -> dict[str, str]:
        """Why the actor may not decide so about items, in a sentence each; items that nothing is against are left out."""
        return self._decisions.refusals(actor, campaign, items, decision)

    def refusal(self, actor: Actor, item: CampaignItemView, decision: str = "keep") -> str:
        """The same for one item; "" if nothing is against it."""
        return self.refusals(actor, item.campaign, [item], decision).get(item.id, "")

    def preview(self, campaign: str, wanted: Sequence[WantedDecision]) -> DecisionPreview:
        """What these decisions would change, and what would break. Nothing is stored."""
        found = find_campaign(self._store, campaign)
        findings = findings_of(find_items(self._store, campaign, (each.item for each in wanted)).values())
        return preview_decisions(found, wanted, findings, self._store, self._policy.read())

    def worksheet(self, campaign: str, part: str | None = None) -> CampaignWorksheet:
        """The worksheet of a part, or of all parts, with the decisions filled in, and its sheet file."""
        found, parts = self._load(campaign, part)
        return CampaignWorksheet(join_texts([*write_parts(parts).values()]), sheet_text(found, parts))

    def worksheets(self, campaign: str) -> dict[str, CampaignWorksheet]:
        """The worksheet of each part, by name. All have the same sheet file, which is that of the whole campaign."""
        found, parts = self._load(campaign)
        sheet = sheet_text(found, parts)
        return {name: CampaignWorksheet(text, sheet) for name, text in write_parts(parts).items()}

    def plan(self, campaign: str) -> Plan:
        """The plan of a closed campaign, the same each time. `CampaignRefused` for one that is not closed."""
        found = find_campaign(self._store, campaign)
        if found.closed_at is None:
            raise CampaignRefused("the campaign is not closed: close it to make its plan", reason="open")
        _, parts = self._load(campaign)
        return make_plan(found, parts.values(), at=found.closed_at)

    def _load(self, campaign: str, part: str | None = None) -> tuple[Campaign, dict[str, SheetPart]]:
        found = find_campaign(self._store, campaign)
        names = None if part is None else [find_part(self._store, campaign, part).name]
        return found, load_parts(self._store, campaign, names)

    def progress(self, campaign: str) -> CampaignProgress:
        """How far a campaign is."""
        found = find_campaign(self._store, campaign)
        parts = self._store.campaign_parts(campaign)
        return CampaignProgress(
            campaign=found,
            parts=parts,
            by_day=self._store.decisions_by_day(campaign),
            open=found.items - found.decided,
            unassigned=sum(part.items - part.decided for part in parts if part.reviewer is None),
        )
