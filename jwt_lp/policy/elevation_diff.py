"""What the elevation rules of one policy allow beyond those of another."""

from __future__ import annotations

from itertools import combinations
from typing import TYPE_CHECKING

from jwt_lp._support.validation import quote_text
from jwt_lp.permissions.grants import common
from jwt_lp.policy.elevation_rules import ANYONE, most_specific

if TYPE_CHECKING:
    from collections.abc import Iterator

    from jwt_lp._support.toml_lines import KeyPath
    from jwt_lp.policy.elevation_rules import ElevationRule
    from jwt_lp.policy.file import Policy


def elevation_widenings(before: Policy, after: Policy) -> Iterator[tuple[KeyPath, str, str]]:
    """Each place in `after`, what it newly allows, and why it was not allowed before.

    The rules are compared for every set of permissions that one of them is about, or two of them together: a rule that is
    removed may leave its permissions to a more general one.
    """
    patterns = dict.fromkeys((*after.elevation, *before.elevation))
    both = (common(one, other) for one, other in combinations(patterns, 2))
    told: set[tuple[str, str]] = set()
    for pattern in dict.fromkeys((*patterns, *filter(None, both))):
        rule = _rule_for(after, pattern)
        if rule is None:
            continue
        was = _rule_for(before, pattern)
        for key, what, why in _wider(was, rule):
            if (rule.pattern, key) not in told:
                told.add((rule.pattern, key))
                yield ("elevation", rule.pattern, *((key,) if key else ())), f"{_elevation_of(pattern)} {what}", why


def _rule_for(policy: Policy, pattern: str) -> ElevationRule | None:
    """The rule that decides about everything that `pattern` covers and no more specific rule does."""
    return most_specific(rule for rule in policy.elevation.values() if rule.contains(pattern))


def _elevation_of(pattern: str) -> str:
    return f"elevation of {quote_text(pattern)}"


def _wider(was: ElevationRule | None, rule: ElevationRule) -> Iterator[tuple[str, str, str]]:
    """The key of each difference that allows more, what it allows, and what was before."""
    if was is None:
        yield "", f"may be asked for by {', '.join(rule.ask)}", "no rule was about it"
        return
    yield from _more_people(was, rule)
    yield from _longer_times(was, rule)
    yield from _less_required(was, rule)


def _more_people(was: ElevationRule, rule: ElevationRule) -> Iterator[tuple[str, str, str]]:
    for entry in rule.ask if was.ask != (ANYONE,) else ():
        if entry not in was.ask:
            yield "ask", f"may be asked for by {entry}", "the entry is new"
    if rule.approve != was.approve:
        yield "approve", f"is approved by holders of {rule.approve}", f"it was {was.approve}"
    if rule.approvals < was.approvals:
        yield "approvals", f"needs approvals: {rule.approvals}", f"it was {was.approvals}"
    for name in rule.approver_issuers:
        if name not in was.approver_issuers:
            yield "approver_issuers", f"is approved by subjects of the issuer {name}", "the entry is new"


def _longer_times(was: ElevationRule, rule: ElevationRule) -> Iterator[tuple[str, str, str]]:
    times = (
        ("longest", rule.longest, was.longest, "may last {} seconds"),
        ("answer", rule.answer, was.answer, "may be answered for {} seconds"),
        # Less is wider here: approvers may be newer.
        ("approver_since", -rule.approver_since, -was.approver_since, "needs approvers of {} seconds"),
    )
    for key, now, then, what in times:
        if now > then:
            yield key, what.format(abs(now)), f"it was {abs(then)}"


def _less_required(was: ElevationRule, rule: ElevationRule) -> Iterator[tuple[str, str, str]]:
    if was.ticket not in ("", rule.ticket):
        needed = f"the ticket {quote_text(rule.ticket)}" if rule.ticket else "no ticket"
        yield "ticket", f"needs {needed}", f"it was {quote_text(was.ticket)}"
    flags = (
        ("self", rule.own, was.own, "may be approved by the asker", "it might not before"),
        ("break_glass", rule.break_glass, was.break_glass, "may be had without an approval", "it might not before"),
        ("reason", not rule.reason, not was.reason, "needs no reason", "it needed one"),
    )
    for key, wider, was_wider, what, why in flags:
        if wider and not was_wider:
            yield key, what, why
