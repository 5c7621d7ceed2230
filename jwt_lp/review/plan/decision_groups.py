"""Decisions by exception: obvious removals that one decision covers, and what a person should be asked first."""

from __future__ import annotations

from collections.abc import Iterable
from hashlib import sha256
from typing import TYPE_CHECKING, Final, NamedTuple

from jwt_lp.review.plan.review_items import undecided_findings
from jwt_lp.review.quantities import count_noun, format_percent

if TYPE_CHECKING:
    from jwt_lp.review.findings import Finding

OBVIOUS_LIKELIHOOD: Final = 0.005
"""The highest likelihood of need, upper bound included, of what a group may hold."""
_YEARS: Final = (3, 2, 1)
_OBVIOUS_RISKS: Final = frozenset(("low", "medium"))


class DecisionGroup(NamedTuple):
    """Removals that one decision covers.

    `id` depends on the members alone, so a decision about the group is about exactly these. `findings` are their ids, in
    the order of the review. `likelihood` is the highest upper bound of need among them, None where nobody is left who
    could need them. `expected` is how many of them are expected to be needed again.
    """

    id: str
    what: str
    findings: tuple[str, ...]
    holders: int
    likelihood: float | None
    expected: float


class Triage(NamedTuple):
    """The open decisions of a review: groups, and single ones in the order in which a person should be asked.

    `open` is the number of findings that need a decision, `saved` how many decisions the groups save.
    """

    open: int
    saved: int
    groups: tuple[DecisionGroup, ...]
    questions: tuple[str, ...]


def sort_out(findings: Iterable[Finding]) -> Triage:
    """Group the obvious removals, and order the other open decisions.

    A removal is obvious if no guard holds it back and its holder has left, or if its risk is low or medium, it was not
    used for a year, and the upper bound of its likelihood is at most 0.5 %. Use after the last day of a leaver is never
    obvious. A group has two members or more. First of the questions is where the answer is least certain and the risk
    highest; a finding without a likelihood is as uncertain as one with 50 %.
    """
    # What is used and kept is no question; a large review does not list it.
    undecided = [
        finding for finding in undecided_findings(findings) if finding.verdict != "used" or finding.proposal != "keep"
    ]
    by_key: dict[str, list[Finding]] = {}
    for finding in undecided:
        if key := _group_key(finding):
            by_key.setdefault(key, []).append(finding)
    groups = tuple(_group(what, members) for what, members in by_key.items() if len(members) > 1)
    grouped = {name for group in groups for name in group.findings}
    questions = sorted((found for found in undecided if found.id not in grouped), key=_least_informative_last)
    saved = sum(len(group.findings) - 1 for group in groups)
    return Triage(len(undecided), saved, groups, tuple(finding.id for finding in questions))


def information(finding: Finding) -> float:
    """How much an answer about a finding tells: its uncertainty, between 0 and 1, times its risk score."""
    likelihood = 0.5 if finding.likelihood is None else finding.likelihood
    return 4 * likelihood * (1 - likelihood) * finding.score


def _least_informative_last(finding: Finding) -> float:
    # Ties stay in the order of the review, the most urgent first.
    return -information(finding)


def _group_key(finding: Finding) -> str:
    """What the members of a finding's group have in common; "" if it is not obvious."""
    if finding.proposal != "remove" or finding.guards or finding.of != "subject":
        return ""
    if finding.verdict == "leaver":
        return "" if finding.used_after_leaving else "held by people who have left"
    bound = finding.likelihood_bound
    if finding.risk not in _OBVIOUS_RISKS or bound is None or bound > OBVIOUS_LIKELIHOOD:
        return ""
    for years in _YEARS:
        if (finding.idle or 0) >= 365 * years:
            return f"unused for {count_noun(years, 'year')} or more"
    return ""


def _group(what: str, members: list[Finding]) -> DecisionGroup:
    bounds = [finding.likelihood_bound for finding in members if finding.likelihood_bound is not None]
    return DecisionGroup(
        sha256("\0".join(sorted(finding.id for finding in members)).encode()).hexdigest()[:16],
        what,
        tuple(finding.id for finding in members),
        len({(finding.issuer, finding.name) for finding in members}),
        max(bounds, default=None),
        sum(finding.likelihood or 0.0 for finding in members),
    )


def describe_group(group: DecisionGroup) -> str:
    """A group in a sentence."""
    return f"{describe_members(group)}, {describe_reason(group)}: one decision"


def describe_members(group: DecisionGroup) -> str:
    """How many grants a group has, of how many holders."""
    return f"{count_noun(len(group.findings), 'grant')} of {count_noun(group.holders, 'holder')}"


def describe_reason(group: DecisionGroup) -> str:
    """Why the removals of a group are obvious."""
    likely = "" if group.likelihood is None else f", likelihood of need at most {format_percent(group.likelihood)}"
    return f"{group.what}{likely}"


def describe_triage(triage: Triage) -> str:
    """How many decisions are open, and how many the groups save; "" where nothing is open."""
    if not triage.open:
        return ""
    left = triage.open - triage.saved
    if not triage.groups:
        return f"{count_noun(triage.open, 'finding')} to decide"
    text = f"{count_noun(left, 'decision')} about {count_noun(triage.open, 'finding')}"
    return f"{text}: {count_noun(len(triage.groups), 'group')} of obvious removals {_saves(triage)}"


def _saves(triage: Triage) -> str:
    return f"{'saves' if len(triage.groups) == 1 else 'save'} {count_noun(triage.saved, 'decision')}"
