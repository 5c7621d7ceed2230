"""Which of the permissions that a client's tokens carry does it not need?"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from jwt_lp.permissions.grants import is_pattern
from jwt_lp.review.analysis.evidence import WHOLE_ROLE, GrantPath, Holder
from jwt_lp.review.analysis.subject_findings import (
    USED_THROUGH_ANOTHER,
    finding_metrics,
    finding_reason,
    make_finding,
    with_guards,
)
from jwt_lp.review.pattern_overlap import covers, overlap, pattern_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from jwt_lp.review.analysis.context import ReviewContext
    from jwt_lp.review.findings import Finding, Proposal


@dataclass(slots=True)
class _ClientUsage:
    holder: Holder
    subjects: dict[str, int] = field(default_factory=dict[str, int])


class ClientFindings:
    """All clients of one review, as one holder after the other is added."""

    def __init__(self, context: ReviewContext) -> None:
        self._context = context
        self._known: dict[tuple[str, str], _ClientUsage] = {}
        self.names: set[str] = set()

    def add(self, holder: Holder) -> None:
        """Count what a holder's tokens carried for each client."""
        for (name, grant), path in holder.clients.items():
            self.names.add(name)
            # A subject that is the client itself has been judged as a subject.
            if name == holder.subject or grant == WHOLE_ROLE:
                continue
            key = holder.issuer, name
            client = self._known.get(key)
            if client is None:
                client = self._known[key] = _ClientUsage(Holder(*key))
            _merge_path(client.holder.path("", grant), path)
            client.subjects[grant] = client.subjects.get(grant, 0) + bool(path.days)

    def findings(self) -> Iterator[Finding]:
        """What is to be said of each grant of a client, whoever it acted for."""
        for key in sorted(self._known):
            client = self._known[key]
            for _, path in sorted(client.holder.paths.items()):
                yield _grant_finding(client.holder, path, client.subjects, self._context)


def _merge_path(whole: GrantPath, part: GrantPath) -> None:
    whole.add_held_days(part.since, part.seen)
    whole.uses += part.uses
    whole.first = min(whole.first or part.first, part.first or whole.first)
    whole.last = max(whole.last, part.last)
    # Of many subjects' days nobody knows which were the same.
    whole.days = max(whole.days, part.days)
    for permission, last in part.used.items():
        whole.used[permission] = max(whole.used.get(permission, 0), last)


def _grant_finding(client: Holder, path: GrantPath, subjects: Mapping[str, int], context: ReviewContext) -> Finding:
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
        guards.append("revoked already")
    made = make_finding(
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
            each.grant for each in client.paths.values() if each is not path and overlap(each.grant, path.grant)
        ),
        users=subjects.get(path.grant, 0),
        **finding_metrics(client, path, context),
    )
    return with_guards(made, guards, context)


def _needed_part(client: Holder, path: GrantPath, context: ReviewContext) -> tuple[str, ...]:
    """What of a grant is in need through the client's others, as it would have to be granted."""
    found = {
        pattern_of(permission)
        for each in client.paths.values()
        if each.days and not context.due(client, each)
        for permission in each.used
        if covers(path.grant, permission)
    }
    return tuple(sorted(found))
