"""Findings about roles: grants that no member needs, members who need little, and roles that could be split."""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import dataclass, field
from itertools import groupby
from operator import attrgetter
from typing import TYPE_CHECKING, Final

from jwt_lp.review.analysis.evidence import WHOLE_ROLE, iso_day
from jwt_lp.review.analysis.finding_parts import (
    REVOKED_ALREADY,
    UNOBSERVABLE_REASON,
    leaver_reason,
    make_finding,
    person_members,
    score_members,
    with_guards,
)
from jwt_lp.review.analysis.risk_score import (
    RISK_POINTS,
    UNKNOWN_IDLE,
    GrantBreadth,
    breadth_part,
    holder_part,
    idle_part,
    members_part,
    risk_part,
)
from jwt_lp.review.findings import USED_THROUGH_ANOTHER
from jwt_lp.review.pattern_overlap import covers, is_pattern, overlap, pattern_of
from jwt_lp.review.quantities import count_noun

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from jwt_lp.review.analysis.evidence import GrantPath, Holder
    from jwt_lp.review.analysis.verdicts import JudgedHolder, ReviewContext
    from jwt_lp.review.findings import Finding, Proposal, Verdict

LITTLE_SHARE: Final = 0.25
"""A member who needs at most this share of a role's grants needs little of the role."""
MIN_TO_SPLIT: Final = 4
"""The fewest grants, or members, of a role for which a split or a small need is reported."""
MIN_PARTS: Final = 2


@dataclass(slots=True)
class RoleGrantUsage:
    """The use of a role's grant by all of its members together."""

    users: int = 0
    members: int = 0
    uses: int = 0
    days: int = 0
    first: int = 0
    last: int = 0
    observable_since: int = 0
    in_grace: int = 0
    needed: set[str] = field(default_factory=set[str])

    def add(self, path: GrantPath, context: ReviewContext, *, due: bool, has_left: bool) -> None:
        """Add the use of one member. A member who has left needs no grace."""
        self.members += 1
        self.uses += path.uses
        self.days = max(self.days, path.days)
        if path.first and (path.first < self.first or not self.first):
            self.first = path.first
        self.last = max(self.last, path.last)
        # The member who could use it for the longest time counts.
        since = context.observable_since(path)
        if since < self.observable_since or not self.observable_since:
            self.observable_since = since
        self.in_grace += not has_left and context.in_grace(path)
        if not due:
            self.users += bool(path.days)
            self.needed.update(path.used)


class RoleFindings:
    """The roles of one review; holders are added one after the other."""

    def __init__(self, context: ReviewContext, granted: Mapping[str, tuple[str, ...]]) -> None:
        self._context = context
        self._granted = {role: frozenset(grants) for role, grants in granted.items()}
        self._usage_by_grant: dict[tuple[str, str], dict[str, RoleGrantUsage]] = {}
        self._used_sets: defaultdict[tuple[str, str], Counter[frozenset[str]]] = defaultdict(Counter)

    def add(self, judged: JudgedHolder) -> Iterator[Finding]:
        """Count a holder, and yield a finding for each of its roles of which it needs little or nothing."""
        holder, due = judged.holder, judged.due
        for role, group in groupby(judged.paths, key=attrgetter("role")):
            if not role:
                continue
            paths, key = list(group), (holder.issuer, role)
            grants, grants_of_role = self._usage_by_grant.setdefault(key, {}), self._granted.get(role)
            used: set[str] = set()
            for path in paths:
                grant, is_due = path.grant, due[role, path.grant]
                usage = grants.get(grant)
                if usage is None:
                    usage = grants[grant] = RoleGrantUsage()
                usage.add(path, self._context, due=is_due, has_left=judged.has_left)
                if path.days and not is_due:
                    used.add(grant)
            self._used_sets[key][frozenset(used)] += 1
            held = len(grants_of_role.union(path.grant for path in paths)) if grants_of_role else len(paths)
            if holder.subject and len(used) <= LITTLE_SHARE * held and not (used and held < MIN_TO_SPLIT):
                yield self._member_finding(judged, role, paths, used, held)

    def _member_finding(
        self, judged: JudgedHolder, role: str, paths: Sequence[GrantPath], used: set[str], held: int
    ) -> Finding:
        holder, context = judged.holder, self._context
        last = max(path.last for path in paths)
        uses = sum(path.uses for path in paths)
        verdict: Verdict = "leaver" if judged.has_left else self._member_verdict(paths, used)
        # A membership is removed as a whole, so every grant of it must be due.
        due = not used and all(judged.due[role, path.grant] for path in paths)
        last_use = f"last used on {iso_day(last)}" if last else "none was ever used"
        reason = (
            leaver_reason(judged.person, uses, last, context)
            if judged.has_left
            else f"Needs {len(used):,} of the {count_noun(held, 'grant')} of the role; {last_use}."
        )
        finding = make_finding(
            kind="member",
            verdict=verdict,
            proposal="remove" if due and verdict != "unobservable" else "keep",
            of="subject",
            issuer=holder.issuer,
            name=holder.subject,
            role=role,
            grant="",
            instead=tuple(sorted(used)),
            reason=reason,
            uses=uses,
            days=max(path.days for path in paths),
            first_day=iso_day(min((path.first for path in paths if path.days), default=0)),
            last_day=iso_day(last),
            idle=context.now - last if last else None,
            held_since=iso_day(min((path.held_since for path in paths if path.held_since), default=0)),
            others=_other_grants(holder, role, paths),
            **self._member_score(judged, paths, last),
            **person_members(judged.person),
        )
        return with_guards(finding, self._member_guards(judged, paths), context)

    def _member_score(self, judged: JudgedHolder, paths: Sequence[GrantPath], last: int) -> dict[str, object]:
        """The risk of a membership, and its score."""
        context = self._context
        risk = max((context.risk(path.grant) for path in paths), key=tuple(RISK_POINTS).index)
        breadths = [context.risks.breadth(path.grant) for path in paths]
        breadth = GrantBreadth(
            sum(breadth.permissions for breadth in breadths), sum(breadth.routes for breadth in breadths)
        )
        since = last or min(context.observable_since(path) for path in paths)
        known = bool(last) or any(context.observable(path.grant) for path in paths)
        idle = idle_part(context.now - since, used=bool(last)) if known else UNKNOWN_IDLE
        return {
            "risk": risk,
            **score_members(risk_part(risk), breadth_part(breadth), idle, holder_part(judged.powers)),
        }

    def _member_verdict(self, paths: Sequence[GrantPath], used: set[str]) -> Verdict:
        if used:
            return "used"
        if any(path.days for path in paths):
            return "unused"
        return "dormant" if any(self._context.observable(path.grant) for path in paths) else "unobservable"

    def _member_guards(self, judged: JudgedHolder, paths: Sequence[GrantPath]) -> tuple[str, ...]:
        context, holder = self._context, judged.holder
        guards: list[str] = []
        if not judged.has_left:
            guards += (*context.coverage_guards, *(guard for path in paths for guard in context.grace_guards(path)))
            if _used_otherwise(judged, paths):
                guards.append(USED_THROUGH_ANOTHER)
        if all(("subject", holder.issuer, holder.subject, path.grant) in context.revoked for path in paths):
            guards.append(REVOKED_ALREADY)
        return tuple(dict.fromkeys(guards))

    def findings(self) -> Iterator[Finding]:
        """One finding for each grant of each role, and one for each role that could be split."""
        for (issuer, role), grants in sorted(self._usage_by_grant.items()):
            for grant in sorted({*grants, *self._granted.get(role, ())}):
                if grant != WHOLE_ROLE:
                    yield self._grant_finding(issuer, role, grant, grants.get(grant) or RoleGrantUsage(), grants)
            yield from self._split_findings(issuer, role)

    def _grant_finding(
        self, issuer: str, role: str, grant: str, usage: RoleGrantUsage, grants: Mapping[str, RoleGrantUsage]
    ) -> Finding:
        context = self._context
        members = max((other.members for other in grants.values()), default=0)
        watched = usage.observable_since or context.since or context.now
        verdict: Verdict = "used" if usage.users else "unused" if usage.uses else "dormant"
        if verdict == "dormant" and not context.observable(grant):
            verdict = "unobservable"
        due = verdict == "unused" or (verdict == "dormant" and context.now - watched >= context.window)
        # A pattern may be used for only some of what it covers.
        needed = tuple(sorted({pattern_of(term) for term in usage.needed if covers(grant, term)}))
        proposal: Proposal = "remove" if due else "keep"
        instead: tuple[str, ...] = ()
        if verdict == "used" and is_pattern(grant) and context.exceeds_need(grant, needed):
            proposal, instead = "narrow", needed
        guards = list(context.coverage_guards)
        if usage.in_grace:
            young = count_noun(usage.in_grace, "member")
            guards.append(f"held by {young} for less than the grace period of {count_noun(context.grace, 'day')}")
        if ("role", issuer, role, grant) in context.revoked:
            guards.append(REVOKED_ALREADY)
        all_members = count_noun(members, "member")
        reason = {
            "used": f"Needed by {usage.users:,} of {all_members}; last used on {iso_day(usage.last)}.",
            "unused": f"Needed by none of {all_members} any more; last used on {iso_day(usage.last)}.",
            "dormant": f"Used by none of {all_members} in the {count_noun(context.now - watched, 'day')} in which its "
            "use would have been recorded.",
            "unobservable": UNOBSERVABLE_REASON,
        }[verdict]
        finding = make_finding(
            kind="role",
            verdict=verdict,
            proposal=proposal,
            of="role",
            issuer=issuer,
            name=role,
            role=role,
            grant=grant,
            instead=instead,
            reason=reason,
            risk=context.risk(grant),
            uses=usage.uses,
            days=usage.days,
            first_day=iso_day(usage.first),
            last_day=iso_day(usage.last),
            idle=context.now - usage.last if usage.last else None,
            held_since=iso_day(usage.observable_since),
            members=members,
            users=usage.users,
            **score_members(
                risk_part(context.risk(grant)),
                breadth_part(context.risks.breadth(grant)),
                UNKNOWN_IDLE
                if verdict == "unobservable"
                else idle_part(context.now - (usage.last or watched), used=bool(usage.last)),
                members_part(members),
            ),
            others=tuple(
                other for other in sorted(grants) if other not in (grant, WHOLE_ROLE) and overlap(grant, other)
            ),
        )
        return with_guards(finding, tuple(guards), context)

    def _split_findings(self, issuer: str, role: str) -> Iterator[Finding]:
        """A finding for a role whose grants fall into parts that no member needs together."""
        groups = self._used_sets[issuer, role]
        members = sum(groups.values())
        parts: list[tuple[set[str], int]] = []
        for used, number in groups.items():
            if not used:
                continue
            mine, count = set(used), number
            for other in [part for part in parts if part[0] & mine]:
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
            instead=tuple(f"{', '.join(sorted(grants))} ({count_noun(count, 'member')})" for grants, count in parts),
            reason=f"Its {count_noun(members, 'member')} need {len(parts):,} sets of grants that have nothing in common, "
            f"so it could be {count_noun(len(parts), 'role')}.",
            members=members,
            users=sum(count for _, count in parts),
        )


def _other_grants(holder: Holder, role: str, paths: Sequence[GrantPath]) -> tuple[str, ...]:
    """The grants that the holder has otherwise and that have permissions in common with these paths."""
    others = {path.grant for path in holder.paths.values() if path.role != role}
    return tuple(sorted(grant for grant in others if any(overlap(grant, path.grant) for path in paths)))


def _used_otherwise(judged: JudgedHolder, paths: Sequence[GrantPath]) -> bool:
    """Whether the holder needs a permission of these paths of one role through another grant."""
    others = [other for other in judged.paths if other.days and other.role != paths[0].role]
    needed = {other.grant for other in others if not judged.due[other.role, other.grant]}
    return any(overlap(grant, path.grant) for grant in needed for path in paths)
