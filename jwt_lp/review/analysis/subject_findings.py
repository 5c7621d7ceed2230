"""What does the evidence about one holder come to?"""

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

if TYPE_CHECKING:
    from jwt_lp.review.analysis.context import ReviewContext
    from jwt_lp.review.analysis.evidence import Holder
    from jwt_lp.review.findings import FindingKind, FindingTarget, Proposal, Verdict

USED_THROUGH_ANOTHER = "the same permission is in use through another grant, and a deny entry would refuse that too"


def subject_findings(holder: Holder, context: ReviewContext) -> Iterator[Finding]:
    """What is to be said of each way of a subject, and of what it refused."""
    if not holder.subject:
        return
    paths = [holder.paths[key] for key in sorted(holder.paths)]
    due = {(path.role, path.grant): context.due(holder, path) for path in paths}
    live = _needed_permissions(holder, paths, due, context)
    for path in paths:
        yield _grant_finding(holder, path, paths, live, context, revokes=due[path.role, path.grant])
    for permission, refused in sorted(holder.denied.items()):
        if not any(covers(path.grant, permission) for path in paths):
            yield _refusal_finding(holder, permission, refused.times, refused.last, context, "grant")
    for permission, refused in sorted(holder.revoked.items()):
        yield _refusal_finding(holder, permission, refused.times, refused.last, context, "regret")


class ProposedChange(NamedTuple):
    """What the rules would do with a grant, and what holds it back."""

    kind: FindingKind
    proposal: Proposal
    instead: tuple[str, ...]
    guards: tuple[str, ...]


def _grant_finding(
    holder: Holder,
    path: GrantPath,
    paths: Sequence[GrantPath],
    live: Sequence[str],
    context: ReviewContext,
    *,
    revokes: bool,
) -> Finding:
    verdict = context.verdict(path, due=revokes)
    found = _propose(holder, path, live, context, verdict, revokes=revokes)
    silent = verdict == "used" and found.proposal == "keep"
    person = context.people.get(holder.subject, Person())
    made = make_finding(
        kind=found.kind,
        verdict=verdict,
        proposal=found.proposal,
        of="subject",
        issuer=holder.issuer,
        name=holder.subject,
        role=path.role,
        grant=path.grant,
        instead=found.instead,
        reason=finding_reason(path, context, verdict, found.instead),
        others=() if silent else _overlapping(path, paths),
        denied=sum(each.times for asked, each in holder.denied.items() if overlap(path.grant, asked)),
        refused_since=sum(each.times for asked, each in holder.revoked.items() if overlap(path.grant, asked)),
        owner=person.manager,
        team=person.team,
        active=person.active,
        **finding_metrics(holder, path, context),
    )
    return with_guards(made, found.guards, context)


def _propose(
    holder: Holder, path: GrantPath, live: Sequence[str], context: ReviewContext, verdict: Verdict, *, revokes: bool
) -> ProposedChange:
    needed = _needed_part(path, live)
    pattern = is_pattern(path.grant)
    if verdict in ("unused", "dormant"):
        if needed and pattern:
            found = ProposedChange("wildcard", "narrow", needed, _path_guards(holder, path, context, needed=False))
        else:
            found = ProposedChange("grant", "remove", (), _path_guards(holder, path, context, needed=bool(needed)))
        if not revokes:
            watched = context.now - context.observable_since(path)
            young = f"its use would have been seen for {watched} days only, of {context.window}"
            found = found._replace(guards=(*found.guards, young))
    elif verdict == "used" and pattern and context.exceeds_need(path.grant, needed):
        found = ProposedChange("wildcard", "narrow", needed, _path_guards(holder, path, context, needed=False))
    else:
        return ProposedChange("grant", "keep", (), ())
    if found.proposal == "narrow" and found.instead == (path.grant,):
        return found._replace(proposal="keep", instead=())
    return found


def finding_metrics(holder: Holder, path: GrantPath, context: ReviewContext) -> dict[str, object]:
    """What is known of a way in numbers: those members of its finding."""
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
    return tuple(_display_name(each) for each in paths if each is not path and overlap(each.grant, path.grant))


def _needed_permissions(
    holder: Holder, paths: Sequence[GrantPath], due: Mapping[tuple[str, str], bool], context: ReviewContext
) -> tuple[str, ...]:
    """The permissions that the holder needs, through whichever way they were used."""
    found: set[str] = set()
    for each in paths:
        if due[each.role, each.grant]:
            continue
        for permission, last in each.used.items():
            # A permission is judged as a grant of its own is: by the same rule.
            if len(each.used) == 1 or not context.revokes(holder, _permission_path(each, last)):
                found.add(permission)
    return tuple(sorted(found))


def _needed_part(path: GrantPath, live: Sequence[str]) -> tuple[str, ...]:
    """What of this grant is in need, as it would have to be granted."""
    if not is_pattern(path.grant):
        return (path.grant,) if path.grant in live else ()
    return tuple(sorted({pattern_of(permission) for permission in live if covers(path.grant, permission)}))


def _permission_path(path: GrantPath, last: int) -> GrantPath:
    """A part of a grant: used as long as it was, and no longer."""
    return GrantPath(path.role, path.grant, path.granted, path.since, path.seen, path.uses, path.days, path.first, last)


def _path_guards(holder: Holder, path: GrantPath, context: ReviewContext, *, needed: bool) -> tuple[str, ...]:
    found = list(context.coverage_guards)
    if path.role:
        found.append(f"conferred by the role {path.role}: see the role")
    if needed:
        found.append(USED_THROUGH_ANOTHER)
    found += context.grace_guards(path)
    if ("subject", holder.issuer, holder.subject, path.grant) in context.revoked:
        found.append("revoked already")
    return tuple(found)


def _refusal_finding(
    holder: Holder, permission: str, times: int, last: int, context: ReviewContext, kind: FindingKind
) -> Finding:
    person = context.people.get(holder.subject, Person())
    regret = kind == "regret"
    said = "revoked, and asked for since" if regret else "asked for and refused, and held through no grant"
    return make_finding(
        kind=kind,
        verdict="needed-but-denied",
        proposal="keep",
        of="subject",
        issuer=holder.issuer,
        name=holder.subject,
        role="",
        grant=permission,
        reason=f"{said}: {_times_text(times)}, last on {iso_day(last)}.",
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
    """One sentence that says why."""
    if verdict == "unobservable":
        return "No known enforcement point asks for it, so its need cannot be told."
    if verdict == "dormant":
        since = context.observable_since(path)
        return (
            f"Never used in the {context.now - since} days since {iso_day(since)}, when its use would have been seen."
        )
    used = f"{_times_text(path.uses)} on {_days_text(path.days)}, last on {iso_day(path.last)}, {_days_text(context.now - path.last)} ago"
    if instead and verdict == "used":
        return f"Used {used}; of what it covers only {', '.join(instead)} was needed."
    if verdict == "used":
        return f"Used {used}."
    return f"Used {used}: {_rule_text(context)}."


def _rule_text(context: ReviewContext) -> str:
    if context.rule.kind == "fixed" or context.model is None:
        return f"idle for {context.window} days or more"
    return f"needed again with a likelihood of {context.rule.threshold:g} or less"


def _times_text(number: int) -> str:
    return "once" if number == 1 else f"{number} times"


def _days_text(number: int) -> str:
    return f"{number} day{'' if number == 1 else 's'}"


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


def with_guards(found: Finding, guards: Sequence[str], context: ReviewContext) -> Finding:
    """The finding with what keeps it from being proposed."""
    exemption = context.exempt.get(found.id)
    if exemption is not None and exemption.until >= iso_day(context.now):
        guards = (*guards, f"exempt until {exemption.until} by {exemption.owner}")
    if not guards or found.proposal == "keep":
        return found
    return replace(found, guards=tuple(guards), proposal="keep")
