"""Findings of a whole review, collected holder by holder."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from jwt_lp.review.analysis.client_findings import ClientFindings
from jwt_lp.review.analysis.role_findings import RoleFindings
from jwt_lp.review.analysis.subject_findings import KeptGrant, subject_findings
from jwt_lp.review.findings import LAST_HOLDER

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from jwt_lp.review.analysis.evidence import Holder
    from jwt_lp.review.analysis.verdicts import ReviewContext
    from jwt_lp.review.findings import Finding

MAX_LISTED: Final = 100_000
"""The number of findings above which findings that are only `used` are counted and not listed."""


class FindingCollector:
    """Collects the findings of all holders, with one holder in memory at a time."""

    def __init__(self, context: ReviewContext, granted: Mapping[str, tuple[str, ...]]) -> None:
        self._context = context
        self._roles = RoleFindings(context, granted)
        self._listed: list[Finding] = []
        self._used: list[Finding | KeptGrant] = []
        self._holder_counts: Counter[str] = Counter()
        self.clients: ClientFindings = ClientFindings(context)
        self.names: set[str] = set()
        self.subjects: int = 0
        self.grants: int = 0
        self.unlisted: int = 0

    def add(self, holder: Holder) -> None:
        """Judge one holder."""
        judged = self._context.judge(holder)
        for finding in subject_findings(judged, self._context):
            self._collect(finding)
        for finding in self._roles.add(judged):
            self._collect(finding)
        self.clients.add(holder)
        self.names.update(role for role, _ in holder.paths if role)
        self.grants += len(holder.paths)
        if holder.subject and (holder.paths or holder.denied or holder.revoked):
            self.subjects += 1
            self._holder_counts.update({grant for _, grant in holder.paths})

    def findings(self, others: Iterable[Finding]) -> list[Finding]:
        """All findings: those of the holders, of roles and clients, and `others`."""
        for finding in (*self._roles.findings(), *self.clients.findings(), *others):
            self._collect(finding)
        used = (each.finding(self._context) if isinstance(each, KeptGrant) else each for each in self._used)
        return _mark_last_holders([*self._listed, *used], self._holder_counts)

    def _collect(self, finding: Finding | KeptGrant) -> None:
        if not isinstance(finding, KeptGrant) and (finding.verdict != "used" or finding.proposal != "keep"):
            self._listed.append(finding)
        elif self.unlisted:
            self.unlisted += 1
        else:
            self._used.append(finding)
        if self._used and len(self._listed) + len(self._used) > MAX_LISTED:
            # More than anybody reads: from here on, findings that are only `used` are counted.
            self.unlisted += len(self._used)
            self._used = []


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
