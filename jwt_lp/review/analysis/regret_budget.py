"""Regret budget: the largest set of removals whose expected regret stays inside a limit."""

from __future__ import annotations

import re
from collections.abc import Hashable, Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import TYPE_CHECKING, Final, Literal, NamedTuple, cast

from jwt_lp._support.validation import quote_text
from jwt_lp.errors import ConfigurationError
from jwt_lp.review.findings import BudgetResult
from jwt_lp.review.quantities import count_noun

if TYPE_CHECKING:
    from jwt_lp.review.findings import Finding

_DAYS: Final = {"month": 30, "quarter": 91, "year": 365}
_UNITS: Final = {"people": "person", "grants": "grant"}
_WRITTEN: Final = re.compile(r"([0-9]{1,6}) (people|person|grants?) (?:this|a|per) (month|quarter|year)")
_ROUNDING: Final = 1e-9
"""Sums of many small likelihoods are not exact."""


@dataclass(frozen=True, slots=True)
class RegretBudget:
    """The number of distinct holders (`people`) or of grants that may be needed again within a period."""

    number: int
    unit: Literal["people", "grants"]
    period: Literal["month", "quarter", "year"]

    @classmethod
    def parse(cls, text: str) -> RegretBudget:
        """Read `3 people this quarter` or `10 grants a year`; `ConfigurationError` for anything else."""
        found = _WRITTEN.fullmatch(" ".join(text.lower().split()))
        if found is None:
            raise ConfigurationError(
                f"{quote_text(text)} is not a budget: write a whole number of people or grants, and the period (month, "
                "quarter or year), such as '3 people this quarter'"
            )
        number, unit, period = found.groups()
        return cls(int(number), "people" if unit.startswith("pe") else "grants", cast("Literal['month']", period))

    @property
    def days(self) -> int:
        """The number of days of the period, which is the horizon of the likelihoods."""
        return _DAYS[self.period]

    def __str__(self) -> str:
        return f"{count_noun(self.number, _UNITS[self.unit])} this {self.period}"


class Removal(NamedTuple):
    """A removal with the upper bound of the likelihood of its need; `concerned` is the number of people it is taken from.

    Removals with the same `holder` are taken from the same people.
    """

    id: str
    holder: Hashable
    likelihood: float
    concerned: int = 1


class _Step(NamedTuple):
    """The next removals of a holder, and what the holder's regret adds up to after each of them."""

    slope: float
    order: tuple[str, int]
    removals: Sequence[Removal]
    costs: Sequence[float]
    """One more than the removals: the first is the cost before them."""


def largest_set(removals: Iterable[Removal], limit: float, unit: Literal["people", "grants"]) -> frozenset[str]:
    """The ids of as many removals as the limit allows, with the least likely first.

    The expected regret of `people` counts each holder once: 1 less the product of the likelihoods that a removal is not
    needed. The result has the most removals where regret per removal never falls from one removal of a holder to the
    next, as in `grants`; otherwise it lacks fewer removals than one holder has. Ties are decided by id.
    """
    holders: dict[Hashable, list[Removal]] = {}
    for removal in removals:
        holders.setdefault(removal.holder if unit == "people" else removal.id, []).append(removal)
    steps = sorted(step for each in holders.values() for step in _steps(each))
    chosen: set[str] = set()
    cut_short: set[str] = set()
    left = limit + _ROUNDING
    for step in steps:
        holder = step.order[0]
        if holder in cut_short:
            continue
        fitting = max(index for index, cost in enumerate(step.costs) if cost - step.costs[0] <= left)
        chosen.update(removal.id for removal in step.removals[:fitting])
        left -= step.costs[fitting] - step.costs[0]
        if fitting < len(step.removals):
            cut_short.add(holder)
    return frozenset(chosen)


def _steps(removals: list[Removal]) -> Iterable[_Step]:
    """The removals of a holder, least likely first, in steps whose cost per removal does not fall."""
    ordered = sorted(removals, key=lambda removal: (removal.likelihood, removal.id))
    costs, unneeded = [0.0], 1.0
    for removal in ordered:
        unneeded *= 1 - removal.likelihood
        costs.append(max(each.concerned for each in ordered) * (1 - unneeded))
    # The lower convex hull of the costs.
    corners = [0]
    for index in range(1, len(costs)):
        while len(corners) > 1 and _slope(costs, corners[-1], index) < _slope(costs, corners[-2], corners[-1]):
            corners.pop()
        corners.append(index)
    name = min(removal.id for removal in ordered)
    for first, last in pairwise(corners):
        yield _Step(_slope(costs, first, last), (name, first), ordered[first:last], costs[first : last + 1])


def _slope(costs: Sequence[float], first: int, last: int) -> float:
    return (costs[last] - costs[first]) / (last - first)


def apply_budget(findings: Iterable[Finding], budget: RegretBudget) -> tuple[list[Finding], BudgetResult]:
    """Findings of which those outside the budget are kept, and what the budget did.

    What leavers hold costs nothing. A change without a likelihood, such as one of a role or of a pattern, counts as if
    everybody whom it concerns needed it.
    """
    listed = list(findings)
    due = {finding.id: finding for finding in listed if _is_due(finding)}
    removals = [_removal(finding) for finding in due.values()]
    inside = largest_set(removals, budget.number, budget.unit)
    more = largest_set(removals, budget.number + 1, budget.unit)
    bounded = [removal for removal in removals if removal.id in inside]
    expected = [removal._replace(likelihood=_need(due[removal.id])) for removal in bounded]
    guard = f"outside the budget of {budget}"
    kept = [
        replace(finding, proposal="keep", guards=(*finding.guards, guard))
        if finding.id in due and finding.id not in inside
        else finding
        for finding in listed
    ]
    return kept, BudgetResult(
        str(budget),
        budget.days,
        len(inside),
        len(due) - len(inside),
        expected_regret(expected, budget.unit),
        expected_regret(bounded, budget.unit),
        len(more) - len(inside),
    )


def expected_regret(removals: Iterable[Removal], unit: Literal["people", "grants"]) -> float:
    """The expected number of people or grants that removals are regretted for."""
    holders: dict[Hashable, list[Removal]] = {}
    for removal in removals:
        holders.setdefault(removal.holder if unit == "people" else removal.id, []).append(removal)
    return sum(step.costs[-1] - step.costs[0] for each in holders.values() for step in _steps(each))


def _is_due(finding: Finding) -> bool:
    return finding.proposal != "keep" and finding.verdict != "leaver" and finding.of in ("subject", "client", "role")


def _removal(finding: Finding) -> Removal:
    holder = (finding.of, finding.issuer, finding.name)
    known = finding.proposal == "remove" and finding.likelihood_bound is not None
    likelihood = cast("float", finding.likelihood_bound) if known else 1.0
    return Removal(finding.id, holder, likelihood, max(finding.members, 1) if finding.of == "role" else 1)


def _need(finding: Finding) -> float:
    return finding.likelihood if finding.proposal == "remove" and finding.likelihood is not None else 1.0
