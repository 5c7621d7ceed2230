"""Findings of a whole review, collected holder by holder."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from jwt_lp.review.analysis.client_findings import ClientFindings
from jwt_lp.review.analysis.earlier_review import is_holding
from jwt_lp.review.analysis.elevated_use import elevated_uses
from jwt_lp.review.analysis.evidence import iso_day
from jwt_lp.review.analysis.finding_parts import REVOKED_ALREADY, with_guards
from jwt_lp.review.analysis.people import PeopleCount
from jwt_lp.review.analysis.regret_budget import apply_budget
from jwt_lp.review.analysis.role_findings import RoleFindings
from jwt_lp.review.analysis.subject_findings import KeptGrant, subject_findings
from jwt_lp.review.findings import LAST_HOLDER

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from jwt_lp.review.analysis.earlier_review import EarlierReview
    from jwt_lp.review.analysis.evidence import Holder
    from jwt_lp.review.analysis.regret_budget import RegretBudget
    from jwt_lp.review.analysis.verdicts import ReviewContext
    from jwt_lp.review.elevation_values import ElevatedUse
    from jwt_lp.review.findings import BudgetResult, Change, Finding

MAX_LISTED: Final = 100_000
"""The number of findings above which findings that are only `used` are counted and passed on, and not kept in memory."""


class FindingCollector:
    """Collects the findings of all holders, with one holder in memory at a time.

    Findings are compared with those of an `earlier` review, and proposals beyond the `budget` are kept. `on_kept` is called with each finding that is used and kept
    and is not listed, because there are too many.
    """

    def __init__(
        self,
        context: ReviewContext,
        granted: Mapping[str, tuple[str, ...]],
        *,
        earlier: EarlierReview | None = None,
        budget: RegretBudget | None = None,
        on_kept: Callable[[Finding], object] | None = None,
    ) -> None:
        self._context = context
        self._earlier = earlier
        self._budget = budget
        self._on_kept = on_kept
        self._roles = RoleFindings(context, granted)
        self._listed: list[Finding] = []
        self._used: list[Finding | KeptGrant] = []
        self._holder_counts: Counter[str] = Counter()
        self.clients: ClientFindings = ClientFindings(context)
        self.names: set[str] = set()
        self.elevated: list[ElevatedUse] = []
        self.subjects: int = 0
        self.grants: int = 0
        self.unlisted: int = 0
        self.budget_result: BudgetResult | None = None
        self.people: PeopleCount = PeopleCount()

    def add(self, holder: Holder) -> None:
        """Judge one holder."""
        judged = self._context.judge(holder)
        for finding in subject_findings(judged, self._context):
            self._collect(finding)
        for finding in self._roles.add(judged):
            self._collect(finding)
        self.elevated += elevated_uses(judged, self._context)
        self.clients.add(holder)
        self.names.update(role for role, _ in holder.paths if role)
        self.grants += len(holder.paths)
        if holder.subject and (holder.paths or holder.denied or holder.revoked or holder.elevated):
            self.subjects += 1
            self._holder_counts.update({grant for _, grant in holder.paths})
            if self._context.people:
                last = max((path.last for path in holder.paths.values()), default=0)
                self.people.add(holder.subject, self._context.people, self._context.today, iso_day(last))

    def findings(self, others: Iterable[Finding]) -> list[Finding]:
        """All findings: those of the holders, of roles and clients, and `others`."""
        for finding in (*self._roles.findings(), *self.clients.findings(), *others):
            self._collect(finding)
        used = map(self._made, self._used)
        listed = [self._withhold(finding) for finding in self._listed]
        if self._budget is not None:
            listed, self.budget_result = apply_budget(listed, self._budget)
        return _mark_last_holders([*listed, *used], self._holder_counts)

    def _withhold(self, finding: Finding) -> Finding:
        """The finding, without its proposal if there is a doubt that its holder has left."""
        if finding.verdict != "leaver" or not (doubt := self.people.doubt(finding.name)):
            return finding
        return with_guards(finding, (*finding.guards, doubt), self._context)

    def _collect(self, finding: Finding | KeptGrant) -> None:
        if not isinstance(finding, KeptGrant) and (finding.verdict != "used" or finding.proposal != "keep"):
            self._listed.append(self._compared(finding))
        elif self.unlisted:
            self._pass_on(finding)
        else:
            self._used.append(finding)
        if self._used and len(self._listed) + len(self._used) > MAX_LISTED:
            # More than anybody reads: from here on, findings that are only `used` are counted and passed on.
            for used in self._used:
                self._pass_on(used)
            self._used = []

    def _pass_on(self, kept: Finding | KeptGrant) -> None:
        """Count a grant that is used and kept, and pass its finding on where somebody wants it."""
        self.unlisted += 1
        if self._on_kept is not None:
            self._on_kept(self._made(kept))
        elif self._earlier is not None:
            _change(kept, self._earlier)

    def _made(self, finding: Finding | KeptGrant) -> Finding:
        return self._compared(finding.finding(self._context) if isinstance(finding, KeptGrant) else finding)

    def _compared(self, finding: Finding) -> Finding:
        """The finding with its change since the earlier review."""
        return finding if self._earlier is None else replace(finding, change=_change(finding, self._earlier))


def _change(finding: Finding | KeptGrant, earlier: EarlierReview) -> Change:
    if isinstance(finding, KeptGrant):
        return earlier.change(finding.id, held=True, revoked=False, held_since=iso_day(finding.path.held_since))
    return earlier.change(
        finding.id,
        held=is_holding(finding.kind, finding.verdict),
        revoked=REVOKED_ALREADY in finding.guards,
        held_since=finding.held_since,
    )


def _mark_last_holders(findings: list[Finding], holding: Mapping[str, int]) -> list[Finding]:
    """For each grant that all its holders would lose, mark the finding of the holder who used it last."""
    removals: dict[str, list[int]] = {}
    for index, finding in enumerate(findings):
        if finding.of == "subject" and finding.proposal == "remove" and finding.grant:
            removals.setdefault(finding.grant, []).append(index)
    for grant, indexes in removals.items():
        names = {(findings[index].issuer, findings[index].name) for index in indexes}
        if len(names) < holding[grant]:
            continue
        last = max(indexes, key=lambda index: (findings[index].last_day, findings[index].name))
        findings[last] = replace(findings[last], guards=(*findings[last].guards, LAST_HOLDER))
    return findings
