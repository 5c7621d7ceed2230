"""How likely a grant is needed again, and what a rule makes of it."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jwt_lp.review.analysis import logistic, prior
from jwt_lp.review.analysis.decision_rule import DEFAULT_WINDOW_DAYS, DecisionRule
from jwt_lp.review.analysis.grant_features import FEATURES, GrantFeatures
from jwt_lp.review.analysis.likelihood import LikelihoodModel, falls_with_idleness

PAIRS = st.builds(
    lambda idle, days, span, elsewhere, recent, others, more: GrantFeatures(
        *(idle, days, span if days > 1 else 0, idle + span, elsewhere, recent, others),
        *(idle + span + more, more, recent + more % 7),
    ),
    st.integers(0, 4000),
    st.integers(1, 300),
    st.integers(1, 3000),
    st.none() | st.integers(0, 4000),
    st.integers(0, 30),
    st.floats(0, 1),
    st.integers(0, 3000),
)


def _cases(number: int = 2000, seed: int = 1) -> list[tuple[GrantFeatures, bool]]:
    """Past cases in which need falls with idle days and grows with the days of use."""
    chance = random.Random(seed)
    found = []
    for _ in range(number):
        idle, days = chance.randint(30, 800), chance.randint(1, 40)
        other, age = chance.choice([None, 5, 300]), idle + days * 10
        pair = GrantFeatures(idle, days, days * 10, age, other, days % 5, 0.2, age, days, days % 5)
        found.append((pair, chance.random() < 30 * days / (30 * days + idle * 3)))
    return found


@pytest.fixture(scope="module")
def model() -> LikelihoodModel:
    """A model fitted to `_cases`."""
    return LikelihoodModel.fit(_cases())


def test_a_model_learns_what_the_past_says(model: LikelihoodModel) -> None:
    """Frequent and recent use has a higher likelihood than one use long ago."""
    often = GrantFeatures(40, 40, 400, 440, 5, 4, 0.2, 440, 40, 4)
    once = GrantFeatures(700, 1, 0, 700, None, 0, 0.2, 700, 0, 0)
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
    """Every likelihood lies between 0 and 1 and has a contribution of each feature."""
    assert 0 <= model.likelihood(pair) <= 1
    assert list(FEATURES) == [name for name, _ in model.contributions(pair)]


@pytest.mark.parametrize("wrong", ["idle", "holder"])
def test_idle_days_never_raise_need_whatever_the_past_says(wrong: str) -> None:
    """If the past cases suggest that idle grants are needed more, the weights of idle time stay those of the prior."""
    chance = random.Random(3)
    cases = []
    for _ in range(6000):
        idle, days = chance.choice([30, 31, 400, 800]), chance.randint(1, 20)
        elsewhere = None if wrong == "holder" else 4
        pair = GrantFeatures(idle, days, days * 9, idle + days * 9, elsewhere, 2, 0.1, idle + days * 9, 3, 2)
        cases.append((pair, chance.random() < idle / 900))
    model = LikelihoodModel.fit(cases)
    for name in ("idle", "holder_idle", "holder_pause", "quiet"):
        (found,) = [each for each in model.coefficients if each.name == name]
        assert found.prior == found.weight
    for elsewhere in (None, 1, 500):
        chances = [
            model.likelihood(GrantFeatures(idle, 7, 63, 900, elsewhere, 2, 0.1, 900, 3, 2))
            for idle in (30, 60, 89, 90, 300, 800, 3000)
        ]
        assert sorted(chances, reverse=True) == chances


def test_the_prior_falls_with_idleness() -> None:
    """The prior itself never says that idle grants are needed more; its covariance has an inverse."""
    assert falls_with_idleness(prior.CENTRE)
    inverse = logistic.invert(prior.COVARIANCE)
    identity = [
        [sum(a * b for a, b in zip(row, column, strict=True)) for column in zip(*inverse, strict=True)]
        for row in prior.COVARIANCE
    ]
    assert [
        pytest.approx([float(i == j) for j in range(len(identity))], abs=1e-6) for i in range(len(identity))
    ] == identity
    assert len(FEATURES) + 1 == len(prior.CENTRE) == len(prior.MEANS) + 1 == len(prior.SPREADS) + 1


def test_without_cases_the_model_is_the_prior() -> None:
    """A store without past cases judges by the prior, and none of the certainty is its own."""
    model = LikelihoodModel.fit([])
    assert [each.prior for each in model.coefficients] == [each.weight for each in model.coefficients]
    assert (0, 0, 0.0) == (model.fitted_on, model.pauses, round(model.own_share, 9))
    fresh = GrantFeatures(30, 20, 60, 90, 2, 5, 0.5, 90, 60, 5)
    left = GrantFeatures(85, 1, 0, 85, 80, 3, 0.05, 89, 4, 3)
    assert model.likelihood(fresh) > 0.6
    assert model.likelihood(left) < 0.2


def test_evidence_moves_the_model_from_the_prior() -> None:
    """The more past cases say something else than the prior, the nearer the model comes to them."""
    pair = GrantFeatures(40, 3, 30, 70, 20, 3, 0.1, 300, 20, 4)
    prior_says = LikelihoodModel.fit([]).likelihood(pair)
    models = [LikelihoodModel.fit([(pair, False)] * number) for number in (0, 10, 100, 1000, 10_000)]
    chances = [model.likelihood(pair) for model in models]
    shares = [model.own_share for model in models]
    assert prior_says == chances[0]
    assert sorted(chances, reverse=True) == chances
    assert sorted(shares) == shares
    assert chances[-1] < 0.02 < prior_says / 5
    assert 0 < shares[1] < 0.05


def test_repeated_reviews_of_one_pause_are_no_new_evidence() -> None:
    """The cases of one pause, review after review, say nearly as little as one of them."""
    pairs = [GrantFeatures(idle, 3, 30, 30 + idle, 20, 3, 0.1, 300, 20, 4) for idle in range(30, 3030, 30)]
    once = LikelihoodModel.fit([(pairs[0], False)] * 10)
    often = LikelihoodModel.fit([(pair, False) for pair in pairs] * 10)
    assert (10, 1000, 10, 10) == (once.fitted_on, often.fitted_on, once.pauses, often.pauses)
    assert often.own_share < once.own_share + 0.02


@pytest.mark.parametrize(("horizon", "above"), [(30, False), (364, False), (366, True), (3650, True)])
def test_a_longer_horizon_has_a_higher_likelihood(horizon: int, above: bool) -> None:
    """The prior's likelihood grows with the horizon."""
    pair = GrantFeatures(40, 3, 30, 70, 20, 3, 0.1, 300, 20, 4)
    usual = LikelihoodModel.fit([]).likelihood(pair)
    assert above is (LikelihoodModel.fit([], horizon=horizon).likelihood(pair) > usual)


def test_the_same_past_gives_the_same_model() -> None:
    """A fit is reproducible to the last digit, also when it uses a sample; a sample keeps the weight of all pauses."""
    assert LikelihoodModel.fit(_cases()) == LikelihoodModel.fit(_cases())
    many = LikelihoodModel.fit(_cases(25_000))
    assert 6250 == many.fitted_on
    assert sum(pair.idle < 60 for pair, _ in _cases(25_000)) == many.pauses


def test_a_fit_that_does_not_settle_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    """The number of iterations is limited."""
    monkeypatch.setattr(logistic, "_MAX_ITERATIONS", 1)
    assert 0 < LikelihoodModel.fit(_cases()).likelihood(_cases()[0][0]) < 1


def test_scikit_learn_finds_the_same_weights() -> None:
    """With the prior's normal distribution turned into a ridge, scikit-learn's regression has our weights."""
    linear_model = pytest.importorskip("sklearn.linear_model", reason="scikit-learn, the judge of our fit, is absent")
    chance = random.Random(5)
    rows = [[1.0, *(chance.gauss(0, 1) for _ in range(4))] for _ in range(800)]
    odds = [-1, 0.8, -0.5, 0, 0.3]
    labels = [
        float(chance.random() < logistic.logistic(sum(a * b for a, b in zip(odds, row, strict=True)))) for row in rows
    ]
    identity = [[float(i == j) for j in range(5)] for i in range(5)]
    found = logistic.fit(rows, labels, weight=0.3, centre=[0.0] * 5, precision=identity)
    judge = linear_model.LogisticRegression(C=1.0, fit_intercept=False, tol=1e-10, max_iter=1000)
    judge.fit(rows, labels, sample_weight=[0.3] * len(rows))
    assert pytest.approx(list(judge.coef_[0]), abs=1e-4) == list(found.weights)


@given(st.lists(st.floats(-3, 3), min_size=3, max_size=3))
def test_a_solution_solves(target: list[float]) -> None:
    """The solution of a system, put back in, gives the target; a variance is never negative."""
    matrix = [[4.0, 1.0, 0.5], [1.0, 3.0, 0.2], [0.5, 0.2, 2.0]]
    found = logistic.solve(matrix, target)
    assert pytest.approx(target, abs=1e-9) == [sum(a * b for a, b in zip(row, found, strict=True)) for row in matrix]
    assert logistic.Posterior((0.0,) * 3, tuple(map(tuple, matrix))).variance(target) >= 0


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
    pair = GrantFeatures(200, 2, 20, 220, 5, 2, 0.2, 220, 4, 2)
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


@given(PAIRS)
def test_the_bound_is_above_the_likelihood(model: LikelihoodModel, pair: GrantFeatures) -> None:
    """Weights are never certain, so the bound is higher, and still a likelihood."""
    assert 0 <= model.likelihood(pair) <= model.bound(pair) <= 1


def test_more_evidence_brings_the_bound_closer() -> None:
    """The bound of the prior is wider than that of a model with cases of its own."""
    cases = [
        (GrantFeatures(40 + number % 300, 9, 90, 400, 3, 2, 0.2, 400, 30, 3), number % 7 == 0) for number in range(900)
    ]
    pair = cases[0][0]
    widths = []
    for few in ([], cases):
        model = LikelihoodModel.fit(few)
        odds = [share / (1 - share) for share in (model.bound(pair), model.likelihood(pair))]
        widths.append(odds[0] / odds[1])
    assert widths[0] > widths[1] > 1
