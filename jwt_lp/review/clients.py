"""Which of the permissions that a client's tokens carry does it not need?"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from jwt_lp.permissions import is_pattern
from jwt_lp.review._ways import covers, overlap, pattern_of
from jwt_lp.review.evidence import WHOLE, Holder, Way, iso
from jwt_lp.review.weighing import finding, guarded, new, reason_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from jwt_lp.review.values import Finding, Proposal, Verdict
    from jwt_lp.review.weighing import Bench


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
    verdict: Verdict = "used" if way.days and not due else "unused" if way.days else "dormant"
    if verdict == "dormant" and bench.asked and not bench.asked.met(way.grant):
        verdict = "unobservable"
    needed = tuple(
        sorted(
            {
                pattern_of(permission)
                for each in client.ways.values()
                if each.days and not bench.due(client, each)
                for permission in each.used
                if covers(way.grant, permission)
            }
        )
    )
    proposal: Proposal = "keep"
    instead: tuple[str, ...] = ()
    guards = [*bench.data, *new(way, bench)]
    if verdict in ("unused", "dormant") and due:
        proposal = "remove"
        if needed and is_pattern(way.grant):
            proposal, instead = "narrow", needed
        elif needed:
            guards.append("the same permission is in use through another grant, and a deny entry would refuse that too")
    if ("client", client.issuer, client.subject, way.grant) in bench.taken:
        guards.append("taken back already")
    likelihood, because = bench.likelihood(client, way)
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
        risk=bench.risk(way.grant),
        uses=way.uses,
        days=way.days,
        first_day=iso(way.first),
        last_day=iso(way.last),
        idle=bench.now - way.last if way.last else None,
        held_since=iso(way.held),
        users=subjects.get(way.grant, 0),
        likelihood=likelihood,
        because=because,
    )
    return guarded(made, guards, bench)
