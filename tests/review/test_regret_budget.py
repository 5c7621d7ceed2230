"""Regret budgets: what is chosen, what it costs, and what is kept."""

from __future__ import annotations

import random
from itertools import chain, combinations
from math import exp, lgamma, log, prod

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jwt_lp import ConfigurationError
from jwt_lp.review.analysis import regret_budget
from jwt_lp.review.analysis.regret_budget import (
    RegretBudget,
    Removal,
    apply_budget,
    expected_regret,
    largest_set,
    poisson_mean,
)
from jwt_lp.review.findings import BudgetResult
from review_factory import make_finding

LIKELIHOODS = st.sampled_from([None, 0.0, 0.001, 0.01, 0.05, 0.1, 0.25, 0.5, 0.9, 1.0])
REMOVALS = st.lists(st.tuples(st.sampled_from("abcd"), LIKELIHOODS), max_size=8).map(
    lambda pairs: [Removal(f"{number}", holder, p) for number, (holder, p) in enumerate(pairs)]
)
NUMBERS = st.integers(0, 5)
UNITS = st.sampled_from(["people", "grants"])


def chances(removals, unit) -> list[float]:
    """The likelihood that a holder, or a grant, is hit, by its definition."""
    needs = {each.id: 1.0 if each.likelihood is None else each.likelihood for each in removals}
    if unit == "grants":
        return [*needs.values()]
    holders = {each.holder for each in removals}
    return [1 - prod(1 - needs[each.id] for each in removals if each.holder == name) for name in holders]


def chance_of_more(removals, number, unit) -> float:
    """The probability that more than a number are hit: the sum over all numbers of hits."""
    exactly = [1.0]
    for chance in chances(removals, unit):
        exactly = [
            before * (1 - chance) + after * chance
            for before, after in zip([*exactly, 0.0], [0.0, *exactly], strict=True)
        ]
    return sum(exactly[number + 1 :])


def most_by_trial(removals, limit, unit) -> int:
    """The size of the largest set whose expected regret is within the limit, by trying every set."""
    subsets = chain.from_iterable(combinations(removals, size) for size in range(len(removals) + 1))
    return max(len(each) for each in subsets if sum(chances(each, unit)) <= limit + 1e-9)


@given(REMOVALS, NUMBERS, UNITS)
def test_more_than_the_budget_are_hit_in_at_most_1_of_20_outcomes(removals, number, unit) -> None:
    """Whatever is chosen, its outcomes hold the budget, and the bound that is told."""
    ids, bound = largest_set(removals, number, unit)
    chosen = [each for each in removals if each.id in ids]
    assert bound <= number
    assert chance_of_more(chosen, bound, unit) <= 0.05 + 1e-6
    assert sum(chances(chosen, unit)) == pytest.approx(expected_regret(chosen, unit))


@given(REMOVALS, NUMBERS, UNITS)
def test_no_set_within_the_mean_is_larger(removals, number, unit) -> None:
    """Of removals with a likelihood, no set whose mean stays inside has more members."""
    likely = [each for each in removals if each.likelihood is not None]
    limit = poisson_mean(min(number, len(removals)))
    assert len(largest_set(removals, number, unit).ids) >= most_by_trial(likely, limit, unit)


@given(REMOVALS, NUMBERS, UNITS)
def test_no_set_of_unknown_likelihood_is_larger(removals, number, unit) -> None:
    """Of removals without one, as many go as the budget has whole people or grants for."""
    unknown = [each._replace(likelihood=None, concerned=1 + ord(str(each.holder)) % 3) for each in removals]
    holders: dict[object, list[Removal]] = {}
    for each in unknown:
        holders.setdefault(each.holder if unit == "people" else each.id, []).append(each)
    affordable = [
        sum(map(len, some))
        for size in range(len(holders) + 1)
        for some in combinations(holders.values(), size)
        if sum(each[0].concerned for each in some) <= number
    ]
    ids, bound = largest_set(unknown, number, unit)
    assert max(affordable) == len(ids)
    assert bound <= number


@given(REMOVALS, NUMBERS)
def test_beyond_what_is_tried_less_than_a_holder_is_missing(removals, number) -> None:
    """The fast choice for many removals is short of the largest set by fewer removals than one holder has."""
    likely = [each._replace(likelihood=each.likelihood or 0.0) for each in removals]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(regret_budget, "MAX_EXACT", 0)
        ids, bound = largest_set(likely, number, "people")
    chosen = [each for each in likely if each.id in ids]
    assert chance_of_more(chosen, bound, "people") <= 0.05 + 1e-6
    largest_holder = max((sum(other.holder == each.holder for other in likely) for each in likely), default=1)
    limit = poisson_mean(min(number, len(likely)))
    assert most_by_trial(likely, limit, "people") - (largest_holder - 1) <= len(ids)


def test_ten_thousand_holders_are_chosen_from() -> None:
    """A large store is no problem, and more budget gives more removals."""
    dice = random.Random(3)
    removals = [Removal(f"{n}", dice.randrange(2000), dice.random() ** 4 * 0.5) for n in range(9000)]
    sizes = [len(largest_set(removals, number, "people").ids) for number in (0, 3, 30, 300)]
    assert sorted({*sizes}) == sizes


@given(REMOVALS, NUMBERS, UNITS, st.randoms())
def test_the_order_of_findings_means_nothing(removals, number, unit, dice) -> None:
    """Ties are decided by id, so the same review gives the same plan."""
    mixed = [*removals]
    dice.shuffle(mixed)
    assert largest_set(removals, number, unit) == largest_set(mixed, number, unit)


@pytest.mark.parametrize("number", [0, 1, 2, 3, 12, 100])
@pytest.mark.parametrize("spread", [0.0, 0.1, 0.3, 1.0, 2.0])
def test_the_bound_allows_for_chance_and_for_uncertain_weights(number, spread) -> None:
    """Over all weights that the model thinks possible, more than the budget are hit in at most 1 of 20 cases."""
    bound = poisson_mean(number)
    steps = [step / 20 for step in range(-100, 101)]
    weights = [exp(-step * step / 2) for step in steps]
    more = 0.0
    for step, weight in zip(steps, weights, strict=True):
        # The bound is where 19 of 20 of the means lie below it.
        mean = bound * exp(spread * (step - 1.645))
        terms = (exp(hits * log(mean) - mean - lgamma(hits + 1)) for hits in range(number + 1))
        more += weight * (1 - sum(terms))
    assert more / sum(weights) <= 0.05 + 1e-6


@pytest.mark.parametrize(
    ("removals", "number", "expected"),
    [
        # Two grants of one person at 3 % hit 0.0591 people, and 0.0513 is the limit.
        ([("a", 0.03), ("a", 0.03)], 0, {"0"}),
        ([("a", 0.02), ("a", 0.03)], 0, {"0", "1"}),
        ([("a", 0.02), ("b", 0.04), ("b", 0.0)], 0, {"0", "2"}),
        # Whoever is paid for as a whole loses everything.
        ([("a", 0.9), ("a", None), ("b", None)], 1, {"0", "1"}),
        # As many as the budget are never too many.
        ([("a", 0.9), ("b", 0.9), ("c", 0.9)], 3, {"0", "1", "2"}),
    ],
)
def test_a_holder_counts_once(removals, number, expected) -> None:
    """A person who needs two grants is one person."""
    listed = [Removal(f"{index}", holder, likelihood) for index, (holder, likelihood) in enumerate(removals)]
    assert expected == largest_set(listed, number, "people").ids


@pytest.mark.parametrize(
    ("text", "budget"),
    [
        ("3 people this quarter", RegretBudget(3, "people", "quarter")),
        (" 1  Person a YEAR ", RegretBudget(1, "people", "year")),
        ("10 grants per month", RegretBudget(10, "grants", "month")),
        ("0 grants this month", RegretBudget(0, "grants", "month")),
    ],
)
def test_budgets_are_read(text, budget) -> None:
    """Case and spaces mean nothing, and what is printed is read as the same budget."""
    assert budget == RegretBudget.parse(text) == RegretBudget.parse(str(budget))


@pytest.mark.parametrize(
    "text",
    ["", "3", "3 people", "-1 people this year", "1.5 people this year", "3 roles this year", "3 people this week",
     "1" * 7 + " people this year", "٣ people this year", "3 people this year\n4 people this year"],
)  # fmt: skip
def test_what_is_no_budget_is_refused(text) -> None:
    """The message says what to write."""
    with pytest.raises(ConfigurationError, match="3 people this quarter"):
        RegretBudget.parse(text)


def due(name, grant, likelihood, bound, **more):
    return make_finding(name, grant, likelihood=likelihood, likelihood_bound=bound, **more)


def test_findings_outside_the_budget_are_kept() -> None:
    """The guard names the budget, and the result says what one more person would allow."""
    findings = [
        due("alice", "a:x", 0.1, 0.5),
        due("bob", "a:x", 0.2, 0.5),
        due("carol", "a:x", 0.3, 0.6),
        make_finding("dave", "a:x", proposal="keep", guards=("held for only 1 day",)),
    ]
    kept, result = apply_budget(findings, RegretBudget(2, "people", "quarter"))
    assert ["remove", "remove", "keep", "keep"] == [each.proposal for each in kept]
    assert [(), (), ("outside the budget of 2 people this quarter",), ("held for only 1 day",)] == [
        each.guards for each in kept
    ]
    assert pytest.approx(0.3) == result.expected
    assert BudgetResult("2 people this quarter", 91, 2, 1, result.expected, 2, 1) == result


def test_what_leavers_hold_costs_nothing() -> None:
    """Nobody is there to regret it, so it is proposed whatever the budget is."""
    leaver = make_finding("zoe", "a:x", verdict="leaver")
    kept, result = apply_budget([leaver], RegretBudget(0, "people", "year"))
    assert ([leaver], 0, 0) == (kept, result.inside, result.outside)


@pytest.mark.parametrize(
    ("finding", "people"),
    [
        (make_finding("alice", "a:x", verdict="dormant"), 1),
        (due("alice", "a:*", 0.001, 0.002, proposal="narrow", instead=("a:x",), kind="wildcard"), 1),
        (make_finding("clerk", "a:x", of="role", members=12), 12),
        (make_finding("clerk", "a:x", of="role", members=0), 1),
        (make_finding("nightly", "a:x", of="client"), 1),
    ],
)
def test_what_has_no_likelihood_counts_as_needed(finding, people) -> None:
    """By everybody whom it concerns: unknown is not unlikely."""
    kept, result = apply_budget([finding], RegretBudget(people - 1, "people", "year"))
    assert ("keep", 0, 1, 1) == (kept[0].proposal, result.inside, result.outside, result.one_more)
    kept, result = apply_budget([finding], RegretBudget(people, "people", "year"))
    assert (finding, 1, people) == (kept[0], result.inside, result.bound)


def test_the_last_holder_is_who_is_left() -> None:
    """What concerns no holder is not touched."""
    route = make_finding("shop", "a:x", of="service", kind="requirement")
    assert [route] == apply_budget([route], RegretBudget(0, "grants", "year"))[0]
