"""Which of a role's grants does no member need, which member needs little of a role, and is a role really two?"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from jwt_lp.permissions.grants import is_pattern
from jwt_lp.review.analysis.context import Person
from jwt_lp.review.analysis.evidence import WHOLE_ROLE, iso_day
from jwt_lp.review.analysis.subject_findings import make_finding, with_guards
from jwt_lp.review.pattern_overlap import covers, overlap, pattern_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from jwt_lp.review.analysis.context import ReviewContext
    from jwt_lp.review.analysis.evidence import GrantPath, Holder
    from jwt_lp.review.findings import Finding, Proposal, Verdict

LITTLE_SHARE: Final = 0.25
"""Of a role's grants; who needs no more than that share needs little of it."""
MIN_TO_SPLIT: Final = 4
"""Grants, or members, from which on a role is worth dividing."""
MIN_PARTS: Final = 2


@dataclass(slots=True)
class RoleGrantUsage:
    """What a role's grant did for all of its members together."""

    users: int = 0
    members: int = 0
    uses: int = 0
    days: int = 0
    first: int = 0
    last: int = 0
    observable_since: int = 0
    in_grace: int = 0
    needed: set[str] = field(default_factory=set[str])

    def add(self, path: GrantPath, context: ReviewContext, *, due: bool) -> None:
        """One member's way."""
        self.members += 1
        self.users += bool(path.days) and not due
        self.uses += path.uses
        self.days = max(self.days, path.days)
        self.first = min(self.first or path.first, path.first or self.first)
        self.last = max(self.last, path.last)
        # Judged by the member that could use it for longest.
        self.observable_since = min(
            self.observable_since or context.observable_since(path), context.observable_since(path)
        )
        self.in_grace += bool(context.grace_guards(path))
        if not due:
            self.needed.update(path.used)


class RoleFindings:
    """All roles of one review, as one holder after the other is added."""

    def __init__(self, context: ReviewContext, granted: Mapping[str, tuple[str, ...]]) -> None:
        self._context = context
        self._granted = granted
        self._usage_by_grant: dict[tuple[str, str], dict[str, RoleGrantUsage]] = {}
        self._used_sets: dict[tuple[str, str], Counter[frozenset[str]]] = {}

    def add(self, holder: Holder) -> Iterator[Finding]:
        """Count a holder, and say of which of its roles it needs nothing or little."""
        by_role: dict[str, list[GrantPath]] = {}
        for path in holder.paths.values():
            if path.role:
                by_role.setdefault(path.role, []).append(path)
        for role in sorted(by_role):
            paths = sorted(by_role[role], key=lambda path: path.grant)
            key = holder.issuer, role
            grants = self._usage_by_grant.setdefault(key, {})
            used: set[str] = set()
            for path in paths:
                due = self._context.due(holder, path)
                grants.setdefault(path.grant, RoleGrantUsage()).add(path, self._context, due=due)
                if path.days and not due:
                    used.add(path.grant)
            self._used_sets.setdefault(key, Counter())[frozenset(used)] += 1
            if holder.subject:
                yield from self._member_findings(holder, role, paths, used)

    def _member_findings(self, holder: Holder, role: str, paths: list[GrantPath], used: set[str]) -> Iterator[Finding]:
        context = self._context
        held = set(self._granted.get(role, ())) | {path.grant for path in paths}
        if len(used) > LITTLE_SHARE * len(held) or (used and len(held) < MIN_TO_SPLIT):
            return
        seen = [path for path in paths if path.days]
        last = max((path.last for path in seen), default=0)
        # A membership goes as a whole: not before every way of it is due.
        due = not used and all(context.due(holder, path) for path in paths)
        guards = [*context.coverage_guards, *(guard for path in paths for guard in context.grace_guards(path))]
        if all(("subject", holder.issuer, holder.subject, path.grant) in context.revoked for path in paths):
            guards.append("revoked already")
        needs = f"Needs {len(used)} of the {len(held)} grants of the role"
        verdict: Verdict = "used" if used else "unused" if seen else "dormant"
        if verdict == "dormant" and not any(context.observable(path.grant) for path in paths):
            verdict = "unobservable"
        person = context.people.get(holder.subject, Person())
        found = make_finding(
            kind="member",
            verdict=verdict,
            proposal="remove" if due and verdict != "unobservable" else "keep",
            of="subject",
            issuer=holder.issuer,
            name=holder.subject,
            role=role,
            grant="",
            instead=tuple(sorted(used)),
            reason=f"{needs}{f', last used on {iso_day(last)}' if last else ', and never used any'}.",
            risk=max((context.risk(path.grant) for path in paths), key=("low", "medium", "high").index),
            uses=sum(path.uses for path in paths),
            days=max((path.days for path in paths), default=0),
            first_day=iso_day(min((path.first for path in seen), default=0)),
            last_day=iso_day(last),
            idle=context.now - last if last else None,
            held_since=iso_day(min((path.held_since for path in paths if path.held_since), default=0)),
            others=tuple(
                sorted(
                    {path.grant for path in holder.paths.values() if path.role != role and _overlaps_any(path, paths)}
                )
            ),
            owner=person.manager,
            team=person.team,
            active=person.active,
        )
        yield with_guards(found, tuple(dict.fromkeys(guards)), context)

    def findings(self) -> Iterator[Finding]:
        """What is to be said of each role's grants, and of roles that are two."""
        for (issuer, role), grants in sorted(self._usage_by_grant.items()):
            for grant in sorted({*grants, *self._granted.get(role, ())}):
                if grant != WHOLE_ROLE:
                    yield self._grant_finding(issuer, role, grant, grants.get(grant) or RoleGrantUsage(), grants)
            yield from self._split_findings(issuer, role)

    def _grant_finding(
        self, issuer: str, role: str, grant: str, found: RoleGrantUsage, grants: Mapping[str, RoleGrantUsage]
    ) -> Finding:
        context = self._context
        members = max((each.members for each in grants.values()), default=0)
        watched = found.observable_since or context.since or context.now
        verdict: Verdict = "used" if found.users else "unused" if found.uses else "dormant"
        if verdict == "dormant" and not context.observable(grant):
            verdict = "unobservable"
        due = verdict == "unused" or (verdict == "dormant" and context.now - watched >= context.window)
        # A pattern may be in use for some of what it covers.
        needed = tuple(sorted({pattern_of(each) for each in found.needed if covers(grant, each)}))
        proposal: Proposal = "remove" if due else "keep"
        instead: tuple[str, ...] = ()
        if verdict == "used" and is_pattern(grant) and context.exceeds_need(grant, needed):
            proposal, instead = "narrow", needed
        guards = list(context.coverage_guards)
        if found.in_grace:
            guards.append(f"{found.in_grace} of its members hold it within the grace of {context.grace} days")
        if ("role", issuer, role, grant) in context.revoked:
            guards.append("revoked already")
        said = {
            "used": f"{found.users} of {members} members need it, last on {iso_day(found.last)}.",
            "unused": f"None of {members} members needs it any more; last used on {iso_day(found.last)}.",
            "dormant": f"None of {members} members used it in the {context.now - watched} days that its use would have "
            "been seen.",
            "unobservable": "No known enforcement point asks for it.",
        }[verdict]
        made = make_finding(
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
            risk=context.risk(grant),
            uses=found.uses,
            days=found.days,
            first_day=iso_day(found.first),
            last_day=iso_day(found.last),
            idle=context.now - found.last if found.last else None,
            held_since=iso_day(found.observable_since),
            members=members,
            users=found.users,
            others=tuple(
                other for other in sorted(grants) if other not in (grant, WHOLE_ROLE) and overlap(grant, other)
            ),
        )
        return with_guards(made, tuple(guards), context)

    def _split_findings(self, issuer: str, role: str) -> Iterator[Finding]:
        """Parts of a role that no member needs together."""
        groups = self._used_sets[issuer, role]
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
        if len(parts) < MIN_PARTS or members < MIN_TO_SPLIT or min(count for _, count in parts) < MIN_PARTS:
            return
        parts.sort(key=lambda part: (-part[1], sorted(part[0])))
        yield make_finding(
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


def _overlaps_any(path: GrantPath, paths: list[GrantPath]) -> bool:
    return any(overlap(path.grant, each.grant) for each in paths)
