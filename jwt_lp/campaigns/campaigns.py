"""Campaigns of a store: the one way in for commands and for the console."""

from __future__ import annotations

import secrets
import time
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from jwt_lp.campaigns.campaign_sheets import load_parts, make_plan, write_parts
from jwt_lp.campaigns.campaign_state import (
    find_campaign,
    find_items,
    find_part,
    findings_of,
    require_changeable,
    require_open,
)
from jwt_lp.campaigns.deadline_rule import decide_by_rule
from jwt_lp.campaigns.decision_checks import check_part, check_reviewer
from jwt_lp.campaigns.decision_making import DecisionMaker
from jwt_lp.campaigns.decision_preview import preview_decisions
from jwt_lp.campaigns.freezing import FreezeTerms, freeze_review
from jwt_lp.campaigns.item_views import full_views, group_views, plain_views
from jwt_lp.campaigns.policy_source import PolicySource
from jwt_lp.campaigns.reminders import remind_reviewers
from jwt_lp.campaigns.values import CampaignPage, CampaignProgress
from jwt_lp.errors import CampaignRefused, ConfigurationError
from jwt_lp.review.trained_review import ReviewOptions
from jwt_lp.stores.campaigns import ItemFilter
from jwt_lp.usage.recorder import plain_subject

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence
    from os import PathLike

    from jwt_lp.campaigns.values import CampaignItemView, CampaignWorksheet, DecisionPreview, ReminderResult
    from jwt_lp.policy.file import Policy
    from jwt_lp.review import Person
    from jwt_lp.review.plan import Plan
    from jwt_lp.stores import Store
    from jwt_lp.stores.audit import Actor
    from jwt_lp.stores.campaigns import (
        Campaign,
        CampaignPart,
        CampaignSplit,
        DeadlineRule,
        DecideResult,
        WantedDecision,
    )
    from jwt_lp.usage.usage_records import SubjectNaming
    from jwt_lp.webhooks import Webhook


class Campaigns:
    """The campaigns of `store`, about the grants of `policy` (a policy, or the path of its file).

    `people` are the persons by subject, from whom reviewers are found; `issuer_names` are the names of issuers in the
    settings. `naming` gives the name that the store records for a subject (SUBJECTS in the settings). `webhooks` get
    reminders. `clock` returns seconds since the epoch, and `new_id` 32 random hexadecimal digits.

    An actor with the issuer "" is an operator, who has the store at hand: a command. An operator may decide about every
    part, in place of its reviewer. Who may see a part, freeze, assign or close is not checked here: the caller does that.

    `ConfigurationError` for a store that keeps no campaigns. Every method raises `StoreError` where the store does not
    answer, and `CampaignUnknown` for an unknown campaign, part or item.
    """

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
        self._decisions: Final = DecisionMaker(store, naming, clock)

    def freeze(  # noqa: PLR0913 - all but the actor by name
        self,
        actor: Actor,
        *,
        name: str,
        deadline: float,
        undecided: DeadlineRule = "keep",
        split: CampaignSplit = "manager",
        stages: str = "",
        day: str | None = None,
        options: ReviewOptions | None = None,
        reviewers: Mapping[str, Actor] | None = None,
        reviewer_issuer: str = "",
        on_step: Callable[[str, int], object] = lambda _what, _count: None,
    ) -> Campaign:
        """Review the store as of `day` (today by default), and keep the findings that need a decision as a campaign.

        The reviewer of a part is that of `reviewers`, by the part's name; else the person in the list of people whose
        subject, or whose name, is the part's. Reviewers sign in at `reviewer_issuer`, by default at the one issuer of
        the part's holders. A part whose reviewer is not known has none. What reviewers hold themselves is in the part
        "", which has no reviewer, because nobody decides about oneself.

        `ConfigurationError` for a deadline that is past, for stages that are none, for an unknown part in `reviewers`,
        and where there is nothing to decide.
        """
        given = options or ReviewOptions()
        terms = FreezeTerms(
            name=name,
            deadline=deadline,
            undecided=undecided,
            split=split,
            stages=stages,
            day=day,
            options=replace(
                given,
                people=given.people or self._people,
                issuer_names=given.issuer_names or self._issuer_names,
            ),
            reviewers=reviewers or {},
            reviewer_issuer=reviewer_issuer,
        )
        return freeze_review(
            self._store,
            self._policy.read(),
            actor,
            terms,
            new_id=self._new_id(),
            naming=self._naming,
            now=self._clock(),
            on_step=on_step,
        )

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
            ids=ids,
            decided=decided,
            group=group,
            after=None if part is None else after,
            limit=limit + 1,
        )
        views = [*plain_views(self._store.campaign_items(which))]
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

    def decide(self, actor: Actor, campaign: str, wanted: Sequence[WantedDecision], *, part: str) -> DecideResult:
        """Store decisions of the actor about items of a part: all of them, except conflicts, or none.

        A conflict is an item whose version is not the one that was seen; it is returned as it is now. An empty decision
        takes a decision back.

        `InvalidDecision` names each fault: an unknown decision, an exemption without a last day, a grant that cannot be
        narrowed, a comment that is too long. `CampaignRefused` where the part is not the actor's, the deadline is past,
        or a decision is about the actor's own access, or keeps a grant of a role that the actor has. `CampaignClosed`
        where the campaign is closed or cancelled.
        """
        return self._decisions.decide(actor, campaign, wanted, part)

    def preview(self, campaign: str, wanted: Sequence[WantedDecision]) -> DecisionPreview:
        """What these decisions would change, and what would break. Nothing is stored."""
        found = find_campaign(self._store, campaign)
        findings = findings_of(find_items(self._store, campaign, (each.item for each in wanted)).values())
        return preview_decisions(found, wanted, findings, self._store, self._policy.read())

    def assign(self, actor: Actor, campaign: str, part: str, reviewer: Actor | None, *, version: int) -> CampaignPart:
        """Assign a part to another reviewer, or to nobody; `version` is that of the part as it was seen.

        `CampaignRefused` if it has changed since.
        """
        now = self._clock()
        require_changeable(find_campaign(self._store, campaign), now)
        if reviewer is not None:
            check_reviewer(reviewer)
        return self._store.assign_part(campaign, part, reviewer, version=version, actor=actor, at=now)

    def delegate(self, actor: Actor, campaign: str, part: str, reviewer: Actor, *, version: int) -> CampaignPart:
        """Give a part, which must be the actor's, to another reviewer.

        The new reviewer cannot decide about what is their own either. `CampaignRefused` for a part that is not the
        actor's, if the reviewer is the actor, and if the part has changed since.
        """
        now = self._clock()
        require_open(find_campaign(self._store, campaign), now)
        check_part(actor, find_part(self._store, campaign, part))
        check_reviewer(reviewer)
        if actor.is_same(reviewer):
            raise CampaignRefused("the part is yours already: name another reviewer", reason="reviewer")
        return self._store.assign_part(campaign, part, reviewer, version=version, actor=actor, at=now, delegated=True)

    def remind(self, actor: Actor, campaign: str, *, part: str | None = None, force: bool = False) -> ReminderResult:
        """Tell reviewers what is open, by the webhooks; each at most once in 24 hours, unless `force` is set.

        `ConfigurationError` without a webhook. Nobody is reminded after the deadline, which is refused as in `decide`.
        """
        if not self._webhooks:
            raise ConfigurationError("no webhook is configured that could tell reviewers")
        now = self._clock()
        found = find_campaign(self._store, campaign)
        require_open(found, now)
        parts = self._store.campaign_parts(campaign) if part is None else [find_part(self._store, campaign, part)]
        return remind_reviewers(self._store, self._webhooks, found, parts, actor=actor, now=now, force=force)

    def close(self, actor: Actor, campaign: str, *, early: bool = False) -> Campaign:
        """End the deciding: the deadline rule decides about what is open.

        `CampaignRefused` before the deadline while items are open, unless `early` is set.
        """
        now = self._clock()
        found = find_campaign(self._store, campaign)
        require_changeable(found, now)
        if found.decided < found.items and found.state(now) == "open" and not early:
            raise CampaignRefused(
                f"{found.items - found.decided:,} items are open, and the deadline is not past: wait for it, or close early",
                reason="early",
            )
        decide_by_rule(self._store, found, actor=actor, at=now)
        return self._store.close_campaign(campaign, at=now, actor=actor)

    def cancel(self, actor: Actor, campaign: str, *, reason: str) -> Campaign:
        """Give a campaign up; nothing comes of it any more. `CampaignRefused` without a reason."""
        if not reason.strip():
            raise CampaignRefused("say why the campaign is given up", reason="reason")
        now = self._clock()
        require_changeable(find_campaign(self._store, campaign), now)
        return self._store.cancel_campaign(campaign, at=now, actor=actor, reason=reason.strip())

    def worksheet(self, campaign: str, part: str | None = None) -> CampaignWorksheet:
        """The worksheet of a part, or of all parts, with the decisions filled in, and the campaign's sheet file."""
        found = find_campaign(self._store, campaign)
        names = [each.name for each in self._store.campaign_parts(campaign)]
        if part is not None:
            find_part(self._store, campaign, part)
        return write_parts(found, load_parts(self._store, campaign, names), names if part is None else [part])

    def read_worksheet(self, actor: Actor, campaign: str, text: str, *, part: str | None = None) -> DecideResult:
        """Store the decisions of a worksheet that was filled in; rows without a decision stay as they are.

        None for `part` is every part of the actor's. For an operator, the column reviewer says who decided.
        `InvalidDecision` names faults with their lines. It refuses what `decide` refuses.
        """
        return self._decisions.read_worksheet(actor, campaign, text, part)

    def plan(self, campaign: str) -> Plan:
        """The plan of a closed campaign, the same each time. `CampaignRefused` for one that is not closed."""
        found = find_campaign(self._store, campaign)
        if found.closed_at is None:
            raise CampaignRefused("the campaign is not closed: close it to make its plan", reason="open")
        names = [each.name for each in self._store.campaign_parts(campaign)]
        return make_plan(found, load_parts(self._store, campaign, names).values(), at=found.closed_at)

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
