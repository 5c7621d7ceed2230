"""Regret budgets: what is chosen, what it costs, and what is kept."""

from __future__ import annotations

from itertools import chain, combinations
from math import prod

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jwt_lp import ConfigurationError
from jwt_lp.review.analysis.regret_budget import RegretBudget, Removal, apply_budget, expected_regret, largest_set
from jwt_lp.review.findings import BudgetResult
from review_factory import make_finding

LIKELIHOODS = st.sampled_from([0.0, 0.001, 0.01, 0.05, 0.1, 0.25, 0.5, 0.9, 1.0])
REMOVALS = st.lists(st.tuples(st.sampled_from("abcd"), LIKELIHOODS), max_size=8).map(
    lambda pairs: [Removal(f"{number}", holder, p) for number, (holder, p) in enumerate(pairs)]
)
LIMITS = st.sampled_from([0, 0.01, 0.1, 0.5, 1, 2, 3])
UNITS = st.sampled_from(["people", "grants"])


def regret(removals, unit) -> float:
    """The expected regret by its definition."""
    if unit == "grants":
        return float(sum(each.likelihood for each in removals))
    holders = {each.holder for each in removals}
    return float(sum(1 - prod(1 - each.likelihood for each in removals if each.holder == name) for name in holders))


def most_by_trial(removals, limit, unit) -> int:
    """The size of the largest set within the limit, by trying every set."""
    subsets = chain.from_iterable(combinations(removals, size) for size in range(len(removals) + 1))
    return max(len(each) for each in subsets if regret(each, unit) <= limit + 1e-9)


@given(REMOVALS, LIMITS, UNITS)
def test_the_chosen_set_stays_inside_and_is_as_large_as_promised(removals, limit, unit) -> None:
    """No set of grants is larger; of people, at most one fewer than a holder has is missing."""
    ids = largest_set(removals, limit, unit)
    chosen = [each for each in removals if each.id in ids]
    assert regret(chosen, unit) <= limit + 1e-6
    assert regret(chosen, unit) == pytest.approx(expected_regret(chosen, unit))
    most = most_by_trial(removals, limit, unit)
    largest_holder = max((sum(other.holder == each.holder for other in removals) for each in removals), default=1)
    assert most - (largest_holder - 1 if unit == "people" else 0) <= len(ids) <= most


@given(REMOVALS, LIMITS, UNITS, st.randoms())
def test_the_order_of_findings_means_nothing(removals, limit, unit, dice) -> None:
    """Ties are decided by id, so the same review gives the same plan."""
    mixed = [*removals]
    dice.shuffle(mixed)
    assert largest_set(removals, limit, unit) == largest_set(mixed, limit, unit)


@given(REMOVALS, LIMITS)
def test_a_larger_budget_of_grants_contains_a_smaller_one(removals, limit) -> None:
    """More budget never takes a removal away."""
    assert largest_set(removals, limit, "grants") <= largest_set(removals, limit + 1, "grants")


@pytest.mark.parametrize(
    ("limit", "expected"),
    [(0, set()), (0.1, {"a1"}), (0.19, {"a1", "a2"}), (0.2, {"a1", "a2"}), (0.31, {"a1", "a2", "b"})],
)
def test_a_holder_counts_once(limit, expected) -> None:
    """Two grants of one person at 10 % are expected to hit 0.19 people, and not 0.2."""
    removals = [Removal("a1", "a", 0.1), Removal("a2", "a", 0.1), Removal("b", "b", 0.12)]
    assert expected == largest_set(removals, limit, "people")


def test_a_step_that_does_not_fit_whole_is_taken_in_part() -> None:
    """Of three removals of one holder that cost less together than apart, as many as fit are chosen."""
    removals = [Removal(f"{number}", "a", 0.5) for number in range(3)]
    assert {"0", "1"} == largest_set(removals, 0.8, "people")
    assert {"0", "1", "2"} == largest_set(removals, 0.875, "people")


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
    kept, result = apply_budget(findings, RegretBudget(1, "people", "quarter"))
    assert ["remove", "remove", "keep", "keep"] == [each.proposal for each in kept]
    assert [(), (), ("outside the budget of 1 person this quarter",), ("held for only 1 day",)] == [
        each.guards for each in kept
    ]
    assert pytest.approx(0.3) == result.expected
    assert BudgetResult("1 person this quarter", 91, 2, 1, result.expected, 1.0, 1) == result


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
