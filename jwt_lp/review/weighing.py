"""What does the evidence about one holder come to?"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from hashlib import sha256
from typing import TYPE_CHECKING, NamedTuple

from jwt_lp.permissions import is_pattern
from jwt_lp.review._ways import covers, overlap, pattern_of
from jwt_lp.review.bench import Person
from jwt_lp.review.evidence import Way, iso
from jwt_lp.review.values import Finding

if TYPE_CHECKING:
    from jwt_lp.review.bench import Bench
    from jwt_lp.review.evidence import Holder
    from jwt_lp.review.values import Kind, Of, Proposal, Verdict

IN_USE = "the same permission is in use through another grant, and a deny entry would refuse that too"


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


class Proposed(NamedTuple):
    """What the rules would do with a grant, and what holds it back."""

    kind: Kind
    proposal: Proposal
    instead: tuple[str, ...]
    guards: tuple[str, ...]


def _judged(
    holder: Holder, way: Way, ways: Sequence[Way], live: Sequence[str], bench: Bench, *, takes: bool
) -> Finding:
    verdict = bench.verdict(way, due=takes)
    found = _proposed(holder, way, live, bench, verdict, takes=takes)
    silent = verdict == "used" and found.proposal == "keep"
    person = bench.people.get(holder.subject, Person())
    made = finding(
        kind=found.kind,
        verdict=verdict,
        proposal=found.proposal,
        of="subject",
        issuer=holder.issuer,
        name=holder.subject,
        role=way.role,
        grant=way.grant,
        instead=found.instead,
        reason=reason_of(way, bench, verdict, found.instead),
        others=() if silent else _others(way, ways),
        denied=sum(each.times for asked, each in holder.denied.items() if overlap(way.grant, asked)),
        refused_since=sum(each.times for asked, each in holder.revoked.items() if overlap(way.grant, asked)),
        owner=person.manager,
        team=person.team,
        active=person.active,
        **numbers(holder, way, bench),
    )
    return guarded(made, found.guards, bench)


def _proposed(
    holder: Holder, way: Way, live: Sequence[str], bench: Bench, verdict: Verdict, *, takes: bool
) -> Proposed:
    needed = _needed(way, live)
    pattern = is_pattern(way.grant)
    if verdict in ("unused", "dormant"):
        if needed and pattern:
            found = Proposed("wildcard", "narrow", needed, _guards(holder, way, bench, needed=False))
        else:
            found = Proposed("grant", "remove", (), _guards(holder, way, bench, needed=bool(needed)))
        if not takes:
            watched = bench.now - bench.watched(way)
            young = f"its use would have been seen for {watched} days only, of {bench.window}"
            found = found._replace(guards=(*found.guards, young))
    elif verdict == "used" and pattern and bench.wider(way.grant, needed):
        found = Proposed("wildcard", "narrow", needed, _guards(holder, way, bench, needed=False))
    else:
        return Proposed("grant", "keep", (), ())
    if found.proposal == "narrow" and found.instead == (way.grant,):
        return found._replace(proposal="keep", instead=())
    return found


def numbers(holder: Holder, way: Way, bench: Bench) -> dict[str, object]:
    """What is known of a way in numbers: those members of its finding."""
    likelihood, because = bench.likelihood(holder, way)
    return {
        "risk": bench.risk(way.grant),
        "uses": way.uses,
        "days": way.days,
        "first_day": iso(way.first),
        "last_day": iso(way.last),
        "idle": bench.now - way.last if way.last else None,
        "held_since": iso(way.held),
        "likelihood": likelihood,
        "because": because,
    }


def _others(way: Way, ways: Sequence[Way]) -> tuple[str, ...]:
    return tuple(_named(each) for each in ways if each is not way and overlap(each.grant, way.grant))


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


def _guards(holder: Holder, way: Way, bench: Bench, *, needed: bool) -> tuple[str, ...]:
    found = list(bench.data)
    if way.role:
        found.append(f"conferred by the role {way.role}: see the role")
    if needed:
        found.append(IN_USE)
    found += bench.new(way)
    if ("subject", holder.issuer, holder.subject, way.grant) in bench.taken:
        found.append("taken back already")
    return tuple(found)


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
