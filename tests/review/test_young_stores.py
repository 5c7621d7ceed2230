"""Reviews of stores whose records are too young for the default window or for past cases of their own."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jwt_lp.review.analysis.backtesting import backtest, fit_model
from jwt_lp.review.analysis.decision_rule import YOUNG_LIKELIHOOD, DecisionRule, settle_rule
from jwt_lp.review.analysis.grant_features import GrantFeatures
from jwt_lp.review.analysis.likelihood import LikelihoodModel
from jwt_lp.review.analysis.training import load_history
from jwt_lp.review.analysis.usage_history import UsageHistory
from jwt_lp.stores import open_store
from review_scenario import NOW, ReviewScenario, find_finding

PRIOR = LikelihoodModel.fit(())
OWN = replace(PRIOR, fitted_on=1)
WINDOW = DecisionRule("fixed", 180)
DEFAULT = DecisionRule("likelihood", YOUNG_LIKELIHOOD)
TENTH = DecisionRule("likelihood", 0.1)


@pytest.mark.parametrize(
    ("rule", "days", "model", "settled"),
    [
        (None, 0, PRIOR, WINDOW),
        (None, 1, PRIOR, DEFAULT),
        (None, 90, PRIOR, replace(DEFAULT, floor=45)),
        (None, 359, PRIOR, replace(DEFAULT, floor=179)),
        (None, 360, PRIOR, WINDOW),
        (None, 90, OWN, WINDOW),
        (None, 90, None, WINDOW),
        (TENTH, 59, PRIOR, TENTH),
        (TENTH, 62, PRIOR, replace(TENTH, floor=31)),
        (TENTH, 700, PRIOR, replace(TENTH, floor=180)),
        (TENTH, 700, OWN, TENTH),
        (TENTH, 700, None, TENTH),
        (replace(TENTH, floor=200), 700, PRIOR, replace(TENTH, floor=200)),
        (WINDOW, 90, PRIOR, WINDOW),
    ],
)
def test_what_rule_a_review_settles_on(
    rule: DecisionRule | None, days: int, model: LikelihoodModel | None, settled: DecisionRule
) -> None:
    """The default is a likelihood up to twice the window; a likelihood without own cases needs half the records idle."""
    assert settled == settle_rule(rule, record_days=days, model=model)


@given(
    st.integers(1, 800),
    st.none() | st.floats(0.01, 0.99),
    *(st.integers(0, 800), st.integers(1, 200), st.integers(0, 800), st.none() | st.integers(0, 800)),
)
def test_a_young_likelihood_revokes_nothing_that_half_the_records_would_keep(
    days: int, threshold: float | None, idle: int, uses: int, span: int, elsewhere: int | None
) -> None:
    """What it revokes, a window of half the records, of at most 180 days, revokes too: so it regrets no more."""
    asked = None if threshold is None else DecisionRule("likelihood", threshold)
    rule = settle_rule(asked, record_days=days, model=PRIOR)
    age = idle + span
    features = GrantFeatures(idle, uses, span, age, elsewhere, 0, 0.2, max(age, elsewhere or 0), uses, 1)
    window = DecisionRule("fixed", max(30, min(days // 2, 180)))
    assert window.revokes(features, None) or not rule.revokes(features, PRIOR)


@pytest.fixture
def young(tmp_path):
    """A store with records of 90 days: one holder stopped early, one pauses, one never stopped."""
    pytest.importorskip("sqlalchemy")
    store = open_store(f"sqlite:///{tmp_path}/access.db")
    store.migrate()
    scenario = ReviewScenario(store, tmp_path)
    scenario.record_period(90)
    scenario.record_use("gone", "orders:read", 85)
    scenario.record_use("gone", "orders:list", 85)
    scenario.record_use("pausing", "orders:read", 44)
    scenario.record_use("busy", "orders:read", *range(1, 90, 3))
    scenario.record_use("busy", "orders:refund", *range(50, 90, 2))
    yield scenario
    store.close()


def _review(scenario: ReviewScenario, rule: DecisionRule | None):
    history = load_history(scenario.store, until=NOW).history
    model = fit_model(history, until=NOW, horizon=365)
    return scenario.review(rule=rule, model=model, history=history)


def _removals(found) -> set[tuple[str, str]]:
    return {(each.name, each.grant) for each in found.findings if each.proposal == "remove"}


def test_a_young_store_takes_back_by_default_what_nobody_seems_to_need(young: ReviewScenario) -> None:
    """Without a rule, a young store removes a part of what a window of half its records would, and says why."""
    found = _review(young, None)
    assert {("gone", "orders:read"), ("gone", "orders:list")} == _removals(found)
    assert _removals(found) < _removals(_review(young, DecisionRule("fixed", 45)))
    assert ("likelihood", YOUNG_LIKELIHOOD, 45) == (found.judging.rule, found.judging.threshold, found.judging.floor)
    assert "too few for the default window of 180 days: a likelihood of at most 40 % decides" in " ".join(found.notes)
    assert "nothing is proposed that was used within the last 45 days" in " ".join(found.notes)


def test_a_window_that_was_asked_for_stays(young: ReviewScenario) -> None:
    """A window that is longer than the records proposes nothing: the young store's rule is only a default."""
    found = _review(young, WINDOW)
    assert set() == _removals(found)
    assert any("the records cover only 90 days, and the rule needs 180" in note for note in found.notes)


def test_a_likelihood_of_a_young_store_needs_idle_days_too(young: ReviewScenario) -> None:
    """A high limit removes nothing that was used within half the records, and says nothing about a default."""
    found = _review(young, DecisionRule("likelihood", 0.99))
    assert "keep" == find_finding(found, "pausing", "orders:read").proposal
    assert ("busy", "orders:refund") in _removals(found)
    assert not any("default window" in note for note in found.notes)


def test_records_of_two_windows_are_judged_by_the_window(past: ReviewScenario) -> None:
    """Records of at least twice the window are judged by it, whether or not they have cases of their own."""
    past.record_use("alice", "orders:read", 300)
    judging = _review(past, None).judging
    assert ("fixed", 180, 30) == (judging.rule, judging.threshold, judging.floor)


def test_the_rule_of_a_young_store_is_replayed_as_it_judged() -> None:
    """A backtest of a rule that is held back has fewer revocations than the same likelihood, and than the window."""
    events = [("", f"s{number}", "g", 700_000 + number * 5 % 300) for number in range(80)]
    # Holders who use their grant every hundred days: the likelihood alone takes it away in between.
    events += [("", f"t{number}", "g", 700_000 + number + 100 * use) for number in range(20) for use in range(7)]
    rule = DecisionRule("likelihood", 0.9)
    free, held = (
        backtest(UsageHistory(events), horizon=100, judged=each).judged for each in (rule, replace(rule, floor=180))
    )
    assert free is not None
    assert held is not None
    window = backtest(UsageHistory(events), horizon=100).in_force
    assert window is not None
    assert ("likelihood", 0.9) == held[:2]
    assert 0 < held.revoked <= window.revoked < free.revoked
    assert held.regretted <= window.regretted
