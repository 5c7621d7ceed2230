"""Backtests: rules replayed over the past."""

from __future__ import annotations

import csv
import runpy
from collections import defaultdict
from datetime import date
from pathlib import Path
from typing import Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from examples import examples
from jwt_lp.review.analysis.backtesting import LIKELIHOOD_RULES, backtest, fit_model
from jwt_lp.review.analysis.decision_rule import DecisionRule
from jwt_lp.review.analysis.likelihood import LikelihoodModel
from jwt_lp.review.analysis.recommendation import USUAL_LIKELIHOOD, recommend, settle, share_interval
from jwt_lp.review.analysis.usage_history import UsageHistory
from jwt_lp.review.findings import BacktestedSetting
from jwt_lp.review.report.backtest_text import describe_past, describe_result

SHARED = Path(__file__).parents[3] / "shared"
EVENTS = st.lists(
    st.tuples(st.sampled_from("ab"), st.sampled_from(["x", "y", "z"]), st.integers(700_000, 701_500)),
    min_size=1,
    max_size=60,
)


def _history(events) -> UsageHistory:
    return UsageHistory(("issuer", subject, grant, day) for subject, grant, day in events)


def _slowly(events, window: int, horizon: int) -> tuple[int, int, int]:
    """Revocations, regrets and needless days by the definitions, pair by pair and review by review."""
    used = defaultdict(set)
    for subject, grant, day in events:
        used[subject, grant].add(day)
    first = min(day for days in used.values() for day in days)
    last = max(day for days in used.values() for day in days)
    start = first + int(0.6 * (last - horizon - first))
    back = regret = needless = 0
    for days in used.values():
        revoked_at = None
        for review in range(start, last - horizon, 30):
            before = [day for day in days if day <= review]
            if not before:
                continue
            if revoked_at is not None:
                if not [day for day in before if day > revoked_at]:
                    continue
                revoked_at = None
            idle = review - max(before)
            if idle < 30:
                continue
            needed = any(review < day <= review + horizon for day in days)
            if idle >= window:
                back, regret, revoked_at = back + 1, regret + needed, review
            elif not needed:
                needless += 30
    return back, regret, needless


@given(EVENTS, st.integers(30, 400))
def test_windows_cost_what_the_definitions_say(events, horizon: int) -> None:
    """Every window's results equal those of replaying the reviews one by one."""
    found = backtest(_history(events), horizon=horizon)
    for setting in found.settings:
        if setting.rule == "fixed":
            assert _slowly(events, int(setting.threshold), horizon) == setting[2:]


@pytest.mark.parametrize("judged", [DecisionRule("fixed", 200), DecisionRule("likelihood", 0.033)], ids=str)
def test_the_rule_that_judged_is_replayed(judged: DecisionRule) -> None:
    """A review may judge by a rule that is no usual setting; the past shown is that of this rule."""
    events = [
        (f"s{subject}", grant, 700_000 + day)
        for subject in range(6)
        for grant in "xyz"
        for day in range(0, 1500 - 150 * subject, 40 + 31 * subject)
    ]
    found = backtest(_history(events), horizon=90, judged=judged)
    assert found.judged is not None
    assert (judged.kind, judged.threshold) == found.judged[:2]
    assert 1 == found.settings.count(found.judged)
    if judged.kind == "fixed":
        assert _slowly(events, 200, 90) == found.judged[2:]
    assert describe_past(found).startswith(describe_result(found.judged))
    assert "not replayed" in describe_past(found, with_budget=True)


@given(EVENTS, EVENTS, st.integers(30, 200))
def test_later_use_is_not_learnt(events, later, horizon: int) -> None:
    """Training cases up to a day do not depend on later use."""
    until = max(day for _, _, day in events)
    more = [(subject, grant, until + 1 + day - 700_000) for subject, grant, day in later]
    assert list(_history(events).training_cases(until, horizon)) == list(
        _history([*events, *more]).training_cases(until, horizon)
    )


@given(st.permutations(list(range(40))))
@examples(20)
def test_the_order_of_rows_means_nothing(order) -> None:
    """Rows in another order, or repeated, give the same result."""
    events = [(f"s{number % 7}", f"g{number % 3}", 700_000 + number * 37) for number in range(40)]
    mixed = [events[index] for index in order]
    assert backtest(_history(events), horizon=100) == backtest(_history([*mixed, *mixed[:5]]), horizon=100)


@given(EVENTS)
def test_a_pair_is_what_a_review_of_the_day_would_see(events) -> None:
    """The features of a pair equal those counted by hand, without anything after the day."""
    history = _history(events)
    day = (history.first + history.last) // 2
    seen = {(s, g): sorted({d for s2, g2, d in events if (s, g) == (s2, g2) and d <= day}) for s, g, _ in events}
    seen = {key: days for key, days in seen.items() if days}
    expected = []
    for (subject, grant), days in sorted(seen.items()):
        idle = day - days[-1]
        if idle < 30:
            continue
        rest = [day - others[-1] for (s, g), others in seen.items() if s == subject and g != grant]
        active = {s for (s, _), others in seen.items() if s != subject and day - others[-1] <= 365}
        users = {s for (s, g), others in seen.items() if s != subject and g == grant and day - others[-1] <= 365}
        expected.append(
            (idle, len(days), days[-1] - days[0], day - days[0], min(rest, default=None),
             sum(idle_days <= 365 for idle_days in rest), len(users) / len(active) if active else 0.0,
             max(day - others[0] for (s, _), others in seen.items() if s == subject),
             sum(len(others) for (s, g), others in seen.items() if s == subject and g != grant), len(rest))
        )  # fmt: skip
    assert expected == [tuple(case.pair) for case in history.replay_day(day, 100)]


@pytest.mark.parametrize("events", [[], [("a", "x", 700_000)], [("a", "x", 700_000), ("a", "x", 700_300)]])
def test_a_short_past_has_no_settings(events) -> None:
    """Without a review that can look ahead there are no settings and no recommendation."""
    found = backtest(_history(events))
    assert ((), None) == (found.settings, found.recommended)
    assert fit_model(_history(events), until="1918-01-01", horizon=365).fitted_on == 0


def _setting(
    rule: Literal["fixed", "likelihood"], threshold: float, regretted: int, needless: int, revoked: int = 100
) -> BacktestedSetting:
    return BacktestedSetting(rule, threshold, revoked, regretted, needless)


WINDOW = _setting("fixed", 180, 10, 3000)


@pytest.mark.parametrize(
    ("others", "regret", "expected"),
    [
        ([_setting("likelihood", 0.1, 4, 3000), _setting("likelihood", 0.05, 2, 3001)], None, ("likelihood", 0.1)),
        ([_setting("likelihood", 0.1, 4, 2900), _setting("likelihood", 0.2, 4, 2000)], None, ("likelihood", 0.2)),
        ([_setting("likelihood", 0.1, 11, 100)], None, ("fixed", 180)),
        ([_setting("likelihood", 0.1, 10, 3000)], None, ("fixed", 180)),
        ([_setting("likelihood", 0.1, 5, 9000), _setting("likelihood", 0.05, 4, 9500)], 0.05, ("likelihood", 0.1)),
        ([_setting("likelihood", 0.1, 5, 9000)], 0.04, None),
        ([_setting("likelihood", 0.1, 0, 9000, revoked=0)], 0.04, None),
    ],
)
def test_the_recommended_setting_is_the_best_of_the_earlier_reviews(others, regret, expected) -> None:
    """The fewest regrets at no more needless days than the window, or the fewest needless days within the regret."""
    found = recommend([WINDOW, *others], in_force=DecisionRule("fixed", 180), regret=regret)
    assert expected == (found and (found.kind, found.threshold))


def test_without_earlier_revocations_the_usual_likelihood_is_recommended() -> None:
    """A history with too few earlier reviews to choose on gets the likelihood that did well on other histories."""
    nothing = [BacktestedSetting("fixed", 180, 0, 0, 0), BacktestedSetting("likelihood", 0.1, 0, 0, 0)]
    assert USUAL_LIKELIHOOD == recommend(nothing, in_force=DecisionRule("fixed", 180), regret=None)
    events = [("a", f"g{number}", 700_000 + number) for number in range(60)] + [("a", "g0", 700_190)]
    found = backtest(_history(events), horizon=100)
    assert found.recommended is not None
    assert USUAL_LIKELIHOOD.threshold == found.recommended.threshold


@given(EVENTS, st.integers(30, 400), st.none() | st.floats(0, 1), st.sampled_from([60, 75, 180]))
def test_no_recommendation_is_worse_than_the_window_in_force(events, horizon: int, regret, days: int) -> None:
    """A recommendation never regrets more at no fewer needless days; without a limit of regrets, never more at all."""
    found = backtest(_history(events), horizon=horizon, regret=regret, in_force=DecisionRule("fixed", days))
    best, window = found.recommended, found.in_force
    if best is None or window is None:
        assert best is None
        return
    assert best in found.settings
    assert window in found.settings
    if regret is None:
        assert best.regretted <= window.regretted
    assert best.regretted <= window.regretted or best.days_needlessly_held < window.days_needlessly_held


@pytest.mark.parametrize(
    ("regretted", "needless", "regret", "expected"),
    [
        (10, 9000, None, "best"),
        (11, 1, None, "window"),
        (11, 3000, 0.1, "window"),
        (11, 2999, 0.1, "best"),
        (11, 3000, 0.09, None),
        (9, 9000, 0.01, "best"),
    ],
)
def test_the_later_reviews_have_the_last_word(regretted, needless, regret, expected) -> None:
    """A setting that was best before and is worse now gives way to the window in force, if that is within the regret."""
    best = _setting("likelihood", 0.1, regretted, needless)
    assert {"best": best, "window": WINDOW, None: None}[expected] == settle(best, WINDOW, regret=regret)


def test_a_window_that_stands_in_has_no_interval() -> None:
    """Where a habit changes, so that the earlier best regrets more later, the window is recommended, without interval."""
    events = [(f"s{number}", "x", 700_000 + number * 4) for number in range(500)]
    events += [(f"s{number}", "x", 700_000 + number * 4 + 150) for number in range(290, 420)]
    found = backtest(_history(events), horizon=300)
    assert (found.in_force, None) == (found.recommended, found.interval)


def test_the_rule_of_a_review_is_replayed() -> None:
    """A review's own rule has its results in the backtest, also where no other setting is like it."""
    events = [("a", f"g{number}", 700_000 + number * 3) for number in range(300)]
    for rule in (DecisionRule("likelihood", 0.123), DecisionRule("fixed", 77), DecisionRule("fixed", 180)):
        found = backtest(_history(events), horizon=100, judged=rule)
        assert found.judged is not None
        assert (rule.kind, rule.threshold) == found.judged[:2]
        assert found.judged in found.settings
    assert None is backtest(_history(events), horizon=100).judged


@pytest.mark.parametrize(
    ("holders", "low", "high"),
    [
        # Wilson's interval of 10 of 100 is 5.5 % to 17.4 %
        ([[1, 1]] * 10 + [[1, 0]] * 90, 0.055, 0.175),
        # the same numbers, but ten holders decide, and one of them needs all: much less is known
        ([[10, 10]] + [[10, 0]] * 9, 0.017, 0.405),
        ([[1, 0]] * 20, 0.0, 0.162),
        ([[1, 1]] * 20, 0.838, 1.0),
        ([[1, 0]], 0.0, 0.794),
    ],
)
def test_an_interval_counts_holders(holders: list[list[int]], low: float, high: float) -> None:
    """The interval is Wilson's where holders have one grant each, and wider where one holder needs many."""
    assert (low, high) == pytest.approx(share_interval(holders), abs=0.002)


def test_recent_users_are_those_of_one_year() -> None:
    """Only holders active in the year before a day count as users."""
    events = [("a", "x", 700_000), ("a", "y", 700_300), ("b", "x", 700_400), ("c", "x", 700_900)]
    assert ({"x": 1, "y": 1}, 2) == _history(events).recent_users(700_420)
    assert ({}, 0) == _history(events).recent_users(699_999)


def test_each_review_is_reported() -> None:
    """The progress callback is called for each review."""
    heard: list[int] = []
    backtest(_history([("a", "x", 700_000 + 61 * number) for number in range(30)]), horizon=100, on_step=heard.append)
    assert list(range(1, len(heard) + 1)) == heard
    assert heard


@pytest.fixture(scope="module")
def trace():
    """The reference backtest, the shared trace's days of use, their history, and its backtest."""
    if not (SHARED / "data" / "usage_trace.csv").exists():
        pytest.skip(f"no shared data at {SHARED.name}/data/usage_trace.csv")
    reference = runpy.run_path(str(SHARED / "backtest_reference.py"))
    days = defaultdict(set)
    with (SHARED / "data" / "usage_trace.csv").open(newline="") as file:
        for row in csv.DictReader(file):
            days[row["subject"], row["permission"]].add(date.fromisoformat(row["day"]).toordinal())
    used = {pair: sorted(item) for pair, item in days.items()}
    history = UsageHistory(("issuer", *pair, day) for pair, days in used.items() for day in days)
    return reference["backtest"], used, history, backtest(history)


@pytest.mark.once
def test_windows_on_the_trace_are_the_references(trace) -> None:
    """On 22 years of real use, every window's results equal the reference's."""
    reference, used, _, found = trace
    windows = {setting.threshold: setting for setting in found.settings if setting.rule == "fixed"}
    assert [60, 90, 120, 180, 270, 365] == list(windows)
    for days, setting in windows.items():
        expected = reference(used, lambda _pair, _day, idle, days=days: idle >= days)
        assert (expected["taken_back"], expected["regretted"], expected["days_needlessly_held"]) == setting[2:]
        assert (expected["first_review"], expected["last_day"]) == (found.first_review, found.last_day)
    assert BacktestedSetting("fixed", 180, 3020, 414, 301_800) == windows[180]


@pytest.mark.once
def test_likelihoods_on_the_trace_are_the_references(trace) -> None:
    """The results of a likelihood equal those of the reference with that likelihood as its rule."""
    reference, used, history, found = trace
    start = date.fromisoformat(found.first_review).toordinal()
    model = LikelihoodModel.fit(history.training_cases(start, 365))
    rule = DecisionRule("likelihood", 0.2)
    names = sorted({(subject, grant) for subject, grant in used})
    judged = {
        (names[case.number], day): rule.revokes(case.pair, model)
        for day in range(start, history.last - 365, 30)
        for case in history.replay_day(day, 365)
    }
    expected = reference(used, lambda pair, day, _idle: judged[pair, day])
    (mine,) = [setting for setting in found.settings if (setting.rule, setting.threshold) == ("likelihood", 0.2)]
    assert (expected["taken_back"], expected["regretted"], expected["days_needlessly_held"]) == mine[2:]


@pytest.mark.once
def test_the_likelihood_regrets_less_than_half_of_the_window(trace) -> None:
    """With no more needless days than the 180-day window, the likelihood has at least 55 % fewer regrets."""
    *_, found = trace
    (window,) = [setting for setting in found.settings if (setting.rule, setting.threshold) == ("fixed", 180)]
    within = [
        setting
        for setting in found.settings
        if setting.rule == "likelihood" and setting.days_needlessly_held <= window.days_needlessly_held
    ]
    assert min(setting.regretted for setting in within) <= 0.45 * window.regretted
    assert [rule.threshold for rule in LIKELIHOOD_RULES] == [
        setting.threshold for setting in found.settings if setting.rule == "likelihood"
    ]


def test_a_year_has_its_last_day() -> None:
    """Use 365 days ago counts as recent, use 366 days ago does not."""
    for days, share in ((365, 1.0), (366, 0.0)):
        events = [("a", "x", 700_000 - 40), ("b", "x", 700_000 - days), ("b", "y", 700_000 - 365)]
        assert [share] == [case.pair.others for case in _history(events).replay_day(700_000, 100)][:1]
        assert ({"x": 1 + int(share), "y": 1}, 2) == _history(events).recent_users(700_000)
