"""Campaigns of a store: the one way in for commands and for the console."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from jwt_lp.campaigns.campaign_reader import CampaignReader
from jwt_lp.campaigns.campaign_state import find_campaign, find_part, require_changeable, require_open
from jwt_lp.campaigns.deadline_rule import close_by_rule
from jwt_lp.campaigns.decision_checks import check_part, check_reviewer
from jwt_lp.campaigns.freezing import FreezeTerms, freeze_review
from jwt_lp.campaigns.reminders import remind_reviewers
from jwt_lp.errors import CampaignRefused, ConfigurationError
from jwt_lp.review.trained_review import ReviewOptions

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from jwt_lp.campaigns.values import ReminderResult
    from jwt_lp.stores.audit import Actor
    from jwt_lp.stores.campaigns import (
        Campaign,
        CampaignPart,
        CampaignSplit,
        DeadlineRule,
        DecideResult,
        WantedDecision,
    )


class Campaigns(CampaignReader):
    """The campaigns of `store`, about the grants of `policy` (a policy, or the path of its file).

    `people` are the persons by subject, from whom reviewers are found; `issuer_names` are the names of issuers in the
    settings. `naming` gives the name that the store records for a subject (SUBJECTS in the settings). `webhooks` get
    reminders. `clock` returns seconds since the epoch, and `new_id` 32 random hexadecimal digits.

    An actor with the issuer "" is an operator, who has the store at hand: a command. An operator may decide about every
    part, in place of its reviewer. Who may see a part, freeze, assign or close is not checked here: the caller does that.

    `ConfigurationError` for a store that keeps no campaigns. Every method raises `StoreError` where the store does not
    answer, and `CampaignUnknown` for an unknown campaign, part or item.
    """

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
        "", which has no reviewer, because nobody decides about oneself. Exemptions of closed campaigns hold until they end.

        `ConfigurationError` for a deadline that is past, for stages that are none, for an unknown part in `reviewers`,
        and where there is nothing to decide.
        """
        terms = FreezeTerms(
            name=name,
            deadline=deadline,
            undecided=undecided,
            split=split,
            stages=stages,
            day=day,
            options=self._completed(options or ReviewOptions()),
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

    def _completed(self, options: ReviewOptions) -> ReviewOptions:
        """The options, with what this object knows of people and issuers where they say nothing."""
        people, names = options.people or self._people, options.issuer_names or self._issuer_names
        return replace(options, people=people, issuer_names=names)

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
        return close_by_rule(self._store, found, actor=actor, at=now)

    def cancel(self, actor: Actor, campaign: str, *, reason: str) -> Campaign:
        """Give a campaign up; nothing comes of it any more. `CampaignRefused` without a reason."""
        if not reason.strip():
            raise CampaignRefused("say why the campaign is given up", reason="reason")
        now = self._clock()
        require_changeable(find_campaign(self._store, campaign), now)
        return self._store.cancel_campaign(campaign, at=now, actor=actor, reason=reason.strip())

    def read_worksheet(self, actor: Actor, campaign: str, text: str, *, part: str | None = None) -> DecideResult:
        """Store the decisions of a worksheet that was filled in; rows without a decision stay as they are.

        None for `part` is every part of the actor's. For an operator, the column reviewer says who decided.
        `InvalidDecision` names faults with their lines. It refuses what `decide` refuses.
        """
        return self._decisions.read_worksheet(actor, campaign, text, part)
