"""Elevated use, and standing grants that an elevation could serve.

What a subject uses by an elevation is never use of a standing grant: it neither keeps a standing grant nor is one.
"""

from __future__ import annotations

from hashlib import sha256
from typing import TYPE_CHECKING, Final

from jwt_lp.review.analysis.evidence import iso_day
from jwt_lp.review.elevation_values import ElevatedUse, JustInTime
from jwt_lp.review.quantities import count_noun, count_times

if TYPE_CHECKING:
    from collections.abc import Iterator

    from jwt_lp.review.analysis.evidence import ElevatedPermission, GrantPath, Holder
    from jwt_lp.review.analysis.verdicts import JudgedHolder, ReviewContext
    from jwt_lp.review.findings import Proposal

WATCHED_WEEKS: Final = 8
"""The weeks before a review that decide whether a standing grant is proposed."""
FREQUENT_WEEKS: Final = 6
"""A standing grant is proposed if it was used by elevations in this many of those weeks."""
RARE_REQUESTS: Final = 12.0
"""A grant is used rarely if its past use would have needed at most this many requests a year."""
_YEAR_DAYS: Final = 365


def elevated_uses(judged: JudgedHolder, context: ReviewContext) -> Iterator[ElevatedUse]:
    """What a subject used by elevations, by permission."""
    holder, person = judged.holder, judged.person
    if not holder.subject:
        return
    for permission, elevated in sorted(holder.elevated.items()):
        weeks = elevated.weeks(context.now, WATCHED_WEEKS)
        frequent = weeks >= FREQUENT_WEEKS and not judged.has_left
        identity = f"elevated\x00{holder.issuer}\x00{holder.subject}\x00{permission}"
        yield ElevatedUse(
            id=sha256(identity.encode("utf-8", "surrogatepass")).hexdigest()[:16],
            issuer=holder.issuer,
            name=holder.subject,
            permission=permission,
            elevations=len(elevated.elevations),
            uses=elevated.uses,
            weeks=weeks,
            watched_weeks=WATCHED_WEEKS,
            first_day=iso_day(min(elevated.days)),
            last_day=iso_day(max(elevated.days)),
            propose_standing=frequent,
            reason=_reason(elevated, weeks, frequent=frequent, has_left=judged.has_left),
            risk=context.risk(permission),
            person_name=person.name,
            team=person.team,
            manager=person.manager,
        )


def _reason(elevated: ElevatedPermission, weeks: int, *, frequent: bool, has_left: bool) -> str:
    used = (
        f"Used {count_times(elevated.uses)} by {count_noun(len(elevated.elevations), 'elevation')}, in {weeks} of the "
        f"last {count_noun(WATCHED_WEEKS, 'week')}"
    )
    if has_left:
        return f"{used}; the person has left."
    if frequent:
        return f"{used}: a standing grant may be better. Nothing gives it but a person who decides so."
    return f"{used}."


def just_in_time(
    judged: JudgedHolder, path: GrantPath, context: ReviewContext, proposal: Proposal
) -> JustInTime | None:
    """The elevation that could serve instead of a standing grant; None if there is none, or it would not be better.

    The rule must cover the permission and let this subject ask. A grant that the review keeps must be used rarely and be
    of high risk.
    """
    rule = context.elevation_rule(path.grant)
    holder = judged.holder
    if rule is None or judged.has_left or (proposal == "keep" and context.risk(path.grant) != "high"):
        return None
    roles = {role for role, _ in holder.paths if role}
    if not rule.may_ask(holder.subject, roles, context.issuer_names.get(holder.issuer, "")):
        return None
    requests = _requests_a_year(path, context)
    if proposal == "keep" and not 0 < requests <= RARE_REQUESTS:
        return None
    return JustInTime(rule.pattern, rule.longest, requests)


def _requests_a_year(path: GrantPath, context: ReviewContext) -> float:
    """One request for each day of use. A record of less than a year counts as one, so that few days mean little."""
    seen = context.now - min(context.observable_since(path), path.first or context.now)
    return path.days * _YEAR_DAYS / max(seen, _YEAR_DAYS)


def elevated_grants(holder: Holder) -> Iterator[tuple[str, str]]:
    """Each permission that a subject used by elevations, and how a finding shows it beside other grants."""
    for permission, elevated in sorted(holder.elevated.items()):
        yield permission, f"{permission} by {count_noun(len(elevated.elevations), 'elevation')}"
