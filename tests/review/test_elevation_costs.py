"""Costs of a rule where elevations answer for what it took back."""

from __future__ import annotations

import csv
import json
from dataclasses import replace
from datetime import date
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from examples import examples
from jwt_lp.review import ElevationCost
from jwt_lp.review.analysis.backtesting import backtest
from jwt_lp.review.analysis.elevation_costs import Answer, answer
from jwt_lp.review.analysis.usage_history import UsageHistory
from jwt_lp.review.report import render, render_backtest
from review import sample_review

TRACE = Path(__file__).parents[3] / "shared" / "data" / "usage_trace.csv"
PAGE = Path(__file__).parents[2] / "docs" / "elevation-tradeoff.md"
REVIEWS = range(1000, 2000, 30)
EVENTS = st.lists(
    st.tuples(st.sampled_from("ab"), st.sampled_from(["x", "y"]), st.integers(700_000, 701_500)),
    min_size=1,
    max_size=60,
)


def costs_of(events, **options) -> dict[tuple[str, float], ElevationCost]:
    history = UsageHistory(("issuer", subject, grant, day) for subject, grant, day in events)
    return {(cost.rule, cost.threshold): cost for cost in backtest(history, **options).elevation}


@pytest.mark.parametrize(
    ("later", "span", "expected"),
    [
        # No use after it was taken back: no request.
        ([], 1, Answer(0, 3)),
        # One request for each day of need.
        ([1200], 1, Answer(1, 4)),
        ([1200, 1201, 1400], 1, Answer(3, 6)),
        # An elevation of several days serves the days that follow.
        ([1200, 1201, 1202, 1400], 3, Answer(2, 7)),
        ([1200, 1203], 3, Answer(2, 5)),
        # Six of eight weeks before the review of day 1060: standing again, with eight uses.
        ([1005, 1012, 1019, 1026, 1033, 1040, 1500], 1, Answer(6, 8)),
        # Requests go on until that review.
        ([1005, 1012, 1019, 1026, 1033, 1040, 1041, 1500], 1, Answer(7, 9)),
        # Five weeks are too few.
        ([1005, 1012, 1019, 1026, 1033, 1500], 1, Answer(6, 9)),
        # Eight weeks before a review are 56 days; use of a standing grant before does not count.
        ([1005, 1300], 1, Answer(2, 5)),
    ],
)
def test_what_follows_a_removal(later: list[int], span: int, expected: Answer) -> None:
    """Requests, and when the grant is standing again."""
    assert expected == answer([990, 997, *later], 2, REVIEWS, span)


def test_use_before_the_removal_restores_nothing() -> None:
    """Weeks of use by the standing grant are not weeks of elevated use."""
    days = [1002, 1009, 1016, 1023, 1030, 1037]
    assert Answer(1, 7) == answer(days, 5, REVIEWS, 1)


def _slowly(events, window: int, horizon: int) -> tuple[int, int, int]:
    """Removed at the end, restored and requests by the definitions, pair by pair and review by review."""
    used: dict[tuple[str, str], set[int]] = {}
    for subject, grant, day in events:
        used.setdefault((subject, grant), set()).add(day)
    first, last = min(map(min, used.values())), max(map(max, used.values()))
    start = first + int(0.6 * (last - horizon - first))
    removed = restored = requests = 0
    reviews = range(start, last - horizon, 30)
    for days in used.values():
        gone = None
        for review in reviews:
            if gone is not None:
                weeks = {(review - day) // 7 for day in days if max(gone, review - 56) < day <= review}
                if len(weeks) < 6:
                    continue
                requests += len([day for day in days if gone < day <= review])
                restored, gone = restored + 1, None
            before = [day for day in days if day <= review]
            if before and review - max(before) >= window:
                gone = review
        if gone is not None:
            removed += 1
            requests += len([day for day in days if day > gone])
    return removed, restored, requests


@examples(60)
@given(EVENTS, st.integers(30, 400))
def test_windows_cost_what_the_definitions_say(events, horizon: int) -> None:
    """Every window's costs equal those of replaying the reviews one by one."""
    for (rule, threshold), cost in costs_of(events, horizon=horizon).items():
        if rule == "fixed":
            assert _slowly(events, int(threshold), horizon) == (cost.removed, cost.restored, cost.requests)


def test_restored_grants_are_judged_again() -> None:
    """A grant that is standing again can be taken back again, and costs requests again."""
    weekly = range(701_000, 701_400, 7)
    events = [("a", "x", day) for day in (700_000, 700_500, *weekly, 701_900, 704_000)]
    cost = costs_of(events, horizon=100)["fixed", 180]
    assert _slowly(events, 180, 100) == (cost.removed, cost.restored, cost.requests)


def test_a_short_history_costs_nothing() -> None:
    """Where no review can be replayed there are no costs."""
    assert {} == costs_of([("a", "x", 700_000)])
    assert "elevations answer" not in render_backtest(backtest(UsageHistory(())), "text")


def test_nothing_is_divided_by_zero() -> None:
    """A setting without grants or use has no share and no requests a year."""
    nothing = ElevationCost("fixed", 180, 0, 0, 0, 0, 0, 600)
    assert (0.0, 0.0, 0.0) == (nothing.share_removed, nothing.requests_a_year, nothing.hours_waited)


def test_waiting_and_length_are_those_given() -> None:
    """Hours are requests times the stated waiting; elevations of days need fewer requests."""
    events = [("a", "x", day) for day in (700_000, 702_000, 702_001, 702_002, 703_000)]
    one = costs_of(events, horizon=100, waiting=1800)["fixed", 90]
    long = costs_of(events, horizon=100, longest=3 * 86400)["fixed", 90]
    assert (4, 2) == (one.requests, long.requests)
    assert one.requests / 2 == one.hours_waited


def test_text_and_json_say_the_costs() -> None:
    """Text has them for windows, every tenth likelihood and what is recommended; JSON for every setting."""
    events = [("a", "x", day) for day in (700_000, 701_000, 701_001, 701_002, 702_000)]
    history = UsageHistory(("issuer", *event) for event in events)
    found = backtest(history, horizon=100)
    text = render_backtest(found, "text")
    assert "Where elevations answer, each after 10 minutes" in text
    assert "  180 days unused: 100 % of 1 grant taken back at the end, 1 request, " in text
    assert "  likelihood up to 20 %: " in text.partition("Where elevations")[2]
    assert "likelihood up to 21 %" not in text.partition("Where elevations")[2].partition("Recommended")[0]
    rows = json.loads(render_backtest(found, "json"))
    assert [cost.requests for cost in found.elevation] == [row["elevation"]["requests"] for row in rows]
    assert {"share_removed", "requests_a_year", "hours_waited"} < rows[0]["elevation"].keys()


@pytest.mark.once
def test_the_page_says_what_the_trace_gives() -> None:
    """The figures of docs/elevation-tradeoff.md are those of the trace."""
    if not TRACE.exists():
        pytest.skip("needs ../shared/data/usage_trace.csv, beside the project")
    with TRACE.open(newline="") as file:
        costs = costs_of(
            (row["subject"], row["permission"], date.fromisoformat(row["day"]).toordinal())
            for row in csv.DictReader(file)
        )
    page = PAGE.read_text()
    for name, key in (
        ("180 days", ("fixed", 180)), ("365 days", ("fixed", 365)), ("likelihood 0.05", ("likelihood", 0.05)),
        ("likelihood 0.14", ("likelihood", 0.14)), ("likelihood 0.30", ("likelihood", 0.3)),
        ("likelihood 0.50", ("likelihood", 0.5)),
    ):  # fmt: skip
        cost = costs[key]
        assert (
            f"| {name} | {cost.share_removed:.1%} | {cost.requests:,} | {cost.requests_a_year:.2f} | "
            f"{cost.hours_waited:,.0f} | {cost.restored} |"
        ).replace("%", " %") in page


def test_the_costs_of_a_review_are_in_its_json() -> None:
    """With what is computed from them."""
    cost = ElevationCost("fixed", 180, 10, 5, 4, 2, 0, 600)
    review = sample_review.review()
    told = json.loads(render(replace(review, backtest=replace(sample_review.BACKTEST, elevation=(cost,))), "json"))
    (written,) = told["backtest"]["elevation"]
    assert {**cost._asdict(), "share_removed": cost.share_removed} == {
        name: written[name] for name in (*cost._fields, "share_removed")
    }
