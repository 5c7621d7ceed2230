"""What of it does a reader see first?

Findings are gathered by permission, role, subject or owner: in the text and on the page only.
"""

from __future__ import annotations

import textwrap
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Literal, TypeAlias

from jwt_lp.review.report.wording import (
    PROPOSALS,
    VERDICTS,
    count_noun,
    describe_counts,
    describe_population,
    describe_rule,
    describe_window,
    escape_unprintable,
    exclusion_warnings,
    format_percent,
    format_time,
    shorten,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from jwt_lp.review.findings import Backtest, BacktestedSetting, Finding, Review

By: TypeAlias = Literal["permission", "role", "subject", "owner"]

GROUP_ABOVE: Final = 500
"""With more findings than that, groups come first."""

_EXAMPLES: Final = 3
_INDENT: Final = "  "


@dataclass(frozen=True, slots=True)
class FindingGroup:
    """Findings that have something in common; `due` of them are proposed to go or to be narrowed."""

    name: str
    findings: tuple[Finding, ...]
    due: int

    def of(self, verdict: str) -> int:
        """How many have this verdict."""
        return sum(1 for each in self.findings if each.verdict == verdict)


def group_findings(findings: Sequence[Finding], by: By) -> list[FindingGroup]:
    """The findings in groups, in which they keep their order; what has most to decide comes first."""
    gathered: dict[str, list[Finding]] = {}
    for each in findings:
        gathered.setdefault(_group_key(each, by), []).append(each)
    groups = [
        FindingGroup(name, tuple(found), sum(1 for each in found if each.proposal != "keep"))
        for name, found in gathered.items()
    ]
    return sorted(groups, key=lambda group: (-group.due, -len(group.findings), group.name))


def _group_key(finding: Finding, by: By) -> str:
    if by == "permission":
        return finding.grant or "(no permission)"
    if by == "role":
        return (finding.name if finding.of == "role" else finding.role) or "(no role)"
    if by == "owner":
        return finding.owner or "(no owner)"
    return holder_label(finding)


def holder_label(finding: Finding) -> str:
    """Whose permission it is."""
    return f"{finding.of} {finding.name or '(no name)'}"


def render_text(review: Review, by: By | None, top: int, width: int | None) -> str:
    """The overview, then the findings; lines are folded at `width`."""
    return _fold_lines((*_overview_lines(review), "", *_finding_lines(review, by, top)), width)


def render_backtest_text(backtest: Backtest, width: int | None) -> str:
    """What each setting would have cost."""
    return _fold_lines(_backtest_lines(backtest), width)


def _overview_lines(review: Review) -> Iterator[str]:
    yield f"Review of {escape_unprintable(review.store)} on {review.now}, made at {format_time(review.made_at)}"
    yield f"Population: {describe_population(review)}"
    yield f"Window: {describe_window(review)}"
    yield f"Rule: {describe_rule(review.judging)}"
    for name, known, found in (
        ("Verdicts", VERDICTS, Counter(str(each.verdict) for each in review.findings)),
        ("Proposals", PROPOSALS, Counter(str(each.proposal) for each in review.findings)),
    ):
        yield f"{name}: " + (", ".join(f"{found[each]:,} {each}" for each in known if found[each]) or "none")
    if review.backtest is not None:
        yield f"In the past: {describe_recommendation(review.backtest)}"
    for warning in exclusion_warnings(review):
        yield f"!! {warning}"
    for note in review.notes:
        yield f"!! {shorten(note)}"
    yield f"Made from: sha256 {escape_unprintable(review.digest)}" + (
        f", policy {escape_unprintable(review.policy)}" if review.policy else ""
    )


def _finding_lines(review: Review, by: By | None, top: int) -> Iterator[str]:
    found = review.findings
    if not found:
        yield "Nothing was found. That says nothing about what is not in the population."
        return
    if by is None and len(found) <= GROUP_ABOVE:
        yield count_noun(len(found), "finding")
        for each in found:
            yield from _lines_of(each, _INDENT)
        return
    by = by or "permission"
    groups = group_findings(found, by)
    yield f"{count_noun(len(found), 'finding')} by {by}, in {count_noun(len(groups), 'group')}"
    for group in groups[:top]:
        yield ""
        parts = ", ".join(f"{group.of(each):,} {each}" for each in VERDICTS if group.of(each))
        yield f"{shorten(group.name)}: {count_noun(len(group.findings), 'finding')}, {group.due:,} due ({parts})"
        examples = group.findings if len(found) <= GROUP_ABOVE else group.findings[:_EXAMPLES]
        for each in examples:
            yield from _lines_of(each, _INDENT)
        if len(group.findings) > len(examples):
            yield f"{_INDENT}... and {len(group.findings) - len(examples):,} more"
    yield ""
    if len(groups) > top:
        yield f"{count_noun(len(groups) - top, 'more group')} with {sum(len(each.findings) for each in groups[top:]):,} findings"
    yield "Every finding: --format csv, --format json, or --html FILE; otherwise grouped: --by permission, role, subject, owner"


def _lines_of(finding: Finding, indent: str) -> Iterator[str]:
    """One line; a second one where there is something to know before it is decided."""
    by_role = f" by role {shorten(finding.role)}" if finding.role and finding.of != "role" else ""
    # A comma between patterns could be part of none of them.
    instead = f" to {shorten(', '.join(finding.instead))}" if finding.instead else ""
    yield (
        f"{indent}{finding.verdict}, {finding.proposal}{instead}: {shorten(holder_label(finding))} {shorten(finding.grant)}{by_role}"
        f" ({', '.join(describe_counts(finding))}; risk {escape_unprintable(finding.risk)}) {shorten(finding.reason)} [{escape_unprintable(finding.id)}]"
    )
    for label, said in (("held back by", finding.guards), ("also held", finding.others), ("because", finding.because)):
        if said:
            yield f"{indent}{_INDENT}{label}: {shorten('; '.join(said))}"


def describe_setting(traded: BacktestedSetting) -> str:
    """A setting of a rule in a few words."""
    if traded.rule == "fixed":
        return f"{traded.threshold:g} days unused"
    return f"likelihood under {format_percent(traded.threshold)}"


def describe_recommendation(backtest: Backtest) -> str:
    """What the past recommends."""
    best = backtest.recommended
    if best is None:
        return "the history is too short to recommend a setting"
    return (
        f"{describe_setting(best)} would have revoked {best.revoked:,} and regretted {best.regretted:,} "
        f"({format_percent(best.regret)}), with {best.days_needlessly_held:,} days needlessly held"
    )


def _backtest_lines(backtest: Backtest) -> Iterator[str]:
    yield (
        f"Backtest: reviews from {backtest.first_review} to {backtest.last_day}, each {count_noun(backtest.horizon, 'day')} "
        f"ahead, over {count_noun(backtest.pairs, 'pair')} of subject and permission"
    )
    if backtest.sampled < 1:
        yield f"!! {format_percent(backtest.sampled)} of the subjects were replayed"
    for each in backtest.settings:
        mark = "*" if each == backtest.recommended else " "
        yield (
            f"{mark} {describe_setting(each)}: {each.revoked:,} revoked, {each.regretted:,} regretted "
            f"({format_percent(each.regret)}), {each.days_needlessly_held:,} days needlessly held"
        )
    yield f"Recommended: {describe_recommendation(backtest)}"


def _fold_lines(lines: Sequence[str] | Iterator[str], width: int | None) -> str:
    folded: list[str] = []
    for line in lines:
        indent = line[: len(line) - len(line.lstrip())] + _INDENT * 2
        wrapped = textwrap.wrap(line, width, subsequent_indent=indent, drop_whitespace=True) if width else [line]
        folded += wrapped or [""]
    return "".join(f"{line.rstrip()}\n" for line in folded)
