"""Parts that all findings share: identity, person, numbers, reason and guards."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from hashlib import sha256
from typing import TYPE_CHECKING, Final

from jwt_lp.review.analysis import risk_score
from jwt_lp.review.analysis.evidence import GrantPath, Holder, iso_day, ordinal
from jwt_lp.review.findings import Finding
from jwt_lp.review.quantities import count_noun, count_times, format_percent

if TYPE_CHECKING:
    from jwt_lp.review.analysis.people import Person
    from jwt_lp.review.analysis.verdicts import ReviewContext
    from jwt_lp.review.findings import FindingKind, FindingTarget, Proposal, ScorePart, Verdict

REVOKED_ALREADY: Final = "revoked already"
"""The guard of what a deny entry refuses already."""
UNOBSERVABLE_REASON: Final = "No known enforcement point requires it, so its need is unknown."


def grant_members(path: GrantPath, context: ReviewContext) -> dict[str, object]:
    """The members of a finding that are numbers and days of a grant."""
    return {
        "risk": context.risk(path.grant),
        "uses": path.uses,
        "days": path.days,
        "first_day": iso_day(path.first),
        "last_day": iso_day(path.last),
        "idle": context.now - path.last if path.last else None,
        "held_since": iso_day(path.held_since),
    }


def likelihood_members(holder: Holder, path: GrantPath, context: ReviewContext) -> dict[str, object]:
    """The members of a finding about the likelihood of need."""
    likelihood, because = context.likelihood(holder, path)
    return {"likelihood": likelihood, "likelihood_bound": context.likelihood_bound(holder, path), "because": because}


def person_members(person: Person) -> dict[str, object]:
    """The members of a finding about the person who is its holder."""
    return {
        "person_name": person.name,
        "team": person.team,
        "manager": person.manager,
        "active": person.active,
        "left": person.left,
    }


def score_members(*parts: ScorePart) -> dict[str, object]:
    """The members of a finding about its risk score."""
    return {"score": risk_score.total(parts), "score_parts": parts}


def grant_score(path: GrantPath, context: ReviewContext, holder: ScorePart) -> dict[str, object]:
    """The risk score of a grant; `holder` is the part of who holds it."""
    if not path.days and not context.observable(path.grant):
        idle = risk_score.UNKNOWN_IDLE
    else:
        days = context.now - (path.last or context.observable_since(path))
        idle = risk_score.idle_part(days, used=bool(path.last))
    return score_members(
        risk_score.risk_part(context.risk(path.grant)),
        risk_score.breadth_part(context.risks.breadth(path.grant)),
        idle,
        holder,
    )


def finding_reason(path: GrantPath, context: ReviewContext, verdict: Verdict, instead: Sequence[str]) -> str:
    """The reason of the verdict in one sentence."""
    if verdict == "unobservable":
        return UNOBSERVABLE_REASON
    if verdict == "dormant":
        since = context.observable_since(path)
        if since == context.now:
            return f"Never used; its use can be seen only since today, {iso_day(since)}."
        days = count_noun(context.now - since, "day")
        return f"Never used in the {days} since {iso_day(since)}, although its use would have been recorded."
    ago = count_noun(context.now - path.last, "day")
    used = f"{count_times(path.uses)} on {count_noun(path.days, 'day')}, last on {iso_day(path.last)}, {ago} ago"
    if instead and verdict == "used":
        return f"Used {used}; only {', '.join(instead)} of what it covers was needed."
    if verdict == "used":
        return f"Used {used}."
    return f"Used {used}: {_rule_text(context)}."


def leaver_reason(person: Person, uses: int, last: int, context: ReviewContext) -> str:
    """The reason of the verdict on what a leaver holds; use after the last day of work is in it."""
    gone = (
        f"The holder has left: the last day was {person.left}" if person.left else "The holder is not active any more"
    )
    if not last:
        return f"{gone}. Never used."
    ago = count_noun(context.now - last, "day")
    if person.left and iso_day(last) > person.left:
        late = count_noun(last - ordinal(person.left), "day")
        return f"{gone}, but it was used {late} after that, last on {iso_day(last)}, {ago} ago."
    return f"{gone}. Used {count_times(uses)}, last on {iso_day(last)}, {ago} ago."


def _rule_text(context: ReviewContext) -> str:
    if context.rule.kind == "fixed" or context.model is None:
        return f"idle for {count_noun(context.window, 'day')} or more"
    return f"its likelihood of need is at most {format_percent(context.rule.threshold)}"


def finding_id(kind: FindingKind, of: FindingTarget, issuer: str, name: str, role: str, grant: str) -> str:
    """The id of a finding; it depends only on its subject matter, so it is the same in every review."""
    identity = "\0".join((kind if kind not in ("grant", "wildcard") else "", of, issuer, name, role, grant))
    return sha256(identity.encode("utf-8", "surrogatepass")).hexdigest()[:16]


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
    """A finding with its id."""
    return Finding(
        id=finding_id(kind, of, issuer, name, role, grant),
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
