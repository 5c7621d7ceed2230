"""Review engine: reads the store, judges every holder, and sorts the findings."""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import UTC, datetime
from hashlib import sha256
from typing import TYPE_CHECKING, Final, Protocol, TypeVar

from jwt_lp.errors import ConfigurationError
from jwt_lp.policy.file import EMPTY_POLICY
from jwt_lp.review.analysis import route_findings
from jwt_lp.review.analysis.decision_rule import describe_young, settle_rule
from jwt_lp.review.analysis.evidence import PopulationSource as Source
from jwt_lp.review.analysis.evidence import iso_day, iter_holders, ordinal, recording_coverage
from jwt_lp.review.analysis.finding_collector import FindingCollector
from jwt_lp.review.analysis.risk_score import GrantRisks
from jwt_lp.review.analysis.verdicts import ReviewContext
from jwt_lp.review.findings import AppliedRule, Population, Review, ReviewWindow
from jwt_lp.review.pattern_overlap import EnforcedPermissions, permissions_in
from jwt_lp.review.quantities import count_noun

if TYPE_CHECKING:
    from jwt_lp.policy.file import Policy
    from jwt_lp.review.analysis.decision_rule import DecisionRule
    from jwt_lp.review.analysis.earlier_review import EarlierReview
    from jwt_lp.review.analysis.evidence import RecordingCoverage
    from jwt_lp.review.analysis.likelihood import LikelihoodModel
    from jwt_lp.review.analysis.people import Person
    from jwt_lp.review.analysis.regret_budget import RegretBudget
    from jwt_lp.review.analysis.usage_history import UsageHistory
    from jwt_lp.review.analysis.verdicts import ReviewExemption
    from jwt_lp.review.elevation_values import ElevatedUse
    from jwt_lp.review.findings import Finding
    from jwt_lp.stores import HeldGrantRow, Store, UsageAggregates

    _T = TypeVar("_T")
    _R = TypeVar("_R", bound=tuple[object, ...])

GRACE_DAYS: Final = 14
STALE_DAYS: Final = 5
_HASHED_TOGETHER: Final = 256
"""Rows that are hashed at once, which is faster than one by one."""
_PROPOSAL_ORDER: Final = {"remove": 0, "narrow": 1, "keep": 2}


class _Digest(Protocol):
    def update(self, data: bytes, /) -> None: ...


def review(  # noqa: PLR0913 - all but the store by name
    store: Store,
    *,
    now: str,
    rule: DecisionRule | None = None,
    usage: UsageAggregates | None = None,
    model: LikelihoodModel | None = None,
    history: UsageHistory | None = None,
    policy: Policy = EMPTY_POLICY,
    grace: int = GRACE_DAYS,
    horizon: int = 365,
    exempt: Iterable[ReviewExemption] = (),
    people: Mapping[str, Person] | None = None,
    issuer: str | None = None,
    earlier: EarlierReview | None = None,
    budget: RegretBudget | None = None,
    issuer_names: Mapping[str, str] | None = None,
    made_at: float | None = None,
    on_kept: Callable[[Finding], object] | None = None,
    on_step: Callable[[str, int], object] = lambda _what, _count: None,
) -> Review:
    """Compare grants with usage, up to and including the day `now`.

    `rule` decides, with `model` for likelihoods; the model was fitted on `history`. Without a rule, `settle_rule` has the
    default; it also says how a likelihood is held back while the store has no past case of its own. Usage is that of the store, or
    `usage` if it is given; grants, enforcement points and revocations are always those of the store. `on_step` is
    called with the current step and a count. `on_kept` is called with each finding that is used and kept, beyond the
    first 100,000 findings, which the review counts and does not list. Findings are compared with those of an `earlier`
    review. With a `budget`, proposals beyond it are kept; its days must be the horizon. `issuer_names` are the names of
    issuers in the settings, which elevation rules use. Nothing is written. `StoreError` where the store does not answer, `ConfigurationError` where the earlier
    review is of a later day.
    """
    if earlier is not None and earlier.now > now:
        raise ConfigurationError(f"the earlier review is of {earlier.now}, and this one of {now}: compare a later one")
    used = store if usage is None else usage
    coverage = recording_coverage(used.recording_periods(), ordinal(now), _day)
    by_default = rule is None
    rule = settle_rule(rule, record_days=_record_days(ordinal(now), coverage), model=model)
    options = [now, str(rule), policy.digest, grace, issuer, *(sorted(people.items()) if people else ())]
    if budget is not None:
        options.append(str(budget))
    if policy.elevation and issuer_names:
        options += sorted(issuer_names.items())
    digest = sha256(json.dumps(options).encode())
    source, held = _load_held_grants(store, now, issuer)
    requested = list(used.requested_permissions(until=now))
    points = [point for point in store.enforcement_points() if point.first_day <= now]
    terms = [term for point in points for term in permissions_in(point.requirement)]
    enforced = EnforcedPermissions((*terms, *(row.permission for row in requested)))
    users, active = history.recent_users(ordinal(now)) if history is not None else ({}, 0)
    context = ReviewContext(
        now=ordinal(now), rule=rule, model=model, grace=grace, since=coverage.first, users=users, active=active,
        requested=enforced,
        risks=GrantRisks(policy, points, enforced),
        coverage_guards=_coverage_guards(ordinal(now), coverage, rule),
        exempt={exemption.id: exemption for exemption in exempt},
        people=people or {},
        revoked=_denied_grants(store),
        policy=policy,
        issuer_names=issuer_names or {},
    )  # fmt: skip
    roles = {name: tuple(grant.text for grant in role.grants) for name, role in policy.roles.items()}
    collector = FindingCollector(context, roles, earlier=earlier, budget=budget, on_kept=on_kept)
    holders = iter_holders(
        _hash_rows(held, digest),
        _hash_rows(store.observed_grants(issuer=issuer), digest),
        _hash_rows(used.summary(until=now, issuer=issuer), digest),
        until=now,
        population=source,
        granted=roles.get,
    )
    for holder in _report_progress(holders, "subjects judged", on_step):
        collector.add(holder)
    others = route_findings.findings(points, requested, context.requested, policy)
    findings = sorted(collector.findings(others), key=review_order)
    population = _population(source, collector, findings)
    return Review(
        made_at=time.time() if made_at is None else made_at,
        store=store.name if usage is None else f"{store.name}, usage in {usage.name}",
        now=now,
        window=ReviewWindow(
            iso_day(coverage.first), now, iso_day(coverage.last), len(coverage.covered), coverage.dropped
        ),
        population=population,
        judging=_applied_rule(rule, model, grace, horizon),
        findings=tuple(findings),
        notes=tuple(_notes(context, coverage, population, collector, by_default=by_default)),
        comparison=earlier.comparison(now, issuer) if earlier is not None else None,
        budget=collector.budget_result,
        unlisted=collector.unlisted,
        elevated=tuple(sorted(collector.elevated, key=_elevated_key)),
        digest=digest.hexdigest(),
        policy=policy.digest if policy is not EMPTY_POLICY else "",
        policy_path=policy.path or "",
        timeline=tuple(_timeline(used, now)),
    )


def _population(source: Source, collector: FindingCollector, findings: Iterable[Finding]) -> Population:
    return Population(
        source="imported" if source.as_of else "tokens",
        as_of=iso_day(source.as_of),
        complete=source.complete,
        subjects=collector.subjects,
        clients=len(collector.clients.names),
        roles=len(collector.names),
        grants=collector.grants,
        excluded=sum(1 for finding in findings if any(guard.startswith("exempt ") for guard in finding.guards)),
    )


def _applied_rule(rule: DecisionRule, model: LikelihoodModel | None, grace: int, horizon: int) -> AppliedRule:
    return AppliedRule(
        rule=rule.kind,
        threshold=rule.threshold,
        floor=rule.floor,
        grace=grace,
        horizon=horizon,
        fitted_on=model.fitted_on if model is not None else 0,
        pauses=model.pauses if model is not None else 0,
        own_share=model.own_share if model is not None else 0.0,
        coefficients=model.coefficients if model is not None else (),
    )


def _load_held_grants(store: Store, now: str, issuer: str | None) -> tuple[Source, list[HeldGrantRow]]:
    rows = [row for row in store.held_grants() if row.as_of <= now and issuer in (None, row.held.issuer)]
    as_of = max((ordinal(row.as_of) for row in rows), default=0)
    return Source(as_of, any(row.complete for row in rows)), rows


def _hash_rows(rows: Iterable[_R], digest: _Digest) -> Iterator[_R]:
    """Yield the rows, and add each to the digest of the review's input."""
    # Without the names of the columns, which are the same in every row.
    texts: list[str] = []
    for row in rows:
        texts.append(repr(row[:]))
        if len(texts) == _HASHED_TOGETHER:
            digest.update("".join(texts).encode("utf-8", "backslashreplace"))
            texts.clear()
        yield row
    digest.update("".join(texts).encode("utf-8", "backslashreplace"))


def _report_progress(rows: Iterable[_T], what: str, on_step: Callable[[str, int], object]) -> Iterator[_T]:
    number = 0
    for number, row in enumerate(rows, 1):
        if number % 256 == 0:
            on_step(what, number)
        yield row
    on_step(what, number)


def _day(at: float) -> int:
    return datetime.fromtimestamp(at, UTC).date().toordinal()


def _record_days(today: int, coverage: RecordingCoverage) -> int:
    """How many days before the review the records begin; 0 without any."""
    return today - coverage.first if coverage.first else 0


def _coverage_guards(today: int, coverage: RecordingCoverage, rule: DecisionRule) -> tuple[str, ...]:
    """The reasons to propose nothing at all: records that are too short, or that end too early."""
    guards: list[str] = []
    window = int(rule.threshold) if rule.kind == "fixed" else rule.floor
    length = _record_days(today, coverage)
    if not coverage.first:
        guards.append("there is no history yet, because nothing was recorded or imported")
    elif length < window:
        guards.append(f"the records cover only {count_noun(length, 'day')}, and the rule needs {window:,}")
    if coverage.last and today - coverage.last > STALE_DAYS:
        ago = count_noun(today - coverage.last, "day")
        guards.append(f"the records end on {iso_day(coverage.last)}, {ago} before the review")
    return tuple(guards)


def _denied_grants(store: Store) -> frozenset[tuple[str, str, str, str]]:
    return frozenset(
        (row.entry.of, row.entry.issuer, row.entry.name, row.entry.pattern)
        for row in store.revocations()
        if row.entry.pattern
    )


def review_order(finding: Finding) -> tuple[object, ...]:
    """The place of a finding in a review: the most urgent first. No two findings of a review have the same."""
    return (
        *(finding.verdict != "leaver", _PROPOSAL_ORDER[finding.proposal], not finding.used_after_leaving),
        *(finding.verdict == "used", -finding.score, -(finding.idle or 0), finding.of),
        *(finding.issuer, finding.name, finding.role, finding.grant, finding.kind),
    )


def _elevated_key(elevated: ElevatedUse) -> tuple[object, ...]:
    return not elevated.propose_standing, -elevated.weeks, elevated.issuer, elevated.name, elevated.permission


def _notes(
    context: ReviewContext,
    coverage: RecordingCoverage,
    population: Population,
    collector: FindingCollector,
    *,
    by_default: bool,
) -> Iterator[str]:
    if population.source == "tokens":
        yield (
            "The population is tokens seen only: grants that no token carried are missing. "
            "Import a list of grants with jwt-lp grants import"
        )
    elif not population.complete:
        yield "The imported list of grants is not marked as complete: holders may have grants that it does not list"
    yield from (f"Nothing is proposed: {guard}" for guard in context.coverage_guards)
    missing = coverage.last - coverage.first + 1 - len(coverage.covered) if coverage.first else 0
    if missing:
        between = f"between {iso_day(coverage.first)} and {iso_day(coverage.last)}"
        yield f"Nothing was recorded on {count_noun(missing, 'day')} {between}"
    if coverage.dropped:
        lost = count_noun(coverage.dropped, "decision")
        yield f"Lost before they were stored: {lost}; grants used then may look unused"
    if population.excluded:
        exempt = count_noun(population.excluded, "exempt finding")
        yield f"{exempt}: nothing is proposed for them; this is not an approval"
    if context.rule.kind == "likelihood" and context.model is None:
        window = count_noun(context.window, "day")
        yield f"There is not enough history for likelihoods: a window of {window} was used instead"
    elif context.model is not None and context.rule.kind == "likelihood" and not context.model.fitted_on:
        yield from describe_young(context.rule, _record_days(context.now, coverage), by_default=by_default)
    if context.people:
        yield from collector.people.notes(context.people, context.today)


def _timeline(usage: UsageAggregates, now: str) -> Iterator[tuple[str, int, int, int]]:
    months: dict[str, Counter[str]] = {}
    for row in usage.months(until=now):
        months.setdefault(row.month, Counter())[row.outcome] += row.uses
    for month in sorted(months):
        uses = months[month]
        yield f"{month}-01"[:10], uses["granted"], uses["denied"], uses["revoked"]
