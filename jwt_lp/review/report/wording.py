"""Wording of a review, shared by text and page.

Names from tokens and lists are escaped here, so that they control neither a terminal nor a page.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

from jwt_lp.review.quantities import count_noun, count_times, format_percent, format_quantity

if TYPE_CHECKING:
    from collections.abc import Iterator

    from jwt_lp.review.elevation_values import ElevationCost
    from jwt_lp.review.findings import AppliedRule, BacktestedSetting, Finding, Review

VERDICTS: Final = {
    "leaver": "held by a person who has left",
    "used": "needed, by the rule",
    "unused": "used before, but not needed any more, by the rule",
    "dormant": "held, but never used",
    "unobservable": "no known enforcement point requires it, so its need is unknown",
    "needed-but-denied": "requested and refused",
}
PROPOSALS: Final = {
    "remove": "the rule would remove it",
    "narrow": "narrower grants would suffice",
    "keep": "the rule or a guard keeps it",
}
KINDS: Final = {
    "grant": "a grant of a holder",
    "wildcard": "a pattern broader than its use",
    "role": "a grant of a role",
    "member": "a member who needs little of a role",
    "split": "a role that could be split",
    "requirement": "a requirement that no request reached",
    "permission": "a permission that no route requires",
    "regret": "revoked, and requested since",
}

_MAX_LENGTH: Final = 300


def escape_unprintable(value: object) -> str:
    """`value` as text, with every character escaped that is not printable, such as line ends and direction marks."""
    text = str(value)
    if text.isprintable():
        return text
    return "".join(char if char.isprintable() else char.encode("unicode_escape").decode() for char in text)


def shorten(value: object) -> str:
    """`value` as printable text of limited length, for text from a client or a token."""
    text = escape_unprintable(value)
    return text if len(text) <= _MAX_LENGTH else f"{text[:_MAX_LENGTH]}..."


def format_time(seconds: float) -> str:
    """Seconds since the epoch as a date and time in UTC, to the second."""
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%dT%H:%M:%SZ}"


def describe_use(finding: Finding) -> str:
    """The number of uses, and the last one."""
    if not finding.uses:
        return "never used"
    on = f" on {count_noun(finding.days, 'day')}" if finding.days else ""
    ago = "" if finding.idle is None else f", {count_noun(finding.idle, 'day')} ago"
    return f"{count_noun(finding.uses, 'use')}{on}, last {finding.last_day or 'on an unknown day'}{ago}"


def describe_person(finding: Finding) -> Iterator[str]:
    """Who the holder of a finding's grant is, in a few words each."""
    if finding.person_name:
        yield finding.person_name
    if finding.team:
        yield f"team {finding.team}"
    if finding.manager:
        yield f"manager {finding.manager}"
    if finding.left:
        yield f"last day {finding.left}"
    elif finding.active:
        yield f"active: {finding.active}"


def describe_likelihood(likelihood: float, judging: AppliedRule) -> str:
    """A likelihood of need, and the limit of the rule if the rule judges by likelihood."""
    limit = f", limit {format_percent(judging.threshold)}" if judging.rule == "likelihood" else ""
    return f"{format_percent(likelihood)}{limit}"


def describe_change(finding: Finding) -> str:
    """What is different about a finding since the earlier review; "" if nothing is."""
    return {"new": "new since the last review", "came-back": "came back since the last review"}.get(finding.change, "")


def describe_counts(finding: Finding, judging: AppliedRule) -> Iterator[str]:
    """The counts of a finding, in a few words each."""
    if finding.members:
        yield f"{finding.users:,} of {count_noun(finding.members, 'member')} used it"
    yield describe_use(finding)
    if finding.held_since:
        yield f"held since {finding.held_since}"
    if finding.denied:
        yield f"refused {count_times(finding.denied)}"
    if finding.refused_since:
        yield f"refused {count_times(finding.refused_since)} since it was revoked"
    if finding.likelihood is not None:
        yield f"likelihood of need {describe_likelihood(finding.likelihood, judging)}"


def describe_window(review: Review) -> str:
    """The days that were reviewed, the last day with complete records, and the decisions that were lost."""
    window = review.window
    text = (
        f"{window.first_day or 'unknown'} to {window.last_day}, recorded on {count_noun(window.recorded_days, 'day')}; "
        f"complete until {window.fresh_until or 'unknown'}"
    )
    return f"{text}; {count_noun(window.dropped, 'decision')} lost before they were stored" if window.dropped else text


def describe_population(review: Review) -> str:
    """The population, and its size."""
    population = review.population
    parts = ", ".join(
        (
            count_noun(population.subjects, "subject"),
            count_noun(population.clients, "client"),
            count_noun(population.roles, "role"),
            count_noun(population.grants, "grant"),
        )
    )
    return f"{population}: {parts}"


def describe_rule(judging: AppliedRule) -> str:
    """The rule of the review, in a sentence."""
    if judging.rule == "fixed":
        text = f"a grant is unused after {count_noun(round(judging.threshold), 'day')} without use"
    else:
        text = (
            f"a grant is unused if its likelihood of need within {count_noun(judging.horizon, 'day')} is at most "
            f"{format_percent(judging.threshold)}, fitted on {count_noun(judging.fitted_on, 'past case')}"
        )
    return (
        f"{text}; never removed if used within the last {count_noun(judging.floor, 'day')}, or held for less than "
        f"{count_noun(judging.grace, 'day')}"
    )


def describe_setting(setting: BacktestedSetting | ElevationCost) -> str:
    """A setting of a rule in a few words."""
    if setting.rule == "fixed":
        return f"{setting.threshold:,g} days unused"
    return f"likelihood up to {format_percent(setting.threshold)}"


def exclusion_warnings(review: Review) -> list[str]:
    """The warnings that come before the review's notes."""
    excluded = review.population.excluded
    if not excluded:
        return []
    return [f"{count_noun(excluded, 'finding')} excluded by an exemption or a filter, which is no approval"]


def describe_comparison(review: Review) -> str:
    """What is new, what came back and what is gone since the earlier review; "" without one."""
    comparison = review.comparison
    if comparison is None:
        return ""
    gone = len(comparison.gone_on(review.now))
    return (
        f"since the review of {comparison.now}: {count_noun(comparison.new, 'new finding')}, "
        f"{comparison.came_back:,} came back, {count_noun(gone, 'grant')} gone"
    )


def describe_budget(review: Review) -> str:
    """What the regret budget allows, and what one more person or grant would; "" without a budget."""
    result = review.budget
    if result is None:
        return ""
    unit = "person" if " pe" in result.budget else "grant"
    return (
        f"{result.budget}: {count_noun(result.inside, 'proposal')} inside it, {result.outside:,} outside; expected to be "
        f"needed again within {count_noun(result.days, 'day')}: {format_quantity(result.expected)}, and in 19 "
        f"of 20 cases at most {result.bound:,}; one more {unit} would allow {count_noun(result.one_more, 'more proposal')}"
    )


def describe_unlisted(review: Review) -> str:
    """The number of findings that are counted only; "" where every finding is listed."""
    if not review.unlisted:
        return ""
    return (
        f"{count_noun(review.unlisted, 'grant')} used and kept: counted here, "
        "listed one by one with --format json and --format csv"
    )
