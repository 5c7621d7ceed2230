"""Which of a role's grants does no member need, which member needs little of a role, and is a role really two?"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from jwt_lp.permissions import is_pattern
from jwt_lp.review._ways import covers, overlap, pattern_of
from jwt_lp.review.bench import Person
from jwt_lp.review.evidence import WHOLE, iso
from jwt_lp.review.weighing import finding, guarded

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from jwt_lp.review.bench import Bench
    from jwt_lp.review.evidence import Holder, Way
    from jwt_lp.review.values import Finding, Proposal, Verdict

LITTLE: Final = 0.25
"""Of a role's grants; who needs no more than that share needs little of it."""
ENOUGH: Final = 4
"""Grants, or members, from which on a role is worth dividing."""
SEVERAL: Final = 2


@dataclass(slots=True)
class Conferred:
    """What a role's grant did for all of its members together."""

    users: int = 0
    members: int = 0
    uses: int = 0
    days: int = 0
    first: int = 0
    last: int = 0
    watched: int = 0
    fresh: int = 0
    needed: set[str] = field(default_factory=set[str])

    def add(self, way: Way, bench: Bench, *, due: bool) -> None:
        """One member's way."""
        self.members += 1
        self.users += bool(way.days) and not due
        self.uses += way.uses
        self.days = max(self.days, way.days)
        self.first = min(self.first or way.first, way.first or self.first)
        self.last = max(self.last, way.last)
        # Judged by the member that could use it for longest.
        self.watched = min(self.watched or bench.watched(way), bench.watched(way))
        self.fresh += bool(bench.new(way))
        if not due:
            self.needed.update(way.used)


class Roles:
    """All roles of one review, as one holder after the other is added."""

    def __init__(self, bench: Bench, granted: Mapping[str, tuple[str, ...]]) -> None:
        self._bench = bench
        self._granted = granted
        self._conferred: dict[tuple[str, str], dict[str, Conferred]] = {}
        self._groups: dict[tuple[str, str], Counter[frozenset[str]]] = {}

    def add(self, holder: Holder) -> Iterator[Finding]:
        """Count a holder, and say of which of its roles it needs nothing or little."""
        by_role: dict[str, list[Way]] = {}
        for way in holder.ways.values():
            if way.role:
                by_role.setdefault(way.role, []).append(way)
        for role in sorted(by_role):
            ways = sorted(by_role[role], key=lambda way: way.grant)
            key = holder.issuer, role
            grants = self._conferred.setdefault(key, {})
            used: set[str] = set()
            for way in ways:
                due = self._bench.due(holder, way)
                grants.setdefault(way.grant, Conferred()).add(way, self._bench, due=due)
                if way.days and not due:
                    used.add(way.grant)
            self._groups.setdefault(key, Counter())[frozenset(used)] += 1
            if holder.subject:
                yield from self._member(holder, role, ways, used)

    def _member(self, holder: Holder, role: str, ways: list[Way], used: set[str]) -> Iterator[Finding]:
        bench = self._bench
        held = set(self._granted.get(role, ())) | {way.grant for way in ways}
        if len(used) > LITTLE * len(held) or (used and len(held) < ENOUGH):
            return
        seen = [way for way in ways if way.days]
        last = max((way.last for way in seen), default=0)
        # A membership goes as a whole: not before every way of it is due.
        due = not used and all(bench.due(holder, way) for way in ways)
        guards = [*bench.data, *(guard for way in ways for guard in bench.new(way))]
        if all(("subject", holder.issuer, holder.subject, way.grant) in bench.taken for way in ways):
            guards.append("taken back already")
        needs = f"Needs {len(used)} of the {len(held)} grants of the role"
        verdict: Verdict = "used" if used else "unused" if seen else "dormant"
        if verdict == "dormant" and not any(bench.observable(way.grant) for way in ways):
            verdict = "unobservable"
        person = bench.people.get(holder.subject, Person())
        found = finding(
            kind="member",
            verdict=verdict,
            proposal="remove" if due and verdict != "unobservable" else "keep",
            of="subject",
            issuer=holder.issuer,
            name=holder.subject,
            role=role,
            grant="",
            instead=tuple(sorted(used)),
            reason=f"{needs}{f', last used on {iso(last)}' if last else ', and never used any'}.",
            risk=max((bench.risk(way.grant) for way in ways), key=("low", "medium", "high").index),
            uses=sum(way.uses for way in ways),
            days=max((way.days for way in ways), default=0),
            first_day=iso(min((way.first for way in seen), default=0)),
            last_day=iso(last),
            idle=bench.now - last if last else None,
            held_since=iso(min((way.held for way in ways if way.held), default=0)),
            others=tuple(sorted({way.grant for way in holder.ways.values() if way.role != role and _meets(way, ways)})),
            owner=person.manager,
            team=person.team,
            active=person.active,
        )
        yield guarded(found, tuple(dict.fromkeys(guards)), bench)

    def findings(self) -> Iterator[Finding]:
        """What is to be said of each role's grants, and of roles that are two."""
        for (issuer, role), grants in sorted(self._conferred.items()):
            for grant in sorted({*grants, *self._granted.get(role, ())}):
                if grant != WHOLE:
                    yield self._grant(issuer, role, grant, grants.get(grant) or Conferred(), grants)
            yield from self._split(issuer, role)

    def _grant(self, issuer: str, role: str, grant: str, found: Conferred, grants: Mapping[str, Conferred]) -> Finding:
        bench = self._bench
        members = max((each.members for each in grants.values()), default=0)
        watched = found.watched or bench.since or bench.now
        verdict: Verdict = "used" if found.users else "unused" if found.uses else "dormant"
        if verdict == "dormant" and not bench.observable(grant):
            verdict = "unobservable"
        due = verdict == "unused" or (verdict == "dormant" and bench.now - watched >= bench.window)
        # A pattern may be in use for some of what it covers.
        needed = tuple(sorted({pattern_of(each) for each in found.needed if covers(grant, each)}))
        proposal: Proposal = "remove" if due else "keep"
        instead: tuple[str, ...] = ()
        if verdict == "used" and is_pattern(grant) and bench.wider(grant, needed):
            proposal, instead = "narrow", needed
        guards = list(bench.data)
        if found.fresh:
            guards.append(f"{found.fresh} of its members hold it within the grace of {bench.grace} days")
        if ("role", issuer, role, grant) in bench.taken:
            guards.append("taken back already")
        said = {
            "used": f"{found.users} of {members} members need it, last on {iso(found.last)}.",
            "unused": f"None of {members} members needs it any more; last used on {iso(found.last)}.",
            "dormant": f"None of {members} members used it in the {bench.now - watched} days that its use would have "
            "been seen.",
            "unobservable": "No enforcement point that is known asks for it.",
        }[verdict]
        made = finding(
            kind="role",
            verdict=verdict,
            proposal=proposal,
            of="role",
            issuer=issuer,
            name=role,
            role=role,
            grant=grant,
            instead=instead,
            reason=said,
            risk=bench.risk(grant),
            uses=found.uses,
            days=found.days,
            first_day=iso(found.first),
            last_day=iso(found.last),
            idle=bench.now - found.last if found.last else None,
            held_since=iso(found.watched),
            members=members,
            users=found.users,
            others=tuple(other for other in sorted(grants) if other not in (grant, WHOLE) and overlap(grant, other)),
        )
        return guarded(made, tuple(guards), bench)

    def _split(self, issuer: str, role: str) -> Iterator[Finding]:
        """Parts of a role that no member needs together."""
        groups = self._groups[issuer, role]
        members = sum(groups.values())
        parts: list[tuple[set[str], int]] = []
        for used, number in groups.items():
            if not used:
                continue
            mine, count = set(used), number
            for other in [each for each in parts if each[0] & mine]:
                parts.remove(other)
                mine |= other[0]
                count += other[1]
            parts.append((mine, count))
        if len(parts) < SEVERAL or members < ENOUGH or min(count for _, count in parts) < SEVERAL:
            return
        parts.sort(key=lambda part: (-part[1], sorted(part[0])))
        yield finding(
            kind="split",
            verdict="used",
            proposal="keep",
            of="role",
            issuer=issuer,
            name=role,
            role=role,
            grant="",
            instead=tuple(f"{', '.join(sorted(grants))} ({count} members)" for grants, count in parts),
            reason=f"Its {members} members need {len(parts)} sets of grants that have nothing in common: "
            f"it may be {len(parts)} roles.",
            members=members,
            users=sum(count for _, count in parts),
        )


def _meets(way: Way, ways: list[Way]) -> bool:
    return any(overlap(way.grant, each.grant) for each in ways)
