"""Findings about the grants and refusals of one subject, and what all findings share."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import replace
from hashlib import sha256
from typing import TYPE_CHECKING, Final, NamedTuple

from jwt_lp.review.analysis.evidence import GrantPath, Holder, iso_day
from jwt_lp.review.analysis.verdicts import Person
from jwt_lp.review.findings import Finding
from jwt_lp.review.pattern_overlap import covers, is_pattern, overlap, pattern_of
from jwt_lp.review.quantities import count_noun, count_times

if TYPE_CHECKING:
    from jwt_lp.review.analysis.evidence import RefusalCount
    from jwt_lp.review.analysis.verdicts import JudgedHolder, ReviewContext
    from jwt_lp.review.findings import FindingKind, FindingTarget, Proposal, Verdict

USED_THROUGH_ANOTHER = "the same permission is in use through another grant, and a deny entry would refuse that too"
UNOBSERVABLE_REASON = "No known enforcement point requires it, so its need is unknown."


class ProposedChange(NamedTuple):
    """What the rules would do with a grant, and the guards against it."""

    kind: FindingKind
    proposal: Proposal
    instead: tuple[str, ...]
    guards: tuple[str, ...]


_KEEP: Final = ProposedChange("grant", "keep", (), ())


class KeptGrant(NamedTuple):
    """A grant that is used and kept. Its finding is made only if it is listed: a store has many of them."""

    holder: Holder
    path: GrantPath
    change: ProposedChange

    def finding(self, context: ReviewContext) -> Finding:
        """The finding about it."""
        return _make_grant_finding(self.holder, self.path, context, "used", self.change)


def subject_findings(judged: JudgedHolder, context: ReviewContext) -> Iterator[Finding | KeptGrant]:
    """One finding for each grant of a subject, and for each permission that was refused to it."""
    holder, paths, due = judged
    if not holder.subject:
        return
    needed = _needed_permissions(judged, context)
    for path in paths:
        yield _grant_finding(holder, path, paths, needed, context, revokes=due[path.role, path.grant])
    for permission, refusals in sorted(holder.denied.items()):
        if not any(covers(path.grant, permission) for path in paths):
            yield _refusal_finding(holder, permission, refusals, context, "grant")
    for permission, refusals in sorted(holder.revoked.items()):
        yield _refusal_finding(holder, permission, refusals, context, "regret")


def _grant_finding(
    holder: Holder,
    path: GrantPath,
    paths: Sequence[GrantPath],
    needed: Collection[str],
    context: ReviewContext,
    *,
    revokes: bool,
) -> Finding | KeptGrant:
    verdict = context.verdict(path, due=revokes)
    change = _propose(holder, path, needed, context, verdict, revokes=revokes)
    if verdict == "used" and change.proposal == "keep":
        return KeptGrant(holder, path, change)
    finding = _make_grant_finding(holder, path, context, verdict, change, others=_overlapping(path, paths))
    return with_guards(finding, change.guards, context)


def _make_grant_finding(
    holder: Holder,
    path: GrantPath,
    context: ReviewContext,
    verdict: Verdict,
    change: ProposedChange,
    others: tuple[str, ...] = (),
) -> Finding:
    person = context.people.get(holder.subject, Person())
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
        owner=person.manager,
        team=person.team,
        active=person.active,
        **finding_metrics(holder, path, context),
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
        change = ProposedChange("wildcard", "narrow", needed, _path_guards(holder, path, context, needed=False))
    else:
        return _KEEP
    if change.proposal == "narrow" and change.instead == (path.grant,):
        return change._replace(proposal="keep", instead=())
    return change


def _propose_removal(
    holder: Holder, path: GrantPath, needed: tuple[str, ...], context: ReviewContext, *, revokes: bool
) -> ProposedChange:
    if needed and is_pattern(path.grant):
        change = ProposedChange("wildcard", "narrow", needed, _path_guards(holder, path, context, needed=False))
    else:
        change = ProposedChange("grant", "remove", (), _path_guards(holder, path, context, needed=bool(needed)))
    if revokes:
        return change
    observed = context.now - context.observable_since(path)
    young = f"its use was observable for only {observed:,} of {count_noun(context.window, 'day')}"
    return change._replace(guards=(*change.guards, young))


def finding_metrics(holder: Holder, path: GrantPath, context: ReviewContext) -> dict[str, object]:
    """The members of a finding that are numbers and days of a grant."""
    likelihood, because = context.likelihood(holder, path)
    return {
        "risk": context.risk(path.grant),
        "uses": path.uses,
        "days": path.days,
        "first_day": iso_day(path.first),
        "last_day": iso_day(path.last),
        "idle": context.now - path.last if path.last else None,
        "held_since": iso_day(path.held_since),
        "likelihood": likelihood,
        "because": because,
    }


def _overlapping(path: GrantPath, paths: Sequence[GrantPath]) -> tuple[str, ...]:
    return tuple(_display_name(other) for other in paths if other is not path and overlap(other.grant, path.grant))


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


def _path_guards(holder: Holder, path: GrantPath, context: ReviewContext, *, needed: bool) -> tuple[str, ...]:
    guards = list(context.coverage_guards)
    if path.role:
        guards.append(f"conferred by the role {path.role}: see the role")
    if needed:
        guards.append(USED_THROUGH_ANOTHER)
    guards += context.grace_guards(path)
    if ("subject", holder.issuer, holder.subject, path.grant) in context.revoked:
        guards.append("revoked already")
    return tuple(guards)


def _refusal_finding(
    holder: Holder, permission: str, refusals: RefusalCount, context: ReviewContext, kind: FindingKind
) -> Finding:
    person = context.people.get(holder.subject, Person())
    regret = kind == "regret"
    event = "Revoked, and requested since" if regret else "Requested and refused; no grant of the holder covers it"
    times, last = refusals
    return make_finding(
        kind=kind,
        verdict="needed-but-denied",
        proposal="keep",
        of="subject",
        issuer=holder.issuer,
        name=holder.subject,
        role="",
        grant=permission,
        reason=f"{event}: {count_times(times)}, last on {iso_day(last)}.",
        risk=context.risk(permission),
        denied=0 if regret else times,
        refused_since=times if regret else 0,
        last_day=iso_day(last),
        idle=context.now - last,
        owner=person.manager,
        team=person.team,
        active=person.active,
    )


def _display_name(path: GrantPath) -> str:
    return f"{path.grant or 'all'} of the role {path.role}" if path.role else path.grant


def finding_reason(path: GrantPath, context: ReviewContext, verdict: Verdict, instead: Sequence[str]) -> str:
    """The reason of the verdict in one sentence."""
    if verdict == "unobservable":
        return UNOBSERVABLE_REASON
    if verdict == "dormant":
        since = context.observable_since(path)
        days = count_noun(context.now - since, "day")
        return f"Never used in the {days} since {iso_day(since)}, although its use would have been recorded."
    ago = count_noun(context.now - path.last, "day")
    used = f"{count_times(path.uses)} on {count_noun(path.days, 'day')}, last on {iso_day(path.last)}, {ago} ago"
    if instead and verdict == "used":
        return f"Used {used}; only {', '.join(instead)} of what it covers was needed."
    if verdict == "used":
        return f"Used {used}."
    return f"Used {used}: {_rule_text(context)}."


def _rule_text(context: ReviewContext) -> str:
    if context.rule.kind == "fixed" or context.model is None:
        return f"idle for {count_noun(context.window, 'day')} or more"
    return f"its likelihood of need is at most {context.rule.threshold:g}"


def make_finding(  # noqa: PLR0913 - all of them by name
    *,
    kind: FindingKind,
    verdict: Verdict,
    proposal: Proposal,
    of: FindingTarget,
    issuer: str,
    name: str,
    role: str,
    grant: str,
    reason: str,
    **more: object,
) -> Finding:
    """A finding; its id depends only on its subject matter, so it is the same in every review."""
    identity = "\0".join((kind if kind not in ("grant", "wildcard") else "", of, issuer, name, role, grant))
    digest = sha256(identity.encode("utf-8", "surrogatepass")).hexdigest()[:16]
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


def with_guards(finding: Finding, guards: Sequence[str], context: ReviewContext) -> Finding:
    """The finding with its guards, and an exemption if there is one; a guard makes the proposal `keep`."""
    exemption = context.exempt.get(finding.id)
    if exemption is not None and exemption.until >= iso_day(context.now):
        guards = (*guards, f"exempt until {exemption.until} by {exemption.owner}")
    if not guards or finding.proposal == "keep":
        return finding
    return replace(finding, guards=tuple(guards), proposal="keep")
