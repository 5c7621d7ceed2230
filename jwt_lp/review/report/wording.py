"""In which words is a review told?

The same words on a terminal and on a page. What somebody else wrote, a name in a token or in a list, becomes text
here that steers neither.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterator

    from jwt_lp.review.findings import AppliedRule, Finding, Review

VERDICTS: Final = {
    "used": "used within the rule",
    "unused": "used before, and not since",
    "dormant": "held and never used",
    "unobservable": "no known enforcement point asks for it: its need cannot be told",
    "needed-but-denied": "asked for and refused",
}
PROPOSALS: Final = {
    "remove": "the rule alone would remove it",
    "narrow": "a narrower list would do",
    "keep": "the rule alone would keep it",
}
KINDS: Final = {
    "grant": "a grant of a holder",
    "wildcard": "a pattern broader than its use",
    "role": "a grant of a role",
    "member": "a member who needs little of a role",
    "split": "a role that could be split",
    "requirement": "a requirement that no request reached",
    "permission": "a permission that no route asks for",
    "regret": "revoked, and asked for since",
}

_MAX_LENGTH: Final = 300


def escape_unprintable(value: object) -> str:
    """`value` as text with every character escaped that is not printable, line ends and turns of direction included."""
    text = str(value)
    if text.isprintable():
        return text
    return "".join(each if each.isprintable() else each.encode("unicode_escape").decode() for each in text)


def shorten(value: object) -> str:
    """`shown`, and never long: for what a client or a token chose."""
    text = escape_unprintable(value)
    return text if len(text) <= _MAX_LENGTH else f"{text[:_MAX_LENGTH]}..."


def count_noun(number: int, noun: str) -> str:
    """`number` of `noun`, which takes an s."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def format_time(seconds: float) -> str:
    """Seconds since the epoch as a date and time in UTC, to the second."""
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%dT%H:%M:%SZ}"


def describe_use(finding: Finding) -> str:
    """How often, and when last."""
    if not finding.uses:
        return "never used"
    on = f" on {count_noun(finding.days, 'day')}" if finding.days else ""
    ago = "" if finding.idle is None else f", {count_noun(finding.idle, 'day')} ago"
    return f"{count_noun(finding.uses, 'use')}{on}, last {finding.last_day or 'on a day not known'}{ago}"


def describe_counts(finding: Finding) -> Iterator[str]:
    """All that was counted, in a few words each."""
    if finding.members:
        yield f"{finding.users:,} of {count_noun(finding.members, 'member')} used it"
    yield describe_use(finding)
    if finding.held_since:
        yield f"held since {finding.held_since}"
    if finding.denied:
        yield f"refused {count_noun(finding.denied, 'time')}"
    if finding.refused_since:
        yield f"refused {count_noun(finding.refused_since, 'time')} since it was revoked"
    if finding.likelihood is not None:
        yield f"likelihood of need {format_percent(finding.likelihood)}"


def format_percent(share: float) -> str:
    """A share between 0 and 1; what is nearly none or nearly all is not said to be none or all."""
    if 0 < share < 0.001:  # noqa: PLR2004 - the last digit that is written
        return "< 0.1 %"
    if 0.999 < share < 1:  # noqa: PLR2004
        return "> 99.9 %"
    return f"{share * 100:.1f} %"


def describe_window(review: Review) -> str:
    """The days that were looked at, until when the store has all of it, and what was lost."""
    days = review.window
    said = (
        f"{days.first_day or 'no day'} to {days.last_day}, with a record on {count_noun(days.recorded_days, 'day')}; "
        f"complete until {days.fresh_until or 'no day that is known'}"
    )
    return f"{said}; {count_noun(days.dropped, 'decision')} lost before they were stored" if days.dropped else said


def describe_population(review: Review) -> str:
    """Who was looked at, and how many."""
    who = review.population
    parts = ", ".join(
        (
            count_noun(who.subjects, "subject"),
            count_noun(who.clients, "client"),
            count_noun(who.roles, "role"),
            count_noun(who.grants, "grant"),
        )
    )
    return f"{who}: {parts}"


def describe_rule(judging: AppliedRule) -> str:
    """The rule that judged, in a sentence."""
    if judging.rule == "fixed":
        said = f"not needed is what was not used for {count_noun(round(judging.threshold), 'day')}"
    else:
        said = (
            f"not needed is what is needed within {count_noun(judging.horizon, 'day')} with a likelihood "
            f"under {format_percent(judging.threshold)}, fitted on {count_noun(judging.fitted_on, 'past case')}"
        )
    return f"{said}; never before {count_noun(judging.floor, 'day')} without use, nor in the first {judging.grace} of a grant"


def exclusion_warnings(review: Review) -> list[str]:
    """What nobody may overlook; the review's notes come after it."""
    excluded = review.population.excluded
    if not excluded:
        return []
    return [f"{count_noun(excluded, 'finding')} excluded by an exemption or a filter: left out, not found clean"]
