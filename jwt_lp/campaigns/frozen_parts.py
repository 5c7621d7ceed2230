"""Frozen parts: the findings of a review that need a decision, by reviewer and in the order of deciding."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from jwt_lp.campaigns.finding_json import finding_to_json
from jwt_lp.errors import ConfigurationError
from jwt_lp.review.plan import split_findings
from jwt_lp.review.plan.decision_groups import sort_out
from jwt_lp.review.plan.review_items import undecided_findings
from jwt_lp.stores.campaigns import CampaignItem
from jwt_lp.stores.row_keys import fit_text

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from jwt_lp.campaigns.reviewers import ReviewerList
    from jwt_lp.review import Finding
    from jwt_lp.review.plan.decision_groups import DecisionGroup
    from jwt_lp.stores.audit import Actor

NOBODY: Final = ""
"""The name of the part that nobody is in charge of."""


class FrozenPart(NamedTuple):
    """A part of a campaign: its name, its reviewer, its groups of obvious removals, and its findings in order."""

    name: str
    reviewer: Actor | None
    groups: tuple[DecisionGroup, ...]
    findings: tuple[Finding, ...]

    def items(self, campaign: str) -> Iterator[CampaignItem]:
        """Its findings as items of a campaign."""
        groups = {id_: group.id for group in self.groups for id_ in group.findings}
        for position, finding in enumerate(self.findings):
            yield CampaignItem(
                campaign=campaign,
                id=finding.id,
                part=self.name,
                position=position,
                group=groups.get(finding.id, ""),
                finding=finding_to_json(finding),
            )


def freeze_parts(
    findings: Iterable[Finding], split: str, reviewers: ReviewerList, is_own: Callable[[Finding, Actor], bool]
) -> tuple[FrozenPart, ...]:
    """The parts of the findings that need a decision, by name.

    What `is_own` says of a part's reviewer goes to the part of nobody: no one decides about oneself. `ConfigurationError`
    if nothing needs a decision.
    """
    named: dict[str, list[Finding]] = {}
    for key, members in split_findings(undecided_findings(findings), split).items():
        named.setdefault(fit_text(key), []).extend(members)
    assigned = {
        name: reviewers.find(name, {each.issuer for each in members}, by_manager=split == "manager")
        for name, members in named.items()
    }
    parts: dict[str, list[Finding]] = {}
    for name, found in named.items():
        reviewer = assigned[name]
        for finding in found:
            own = reviewer is not None and is_own(finding, reviewer)
            parts.setdefault(NOBODY if own else name, []).append(finding)
    if not parts:
        raise ConfigurationError("nothing needs a decision, so there is no campaign to make")
    return tuple(_part(name, assigned.get(name), parts[name]) for name in sorted(parts))


def _part(name: str, reviewer: Actor | None, findings: Sequence[Finding]) -> FrozenPart:
    groups = sort_out(findings).groups
    by_id = {finding.id: finding for finding in findings}
    grouped = [by_id.pop(id_) for group in groups for id_ in group.findings]
    return FrozenPart(name, reviewer, groups, (*grouped, *sorted(by_id.values(), key=_certain_first)))


def _certain_first(finding: Finding) -> tuple[bool, bool, float]:
    """Where a single finding stands: what is proposed before what is kept, the least likely to be needed first.

    What has no likelihood comes last in both. Ties stay in the order of the review.
    """
    bound = finding.likelihood_bound
    leaver = finding.verdict == "leaver" and finding.proposal == "remove"
    return finding.proposal == "keep", bound is None and not leaver, 0.0 if bound is None else bound
