"""How is a review made?"""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from functools import lru_cache, partial
from hashlib import sha256
from typing import TYPE_CHECKING, Final, TypeVar

from jwt_lp.policy import EMPTY
from jwt_lp.review import surface
from jwt_lp.review._ways import Asked, overlap, terms_of
from jwt_lp.review.clients import Clients
from jwt_lp.review.evidence import Population as Source
from jwt_lp.review.evidence import holders, iso, ordinal, recorded
from jwt_lp.review.roles import Roles
from jwt_lp.review.values import Judging, Population, Review, Window
from jwt_lp.review.weighing import LAST_HOLDER, Bench, findings_of

if TYPE_CHECKING:
    from jwt_lp.policy import Policy
    from jwt_lp.review.evidence import Holder
    from jwt_lp.review.judging import Rule
    from jwt_lp.review.likelihood import Model
    from jwt_lp.review.replay import History
    from jwt_lp.review.values import Finding
    from jwt_lp.review.weighing import Exemption, Person
    from jwt_lp.stores import HeldRow, Store

    _T = TypeVar("_T")
    _R = TypeVar("_R", bound=tuple[object, ...])

GRACE: Final = 14
STALE: Final = 5
MOST: Final = 100_000
"""Findings from which on those that say nothing but `used` are counted only."""
_ORDER: Final = {"remove": 0, "narrow": 1, "keep": 2}
_RISK: Final = {"high": 0, "medium": 1, "low": 2}


def review(  # noqa: PLR0913 - all but the store by name
    store: Store,
    *,
    now: str,
    rule: Rule,
    model: Model | None = None,
    history: History | None = None,
    policy: Policy = EMPTY,
    grace: int = GRACE,
    horizon: int = 365,
    exempt: Iterable[Exemption] = (),
    people: Mapping[str, Person] | None = None,
    issuer: str | None = None,
    made_at: float | None = None,
    on_step: Callable[[str, int], object] = lambda _what, _count: None,
) -> Review:
    """Hold what was granted against what was used, up to and including the day `now`.

    `rule` judges, with `model` where it asks for likelihoods, which was fitted on `history`. `on_step` hears what is being done, and of how many.
    Nothing is written. `StoreError` where the store does not answer.
    """
    digest = sha256(json.dumps([now, str(rule), policy.digest, grace, issuer]).encode())
    today = ordinal(now)
    source, held = _imported(store, now, issuer)
    first, last, covered, dropped = recorded(store.runs(), today, _day)
    asking = list(store.asked(until=now))
    points = [point for point in store.points() if point.first_day <= now]
    terms = [term for point in points for term in terms_of(point.requirement)]
    asked = Asked((*terms, *(each.permission for each in asking)))
    users, active = history.crowd(today) if history is not None else ({}, 0)
    bench = Bench(
        now=today,
        rule=rule,
        model=model,
        grace=grace,
        since=first,
        asked=asked,
        risk=lru_cache(maxsize=None)(partial(risk_of, policy)),
        users=users,
        active=active,
        data=_doubts(today, first, last, rule),
        exempt={each.id: each for each in exempt},
        people=people or {},
        taken=_taken(store),
    )
    found = holders(
        _noted(held, digest),
        _noted(store.sightings(issuer=issuer), digest),
        _noted(store.summary(until=now, issuer=issuer), digest),
        until=now,
        population=source,
        granted=lambda name: _grants(policy, name),
    )
    sums = Sums(bench, {name: tuple(each.text for each in role.grants) for name, role in policy.roles.items()})
    for holder in _counted(found, "subjects judged", on_step):
        sums.add(holder)
    findings = sums.findings(surface.findings(points, asking, asked, policy))
    excluded = sum(1 for each in findings if any(guard.startswith("exempt ") for guard in each.guards))
    notes = _notes(source, bench, first, last, covered, dropped, excluded)
    if sums.silent:
        notes.append(f"{sums.silent} findings that are in use and stay are counted here and not listed")
    findings.sort(key=_rank)
    return Review(
        made_at=time.time() if made_at is None else made_at,
        store=store.name,
        now=now,
        window=Window(iso(first), now, iso(last), len(covered), dropped),
        population=Population(
            source="imported" if source.as_of else "tokens",
            as_of=iso(source.as_of),
            complete=source.complete,
            subjects=sums.subjects,
            clients=len(sums.clients.names),
            roles=len(sums.names),
            grants=sums.grants,
            excluded=excluded,
        ),
        judging=Judging(
            rule=rule.kind,
            threshold=rule.threshold,
            floor=rule.floor,
            grace=grace,
            horizon=horizon,
            fitted_on=model.fitted_on if model is not None else 0,
            coefficients=model.coefficients if model is not None else (),
        ),
        findings=tuple(findings),
        notes=tuple(notes),
        digest=digest.hexdigest(),
        policy=policy.digest if policy is not EMPTY else "",
        policy_path=policy.path or "",
        timeline=tuple(_timeline(store, now)),
    )


class Sums:
    """What comes of all holders, of whom one at a time is in memory."""

    def __init__(self, bench: Bench, granted: Mapping[str, tuple[str, ...]]) -> None:
        self._bench = bench
        self._roles = Roles(bench, granted)
        self._saying: list[Finding] = []
        self._used: list[Finding] = []
        self._holding: Counter[str] = Counter()
        self.clients: Clients = Clients(bench)
        self.names: set[str] = set()
        self.subjects: int = 0
        self.grants: int = 0
        self.silent: int = 0

    def add(self, holder: Holder) -> None:
        """Judge a holder."""
        for each in (*findings_of(holder, self._bench), *self._roles.add(holder)):
            self._keep(each)
        self.clients.add(holder)
        self.names.update(way.role for way in holder.ways.values() if way.role)
        self.grants += len(holder.ways)
        if holder.subject and (holder.ways or holder.denied or holder.revoked):
            self.subjects += 1
            self._holding.update({way.grant for way in holder.ways.values()})

    def findings(self, others: Iterable[Finding]) -> list[Finding]:
        """Everything that is to be said."""
        for each in (*self._roles.findings(), *self.clients.findings(), *others):
            self._keep(each)
        return _last_holders(self._saying + self._used, self._holding)

    def _keep(self, found: Finding) -> None:
        if found.verdict != "used" or found.proposal != "keep":
            self._saying.append(found)
        elif self.silent:
            self.silent += 1
        else:
            self._used.append(found)
        if self._used and len(self._saying) + len(self._used) > MOST:
            # More than anybody reads: what says nothing but that it is used is counted from here on.
            self.silent += len(self._used)
            self._used = []


def _imported(store: Store, now: str, issuer: str | None) -> tuple[Source, list[HeldRow]]:
    rows = [row for row in store.held() if row.as_of <= now and issuer in (None, row.held.issuer)]
    as_of = max((ordinal(row.as_of) for row in rows), default=0)
    return Source(as_of, any(row.complete for row in rows)), rows


def _noted(rows: Iterable[_R], digest: object) -> Iterator[_R]:
    """The rows, as they go into the digest of what the review was made from."""
    update = digest.update  # type: ignore[attr-defined]
    for row in rows:
        # Without the names of its columns, which are the same in every row.
        update(repr(row[:]).encode("utf-8", "backslashreplace"))
        yield row


def _counted(rows: Iterable[_T], what: str, on_step: Callable[[str, int], object]) -> Iterator[_T]:
    number = 0
    for number, row in enumerate(rows, 1):
        if number % 256 == 0:
            on_step(what, number)
        yield row
    on_step(what, number)


def _grants(policy: Policy, role: str) -> tuple[str, ...] | None:
    return tuple(grant.text for grant in policy.roles[role].grants) if role in policy.roles else None


def risk_of(policy: Policy, grant: str) -> str:
    """The highest risk of what the grant covers, by the catalogue; medium where that says nothing."""
    found = [entry.risk for name, entry in policy.catalogue.items() if overlap(grant, name)]
    return min(found, key=_RISK.__getitem__, default="medium")


def _day(at: float) -> int:
    return datetime.fromtimestamp(at, UTC).date().toordinal()


def _doubts(today: int, first: int, last: int, rule: Rule) -> tuple[str, ...]:
    """What forbids to propose anything at all."""
    found: list[str] = []
    window = int(rule.threshold) if rule.kind == "fixed" else rule.floor
    if not first or today - first < window:
        found.append(f"there are records of {today - first if first else 0} days only, and the rule looks at {window}")
    if last and today - last > STALE:
        found.append(f"the records end on {iso(last)}, {today - last} days before the review")
    return tuple(found)


def _taken(store: Store) -> frozenset[tuple[str, str, str, str]]:
    return frozenset(
        (each.entry.of, each.entry.issuer, each.entry.name, each.entry.pattern)
        for each in store.revocations()
        if each.entry.pattern
    )


def _last_holders(findings: list[Finding], holding: Mapping[str, int]) -> list[Finding]:
    """Mark, of each grant that everybody would lose, the one who used it last."""
    leaving: dict[str, list[int]] = {}
    for index, each in enumerate(findings):
        if each.of == "subject" and each.proposal == "remove" and each.grant:
            leaving.setdefault(each.grant, []).append(index)
    for grant, indexes in leaving.items():
        names = {(findings[index].issuer, findings[index].name) for index in indexes}
        if len(names) < holding[grant]:
            continue
        index = max(indexes, key=lambda each: (findings[each].last_day, findings[each].name))
        findings[index] = replace(findings[index], guards=(*findings[index].guards, LAST_HOLDER))
    return findings


def _rank(found: Finding) -> tuple[object, ...]:
    idle = found.idle if found.idle is not None else 1_000_000
    return (
        _ORDER[found.proposal], _RISK[found.risk], found.verdict == "used", -idle, found.of, found.issuer,
        found.name, found.role, found.grant, found.kind,
    )  # fmt: skip


def _notes(
    source: Source, bench: Bench, first: int, last: int, covered: set[int], dropped: int, excluded: int
) -> list[str]:
    notes: list[str] = []
    if not source.as_of:
        notes.append(
            "The population is tokens seen only: who holds a grant that no token carried is not in it. "
            "jwt-lp grants import brings a list of who holds what"
        )
    elif not source.complete:
        notes.append("The list of grants was not said to be complete: what is not in it may still be held")
    notes += (f"Nothing is proposed: {doubt}" for doubt in bench.data)
    if first and last - first + 1 > len(covered):
        notes.append(f"On {last - first + 1 - len(covered)} days between {iso(first)} and {iso(last)} nothing recorded")
    if dropped:
        notes.append(f"{dropped} decisions were lost before they were stored: what was used then may look unused")
    if excluded:
        notes.append(f"{excluded} findings are exempt: they were left out, not found clean")
    if bench.rule.kind == "likelihood" and bench.model is None:
        notes.append(
            f"There is not enough history to tell likelihoods: a window of {bench.window} days judged in their place"
        )
    return notes


def _timeline(store: Store, now: str) -> Iterator[tuple[str, int, int, int]]:
    months: dict[str, Counter[str]] = {}
    for row in store.months(until=now):
        months.setdefault(row.month, Counter())[row.outcome] += row.uses
    for month in sorted(months):
        counted = months[month]
        yield f"{month}-01"[:10], counted["granted"], counted["denied"], counted["revoked"]
