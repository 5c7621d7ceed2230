"""Which of the permissions that a client's tokens carry does it not need?"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from jwt_lp.permissions import is_pattern
from jwt_lp.review._ways import covers, overlap, pattern_of
from jwt_lp.review.evidence import WHOLE, Holder, Way
from jwt_lp.review.weighing import IN_USE, finding, guarded, numbers, reason_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from jwt_lp.review.bench import Bench
    from jwt_lp.review.values import Finding, Proposal


@dataclass(slots=True)
class _Client:
    holder: Holder
    subjects: dict[str, int] = field(default_factory=dict[str, int])


class Clients:
    """All clients of one review, as one holder after the other is added."""

    def __init__(self, bench: Bench) -> None:
        self._bench = bench
        self._known: dict[tuple[str, str], _Client] = {}
        self.names: set[str] = set()

    def add(self, holder: Holder) -> None:
        """Count what a holder's tokens carried for each client."""
        for (name, grant), way in holder.clients.items():
            self.names.add(name)
            # A subject that is the client itself has been judged as a subject.
            if name == holder.subject or grant == WHOLE:
                continue
            key = holder.issuer, name
            client = self._known.get(key)
            if client is None:
                client = self._known[key] = _Client(Holder(*key))
            _join(client.holder.way("", grant), way)
            client.subjects[grant] = client.subjects.get(grant, 0) + bool(way.days)

    def findings(self) -> Iterator[Finding]:
        """What is to be said of each grant of a client, whoever it acted for."""
        for key in sorted(self._known):
            client = self._known[key]
            for _, way in sorted(client.holder.ways.items()):
                yield _judged(client.holder, way, client.subjects, self._bench)


def _join(whole: Way, part: Way) -> None:
    whole.hold(part.since, part.seen)
    whole.uses += part.uses
    whole.first = min(whole.first or part.first, part.first or whole.first)
    whole.last = max(whole.last, part.last)
    # Of many subjects' days nobody knows which were the same.
    whole.days = max(whole.days, part.days)
    for permission, last in part.used.items():
        whole.used[permission] = max(whole.used.get(permission, 0), last)


def _judged(client: Holder, way: Way, subjects: Mapping[str, int], bench: Bench) -> Finding:
    due = bench.due(client, way)
    verdict = bench.verdict(way, due=due)
    proposal: Proposal = "keep"
    instead: tuple[str, ...] = ()
    guards = [*bench.data, *bench.new(way)]
    if verdict in ("unused", "dormant") and due:
        needed = _needed(client, way, bench)
        proposal = "remove"
        if needed and is_pattern(way.grant):
            proposal, instead = "narrow", needed
        elif needed:
            guards.append(IN_USE)
    if ("client", client.issuer, client.subject, way.grant) in bench.taken:
        guards.append("taken back already")
    made = finding(
        kind="wildcard" if proposal == "narrow" else "grant",
        verdict=verdict,
        proposal=proposal,
        of="client",
        issuer=client.issuer,
        name=client.subject,
        role="",
        grant=way.grant,
        instead=instead,
        reason=reason_of(way, bench, verdict, instead),
        others=tuple(each.grant for each in client.ways.values() if each is not way and overlap(each.grant, way.grant)),
        users=subjects.get(way.grant, 0),
        **numbers(client, way, bench),
    )
    return guarded(made, guards, bench)


def _needed(client: Holder, way: Way, bench: Bench) -> tuple[str, ...]:
    """What of a grant is in need through the client's others, as it would have to be granted."""
    found = {
        pattern_of(permission)
        for each in client.ways.values()
        if each.days and not bench.due(client, each)
        for permission in each.used
        if covers(way.grant, permission)
    }
    return tuple(sorted(found))
