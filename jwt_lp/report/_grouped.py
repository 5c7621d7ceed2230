"""What of it does a reader see first?

Findings are gathered by permission, role, subject or owner: in the text and on the page only.
"""

from __future__ import annotations

import textwrap
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Literal, TypeAlias

from jwt_lp.report._words import (
    PROPOSALS,
    VERDICTS,
    brief,
    count,
    moment,
    numbers,
    percent,
    population,
    rule,
    shown,
    warnings,
    window,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from jwt_lp.review.values import Backtest, Finding, Review, Traded

By: TypeAlias = Literal["permission", "role", "subject", "owner"]

MANY: Final = 500
"""With more findings than that, groups come first."""

_EXAMPLES: Final = 3
_INDENT: Final = "  "


@dataclass(frozen=True, slots=True)
class Group:
    """Findings that have something in common; `due` of them are proposed to go or to be narrowed."""

    name: str
    findings: tuple[Finding, ...]
    due: int

    def of(self, verdict: str) -> int:
        """How many have this verdict."""
        return sum(1 for each in self.findings if each.verdict == verdict)


def grouped(findings: Sequence[Finding], by: By) -> list[Group]:
    """The findings in groups, in which they keep their order; what has most to decide comes first."""
    gathered: dict[str, list[Finding]] = {}
    for each in findings:
        gathered.setdefault(_key(each, by), []).append(each)
    groups = [
        Group(name, tuple(found), sum(1 for each in found if each.proposal != "keep"))
        for name, found in gathered.items()
    ]
    return sorted(groups, key=lambda group: (-group.due, -len(group.findings), group.name))


def _key(finding: Finding, by: By) -> str:
    if by == "permission":
        return finding.grant or "(no permission)"
    if by == "role":
        return (finding.name if finding.of == "role" else finding.role) or "(no role)"
    if by == "owner":
        return finding.owner or "(no owner)"
    return holder(finding)


def holder(finding: Finding) -> str:
    """Whose it is."""
    return f"{finding.of} {finding.name or '(no name)'}"


def as_text(review: Review, by: By | None, top: int, width: int | None) -> str:
    """The overview, then the findings; lines are folded at `width`."""
    return _folded((*_overview(review), "", *_findings(review, by, top)), width)


def trades_as_text(backtest: Backtest, width: int | None) -> str:
    """What each setting would have cost."""
    return _folded(_trades(backtest), width)


def _overview(review: Review) -> Iterator[str]:
    yield f"Review of {shown(review.store)} on {review.now}, made at {moment(review.made_at)}"
    yield f"Population: {population(review)}"
    yield f"Window: {window(review)}"
    yield f"Rule: {rule(review.judging)}"
    for name, known, found in (
        ("Verdicts", VERDICTS, Counter(str(each.verdict) for each in review.findings)),
        ("Proposals", PROPOSALS, Counter(str(each.proposal) for each in review.findings)),
    ):
        yield f"{name}: " + (", ".join(f"{found[each]:,} {each}" for each in known if found[each]) or "none")
    if review.backtest is not None:
        yield f"In the past: {recommendation(review.backtest)}"
    for warning in warnings(review):
        yield f"!! {warning}"
    for note in review.notes:
        yield f"!! {brief(note)}"
    yield f"Made from: sha256 {shown(review.digest)}" + (f", policy {shown(review.policy)}" if review.policy else "")


def _findings(review: Review, by: By | None, top: int) -> Iterator[str]:
    found = review.findings
    if not found:
        yield "Nothing was found. That says nothing about what is not in the population."
        return
    if by is None and len(found) <= MANY:
        yield count(len(found), "finding")
        for each in found:
            yield from _lines(each, _INDENT)
        return
    by = by or "permission"
    groups = grouped(found, by)
    yield f"{count(len(found), 'finding')} by {by}, in {count(len(groups), 'group')}"
    for group in groups[:top]:
        yield ""
        parts = ", ".join(f"{group.of(each):,} {each}" for each in VERDICTS if group.of(each))
        yield f"{brief(group.name)}: {count(len(group.findings), 'finding')}, {group.due:,} due ({parts})"
        examples = group.findings if len(found) <= MANY else group.findings[:_EXAMPLES]
        for each in examples:
            yield from _lines(each, _INDENT)
        if len(group.findings) > len(examples):
            yield f"{_INDENT}... and {len(group.findings) - len(examples):,} more"
    yield ""
    if len(groups) > top:
        yield f"{count(len(groups) - top, 'more group')} with {sum(len(each.findings) for each in groups[top:]):,} findings"
    yield "Every finding: --format csv, --format json, or --html FILE; otherwise grouped: --by permission, role, subject, owner"


def _lines(finding: Finding, indent: str) -> Iterator[str]:
    """One line; a second one where there is something to know before it is decided."""
    by_role = f" by role {brief(finding.role)}" if finding.role and finding.of != "role" else ""
    # A comma between patterns could be part of none of them.
    instead = f" to {brief(', '.join(finding.instead))}" if finding.instead else ""
    yield (
        f"{indent}{finding.verdict}, {finding.proposal}{instead}: {brief(holder(finding))} {brief(finding.grant)}{by_role}"
        f" ({', '.join(numbers(finding))}; risk {shown(finding.risk)}) {brief(finding.reason)} [{shown(finding.id)}]"
    )
    for label, said in (("held back by", finding.guards), ("also held", finding.others), ("because", finding.because)):
        if said:
            yield f"{indent}{_INDENT}{label}: {brief('; '.join(said))}"


def setting(traded: Traded) -> str:
    """A setting of a rule in a few words."""
    if traded.rule == "fixed":
        return f"{traded.threshold:g} days unused"
    return f"likelihood under {percent(traded.threshold)}"


def recommendation(backtest: Backtest) -> str:
    """What the past recommends."""
    best = backtest.recommended
    if best is None:
        return "the history is too short to recommend a setting"
    return (
        f"{setting(best)} would have taken back {best.taken_back:,} and regretted {best.regretted:,} "
        f"({percent(best.regret)}), with {best.days_needlessly_held:,} days needlessly held"
    )


def _trades(backtest: Backtest) -> Iterator[str]:
    yield (
        f"Backtest: reviews from {backtest.first_review} to {backtest.last_day}, each {count(backtest.horizon, 'day')} "
        f"ahead, over {count(backtest.pairs, 'pair')} of subject and permission"
    )
    if backtest.sampled < 1:
        yield f"!! {percent(backtest.sampled)} of the subjects were replayed"
    for each in backtest.settings:
        mark = "*" if each == backtest.recommended else " "
        yield (
            f"{mark} {setting(each)}: {each.taken_back:,} taken back, {each.regretted:,} regretted "
            f"({percent(each.regret)}), {each.days_needlessly_held:,} days needlessly held"
        )
    yield f"Recommended: {recommendation(backtest)}"


def _folded(lines: Sequence[str] | Iterator[str], width: int | None) -> str:
    folded: list[str] = []
    for line in lines:
        indent = line[: len(line) - len(line.lstrip())] + _INDENT * 2
        wrapped = textwrap.wrap(line, width, subsequent_indent=indent, drop_whitespace=True) if width else [line]
        folded += wrapped or [""]
    return "".join(f"{line.rstrip()}\n" for line in folded)
