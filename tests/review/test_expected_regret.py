"""Expected regret of a set of removals, with its bound."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jwt_lp.review.analysis.expected_regret import expected_regret
from jwt_lp.review.analysis.grant_features import GrantFeatures
from jwt_lp.review.analysis.likelihood import LikelihoodModel

PRIOR = LikelihoodModel.fit([])


def _grant(idle: int, days: int = 3) -> GrantFeatures:
    return GrantFeatures(idle, days, 30, idle + 30, 20, 3, 0.1, idle + 100, 20, 4)


def test_nothing_removed_is_nothing_regretted() -> None:
    """Without removals there is no regret."""
    assert (0, 0, 0, 0) == expected_regret(PRIOR, [])


def test_the_expected_number_is_the_sum_of_likelihoods() -> None:
    """Grants add up; a holder with two grants counts once, with the likelihood of needing one of them."""
    chances = [PRIOR.likelihood(_grant(idle)) for idle in (40, 200)]
    found = expected_regret(PRIOR, [("a", _grant(40)), ("a", _grant(200))])
    assert sum(chances) == pytest.approx(found.grants)
    assert 1 - (1 - chances[0]) * (1 - chances[1]) == pytest.approx(found.holders)
    assert (2, 1) == (found.most_grants, found.most_holders)


REMOVALS = st.lists(
    st.tuples(st.sampled_from("abc"), st.builds(_grant, st.integers(30, 900), st.integers(1, 30))), max_size=12
)


@given(REMOVALS, REMOVALS)
def test_more_removals_never_cost_less(some, more) -> None:
    """The expected numbers grow with each removal; a bound lies between the number and all there are."""
    fewer, all_of_them = expected_regret(PRIOR, some), expected_regret(PRIOR, [*some, *more])
    assert fewer.grants <= all_of_them.grants + 1e-9
    assert fewer.holders <= all_of_them.holders + 1e-9
    assert fewer.grants - 1e-9 <= fewer.most_grants <= len(some)
    assert fewer.holders - 1e-9 <= fewer.most_holders <= len({holder for holder, _ in some})
    assert fewer.holders <= fewer.grants + 1e-9


def test_a_bound_holds_for_95_of_100_outcomes() -> None:
    """Where each holder needs all or none of its grants, as the bound assumes, 95 of 100 outcomes stay within it."""
    removals = [(holder, _grant(30 + 9 * holder)) for holder in range(60) for _ in range(3)]
    found = expected_regret(PRIOR, removals)
    chance = random.Random(7)
    outcomes = [
        sum(3 for holder in range(60) if chance.random() < PRIOR.likelihood(_grant(30 + 9 * holder)))
        for _ in range(2000)
    ]
    assert sum(outcome <= found.most_grants for outcome in outcomes) > 0.94 * len(outcomes)
    assert found.most_grants < 3 * found.grants


def test_a_model_that_knows_more_has_a_lower_bound() -> None:
    """With the same likelihoods, evidence lowers the bound."""
    removals = [(number, _grant(100)) for number in range(300)]
    known = LikelihoodModel.fit(
        (_grant(100 if number % 2 else 40), number % 100 < 100 * PRIOR.likelihood(_grant(100)))
        for number in range(9000)
    )
    few, many = expected_regret(PRIOR, removals), expected_regret(known, removals)
    assert many.most_grants - many.grants < few.most_grants - few.grants
