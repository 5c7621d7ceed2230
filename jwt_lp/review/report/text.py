"""Text report of a review, and the groups of findings that text and page show.

Findings are grouped by permission, role, subject, manager or team.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Literal, TypeAlias

from jwt_lp.review.plan.decision_groups import describe_group, describe_triage, sort_out
from jwt_lp.review.quantities import count_noun, format_percent
from jwt_lp.review.report.backtest_text import (
    describe_drawback,
    describe_past,
    describe_recommendation,
    fold_lines,
)
from jwt_lp.review.report.elevations import describe_elevations, elevation_lines
from jwt_lp.review.report.wording import (
    PROPOSALS,
    VERDICTS,
    describe_budget,
    describe_change,
    describe_comparison,
    describe_counts,
    describe_person,
    describe_population,
    describe_rule,
    describe_unlisted,
    describe_window,
    escape_unprintable,
    exclusion_warnings,
    format_time,
    shorten,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from jwt_lp.review.findings import AppliedRule, Finding, Review

By: TypeAlias = Literal["permission", "role", "subject", "manager", "team"]

GROUP_ABOVE: Final = 500
"""The number of findings above which text groups them by default."""

_EXAMPLES: Final = 3
_MOST_GONE: Final = 50
_MOST_ASKED: Final = 5
_INDENT: Final = "  "


@dataclass(frozen=True, slots=True)
class FindingGroup:
    """Findings with a common key; `due` is the number of proposed removals and narrowings."""

    name: str
    findings: tuple[Finding, ...]
    due: int

    def of(self, verdict: str) -> int:
        """The number of findings with this verdict."""
        return sum(1 for finding in self.findings if finding.verdict == verdict)


def group_findings(findings: Sequence[Finding], by: By) -> list[FindingGroup]:
    """The findings in groups, each in the given order; the group with the most decisions comes first."""
    by_key: dict[str, list[Finding]] = {}
    for finding in findings:
        by_key.setdefault(_group_key(finding, by), []).append(finding)
    groups = [
        FindingGroup(name, tuple(members), sum(1 for finding in members if finding.proposal != "keep"))
        for name, members in by_key.items()
    ]
    return sorted(groups, key=lambda group: (-group.due, -len(group.findings), group.name))


def _group_key(finding: Finding, by: By) -> str:
    if by == "permission":
        return finding.grant or "(no permission)"
    if by == "role":
        return (finding.name if finding.of == "role" else finding.role) or "(no role)"
    if by in ("manager", "team"):
        return (finding.manager if by == "manager" else finding.team) or f"(no {by})"
    return holder_label(finding)


def holder_label(finding: Finding) -> str:
    """The holder of the finding's grant."""
    name = f" ({finding.person_name})" if finding.person_name else ""
    return f"{finding.of} {finding.name or '(no name)'}{name}"


def render_text(review: Review, by: By | None, top: int, width: int | None) -> str:
    """The overview, the findings, then what was used by elevations; lines are folded at `width` columns."""
    lines = (*_overview_lines(review), "", *_finding_lines(review, by, top), *elevation_lines(review, top))
    return fold_lines(lines, width)


def _overview_lines(review: Review) -> Iterator[str]:
    yield f"Review of {escape_unprintable(review.store)} on {review.now}, made at {format_time(review.made_at)}"
    yield f"Population: {describe_population(review)}"
    yield f"Window: {describe_window(review)}"
    yield f"Rule: {describe_rule(review.judging)}"
    for title, values, counts in (
        ("Verdicts", VERDICTS, Counter(str(finding.verdict) for finding in review.findings)),
        ("Proposals", PROPOSALS, Counter(str(finding.proposal) for finding in review.findings)),
    ):
        yield f"{title}: " + (", ".join(f"{counts[value]:,} {value}" for value in values if counts[value]) or "none")
    for title, summary in (
        ("Decisions", describe_triage(sort_out(review.findings))),
        ("Budget", describe_budget(review)),
        ("Changes", describe_comparison(review)),
        ("Elevations", describe_elevations(review)),
    ):
        if summary:
            yield f"{title}: {summary}"
    if review.backtest is not None:
        if drawback := describe_drawback(review.backtest):
            yield f"!! {drawback}"
        yield f"Past of this rule: {describe_past(review.backtest, with_budget=review.budget is not None)}"
        yield f"Recommended: {describe_recommendation(review.backtest)}"
    for warning in exclusion_warnings(review):
        yield f"!! {warning}"
    for note in review.notes:
        yield f"!! {shorten(note)}"
    if unlisted := describe_unlisted(review):
        yield f"!! {unlisted}"
    yield f"Input: sha256 {escape_unprintable(review.digest)}" + (
        f", policy {escape_unprintable(review.policy)}" if review.policy else ""
    )


def _finding_lines(review: Review, by: By | None, top: int) -> Iterator[str]:
    findings = review.findings
    if not findings:
        yield "No findings. This says nothing about grants outside the population."
        return
    if by is None and len(findings) <= GROUP_ABOVE:
        yield from _triage_lines(review)
        yield count_noun(len(findings), "finding")
        for finding in findings:
            yield from _lines_of(finding, review.judging, _INDENT)
        yield from _gone_lines(review)
        return
    by = by or "permission"
    yield from _leaver_lines(review, top)
    yield from _triage_lines(review)
    groups = group_findings(findings, by)
    yield f"{count_noun(len(findings), 'finding')} by {by}, in {count_noun(len(groups), 'group')}"
    for group in groups[:top]:
        yield ""
        parts = ", ".join(f"{group.of(verdict):,} {verdict}" for verdict in VERDICTS if group.of(verdict))
        yield f"{shorten(group.name)}: {count_noun(len(group.findings), 'finding')}, {group.due:,} due ({parts})"
        examples = group.findings if len(findings) <= GROUP_ABOVE else group.findings[:_EXAMPLES]
        for finding in examples:
            yield from _lines_of(finding, review.judging, _INDENT)
        if len(group.findings) > len(examples):
            yield f"{_INDENT}... and {len(group.findings) - len(examples):,} more"
    yield ""
    if len(groups) > top:
        hidden = sum(len(group.findings) for group in groups[top:])
        yield f"{count_noun(len(groups) - top, 'more group')} with {count_noun(hidden, 'finding')}"
    yield from _gone_lines(review)
    yield (
        "For every finding: --format csv, --format json or --html FILE. "
        "To group them otherwise: --by permission, role, subject, manager or team"
    )


def _triage_lines(review: Review) -> Iterator[str]:
    """A line for each group of obvious removals, and the findings that a person should be asked about first."""
    triage = sort_out(review.findings)
    if not triage.groups:
        return
    by_id = {finding.id: finding for finding in review.findings}
    yield "Decide at once"
    for group in triage.groups:
        yield f"{_INDENT}{describe_group(group)} [{group.id}]"
    if triage.questions:
        yield "Ask first, because the answer is least certain and the risk highest"
        for name in triage.questions[:_MOST_ASKED]:
            yield f"{_INDENT}{_question(by_id[name])} [{escape_unprintable(name)}]"
    yield ""


def _question(finding: Finding) -> str:
    likely = "" if finding.likelihood is None else f", likelihood of need {format_percent(finding.likelihood)}"
    holder = shorten(holder_label(finding))
    return f"{holder} {shorten(finding.grant or finding.role)}: score {finding.score}{likely}"


def _leaver_lines(review: Review, top: int) -> Iterator[str]:
    """A line for each leaver, before findings that are grouped otherwise."""
    leavers: dict[tuple[str, str], list[Finding]] = {}
    for finding in review.findings:
        if finding.verdict == "leaver":
            leavers.setdefault((finding.issuer, finding.name), []).append(finding)
    if not leavers:
        return
    number = sum(map(len, leavers.values()))
    yield f"{count_noun(number, 'finding')} about {count_noun(len(leavers), 'leaver')}"
    for findings in list(leavers.values())[:top]:
        late = sum(finding.used_after_leaving for finding in findings)
        after = f", {late:,} used after the last day" if late else ""
        who = shorten(", ".join(describe_person(findings[0])))
        yield f"{_INDENT}{shorten(findings[0].name)} ({who}): {count_noun(len(findings), 'finding')}{after}"
    if len(leavers) > top:
        yield f"{_INDENT}... and {len(leavers) - top:,} more"
    yield ""


def _gone_lines(review: Review) -> Iterator[str]:
    """The grants that are gone since the earlier review."""
    gone = review.comparison.gone_on(review.now) if review.comparison is not None else ()
    if not gone:
        return
    yield ""
    yield f"Gone since the last review: {count_noun(len(gone), 'grant')}"
    for grant in gone[:_MOST_GONE]:
        by_role = f" by role {shorten(grant.role)}" if grant.role and grant.of != "role" else ""
        what = f" {shorten(grant.grant)}" if grant.grant else ""
        who = f" ({shorten(grant.person_name)})" if grant.person_name else ""
        yield f"{_INDENT}{grant.of} {shorten(grant.name)}{who}{what}{by_role} [{escape_unprintable(grant.id)}]"
    if len(gone) > _MOST_GONE:
        yield f"{_INDENT}... and {len(gone) - _MOST_GONE:,} more"


def _lines_of(finding: Finding, judging: AppliedRule, indent: str) -> Iterator[str]:
    """One line with the finding, then a line each for its person, guards, other grants, reasons and score."""
    by_role = f" by role {shorten(finding.role)}" if finding.role and finding.of != "role" else ""
    # No pattern contains a comma, so commas separate them clearly.
    instead = f" to {shorten(', '.join(finding.instead))}" if finding.instead else ""
    yield (
        f"{indent}{finding.verdict}, {finding.proposal}{instead}: "
        f"{finding.of} {shorten(finding.name or '(no name)')} {shorten(finding.grant)}{by_role} "
        f"({', '.join(describe_counts(finding, judging))}; risk {escape_unprintable(finding.risk)}, "
        f"score {finding.score}) "
        f"{shorten(finding.reason)} [{escape_unprintable(finding.id)}]"
    )
    details = (
        ("person", tuple(describe_person(finding))),
        ("kept because", finding.guards),
        ("elevation", () if finding.just_in_time is None else (finding.just_in_time,)),
        ("also held", finding.others),
        ("likelihood", finding.because),
        ("score", finding.score_parts),
        ("change", (describe_change(finding),) if describe_change(finding) else ()),
    )
    for label, texts in details:
        if texts:
            yield f"{indent}{_INDENT}{label}: {shorten('; '.join(map(str, texts)))}"
