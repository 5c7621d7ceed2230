"""Findings about the grants and refusals of one subject, and what all findings share."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from hashlib import sha256
from typing import TYPE_CHECKING, NamedTuple

from jwt_lp.permissions.grants import is_pattern
from jwt_lp.review.analysis.context import Person
from jwt_lp.review.analysis.evidence import GrantPath, iso_day
from jwt_lp.review.findings import Finding
from jwt_lp.review.pattern_overlap import covers, overlap, pattern_of
from jwt_lp.review.quantities import count_noun, count_times

if TYPE_CHECKING:
    from jwt_lp.review.analysis.context import ReviewContext
    from jwt_lp.review.analysis.evidence import Holder, RefusalCount
    from jwt_lp.review.findings import FindingKind, FindingTarget, Proposal, Verdict

USED_THROUGH_ANOTHER = "the same permission is in use through another grant, and a deny entry would refuse that too"
UNOBSERVABLE_REASON = "No known enforcement point requires it, so its need is unknown."


def subject_findings(holder: Holder, context: ReviewContext) -> Iterator[Finding]:
    """One finding for each grant of a subject, and for each permission that was refused to it."""
    if not holder.subject:
        return
    paths = [holder.paths[key] for key in sorted(holder.paths)]
    due = {(path.role, path.grant): context.due(holder, path) for path in paths}
    needed = _needed_permissions(holder, paths, due, context)
    for path in paths:
        yield _grant_finding(holder, path, paths, needed, context, revokes=due[path.role, path.grant])
    for permission, refusals in sorted(holder.denied.items()):
        if not any(covers(path.grant, permission) for path in paths):
            yield _refusal_finding(holder, permission, refusals, context, "grant")
    for permission, refusals in sorted(holder.revoked.items()):
        yield _refusal_finding(holder, permission, refusals, context, "regret")


class ProposedChange(NamedTuple):
    """What the rules would do with a grant, and the guards against it."""

    kind: FindingKind
    proposal: Proposal
    instead: tuple[str, ...]
    guards: tuple[str, ...]


def _grant_finding(
    holder: Holder,
    path: GrantPath,
    paths: Sequence[GrantPath],
    needed: Sequence[str],
    context: ReviewContext,
    *,
    revokes: bool,
) -> Finding:
    verdict = context.verdict(path, due=revokes)
    change = _propose(holder, path, needed, context, verdict, revokes=revokes)
    silent = verdict == "used" and change.proposal == "keep"
    person = context.people.get(holder.subject, Person())
    finding = make_finding(
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
        others=() if silent else _overlapping(path, paths),
        denied=_refusals_of(holder.denied, path.grant),
        refused_since=_refusals_of(holder.revoked, path.grant),
        owner=person.manager,
        team=person.team,
        active=person.active,
        **finding_metrics(holder, path, context),
    )
    return with_guards(finding, change.guards, context)


def _refusals_of(refusals: Mapping[str, RefusalCount], grant: str) -> int:
    return sum(count.times for permission, count in refusals.items() if overlap(grant, permission))


def _propose(
    holder: Holder,
    path: GrantPath,
    all_needed: Sequence[str],
    context: ReviewContext,
    verdict: Verdict,
    *,
    revokes: bool,
) -> ProposedChange:
    needed = _needed_part(path, all_needed)
    pattern = is_pattern(path.grant)
    if verdict in ("unused", "dormant"):
        if needed and pattern:
            change = ProposedChange("wildcard", "narrow", needed, _path_guards(holder, path, context, needed=False))
        else:
            change = ProposedChange("grant", "remove", (), _path_guards(holder, path, context, needed=bool(needed)))
        if not revokes:
            observed = context.now - context.observable_since(path)
            young = f"its use was observable for only {observed:,} of {count_noun(context.window, 'day')}"
            change = change._replace(guards=(*change.guards, young))
    elif verdict == "used" and pattern and context.exceeds_need(path.grant, needed):
        change = ProposedChange("wildcard", "narrow", needed, _path_guards(holder, path, context, needed=False))
    else:
        return ProposedChange("grant", "keep", (), ())
    if change.proposal == "narrow" and change.instead == (path.grant,):
        return change._replace(proposal="keep", instead=())
    return change


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


def _needed_permissions(
    holder: Holder, paths: Sequence[GrantPath], due: Mapping[tuple[str, str], bool], context: ReviewContext
) -> tuple[str, ...]:
    """The permissions that the holder needs, through any of its grants."""
    needed: set[str] = set()
    for path in paths:
        if due[path.role, path.grant]:
            continue
        for permission, last in path.used.items():
            # Each permission of a pattern is judged by the same rule as a grant of its own.
            if len(path.used) == 1 or not context.revokes(holder, _permission_path(path, last)):
                needed.add(permission)
    return tuple(sorted(needed))


def _needed_part(path: GrantPath, needed: Sequence[str]) -> tuple[str, ...]:
    """The grants that would cover the needed permissions of this grant."""
    if not is_pattern(path.grant):
        return (path.grant,) if path.grant in needed else ()
    return tuple(sorted({pattern_of(permission) for permission in needed if covers(path.grant, permission)}))


def _permission_path(path: GrantPath, last: int) -> GrantPath:
    """The path of one permission of a grant: used like the grant, but last on the day `last`."""
    return GrantPath(path.role, path.grant, path.granted, path.since, path.seen, path.uses, path.days, path.first, last)


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
