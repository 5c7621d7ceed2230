"""Freezing: a review of the store becomes a campaign."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final, get_args

from jwt_lp._support.validation import did_you_mean, quote_text
from jwt_lp.campaigns.decision_checks import NO_REVIEWER, OwnAccess, can_sign_in
from jwt_lp.campaigns.exemptions import standing_exemptions
from jwt_lp.campaigns.frozen_parts import freeze_parts
from jwt_lp.campaigns.reviewers import ReviewerList
from jwt_lp.campaigns.summary import summarize
from jwt_lp.errors import ConfigurationError
from jwt_lp.review.plan import parse_stages
from jwt_lp.review.plan.review_items import ReviewOrigin
from jwt_lp.review.trained_review import ReviewOptions, trained_review
from jwt_lp.stores.audit import WantedEntry
from jwt_lp.stores.campaigns import Campaign, CampaignPart, CampaignSplit, DeadlineRule

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from jwt_lp.campaigns.frozen_parts import FrozenPart
    from jwt_lp.policy.file import Policy
    from jwt_lp.review import Review
    from jwt_lp.stores import Store
    from jwt_lp.stores.audit import Actor
    from jwt_lp.usage.usage_records import SubjectNaming

MAX_NAME: Final = 200
MAX_DAYS: Final = 366
"""The most days until a deadline."""
_DAY_SECONDS: Final = 86400


@dataclass(frozen=True, slots=True, kw_only=True)
class FreezeTerms:
    """What a campaign is to be: the terms of `Campaigns.freeze`."""

    name: str
    deadline: float
    undecided: DeadlineRule = "keep"
    split: CampaignSplit = "manager"
    stages: str = ""
    day: str | None = None
    options: ReviewOptions = field(default_factory=ReviewOptions)
    reviewers: Mapping[str, Actor] = field(default_factory=dict[str, "Actor"])
    reviewer_issuer: str = ""

    def faults(self, now: float) -> Iterator[str]:
        """What is wrong with them at the time `now`, before any review."""
        if not self.name.strip() or len(self.name) > MAX_NAME:
            yield f"a campaign needs a name of at most {MAX_NAME} characters"
        if not now < self.deadline <= now + MAX_DAYS * _DAY_SECONDS:
            yield f"the deadline is to come, within {MAX_DAYS} days"
        if not all(map(can_sign_in, self.reviewers.values())):
            yield NO_REVIEWER
        choices = (
            ("undecided", self.undecided, get_args(DeadlineRule)),
            ("split", self.split, get_args(CampaignSplit)),
        )
        for what, value, words in choices:
            if value not in words:
                hint = did_you_mean(value, words) or f": write one of {', '.join(words)}"
                yield f"{what}: {quote_text(value)} is not possible{hint}"


def freeze_review(
    store: Store,
    policy: Policy,
    actor: Actor,
    terms: FreezeTerms,
    *,
    new_id: str,
    naming: SubjectNaming,
    now: float,
    on_step: Callable[[str, int], object],
) -> Campaign:
    """Review the store, and write what needs a decision as a campaign; errors are those of `Campaigns.freeze`."""
    if faults := [*terms.faults(now)]:
        raise ConfigurationError(*faults)
    if terms.stages:
        parse_stages(terms.stages)
    day = terms.day or datetime.fromtimestamp(now, UTC).date().isoformat()
    options = replace(terms.options, exempt=(*standing_exemptions(store, day), *terms.options.exempt))
    review = trained_review(store, options, now=day, policy=policy, made_at=now, on_step=on_step)
    reviewers = ReviewerList(
        terms.options.people, terms.reviewers, issuer=terms.reviewer_issuer, naming=naming, today=day
    )
    own = OwnAccess(store, naming, terms.options.people, lambda: policy)
    parts = freeze_parts(review.findings, terms.split, reviewers, own.is_about)
    if unknown := [name for name in terms.reviewers if all(name != part.name for part in parts)]:
        names = ", ".join(map(quote_text, unknown))
        raise ConfigurationError(f"no part has the name {names}: the parts are {_names_of(parts)}")
    campaign = _campaign(new_id, actor, terms, review, parts)
    on_step("items written", campaign.items)
    store.add_campaign(
        replace(campaign, items=0),
        [CampaignPart(campaign=campaign.id, name=part.name, reviewer=part.reviewer) for part in parts],
        (item for part in parts for item in part.items(campaign.id)),
        ((part.name, group._asdict()) for part in parts for group in part.groups),
        WantedEntry(
            actor=actor, at=now, action="frozen", campaign=campaign.id, object=campaign.id, details=_details(campaign)
        ),
    )
    return campaign


def _campaign(id_: str, actor: Actor, terms: FreezeTerms, review: Review, parts: Sequence[FrozenPart]) -> Campaign:
    undecided = [finding for part in parts for finding in part.findings]
    return Campaign(
        id=id_,
        name=terms.name.strip(),
        made_at=review.made_at,
        day=review.now,
        deadline=float(terms.deadline),
        undecided=terms.undecided,
        split=terms.split,
        made_by=actor,
        origin=ReviewOrigin.from_review(review)._asdict(),
        summary=summarize(review, undecided),
        stages=terms.stages.strip(),
        items=len(undecided),
    )


def _details(campaign: Campaign) -> dict[str, Any]:
    """What the audit trail says of a new campaign."""
    return {
        "name": campaign.name,
        "day": campaign.day,
        "deadline": campaign.deadline,
        "undecided": campaign.undecided,
        "split": campaign.split,
        "stages": campaign.stages,
        "items": campaign.items,
        "review": campaign.origin["review"],
        "policy": campaign.origin["policy"],
    }


def _names_of(parts: Sequence[FrozenPart]) -> str:
    shown = [quote_text(part.name) for part in parts[:10]]
    return ", ".join(shown) + (", ..." if len(parts) > len(shown) else "")
