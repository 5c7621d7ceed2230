"""How is a review made?"""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import UTC, datetime
from functools import lru_cache, partial
from hashlib import sha256
from typing import TYPE_CHECKING, Final, TypeVar

from jwt_lp.policy.file import EMPTY_POLICY
from jwt_lp.review.analysis import route_findings
from jwt_lp.review.analysis.aggregates import FindingCollector
from jwt_lp.review.analysis.context import ReviewContext
from jwt_lp.review.analysis.evidence import PopulationSource as Source
from jwt_lp.review.analysis.evidence import iso_day, iter_holders, ordinal, recording_coverage
from jwt_lp.review.findings import AppliedRule, Population, Review, ReviewWindow
from jwt_lp.review.pattern_overlap import EnforcedPermissions, overlap, permissions_in

if TYPE_CHECKING:
    from jwt_lp.policy.file import Policy
    from jwt_lp.review.analysis.backtesting import UsageHistory
    from jwt_lp.review.analysis.context import Person, ReviewExemption
    from jwt_lp.review.analysis.decision_rule import DecisionRule
    from jwt_lp.review.analysis.evidence import RecordingCoverage
    from jwt_lp.review.analysis.likelihood import LikelihoodModel
    from jwt_lp.review.findings import Finding
    from jwt_lp.stores import HeldGrantRow, Store

    _T = TypeVar("_T")
    _R = TypeVar("_R", bound=tuple[object, ...])

GRACE_DAYS: Final = 14
STALE_DAYS: Final = 5
_PROPOSAL_ORDER: Final = {"remove": 0, "narrow": 1, "keep": 2}
_RISK_ORDER: Final = {"high": 0, "medium": 1, "low": 2}


def review(  # noqa: PLR0913 - all but the store by name
    store: Store,
    *,
    now: str,
    rule: DecisionRule,
    model: LikelihoodModel | None = None,
    history: UsageHistory | None = None,
    policy: Policy = EMPTY_POLICY,
    grace: int = GRACE_DAYS,
    horizon: int = 365,
    exempt: Iterable[ReviewExemption] = (),
    people: Mapping[str, Person] | None = None,
    issuer: str | None = None,
    made_at: float | None = None,
    on_step: Callable[[str, int], object] = lambda _what, _count: None,
) -> Review:
    """Hold what was granted against what was used, up to and including the day `now`.

    `rule` judges, with `model` where it asks for likelihoods, which was fitted on `history`. `on_step` hears what is
    being done, and of how many. Nothing is written. `StoreError` where the store does not answer.
    """
    digest = sha256(json.dumps([now, str(rule), policy.digest, grace, issuer]).encode())
    source, held = _load_held_grants(store, now, issuer)
    records = recording_coverage(store.recording_periods(), ordinal(now), _day)
    asking = list(store.requested_permissions(until=now))
    points = [point for point in store.enforcement_points() if point.first_day <= now]
    terms = [term for point in points for term in permissions_in(point.requirement)]
    users, active = history.recent_users(ordinal(now)) if history is not None else ({}, 0)
    context = ReviewContext(
        now=ordinal(now),
        rule=rule,
        model=model,
        grace=grace,
        since=records.first,
        requested=EnforcedPermissions((*terms, *(each.permission for each in asking))),
        risk=lru_cache(maxsize=None)(partial(risk_of, policy)),
        users=users,
        active=active,
        coverage_guards=_coverage_guards(ordinal(now), records, rule),
        exempt={each.id: each for each in exempt},
        people=people or {},
        revoked=_denied_grants(store),
    )
    found = iter_holders(
        _hash_rows(held, digest),
        _hash_rows(store.observed_grants(issuer=issuer), digest),
        _hash_rows(store.summary(until=now, issuer=issuer), digest),
        until=now,
        population=source,
        granted=lambda name: _role_grants(policy, name),
    )
    sums = FindingCollector(
        context, {name: tuple(each.text for each in role.grants) for name, role in policy.roles.items()}
    )
    for holder in _report_progress(found, "subjects judged", on_step):
        sums.add(holder)
    findings = sorted(sums.findings(route_findings.findings(points, asking, context.requested, policy)), key=_sort_key)
    population = _population(source, sums, findings)
    return Review(
        made_at=time.time() if made_at is None else made_at,
        store=store.name,
        now=now,
        window=ReviewWindow(iso_day(records.first), now, iso_day(records.last), len(records.covered), records.dropped),
        population=population,
        judging=_applied_rule(rule, model, grace, horizon),
        findings=tuple(findings),
        notes=tuple(_notes(context, records, population, sums.unlisted)),
        digest=digest.hexdigest(),
        policy=policy.digest if policy is not EMPTY_POLICY else "",
        policy_path=policy.path or "",
        timeline=tuple(_timeline(store, now)),
    )


def _population(source: Source, sums: FindingCollector, findings: Iterable[Finding]) -> Population:
    return Population(
        source="imported" if source.as_of else "tokens",
        as_of=iso_day(source.as_of),
        complete=source.complete,
        subjects=sums.subjects,
        clients=len(sums.clients.names),
        roles=len(sums.names),
        grants=sums.grants,
        excluded=sum(1 for each in findings if any(guard.startswith("exempt ") for guard in each.guards)),
    )


def _applied_rule(rule: DecisionRule, model: LikelihoodModel | None, grace: int, horizon: int) -> AppliedRule:
    return AppliedRule(
        rule=rule.kind,
        threshold=rule.threshold,
        floor=rule.floor,
        grace=grace,
        horizon=horizon,
        fitted_on=model.fitted_on if model is not None else 0,
        coefficients=model.coefficients if model is not None else (),
    )


def _load_held_grants(store: Store, now: str, issuer: str | None) -> tuple[Source, list[HeldGrantRow]]:
    rows = [row for row in store.held_grants() if row.as_of <= now and issuer in (None, row.held.issuer)]
    as_of = max((ordinal(row.as_of) for row in rows), default=0)
    return Source(as_of, any(row.complete for row in rows)), rows


def _hash_rows(rows: Iterable[_R], digest: object) -> Iterator[_R]:
    """The rows, as they go into the digest of what the review was made from."""
    update = digest.update  # type: ignore[attr-defined]
    for row in rows:
        # Without the names of its columns, which are the same in every row.
        update(repr(row[:]).encode("utf-8", "backslashreplace"))
        yield row


def _report_progress(rows: Iterable[_T], what: str, on_step: Callable[[str, int], object]) -> Iterator[_T]:
    number = 0
    for number, row in enumerate(rows, 1):
        if number % 256 == 0:
            on_step(what, number)
        yield row
    on_step(what, number)


def _role_grants(policy: Policy, role: str) -> tuple[str, ...] | None:
    return tuple(grant.text for grant in policy.roles[role].grants) if role in policy.roles else None


def risk_of(policy: Policy, grant: str) -> str:
    """The highest risk of what the grant covers, by the catalogue; medium where that says nothing."""
    found = [entry.risk for name, entry in policy.catalogue.items() if overlap(grant, name)]
    return min(found, key=_RISK_ORDER.__getitem__, default="medium")


def _day(at: float) -> int:
    return datetime.fromtimestamp(at, UTC).date().toordinal()


def _coverage_guards(today: int, records: RecordingCoverage, rule: DecisionRule) -> tuple[str, ...]:
    """What forbids to propose anything at all."""
    found: list[str] = []
    window = int(rule.threshold) if rule.kind == "fixed" else rule.floor
    length = today - records.first if records.first else 0
    if not records.first or length < window:
        found.append(f"there are records of {length} days only, and the rule looks at {window}")
    if records.last and today - records.last > STALE_DAYS:
        found.append(f"the records end on {iso_day(records.last)}, {today - records.last} days before the review")
    return tuple(found)


def _denied_grants(store: Store) -> frozenset[tuple[str, str, str, str]]:
    return frozenset(
        (each.entry.of, each.entry.issuer, each.entry.name, each.entry.pattern)
        for each in store.revocations()
        if each.entry.pattern
    )


def _sort_key(found: Finding) -> tuple[object, ...]:
    idle = found.idle if found.idle is not None else 1_000_000
    return (
        _PROPOSAL_ORDER[found.proposal], _RISK_ORDER[found.risk], found.verdict == "used", -idle, found.of, found.issuer,
        found.name, found.role, found.grant, found.kind,
    )  # fmt: skip


def _notes(context: ReviewContext, records: RecordingCoverage, population: Population, silent: int) -> Iterator[str]:
    if population.source == "tokens":
        yield (
            "The population is tokens seen only: who holds a grant that no token carried is not in it. "
            "jwt-lp grants import brings a list of who holds what"
        )
    elif not population.complete:
        yield "The list of grants was not said to be complete: what is not in it may still be held"
    yield from (f"Nothing is proposed: {doubt}" for doubt in context.coverage_guards)
    missing = records.last - records.first + 1 - len(records.covered) if records.first else 0
    if missing:
        yield f"On {missing} days between {iso_day(records.first)} and {iso_day(records.last)} nothing recorded"
    if records.dropped:
        yield f"{records.dropped} decisions were lost before they were stored: what was used then may look unused"
    if population.excluded:
        yield f"{population.excluded} findings are exempt: they were left out, not found clean"
    if context.rule.kind == "likelihood" and context.model is None:
        yield f"There is not enough history for likelihoods: a window of {context.window} days was used instead"
    if silent:
        yield f"{silent} findings that are in use and stay are counted here and not listed"


def _timeline(store: Store, now: str) -> Iterator[tuple[str, int, int, int]]:
    months: dict[str, Counter[str]] = {}
    for row in store.months(until=now):
        months.setdefault(row.month, Counter())[row.outcome] += row.uses
    for month in sorted(months):
        counted = months[month]
        yield f"{month}-01"[:10], counted["granted"], counted["denied"], counted["revoked"]
