"""Campaigns of a store: the one way in for commands and for the console."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from os import PathLike

    from jwt_lp.campaigns.values import (
        CampaignPage,
        CampaignProgress,
        CampaignWorksheet,
        DecisionPreview,
        ReminderResult,
    )
    from jwt_lp.policy.file import Policy
    from jwt_lp.review import Person
    from jwt_lp.review.plan import Plan
    from jwt_lp.review.trained_review import ReviewOptions
    from jwt_lp.stores import Store
    from jwt_lp.stores.campaigns import Actor, Campaign, CampaignPart, DecideResult, WantedDecision
    from jwt_lp.webhooks import Webhook


class Campaigns:
    """The campaigns of `store`, whose items are revoked by `policy` (a policy, or the path of its file).

    `people` are the persons by subject, from whom reviewers are found. `naming` gives the name that the store records for
    a subject (SUBJECTS in the settings). `webhooks` get reminders. `clock` returns seconds since the epoch.

    An actor with the issuer "" is an operator, who has the store at hand: a command. An operator may decide about every
    part, in place of its reviewer. Who may see a part, freeze or close is not checked here: the caller does.

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
        naming: Callable[[str, str], str] = lambda _issuer, subject: subject,
        webhooks: Sequence[Webhook] = (),
        clock: Callable[[], float] = time.time,
    ) -> None:
        raise NotImplementedError

    def freeze(  # noqa: PLR0913 - all but the actor by name
        self,
        actor: Actor,
        *,
        name: str,
        deadline: float,
        undecided: Literal["keep", "remove", "proposal"] = "keep",
        split: Literal["manager", "team", "role", "issuer"] = "manager",
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
        raise NotImplementedError

    def list(self) -> tuple[Campaign, ...]:
        """All campaigns, newest first."""
        raise NotImplementedError

    def get(self, campaign: str) -> Campaign:
        """The campaign with this id."""
        raise NotImplementedError

    def parts(self, campaign: str) -> tuple[CampaignPart, ...]:
        """The parts of a campaign, by name."""
        raise NotImplementedError

    def parts_for(self, actor: Actor) -> tuple[CampaignPart, ...]:
        """The parts that the actor decides about, of campaigns that are neither closed nor cancelled."""
        raise NotImplementedError

    def items(
        self,
        campaign: str,
        *,
        part: str | None,
        decided: bool | None = None,
        group: str | None = None,
        after: int = -1,
        limit: int = 60,
    ) -> CampaignPage:
        """A page of the items of a part, in the order of deciding; `group` is the id of a group, "" for those in none.

        None for `part` is the whole campaign, for `decided` and `group` any.
        """
        raise NotImplementedError

    def decide(self, actor: Actor, campaign: str, wanted: Sequence[WantedDecision], *, part: str) -> DecideResult:
        """Store decisions of the actor about items of a part: all of them, except conflicts, or none.

        A conflict is an item whose version is not the one that was seen; it is returned as it is now. An empty decision
        takes a decision back.

        `InvalidDecision` names each fault: an unknown decision, an exemption without a last day, a grant that cannot be
        narrowed, a comment that is too long. `CampaignRefused` where the part is not the actor's, the deadline is past,
        or a decision is about the actor's own access, or keeps a grant of a role that the actor has. `CampaignClosed`
        where the campaign is closed or cancelled.
        """
        raise NotImplementedError

    def preview(self, campaign: str, wanted: Sequence[WantedDecision]) -> DecisionPreview:
        """What these decisions would change, and what would break. Nothing is stored."""
        raise NotImplementedError

    def assign(self, actor: Actor, campaign: str, part: str, reviewer: Actor | None, *, version: int) -> CampaignPart:
        """Assign a part to another reviewer, or to nobody; `version` is that of the part as it was seen."""
        raise NotImplementedError

    def delegate(self, actor: Actor, campaign: str, part: str, reviewer: Actor, *, version: int) -> CampaignPart:
        """Give a part, which must be the actor's, to another reviewer.

        `CampaignRefused` for a part that is not the actor's, and if the reviewer is the actor, or holds something that
        the part is about.
        """
        raise NotImplementedError

    def remind(self, actor: Actor, campaign: str, *, part: str | None = None, force: bool = False) -> ReminderResult:
        """Tell reviewers what is open, by the webhooks; each at most once in 24 hours, unless `force` is set."""
        raise NotImplementedError

    def close(self, actor: Actor, campaign: str, *, early: bool = False) -> Campaign:
        """End the deciding: the deadline rule decides about what is open.

        `CampaignRefused` before the deadline while items are open, unless `early` is set.
        """
        raise NotImplementedError

    def cancel(self, actor: Actor, campaign: str, *, reason: str) -> Campaign:
        """Give a campaign up; nothing comes of it any more. A reason is needed."""
        raise NotImplementedError

    def worksheet(self, campaign: str, part: str | None = None) -> CampaignWorksheet:
        """The worksheet of a part, or of all parts, with the decisions filled in, and its sheet file."""
        raise NotImplementedError

    def read_worksheet(self, actor: Actor, campaign: str, text: str, *, part: str | None = None) -> DecideResult:
        """Store the decisions of a worksheet that was filled in; rows without a decision stay as they are.

        `InvalidDecision` names faults with their lines. It refuses what `decide` refuses.
        """
        raise NotImplementedError

    def plan(self, campaign: str) -> Plan:
        """The plan of a closed campaign, the same each time. `CampaignRefused` for one that is not closed."""
        raise NotImplementedError

    def progress(self, campaign: str) -> CampaignProgress:
        """How far a campaign is."""
        raise NotImplementedError
