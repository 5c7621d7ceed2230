"""What a rule would have cost in the past."""

from __future__ import annotations

import csv
import runpy
from collections import defaultdict
from datetime import date
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from examples import examples
from jwt_lp.review.analysis.backtesting import LIKELIHOOD_RULES, UsageHistory, backtest, fit_model
from jwt_lp.review.analysis.decision_rule import DecisionRule
from jwt_lp.review.analysis.likelihood import LikelihoodModel
from jwt_lp.review.findings import BacktestedSetting

SHARED = Path(__file__).parents[3] / "shared"
EVENTS = st.lists(
    st.tuples(st.sampled_from("ab"), st.sampled_from(["x", "y", "z"]), st.integers(700_000, 701_500)),
    min_size=1,
    max_size=60,
)


def _history(events) -> UsageHistory:
    return UsageHistory(("issuer", subject, grant, day) for subject, grant, day in events)


def _slowly(events, window: int, horizon: int) -> tuple[int, int, int]:
    """The same by the definitions, one pair and one review after the other."""
    used = defaultdict(set)
    for subject, grant, day in events:
        used[subject, grant].add(day)
    first = min(day for days in used.values() for day in days)
    last = max(day for days in used.values() for day in days)
    start = first + int(0.6 * (last - horizon - first))
    back = regret = needless = 0
    for days in used.values():
        taken_at = None
        for review in range(start, last - horizon, 30):
            before = [day for day in days if day <= review]
            if not before:
                continue
            if taken_at is not None:
                if not [day for day in before if day > taken_at]:
                    continue
                taken_at = None
            idle = review - max(before)
            if idle < 30:
                continue
            needed = any(review < day <= review + horizon for day in days)
            if idle >= window:
                back, regret, taken_at = back + 1, regret + needed, review
            elif not needed:
                needless += 30
    return back, regret, needless


@given(EVENTS, st.integers(30, 400))
def test_windows_cost_what_the_definitions_say(events, horizon: int) -> None:
    """Every window's figures are those of going through the reviews one by one."""
    found = backtest(_history(events), horizon=horizon)
    for each in found.settings:
        if each.rule == "fixed":
            assert _slowly(events, int(each.threshold), horizon) == each[2:]


@given(EVENTS, EVENTS, st.integers(30, 200))
def test_what_comes_later_is_not_learnt(events, later, horizon: int) -> None:
    """Cases up to a day are the same, whatever happened after it."""
    until = max(day for _, _, day in events)
    more = [(subject, grant, until + 1 + day - 700_000) for subject, grant, day in later]
    assert list(_history(events).training_cases(until, horizon)) == list(
        _history([*events, *more]).training_cases(until, horizon)
    )


@given(st.permutations(list(range(40))))
@examples(20)
def test_the_order_of_rows_means_nothing(order) -> None:
    """Rows in another order, or there twice, are the same history."""
    events = [(f"s{number % 7}", f"g{number % 3}", 700_000 + number * 37) for number in range(40)]
    mixed = [events[index] for index in order]
    assert backtest(_history(events), horizon=100) == backtest(_history([*mixed, *mixed[:5]]), horizon=100)


@given(EVENTS)
def test_a_pair_is_what_a_review_of_the_day_would_see(events) -> None:
    """The numbers of a pair are those of counting by hand, and of nothing after the day."""
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
             sum(each <= 365 for each in rest), len(users) / len(active) if active else 0.0)
        )  # fmt: skip
    assert expected == [tuple(each.pair) for each in history.replay_day(day, 100)]


@pytest.mark.parametrize("events", [[], [("a", "x", 700_000)], [("a", "x", 700_000), ("a", "x", 700_300)]])
def test_a_short_past_has_no_settings(events) -> None:
    """Where no review of the past can look ahead, nothing is said, and nothing recommended."""
    found = backtest(_history(events))
    assert ((), None) == (found.settings, found.recommended)
    assert fit_model(_history(events), until="2026-01-01", horizon=365) is None


def test_the_recommended_setting_holds_least_within_the_regret() -> None:
    """Of the settings that regret no more than is said, the one that holds least for nothing; None where there is none."""
    events = [("a", f"g{number}", 700_000 + number * 3) for number in range(300)]
    events += [("a", f"g{number}", 700_100 + number * 3) for number in range(0, 300, 2)]
    found = backtest(_history(events), horizon=100, regret=1.0)
    assert found.recommended is not None
    assert min(each.days_needlessly_held for each in found.settings) == found.recommended.days_needlessly_held
    strict = backtest(_history([("a", "x", 700_000 + 61 * number) for number in range(30)]), horizon=100, regret=0.0)
    assert None is strict.recommended


def test_the_crowd_is_who_used_what_within_a_year() -> None:
    """Holders that were active within a year until a day, and how many of them used each grant."""
    events = [("a", "x", 700_000), ("a", "y", 700_300), ("b", "x", 700_400), ("c", "x", 700_900)]
    assert ({"x": 1, "y": 1}, 2) == _history(events).recent_users(700_420)
    assert ({}, 0) == _history(events).recent_users(699_999)


def test_steps_are_told() -> None:
    """Whoever waits hears of each review."""
    heard: list[int] = []
    backtest(_history([("a", "x", 700_000 + 61 * number) for number in range(30)]), horizon=100, on_step=heard.append)
    assert list(range(1, len(heard) + 1)) == heard
    assert heard


@pytest.fixture(scope="module")
def trace():
    """The shared trace as its own reader has it, and the reference itself."""
    if not (SHARED / "data" / "usage_trace.csv").exists():
        pytest.skip(f"no shared data at {SHARED.name}/data/usage_trace.csv")
    reference = runpy.run_path(str(SHARED / "backtest_reference.py"))
    days = defaultdict(set)
    with (SHARED / "data" / "usage_trace.csv").open(newline="") as file:
        for row in csv.DictReader(file):
            days[row["subject"], row["permission"]].add(date.fromisoformat(row["day"]).toordinal())
    used = {pair: sorted(each) for pair, each in days.items()}
    history = UsageHistory(("issuer", *pair, day) for pair, days in used.items() for day in days)
    return reference["backtest"], used, history, backtest(history)


def test_windows_on_the_trace_are_the_references(trace) -> None:
    """On 22 years of real use every window costs exactly what the reference says."""
    reference, used, _, found = trace
    windows = {each.threshold: each for each in found.settings if each.rule == "fixed"}
    assert [60, 90, 120, 180, 270, 365] == list(windows)
    for days, each in windows.items():
        said = reference(used, lambda _pair, _day, idle, days=days: idle >= days)
        assert (said["taken_back"], said["regretted"], said["days_needlessly_held"]) == each[2:]
        assert (said["first_review"], said["last_day"]) == (found.first_review, found.last_day)
    assert BacktestedSetting("fixed", 180, 3020, 414, 301_800) == windows[180]


def test_likelihoods_on_the_trace_are_the_references(trace) -> None:
    """A likelihood's figures are those of the reference with that likelihood as its rule."""
    reference, used, history, found = trace
    start = date.fromisoformat(found.first_review).toordinal()
    model = LikelihoodModel.fit(history.training_cases(start, 365))
    rule = DecisionRule("likelihood", 0.2)
    names = sorted({(subject, grant) for subject, grant in used})
    judged = {
        (names[each.number], day): rule.revokes(each.pair, model)
        for day in range(start, history.last - 365, 30)
        for each in history.replay_day(day, 365)
    }
    said = reference(used, lambda pair, day, _idle: judged[pair, day])
    (mine,) = [each for each in found.settings if (each.rule, each.threshold) == ("likelihood", 0.2)]
    assert (said["taken_back"], said["regretted"], said["days_needlessly_held"]) == mine[2:]


def test_the_likelihood_regrets_a_third_less_than_the_window(trace) -> None:
    """At no more days needlessly held than with 180 days, at least 33 % less is regretted."""
    *_, found = trace
    (window,) = [each for each in found.settings if (each.rule, each.threshold) == ("fixed", 180)]
    within = [
        each
        for each in found.settings
        if each.rule == "likelihood" and each.days_needlessly_held <= window.days_needlessly_held
    ]
    assert min(each.regretted for each in within) <= 0.67 * window.regretted
    assert [rule.threshold for rule in LIKELIHOOD_RULES] == [
        each.threshold for each in found.settings if each.rule == "likelihood"
    ]


def test_a_year_has_its_last_day() -> None:
    """Who used something 365 days ago is among the others, a day longer and not: today's share is of the same year."""
    for days, share in ((365, 1.0), (366, 0.0)):
        events = [("a", "x", 700_000 - 40), ("b", "x", 700_000 - days), ("b", "y", 700_000 - 365)]
        assert [share] == [each.pair.others for each in _history(events).replay_day(700_000, 100)][:1]
        assert ({"x": 1 + int(share), "y": 1}, 2) == _history(events).recent_users(700_000)
