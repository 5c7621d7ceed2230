"""What do all holders come to?"""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from jwt_lp.review.clients import Clients
from jwt_lp.review.roles import Roles
from jwt_lp.review.values import LAST_HOLDER
from jwt_lp.review.weighing import findings_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from jwt_lp.review.bench import Bench
    from jwt_lp.review.evidence import Holder
    from jwt_lp.review.values import Finding

MOST: Final = 100_000
"""Findings from which on those that say nothing but `used` are counted only."""


class Sums:
    """What comes of all holders, of whom one at a time is in memory."""

    def __init__(self, bench: Bench, granted: Mapping[str, tuple[str, ...]]) -> None:
        self._bench = bench
        self._roles = Roles(bench, granted)
        self._saying: list[Finding] = []
        self._used: list[Finding] = []
        self._holding: Counter[str] = Counter()
        self.clients: Clients = Clients(bench)
        self.names: set[str] = set()
        self.subjects: int = 0
        self.grants: int = 0
        self.silent: int = 0

    def add(self, holder: Holder) -> None:
        """Judge a holder."""
        for each in (*findings_of(holder, self._bench), *self._roles.add(holder)):
            self._keep(each)
        self.clients.add(holder)
        self.names.update(way.role for way in holder.ways.values() if way.role)
        self.grants += len(holder.ways)
        if holder.subject and (holder.ways or holder.denied or holder.revoked):
            self.subjects += 1
            self._holding.update({way.grant for way in holder.ways.values()})

    def findings(self, others: Iterable[Finding]) -> list[Finding]:
        """Everything that is to be said."""
        for each in (*self._roles.findings(), *self.clients.findings(), *others):
            self._keep(each)
        return _last_holders(self._saying + self._used, self._holding)

    def _keep(self, found: Finding) -> None:
        if found.verdict != "used" or found.proposal != "keep":
            self._saying.append(found)
        elif self.silent:
            self.silent += 1
        else:
            self._used.append(found)
        if self._used and len(self._saying) + len(self._used) > MOST:
            # More than anybody reads: what says nothing but that it is used is counted from here on.
            self.silent += len(self._used)
            self._used = []


def _last_holders(findings: list[Finding], holding: Mapping[str, int]) -> list[Finding]:
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
