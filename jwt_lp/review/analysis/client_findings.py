"""Findings about clients: grants in a client's tokens that it does not need."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from jwt_lp.review.analysis.evidence import WHOLE_ROLE, GrantPath, Holder
from jwt_lp.review.analysis.finding_parts import (
    REVOKED_ALREADY,
    finding_reason,
    grant_members,
    grant_score,
    likelihood_members,
    make_finding,
    with_guards,
)
from jwt_lp.review.analysis.risk_score import holder_part
from jwt_lp.review.findings import USED_THROUGH_ANOTHER
from jwt_lp.review.pattern_overlap import covers, is_pattern, overlap, pattern_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from jwt_lp.review.analysis.verdicts import ReviewContext
    from jwt_lp.review.findings import Finding, Proposal, ScorePart


@dataclass(slots=True)
class _ClientUsage:
    holder: Holder
    subjects: dict[str, int] = field(default_factory=dict[str, int])


class ClientFindings:
    """The clients of one review; holders are added one after the other."""

    def __init__(self, context: ReviewContext) -> None:
        self._context = context
        self._clients: dict[tuple[str, str], _ClientUsage] = {}
        self.names: set[str] = set()

    def add(self, holder: Holder) -> None:
        """Count the grants that a holder's tokens carried for each client."""
        for (name, grant), path in holder.clients.items():
            self.names.add(name)
            # A subject that is the client itself is judged as a subject.
            if name == holder.subject or grant == WHOLE_ROLE:
                continue
            key = holder.issuer, name
            client = self._clients.get(key)
            if client is None:
                client = self._clients[key] = _ClientUsage(Holder(*key))
            _merge_path(client.holder.path("", grant), path)
            client.subjects[grant] = client.subjects.get(grant, 0) + bool(path.days)

    def findings(self) -> Iterator[Finding]:
        """One finding for each grant of a client, over all the subjects that it acted for."""
        for key in sorted(self._clients):
            client = self._clients[key]
            powers = sum(self._context.risks.is_powerful(path.grant) for path in client.holder.paths.values())
            holder = holder_part(powers, client=True)
            for _, path in sorted(client.holder.paths.items()):
                yield _grant_finding(client, path, holder, self._context)


def _merge_path(whole: GrantPath, part: GrantPath) -> None:
    whole.add_held_days(part.since, part.seen)
    whole.uses += part.uses
    if part.first and (part.first < whole.first or not whole.first):
        whole.first = part.first
    whole.last = max(whole.last, part.last)
    # The days of different subjects may be the same days, so they are not added up.
    whole.days = max(whole.days, part.days)
    for permission, last in part.used.items():
        whole.used[permission] = max(last, whole.used.get(permission, 0))


def _grant_finding(usage: _ClientUsage, path: GrantPath, holder: ScorePart, context: ReviewContext) -> Finding:
    client = usage.holder
    due = context.due(client, path)
    verdict = context.verdict(path, due=due)
    proposal: Proposal = "keep"
    instead: tuple[str, ...] = ()
    guards = [*context.coverage_guards, *context.grace_guards(path)]
    if verdict in ("unused", "dormant") and due:
        needed = _needed_part(client, path, context)
        proposal = "remove"
        if needed and is_pattern(path.grant):
            proposal, instead = "narrow", needed
        elif needed:
            guards.append(USED_THROUGH_ANOTHER)
    if ("client", client.issuer, client.subject, path.grant) in context.revoked:
        guards.append(REVOKED_ALREADY)
    finding = make_finding(
        kind="wildcard" if proposal == "narrow" else "grant",
        verdict=verdict,
        proposal=proposal,
        of="client",
        issuer=client.issuer,
        name=client.subject,
        role="",
        grant=path.grant,
        instead=instead,
        reason=finding_reason(path, context, verdict, instead),
        others=tuple(
            other.grant for other in client.paths.values() if other is not path and overlap(other.grant, path.grant)
        ),
        users=usage.subjects.get(path.grant, 0),
        **grant_members(path, context),
        **likelihood_members(client, path, context),
        **grant_score(path, context, holder),
    )
    return with_guards(finding, guards, context)


def _needed_part(client: Holder, path: GrantPath, context: ReviewContext) -> tuple[str, ...]:
    """The grants that would cover what is needed of `path` through the client's other grants."""
    needed = {
        pattern_of(permission)
        for other in client.paths.values()
        if other.days and not context.due(client, other)
        for permission in other.used
        if covers(path.grant, permission)
    }
    return tuple(sorted(needed))
