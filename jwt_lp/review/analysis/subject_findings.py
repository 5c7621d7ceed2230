"""Findings about the grants and refusals of one subject."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from typing import TYPE_CHECKING, Final, NamedTuple

from jwt_lp.review.analysis.elevated_use import elevated_grants, just_in_time
from jwt_lp.review.analysis.evidence import GrantPath, Holder, iso_day
from jwt_lp.review.analysis.finding_parts import (
    REVOKED_ALREADY,
    finding_id,
    finding_reason,
    grant_members,
    grant_score,
    leaver_reason,
    likelihood_members,
    make_finding,
    person_members,
    score_members,
    with_guards,
)
from jwt_lp.review.analysis.risk_score import breadth_part, holder_part, risk_part
from jwt_lp.review.findings import USED_THROUGH_ANOTHER
from jwt_lp.review.pattern_overlap import covers, is_pattern, overlap, pattern_of
from jwt_lp.review.quantities import count_noun, count_times

if TYPE_CHECKING:
    from jwt_lp.review.analysis.evidence import RefusalCount
    from jwt_lp.review.analysis.verdicts import JudgedHolder, ReviewContext
    from jwt_lp.review.findings import Finding, FindingKind, Proposal, Verdict


class ProposedChange(NamedTuple):
    """What the rules would do with a grant, and the guards against it."""

    kind: FindingKind
    proposal: Proposal
    instead: tuple[str, ...]
    guards: tuple[str, ...]


_KEEP: Final = ProposedChange("grant", "keep", (), ())


class KeptGrant(NamedTuple):
    """A grant that is used and kept. Its finding is made only if it is listed: a store has many of them."""

    judged: JudgedHolder
    path: GrantPath
    change: ProposedChange

    def finding(self, context: ReviewContext) -> Finding:
        """The finding about it."""
        return _make_grant_finding(self.judged, self.path, context, "used", self.change)

    @property
    def id(self) -> str:
        """The id of the finding about it."""
        holder, path = self.judged.holder, self.path
        return finding_id(self.change.kind, "subject", holder.issuer, holder.subject, path.role, path.grant)


def subject_findings(judged: JudgedHolder, context: ReviewContext) -> Iterator[Finding | KeptGrant]:
    """One finding for each grant of a subject, and for each permission that was refused to it."""
    holder = judged.holder
    if not holder.subject:
        return
    if judged.has_left:
        yield from (_leaver_finding(judged, path, context) for path in judged.paths)
    else:
        needed = _needed_permissions(judged, context)
        yield from (_grant_finding(judged, path, needed, context) for path in judged.paths)
    for permission, refusals in sorted(holder.denied.items()):
        if not any(covers(path.grant, permission) for path in judged.paths):
            yield _refusal_finding(judged, permission, refusals, context, "grant")
    for permission, refusals in sorted(holder.revoked.items()):
        yield _refusal_finding(judged, permission, refusals, context, "regret")


def _grant_finding(
    judged: JudgedHolder, path: GrantPath, needed: Collection[str], context: ReviewContext
) -> Finding | KeptGrant:
    revokes = judged.due[path.role, path.grant]
    verdict = context.verdict(path, due=revokes)
    change = _propose(judged.holder, path, needed, context, verdict, revokes=revokes)
    if verdict == "used" and change.proposal == "keep":
        return KeptGrant(judged, path, change)
    others = _overlapping(path, judged)
    finding = _make_grant_finding(judged, path, context, verdict, change, others=others)
    return with_guards(finding, change.guards, context)


def _leaver_finding(judged: JudgedHolder, path: GrantPath, context: ReviewContext) -> Finding:
    """The finding about a grant of a person who has left: no rule and no records are needed to remove it."""
    finding = make_finding(
        kind="grant",
        verdict="leaver",
        proposal="remove",
        of="subject",
        issuer=judged.holder.issuer,
        name=judged.holder.subject,
        role=path.role,
        grant=path.grant,
        reason=leaver_reason(judged.person, path.uses, path.last, context),
        others=_overlapping(path, judged),
        **grant_members(path, context),
        **grant_score(path, context, holder_part(judged.powers)),
        **person_members(judged.person),
    )
    return with_guards(finding, _path_guards(judged.holder, path, context), context)


def _make_grant_finding(
    judged: JudgedHolder,
    path: GrantPath,
    context: ReviewContext,
    verdict: Verdict,
    change: ProposedChange,
    others: tuple[str, ...] = (),
) -> Finding:
    holder = judged.holder
    return make_finding(
        kind=change.kind,
        verdict=verdict,
        proposal=change.proposal,
        of="subject",
        issuer=holder.issuer,
        name=holder.subject,
        role=path.role,
        grant=path.grant,
        instead=change.instead,
        reason=finding_reason(path, context, verdict, change.instead),
        others=others,
        denied=_refusals_of(holder.denied, path.grant),
        refused_since=_refusals_of(holder.revoked, path.grant),
        just_in_time=just_in_time(judged, path, context, change.proposal),
        **grant_members(path, context),
        **likelihood_members(holder, path, context),
        **grant_score(path, context, holder_part(judged.powers)),
        **person_members(judged.person),
    )


def _refusals_of(refusals: Mapping[str, RefusalCount], grant: str) -> int:
    return sum(count.times for permission, count in refusals.items() if overlap(grant, permission))


def _propose(
    holder: Holder,
    path: GrantPath,
    all_needed: Collection[str],
    context: ReviewContext,
    verdict: Verdict,
    *,
    revokes: bool,
) -> ProposedChange:
    pattern = is_pattern(path.grant)
    if verdict in ("unused", "dormant"):
        change = _propose_removal(holder, path, _needed_part(path, all_needed), context, revokes=revokes)
    elif verdict == "used" and pattern and context.may_exceed_need(path.grant, all_needed):
        needed = _needed_part(path, all_needed)
        if not context.exceeds_need(path.grant, needed):
            return _KEEP
        change = ProposedChange("wildcard", "narrow", needed, _judging_guards(holder, path, context, needed=False))
    else:
        return _KEEP
    if change.proposal == "narrow" and change.instead == (path.grant,):
        return change._replace(proposal="keep", instead=())
    return change


def _propose_removal(
    holder: Holder, path: GrantPath, needed: tuple[str, ...], context: ReviewContext, *, revokes: bool
) -> ProposedChange:
    if needed and is_pattern(path.grant):
        change = ProposedChange("wildcard", "narrow", needed, _judging_guards(holder, path, context, needed=False))
    else:
        change = ProposedChange("grant", "remove", (), _judging_guards(holder, path, context, needed=bool(needed)))
    if revokes:
        return change
    observed = context.now - context.observable_since(path)
    young = f"its use was observable for only {observed:,} of {count_noun(context.window, 'day')}"
    return change._replace(guards=(*change.guards, young))


def _overlapping(path: GrantPath, judged: JudgedHolder) -> tuple[str, ...]:
    """The other ways to the same permissions: grants, then elevations."""
    standing = (_display_name(each) for each in judged.paths if each is not path and overlap(each.grant, path.grant))
    elevated = (shown for permission, shown in elevated_grants(judged.holder) if overlap(permission, path.grant))
    return (*standing, *elevated)


def _needed_permissions(judged: JudgedHolder, context: ReviewContext) -> set[str]:
    """The permissions that the holder needs, through any of its grants."""
    needed: set[str] = set()
    for path in judged.paths:
        if judged.due[path.role, path.grant]:
            continue
        if len(path.used) == 1:
            needed.update(path.used)
            continue
        for permission, last in path.used.items():
            # Each permission of a pattern is judged by the same rule as a grant of its own.
            if not context.revokes_permission(judged.holder, path, last):
                needed.add(permission)
    return needed


def _needed_part(path: GrantPath, needed: Collection[str]) -> tuple[str, ...]:
    """The grants that would cover the needed permissions of this grant."""
    if not is_pattern(path.grant):
        return (path.grant,) if path.grant in needed else ()
    return tuple(sorted({pattern_of(permission) for permission in needed if covers(path.grant, permission)}))


def _judging_guards(holder: Holder, path: GrantPath, context: ReviewContext, *, needed: bool) -> tuple[str, ...]:
    """The guards of a proposal that rests on the records."""
    through_another = (USED_THROUGH_ANOTHER,) if needed else ()
    return (
        *context.coverage_guards,
        *_path_guards(holder, path, context),
        *through_another,
        *context.grace_guards(path),
    )


def _path_guards(holder: Holder, path: GrantPath, context: ReviewContext) -> tuple[str, ...]:
    """The guards of any proposal, whatever it rests on."""
    guards: list[str] = []
    if path.role:
        guards.append(f"conferred by the role {path.role}: decide about the role or the membership")
    if ("subject", holder.issuer, holder.subject, path.grant) in context.revoked:
        guards.append(REVOKED_ALREADY)
    return tuple(guards)


def _refusal_finding(
    judged: JudgedHolder, permission: str, refusals: RefusalCount, context: ReviewContext, kind: FindingKind
) -> Finding:
    regret = kind == "regret"
    event = "Revoked, and requested since" if regret else "Requested and refused; no grant of the holder covers it"
    times, last = refusals
    risk = context.risk(permission)
    left = " The person has left." if judged.has_left else ""
    return make_finding(
        kind=kind,
        verdict="needed-but-denied",
        proposal="keep",
        of="subject",
        issuer=judged.holder.issuer,
        name=judged.holder.subject,
        role="",
        grant=permission,
        reason=f"{event}: {count_times(times)}, last on {iso_day(last)}.{left}",
        risk=risk,
        denied=0 if regret else times,
        refused_since=times if regret else 0,
        last_day=iso_day(last),
        idle=context.now - last,
        **score_members(risk_part(risk), breadth_part(context.risks.breadth(permission))),
        **person_members(judged.person),
    )


def _display_name(path: GrantPath) -> str:
    return f"{path.grant or 'all'} of the role {path.role}" if path.role else path.grant
