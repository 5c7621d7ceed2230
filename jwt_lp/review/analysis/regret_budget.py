"""Regret budget: the largest set of removals whose expected regret stays inside a limit."""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Hashable, Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from math import exp, inf, lgamma, log
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
_ONE_IN_TWENTY: Final = 0.05
MAX_EXACT: Final = 1000
"""The number of removals of people up to which the largest set is found."""


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
    """A removal with the upper bound of the likelihood of its need, None where nobody knows it.

    Removals with the same `holder` are taken from the same people, whose number is `concerned`.
    """

    id: str
    holder: Hashable
    likelihood: float | None
    concerned: int = 1


class ChosenRemovals(NamedTuple):
    """The ids of the chosen removals, and the number of people or grants that 19 of 20 outcomes do not exceed."""

    ids: frozenset[str]
    bound: int


class _Group(NamedTuple):
    """Removals that cost less together than apart: `costs[n]` is what the first n of them cost."""

    removals: Sequence[Removal]
    costs: Sequence[float]


class _Step(NamedTuple):
    """The next removals of a group, from `first` up to `last`, and what each of them costs on average."""

    slope: float
    group: int
    first: int
    last: int


def largest_set(removals: Iterable[Removal], number: int, unit: Literal["people", "grants"]) -> ChosenRemovals:
    """As many removals as can be made so that in 19 of 20 outcomes at most `number` are needed again.

    The likely need of `people` counts each holder once: 1 less the product of the likelihoods that a removal is not
    needed. The number of outcomes is bounded by a Poisson distribution, which is exact for rare need and too high
    otherwise (Hoeffding 1956, Anderson and Samuels 1967); it takes people to be independent of each other. What is left
    of the number is spent on whole holders, who count as if they needed it, the cheapest per removal first.

    Each of the two choices is the largest set, for people up to 1,000 removals; beyond that it lacks fewer removals than
    one holder has. Of sets that cost the same, the first by likelihood and id is taken.
    """
    listed = sorted(removals, key=lambda removal: (_need(removal), removal.id))
    likely = [_likely_group(each) for each in _by_holder(listed, unit) if each[0].likelihood is not None]
    chosen = _largest_within(likely, poisson_mean(min(number, len(listed))))
    holders = {each.holder if unit == "people" else each.id for each in chosen}
    used = min(poisson_quantile(_likely_regret(chosen, unit)), len(holders))
    ids = {each.id for each in chosen}
    rest = [removal for removal in listed if removal.id not in ids]
    whole = _largest_within([_whole_group(each) for each in _by_holder(rest, unit, whole=True)], number - used)
    cost = sum(each[0].concerned for each in _by_holder(whole, unit, whole=True))
    return ChosenRemovals(frozenset(ids.union(each.id for each in whole)), used + cost)


def poisson_mean(number: int) -> float:
    """The mean of the Poisson distribution that exceeds a number in 1 of 20 cases.

    For 0, 1 in 20: the chance that anything comes true is at most the sum of the chances.
    """
    if number == 0:
        # A Poisson distribution bounds outcomes only from the first whole number above their mean on.
        return _ONE_IN_TWENTY
    low, high = 0.0, number + 1.0
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if _tail(middle, number) <= _ONE_IN_TWENTY else (low, middle)
    return low


def poisson_quantile(mean: float) -> int:
    """The smallest number that a Poisson distribution with this mean exceeds in at most 1 of 20 cases."""
    return bisect_left(range(2 * int(mean) + 10), mean - _ROUNDING, key=poisson_mean)


def _tail(mean: float, number: int) -> float:
    """The probability that a Poisson distribution exceeds a number which is not below its mean less 1."""
    term = exp((number + 1) * log(mean) - mean - lgamma(number + 2))
    total, next_number = 0.0, number + 2
    while term > total * _ROUNDING:
        total += term
        term *= mean / next_number
        next_number += 1
    return total


def _by_holder(
    removals: Iterable[Removal], unit: Literal["people", "grants"], *, whole: bool = False
) -> list[list[Removal]]:
    """The removals that count together; those whose likelihood is unknown count apart, unless holders are `whole`."""
    holders: dict[Hashable, list[Removal]] = {}
    for removal in removals:
        key = removal.holder if unit == "people" else removal.id
        holders.setdefault((key, whole or removal.likelihood is not None), []).append(removal)
    return [*holders.values()]


def _likely_group(removals: Sequence[Removal]) -> _Group:
    """The removals of a holder, with the likelihood that at least one of the first is needed."""
    costs, unneeded = [0.0], 1.0
    for removal in removals:
        unneeded *= 1 - _need(removal)
        costs.append(1 - unneeded)
    return _Group(removals, costs)


def _whole_group(removals: Sequence[Removal]) -> _Group:
    """The removals of a holder who counts as if it needed each of them."""
    return _Group(removals, [0, *[max(removal.concerned for removal in removals)] * len(removals)])


def _need(removal: Removal) -> float:
    return 1.0 if removal.likelihood is None else removal.likelihood


def _likely_regret(removals: Iterable[Removal], unit: Literal["people", "grants"]) -> float:
    return sum(_likely_group(each).costs[-1] for each in _by_holder(removals, unit))


def _largest_within(groups: Sequence[_Group], limit: float) -> list[Removal]:
    """As many removals as the limit allows, the first of each group."""
    size = sum(len(group.removals) for group in groups)
    together = any(len(group.removals) > 1 or group.costs[-1] > 1 for group in groups)
    numbers = _try_all(groups, limit) if together and size <= MAX_EXACT else _fill_up(groups, limit)
    return [removal for group, number in zip(groups, numbers, strict=True) for removal in group.removals[:number]]


def _try_all(groups: Sequence[_Group], limit: float) -> list[int]:
    """How many to take of each group, from the lowest cost of every total."""
    lowest = [0.0]
    taken: list[list[int]] = []
    # From the last to the first, so that the first is taken where two sets cost the same.
    for group in reversed(groups):
        longer = [inf] * (len(lowest) + len(group.removals))
        numbers = [0] * len(longer)
        for total, cost in enumerate(lowest):
            for number, more in enumerate(group.costs):
                if cost + more < longer[total + number]:
                    longer[total + number], numbers[total + number] = cost + more, number
        lowest = longer
        taken.append(numbers)
    left = max(total for total, cost in enumerate(lowest) if cost <= limit + _ROUNDING)
    chosen: list[int] = []
    for numbers in reversed(taken):
        chosen.append(numbers[left])
        left -= numbers[left]
    return chosen


def _fill_up(groups: Sequence[_Group], limit: float) -> list[int]:
    """How many to take of each group: the cheapest per removal first, as long as they fit."""
    numbers = [0] * len(groups)
    left = limit + _ROUNDING
    for step in sorted(step for index, group in enumerate(groups) for step in _steps(index, group.costs)):
        if numbers[step.group] < step.first:
            continue
        costs = groups[step.group].costs
        last = max(number for number in range(step.first, step.last + 1) if costs[number] - costs[step.first] <= left)
        numbers[step.group] = last
        left -= costs[last] - costs[step.first]
    return numbers


def _steps(index: int, costs: Sequence[float]) -> Iterable[_Step]:
    """The removals of a group in steps whose cost per removal does not fall: the lower convex hull of the costs."""
    corners = [0]
    for end in range(1, len(costs)):
        while len(corners) > 1 and _slope(costs, corners[-1], end) < _slope(costs, corners[-2], corners[-1]):
            corners.pop()
        corners.append(end)
    for first, last in pairwise(corners):
        yield _Step(_slope(costs, first, last), index, first, last)


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
    expected = [removal._replace(likelihood=_expected(due[removal.id])) for removal in removals]
    guard = f"outside the budget of {budget}"
    kept = [
        replace(finding, proposal="keep", guards=(*finding.guards, guard))
        if finding.id in due and finding.id not in inside.ids
        else finding
        for finding in listed
    ]
    return kept, BudgetResult(
        str(budget),
        budget.days,
        len(inside.ids),
        len(due) - len(inside.ids),
        expected_regret((removal for removal in expected if removal.id in inside.ids), budget.unit),
        inside.bound,
        len(more.ids) - len(inside.ids),
    )


def expected_regret(removals: Iterable[Removal], unit: Literal["people", "grants"]) -> float:
    """The expected number of people or grants that removals are regretted for."""
    groups = _by_holder(removals, unit, whole=True)
    return sum(max(removal.concerned for removal in each) * _likely_group(each).costs[-1] for each in groups)


def _is_due(finding: Finding) -> bool:
    return finding.proposal != "keep" and finding.verdict != "leaver" and finding.of in ("subject", "client", "role")


def _removal(finding: Finding) -> Removal:
    holder = (finding.of, finding.issuer, finding.name)
    likelihood = finding.likelihood_bound if finding.proposal == "remove" else None
    return Removal(finding.id, holder, likelihood, max(finding.members, 1) if finding.of == "role" else 1)


def _expected(finding: Finding) -> float | None:
    return finding.likelihood if finding.proposal == "remove" else None
