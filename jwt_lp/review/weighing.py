"""What does the evidence about one holder come to?"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from hashlib import sha256
from typing import TYPE_CHECKING, Final, NamedTuple

from jwt_lp.permissions import is_pattern
from jwt_lp.review._ways import Asked, covers, overlap, pattern_of
from jwt_lp.review.evidence import WHOLE, Holder, Way, iso
from jwt_lp.review.judging import WINDOW, Rule
from jwt_lp.review.likelihood import Pair
from jwt_lp.review.values import Finding

if TYPE_CHECKING:
    from jwt_lp.review.likelihood import Model
    from jwt_lp.review.values import Kind, Of, Proposal, Verdict

RECENT: Final = 365
LAST_HOLDER: Final = "last holder"
"""The one guard that can be lifted, and only by saying so."""


class Exemption(NamedTuple):
    """A finding that somebody decided to leave alone, until a day that is included."""

    id: str
    until: str
    owner: str
    comment: str = ""


class Person(NamedTuple):
    """Who a subject is; shown, and kept nowhere."""

    name: str = ""
    team: str = ""
    manager: str = ""
    active: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Bench:
    """What every judgement rests on. Days are ordinals.

    `since` is the first day of any recording, `fresh` the last one; `data` are guards that hold for everything.
    `taken` says, of whom and what, whether a deny entry stands already.
    """

    now: int
    rule: Rule
    model: Model | None
    grace: int
    since: int
    asked: Asked
    risk: Callable[[str], str]
    users: Mapping[str, int]
    active: int
    data: tuple[str, ...] = ()
    exempt: Mapping[str, Exemption] = field(default_factory=dict[str, Exemption])
    people: Mapping[str, Person] = field(default_factory=dict[str, Person])
    taken: frozenset[tuple[str, str, str, str]] = frozenset()

    @property
    def window(self) -> int:
        """For how many days something must have been there to be judged unused without any use."""
        return int(self.rule.threshold) if self.rule.kind == "fixed" else WINDOW

    def pair(self, holder: Holder, way: Way) -> Pair:
        """What the rule is asked about."""
        others = [each for each in holder.ways.values() if each.grant != way.grant and each.last]
        last = max((each.last for each in others), default=0)
        recent = {each.grant for each in others if self.now - each.last <= RECENT}
        me = self.now - way.last <= RECENT
        rest = self.active - (me or bool(recent))
        # Of a sample of the subjects this one may be none.
        share = (self.users.get(way.grant, 0) - me) / rest if rest > 0 else 0.0
        return Pair(
            idle=self.now - way.last,
            days=way.days,
            span=way.last - way.first,
            age=self.now - way.first,
            elsewhere_idle=self.now - last if last else None,
            elsewhere_recent=len(recent),
            others=min(max(share, 0.0), 1.0),
        )

    def takes(self, holder: Holder, way: Way) -> bool:
        """Whether the rule would take back what was used."""
        if self.rule.kind == "fixed" or self.model is None:
            # The same answer, without what nobody asks for then.
            return self.rule.judges(self.now - way.last, None)
        return self.rule.takes(self.pair(holder, way), self.model)

    def due(self, holder: Holder, way: Way) -> bool:
        """Whether the rule would take it back: never used for the whole window, or used and no more needed."""
        if way.days:
            return self.takes(holder, way)
        return self.now - self.watched(way) >= self.window

    def watched(self, way: Way) -> int:
        """The day from which on its use would have been seen."""
        return max(way.held, self.since) or self.now

    def likelihood(self, holder: Holder, way: Way) -> tuple[float | None, tuple[str, ...]]:
        """How likely it is needed again, and what makes it so; None where no model says."""
        if self.model is None or not way.days:
            return None, ()
        pair = self.pair(holder, way)
        return self.model.likelihood(pair), self.model.because(pair)


def findings_of(holder: Holder, bench: Bench) -> Iterator[Finding]:
    """What is to be said of each way of a subject, and of what it asked for in vain."""
    if not holder.subject:
        return
    ways = [holder.ways[key] for key in sorted(holder.ways)]
    due = {(way.role, way.grant): bench.due(holder, way) for way in ways}
    live = _live(holder, ways, due, bench)
    for way in ways:
        yield _judged(holder, way, ways, live, bench, takes=due[way.role, way.grant])
    for permission, refused in sorted(holder.denied.items()):
        if not any(covers(way.grant, permission) for way in ways):
            yield _asked(holder, permission, refused.times, refused.last, bench, "grant")
    for permission, refused in sorted(holder.revoked.items()):
        yield _asked(holder, permission, refused.times, refused.last, bench, "regret")


def _judged(
    holder: Holder, way: Way, ways: Sequence[Way], live: Sequence[str], bench: Bench, *, takes: bool
) -> Finding:
    needed = _needed(way, live)
    verdict = _verdict(way, bench, takes=takes)
    kind: Kind = "grant"
    proposal: Proposal = "keep"
    instead: tuple[str, ...] = ()
    guards: tuple[str, ...] = ()
    if verdict in ("unused", "dormant"):
        proposal = "remove"
        if needed and is_pattern(way.grant):
            kind, proposal, instead = "wildcard", "narrow", needed
        guards = _guards(holder, way, bench, needed=bool(needed) and proposal == "remove")
        if not takes:
            watched = bench.now - bench.watched(way)
            guards = (*guards, f"its use would have been seen for {watched} days only, of {bench.window}")
    elif verdict == "used" and is_pattern(way.grant) and _wider(way, needed, bench):
        kind, proposal, instead = "wildcard", "narrow", needed
        guards = _guards(holder, way, bench, needed=False)
    if proposal == "narrow" and instead == (way.grant,):
        proposal, instead = "keep", ()
    likelihood, because = bench.likelihood(holder, way)
    person = bench.people.get(holder.subject, Person())
    found = finding(
        kind=kind,
        verdict=verdict,
        proposal=proposal,
        of="subject",
        issuer=holder.issuer,
        name=holder.subject,
        role=way.role,
        grant=way.grant,
        instead=instead,
        reason=reason_of(way, bench, verdict, instead),
        others=() if verdict == "used" and proposal == "keep" else _others(way, ways),
        risk=bench.risk(way.grant),
        uses=way.uses,
        days=way.days,
        first_day=iso(way.first),
        last_day=iso(way.last),
        idle=bench.now - way.last if way.last else None,
        held_since=iso(way.held),
        denied=sum(each.times for asked, each in holder.denied.items() if overlap(way.grant, asked)),
        refused_since=sum(each.times for asked, each in holder.revoked.items() if overlap(way.grant, asked)),
        likelihood=likelihood,
        because=because,
        owner=person.manager,
        team=person.team,
        active=person.active,
    )
    return guarded(found, guards, bench)


def _others(way: Way, ways: Sequence[Way]) -> tuple[str, ...]:
    return tuple(_named(each) for each in ways if each is not way and overlap(each.grant, way.grant))


def _verdict(way: Way, bench: Bench, *, takes: bool) -> Verdict:
    if not way.days:
        seen = way.grant == WHOLE or not bench.asked or bench.asked.met(way.grant)
        return "dormant" if seen else "unobservable"
    return "unused" if takes else "used"


def _live(holder: Holder, ways: Sequence[Way], due: Mapping[tuple[str, str], bool], bench: Bench) -> tuple[str, ...]:
    """The permissions that the holder needs, through whichever way they were used."""
    found: set[str] = set()
    for each in ways:
        if due[each.role, each.grant]:
            continue
        for permission, last in each.used.items():
            # A permission is judged as a grant of its own is: by the same rule.
            if len(each.used) == 1 or not bench.takes(holder, _alone(each, last)):
                found.add(permission)
    return tuple(sorted(found))


def _needed(way: Way, live: Sequence[str]) -> tuple[str, ...]:
    """What of this grant is in need, as it would have to be granted."""
    if not is_pattern(way.grant):
        return (way.grant,) if way.grant in live else ()
    return tuple(sorted({pattern_of(permission) for permission in live if covers(way.grant, permission)}))


def _alone(way: Way, last: int) -> Way:
    """A part of a grant: used as long as it was, and no longer."""
    return Way(way.role, way.grant, way.granted, way.since, way.seen, way.uses, way.days, way.first, last)


def _wider(way: Way, needed: tuple[str, ...], bench: Bench) -> bool:
    """Whether the pattern covers what some enforcement point asks for and nobody needs here."""
    return bool(needed) and any(not any(covers(each, term) for each in needed) for term in bench.asked.met(way.grant))


def _guards(holder: Holder, way: Way, bench: Bench, *, needed: bool) -> tuple[str, ...]:
    found = list(bench.data)
    if way.role:
        found.append(f"conferred by the role {way.role}: see the role")
    if needed:
        found.append("the same permission is in use through another grant, and a deny entry would refuse that too")
    found += new(way, bench)
    if ("subject", holder.issuer, holder.subject, way.grant) in bench.taken:
        found.append("taken back already")
    return tuple(found)


def new(way: Way, bench: Bench) -> list[str]:
    """Whether it has not been there for long enough to be judged."""
    if way.held and bench.now - way.held < bench.grace:
        return [f"held for {bench.now - way.held} days only, within the grace of {bench.grace}"]
    return []


def _asked(holder: Holder, permission: str, times: int, last: int, bench: Bench, kind: Kind) -> Finding:
    person = bench.people.get(holder.subject, Person())
    regret = kind == "regret"
    said = "taken back, and asked for since" if regret else "asked for and refused, and held through no grant"
    return finding(
        kind=kind,
        verdict="needed-but-denied",
        proposal="keep",
        of="subject",
        issuer=holder.issuer,
        name=holder.subject,
        role="",
        grant=permission,
        reason=f"{said}: {_times(times)}, last on {iso(last)}.",
        risk=bench.risk(permission),
        denied=0 if regret else times,
        refused_since=times if regret else 0,
        last_day=iso(last),
        idle=bench.now - last,
        owner=person.manager,
        team=person.team,
        active=person.active,
    )


def _named(way: Way) -> str:
    return f"{way.grant or 'all'} of the role {way.role}" if way.role else way.grant


def reason_of(way: Way, bench: Bench, verdict: Verdict, instead: Sequence[str]) -> str:
    """One sentence that says why."""
    if verdict == "unobservable":
        return "No enforcement point that is known asks for it, so that nobody can say whether it is needed."
    if verdict == "dormant":
        since = bench.watched(way)
        return f"Never used in the {bench.now - since} days since {iso(since)}, when its use would have been seen."
    used = f"{_times(way.uses)} on {_days(way.days)}, last on {iso(way.last)}, {_days(bench.now - way.last)} ago"
    if instead and verdict == "used":
        return f"Used {used}; of what it covers only {', '.join(instead)} was needed."
    if verdict == "used":
        return f"Used {used}."
    return f"Used {used}: {_rule(bench)}."


def _rule(bench: Bench) -> str:
    if bench.rule.kind == "fixed" or bench.model is None:
        return f"idle for {bench.window} days or more"
    return f"needed again with a likelihood of {bench.rule.threshold:g} or less"


def _times(number: int) -> str:
    return "once" if number == 1 else f"{number} times"


def _days(number: int) -> str:
    return f"{number} day{'' if number == 1 else 's'}"


def finding(  # noqa: PLR0913 - all of them by name
    *,
    kind: Kind,
    verdict: Verdict,
    proposal: Proposal,
    of: Of,
    issuer: str,
    name: str,
    role: str,
    grant: str,
    reason: str,
    **more: object,
) -> Finding:
    """A finding with the id that it has in every review: of what it is about alone."""
    said = "\0".join((kind if kind not in ("grant", "wildcard") else "", of, issuer, name, role, grant))
    digest = sha256(said.encode("utf-8", "surrogatepass")).hexdigest()[:16]
    return Finding(
        id=digest,
        kind=kind,
        verdict=verdict,
        proposal=proposal,
        of=of,
        issuer=issuer,
        name=name,
        role=role,
        grant=grant,
        reason=reason,
        **more,  # type: ignore[arg-type]
    )


def guarded(found: Finding, guards: Sequence[str], bench: Bench) -> Finding:
    """The finding with what keeps it from being proposed."""
    exemption = bench.exempt.get(found.id)
    if exemption is not None and exemption.until >= iso(bench.now):
        guards = (*guards, f"exempt until {exemption.until} by {exemption.owner}")
    if not guards or found.proposal == "keep":
        return found
    return replace(found, guards=tuple(guards), proposal="keep")
