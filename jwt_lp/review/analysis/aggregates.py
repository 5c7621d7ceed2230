"""What do all holders come to?"""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from jwt_lp.review.analysis.client_findings import ClientFindings
from jwt_lp.review.analysis.role_findings import RoleFindings
from jwt_lp.review.analysis.subject_findings import subject_findings
from jwt_lp.review.findings import LAST_HOLDER

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from jwt_lp.review.analysis.context import ReviewContext
    from jwt_lp.review.analysis.evidence import Holder
    from jwt_lp.review.findings import Finding

MAX_LISTED: Final = 100_000
"""Findings from which on those that say nothing but `used` are counted only."""


class FindingCollector:
    """What comes of all holders, of whom one at a time is in memory."""

    def __init__(self, context: ReviewContext, granted: Mapping[str, tuple[str, ...]]) -> None:
        self._context = context
        self._roles = RoleFindings(context, granted)
        self._listed: list[Finding] = []
        self._used: list[Finding] = []
        self._holder_counts: Counter[str] = Counter()
        self.clients: ClientFindings = ClientFindings(context)
        self.names: set[str] = set()
        self.subjects: int = 0
        self.grants: int = 0
        self.unlisted: int = 0

    def add(self, holder: Holder) -> None:
        """Judge a holder."""
        for each in (*subject_findings(holder, self._context), *self._roles.add(holder)):
            self._collect(each)
        self.clients.add(holder)
        self.names.update(path.role for path in holder.paths.values() if path.role)
        self.grants += len(holder.paths)
        if holder.subject and (holder.paths or holder.denied or holder.revoked):
            self.subjects += 1
            self._holder_counts.update({path.grant for path in holder.paths.values()})

    def findings(self, others: Iterable[Finding]) -> list[Finding]:
        """Everything that is to be said."""
        for each in (*self._roles.findings(), *self.clients.findings(), *others):
            self._collect(each)
        return _mark_last_holders(self._listed + self._used, self._holder_counts)

    def _collect(self, found: Finding) -> None:
        if found.verdict != "used" or found.proposal != "keep":
            self._listed.append(found)
        elif self.unlisted:
            self.unlisted += 1
        else:
            self._used.append(found)
        if self._used and len(self._listed) + len(self._used) > MAX_LISTED:
            # More than anybody reads: what says nothing but that it is used is counted from here on.
            self.unlisted += len(self._used)
            self._used = []


def _mark_last_holders(findings: list[Finding], holding: Mapping[str, int]) -> list[Finding]:
    """Mark, of each grant that everybody would lose, the one who used it last."""
    leaving: dict[str, list[int]] = {}
    for index, each in enumerate(findings):
        if each.of == "subject" and each.proposal == "remove" and each.grant:
            leaving.setdefault(each.grant, []).append(index)
    for grant, indexes in leaving.items():
        names = {(findings[index].issuer, findings[index].name) for index in indexes}
        if len(names) < holding[grant]:
            continue
        index = max(indexes, key=lambda each: (findings[each].last_day, findings[each].name))
        findings[index] = replace(findings[index], guards=(*findings[index].guards, LAST_HOLDER))
    return findings
