"""How likely a grant is needed again, and what a rule makes of it."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jwt_lp.review.analysis import likelihood
from jwt_lp.review.analysis.decision_rule import DEFAULT_WINDOW_DAYS, DecisionRule
from jwt_lp.review.analysis.likelihood import GrantFeatures, LikelihoodModel

PAIRS = st.builds(
    lambda idle, days, span, elsewhere, recent, others: GrantFeatures(
        idle, days, span if days > 1 else 0, idle + span, elsewhere, recent, others
    ),
    st.integers(0, 4000),
    st.integers(1, 300),
    st.integers(1, 3000),
    st.none() | st.integers(0, 4000),
    st.integers(0, 30),
    st.floats(0, 1),
)


def _cases(number: int = 2000, seed: int = 1) -> list[tuple[GrantFeatures, bool]]:
    """Past cases in which need falls with idle days and grows with the days of use."""
    chance = random.Random(seed)
    found = []
    for _ in range(number):
        idle, days = chance.randint(30, 800), chance.randint(1, 40)
        pair = GrantFeatures(idle, days, days * 10, idle + days * 10, chance.choice([None, 5, 300]), days % 5, 0.2)
        found.append((pair, chance.random() < 30 * days / (30 * days + idle * 3)))
    return found


@pytest.fixture(scope="module")
def model() -> LikelihoodModel:
    """A model fitted to `_cases`."""
    found = LikelihoodModel.fit(_cases())
    assert found is not None
    return found


def test_a_model_learns_what_the_past_says(model: LikelihoodModel) -> None:
    """Frequent and recent use has a higher likelihood than one use long ago."""
    often = GrantFeatures(40, 40, 400, 440, 5, 4, 0.2)
    once = GrantFeatures(700, 1, 0, 700, None, 0, 0.2)
    assert model.likelihood(often) > 0.6
    assert model.likelihood(once) < 0.1
    assert 2000 == model.fitted_on


def test_the_likelihoods_add_up_to_the_need(model: LikelihoodModel) -> None:
    """The mean likelihood equals the share of needed cases, so the model is calibrated."""
    cases = _cases()
    share = sum(needed for _, needed in cases) / len(cases)
    mean = sum(model.likelihood(pair) for pair, _ in cases) / len(cases)
    assert share == pytest.approx(mean, abs=0.01)


@given(PAIRS, st.integers(1, 2000))
def test_more_idle_is_never_likelier(model: LikelihoodModel, pair: GrantFeatures, more: int) -> None:
    """All else equal, more idle days never raise the likelihood."""
    longer = pair._replace(idle=pair.idle + more)
    assert model.likelihood(longer) <= model.likelihood(pair) + 1e-12


@given(PAIRS)
def test_a_likelihood_lies_between_0_and_1(model: LikelihoodModel, pair: GrantFeatures) -> None:
    """Every likelihood lies between 0 and 1 and has two or three reasons."""
    assert 0 <= model.likelihood(pair) <= 1
    assert len(model.coefficients) == len(model.contributions(pair))


@pytest.mark.parametrize("only", ["idle", "all"])
def test_idle_days_that_would_raise_need_are_left_out(only: str) -> None:
    """If the past cases suggest that idle grants are needed more, idle days are left out."""
    chance = random.Random(3)
    cases = []
    for _ in range(1500):
        idle, days = chance.randint(30, 800), chance.randint(1, 20) if only == "all" else 1
        cases.append((GrantFeatures(idle, days, days * 9, idle + days * 9, 4, 2, 0.1), chance.random() < idle / 1000))
    model = LikelihoodModel.fit(cases)
    assert model is not None
    for days in (1, 7):
        chances = [
            model.likelihood(GrantFeatures(idle, days, days * 9, 900, 4, 2, 0.1)) for idle in (30, 90, 300, 800, 3000)
        ]
        assert sorted(chances, reverse=True) == pytest.approx(chances)


@pytest.mark.parametrize("cases", [_cases(299), [(pair, False) for pair, _ in _cases()], []])
def test_too_few_cases_give_no_model(cases: list[tuple[GrantFeatures, bool]]) -> None:
    """With too few cases, or none that was needed again, there is no model."""
    assert LikelihoodModel.fit(cases) is None


def test_the_same_past_gives_the_same_model() -> None:
    """A fit is reproducible to the last digit, also when it uses a sample."""
    assert LikelihoodModel.fit(_cases()) == LikelihoodModel.fit(_cases())
    many = LikelihoodModel.fit(_cases(25_000))
    assert many is not None
    assert 6250 == many.fitted_on


def test_a_fit_that_does_not_settle_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    """The number of iterations is limited."""
    monkeypatch.setattr(likelihood, "_MAX_ITERATIONS", 1)
    found = LikelihoodModel.fit(_cases())
    assert found is not None
    assert 0 < found.likelihood(_cases()[0][0]) < 1


@pytest.mark.parametrize(
    ("rule", "idle", "likelihood", "revoked"),
    [
        (DecisionRule("fixed", 90), 89, None, False),
        (DecisionRule("fixed", 90), 90, None, True),
        (DecisionRule("fixed", 10), 29, None, False),
        (DecisionRule("fixed", 10), 30, None, True),
        (DecisionRule("likelihood", 0.1), 30, 0.1, True),
        (DecisionRule("likelihood", 0.1), 30, 0.11, False),
        (DecisionRule("likelihood", 0.1), 29, 0.0, False),
        (DecisionRule("likelihood", 0.1), DEFAULT_WINDOW_DAYS - 1, None, False),
        (DecisionRule("likelihood", 0.1), DEFAULT_WINDOW_DAYS, None, True),
    ],
)
def test_a_rule_revokes(rule: DecisionRule, idle: int, likelihood: float | None, revoked: bool) -> None:
    """A window includes its day, a likelihood its threshold, and the floor comes first."""
    assert revoked is rule.is_due(idle, likelihood)


def test_a_rule_uses_the_model(model: LikelihoodModel) -> None:
    """A rule uses the model's likelihood, or the default window without a model."""
    pair = GrantFeatures(200, 2, 20, 220, 5, 2, 0.2)
    chance = model.likelihood(pair)
    assert DecisionRule("likelihood", min(chance + 0.01, 0.99)).revokes(pair, model)
    assert not DecisionRule("likelihood", chance / 2).revokes(pair, model)
    assert DecisionRule("likelihood", chance / 2).revokes(pair, None)
    assert not DecisionRule("likelihood", 0.99).revokes(pair._replace(idle=29), model)


@pytest.mark.parametrize(("kind", "threshold"), [("fixed", 0), ("likelihood", 0), ("likelihood", 1), ("likelihood", 5)])
def test_an_impossible_threshold_is_refused(kind, threshold) -> None:
    """A window must have a day, and a likelihood must lie between 0 and 1."""
    with pytest.raises(ValueError, match="window must be at least one day"):
        DecisionRule(kind, threshold)
