"""Pictures of the console: coordinates, the sentence beside each, and their markup."""

from __future__ import annotations

from datetime import date, timedelta

import pytest

from jwt_lp.console.pictures.bars import BAR_SIZE, build_bar
from jwt_lp.console.pictures.burn_down import build_burn_down
from jwt_lp.console.pictures.matrix import MOST_GRANTS, MOST_ROLES, build_matrix
from jwt_lp.console.pictures.months import build_months
from jwt_lp.console.pictures.scales import abbreviate, cut, day_ticks, number_axis, round_ticks
from jwt_lp.console.pictures.tradeoff import build_tradeoff
from jwt_lp.console.pictures.trend import build_trend
from jwt_lp.console.pictures.use_over_time import build_strip
from jwt_lp.review.findings import Backtest, BacktestedSetting

DAY = 86400.0
HUGE = 2**63 - 1


def _day(number: int) -> str:
    return (date(2026, 1, 1) + timedelta(days=number)).isoformat()


@pytest.mark.parametrize(
    ("most", "ticks"),
    [
        (0, (0, 1)),
        (1, (0, 1)),
        (4, (0, 1, 2, 3, 4)),
        (7, (0, 2, 4, 6, 8)),
        (100, (0, 50, 100)),
        (123_456, (0, 50_000, 100_000, 150_000)),
    ],
)
def test_ticks_are_round_and_reach_the_most(most, ticks) -> None:
    """The marks of an axis are round numbers, from 0 to the largest number or beyond it."""
    assert ticks == round_ticks(most)


def test_ticks_of_a_huge_number_are_exact() -> None:
    """A number of 64 bits has few marks, which reach it, and short labels."""
    ticks = round_ticks(HUGE)
    scale, marks = number_axis(HUGE, 200, 10)
    assert (True, True, 200.0, 10.0) == (ticks[-1] >= HUGE, len(ticks) <= 7, marks[0].at, marks[-1].at)
    assert 0 == sum(len(mark.label) > 7 for mark in marks)
    assert 10 <= scale.at(HUGE) <= 200


@pytest.mark.parametrize(
    ("number", "text"),
    [
        (0, "0"),
        (999, "999"),
        (1000, "1 k"),
        (999_999, "999.9 k"),
        (2_500_000, "2.5 M"),
        (10**10, "10 G"),
        (HUGE, "9e18"),
    ],
)
def test_numbers_are_abbreviated(number, text) -> None:
    """A number on an axis is short, and never rounded up into the next unit."""
    assert text == abbreviate(number)


def test_what_is_outside_of_an_axis_is_drawn_at_its_end() -> None:
    """A day before the first one, or a number above the last one, stays inside of the picture."""
    scale, _ = number_axis(10, 100, 0)
    assert (100, 0, 50) == (scale.at(-5), scale.at(50), scale.at(5))
    assert 1 == len(day_ticks(5, 5, 0, 100))


def test_long_labels_are_cut() -> None:
    """A label has at most so many characters, the last of them an ellipsis if some are left out."""
    assert ("abc", "ab…") == (cut("abc", 3), cut("abcd", 3))


def test_a_bar_is_as_wide_as_its_parts_and_shows_the_smallest() -> None:
    """The parts fill the bar, each has its number and share, and one in a million is still visible."""
    bar = build_bar([("used", "needed", 999_999), ("unused", "not needed", 1), ("dormant", "never used", 0)])
    assert [999_999, 1, 0] == [part.number for part in bar.parts]
    assert ["> 99.9 %", "< 0.1 %", "0 %"] == [part.share for part in bar.parts]
    assert (BAR_SIZE[0], 0.0) == (round(sum(part.width for part in bar.parts)), bar.parts[2].width)
    assert bar.parts[1].width >= 3
    assert "1,000,000 in all: 999,999 needed (> 99.9 %), 1 not needed (< 0.1 %), 0 never used (0 %)" == bar.description


def test_a_bar_of_nothing_says_none() -> None:
    """Without a grant there is no bar, and the numbers are 0."""
    bar = build_bar([("used", "needed", 0), ("unused", "not needed", -3)])
    assert (0, "none", [0, 0]) == (bar.total, bar.description, [part.number for part in bar.parts])


def test_the_matrix_orders_roles_by_what_nobody_uses() -> None:
    """The role with the most unused grants is on top, the grant of the most roles on the left."""
    matrix = build_matrix(
        [
            ("clerk", "orders:read", 8, 8),
            ("clerk", "orders:write", 8, 1),
            ("boss", "orders:read", 2, 0),
            ("boss", "pay", 0, 0),
        ]
    )
    assert matrix is not None
    assert ["boss", "clerk"] == [row.label for row in matrix.rows]
    assert ["orders:read", "orders:write", "pay"] == [column.label for column in matrix.columns]
    shades = {(cell.role, cell.grant): cell.shade for cell in matrix.cells}
    expected = {
        ("boss", "orders:read"): 0,
        ("boss", "pay"): 0,
        ("clerk", "orders:read"): 4,
        ("clerk", "orders:write"): 1,
    }
    assert expected == shades
    assert "2 roles with 4 grants in all; nobody used 2 of them. The table has all numbers." == matrix.description
    assert len(matrix.cells) == len({(cell.x, cell.y) for cell in matrix.cells})


def test_a_large_matrix_counts_what_it_leaves_out() -> None:
    """Of many roles and grants the first are drawn, and the rest is counted."""
    matrix = build_matrix((f"r{role}", f"g{grant}:x", 5, grant % 3) for role in range(40) for grant in range(30))
    assert matrix is not None
    assert (40 - MOST_ROLES, 30 - MOST_GRANTS) == (matrix.more_roles, matrix.more_grants)
    assert MOST_ROLES * MOST_GRANTS == len(matrix.cells)
    assert all(cell.x + 26 <= matrix.size[0] and cell.y + 26 <= matrix.size[1] for cell in matrix.cells)


def test_no_role_no_matrix() -> None:
    """Without a role there is no matrix."""
    assert build_matrix([]) is None


def test_days_become_columns_of_a_time_line() -> None:
    """Up to three months have a column for each day; the highest fills the height and a single use is visible."""
    strip = build_strip([(_day(3), 1), (_day(3), 1), (_day(10), 5000), (_day(400), 9)], _day(0), _day(20))
    assert ("day", 21, 5000, "5 k") == (strip.period, len(strip.columns), strip.most, strip.most_label)
    assert [(_day(10), 5000), (_day(3), 2)] == [(column.label, column.uses) for column in strip.used]
    assert all(column.height >= 1.5 for column in strip.used)
    assert all(0 <= column.y and column.y + column.height <= strip.base + 0.1 for column in strip.columns)
    assert all(column.x + column.width <= strip.size[0] + 0.1 for column in strip.columns)
    expected = (
        "5,002 uses on 2 days from 2026-01-01 to 2026-01-21, the last on 2026-01-11; most on 2026-01-11, 5,000 times"
    )
    assert expected == strip.description


@pytest.mark.parametrize(
    ("days", "period", "columns"), [(93, "day", 94), (94, "week", 14), (735, "week", 106), (736, "month", 25)]
)
def test_longer_times_have_wider_periods(days, period, columns) -> None:
    """A quarter is shown by day, two years by week and what is longer by month, and no use is lost."""
    strip = build_strip([(_day(number), 1) for number in range(days + 1)], _day(0), _day(days))
    assert (period, columns, days + 1) == (strip.period, len(strip.columns), sum(each.uses for each in strip.columns))


def test_an_unused_time_line_says_so() -> None:
    """Without a use nothing is drawn but the axis; a time line of one day has one column."""
    strip = build_strip([], _day(5), _day(5), small=True)
    assert (1, 0, ()) == (len(strip.columns), strip.most, strip.used)
    assert "not used from 2026-01-06 to 2026-01-06" == strip.description


def test_months_have_a_panel_for_each_outcome() -> None:
    """Granted, denied and revoked have panels of their own scale; a column never leaves its panel."""
    months = build_months([("2026-09-01", 100, 0, 1), ("2026-10-01", 50, 2, 0), ("2026-11-01", 0, 1, 0)])
    assert months is not None
    assert [("granted", "100"), ("denied", "2"), ("revoked", "1")] == [
        (each.outcome, each.most) for each in months.panels
    ]
    assert "3 months from 2026-09 to 2026-11: 150 granted, 3 denied, 1 revoked" == months.description
    for panel in months.panels:
        assert all(panel.top <= column.y and column.y + column.height == panel.base for column in panel.columns)


def test_many_months_are_cut_to_the_latest() -> None:
    """Of twenty years the last five are drawn with a few labels, and the earlier months are counted."""
    months = build_months([(f"{2000 + place // 12}-{place % 12 + 1:02}-01", place, 0, 0) for place in range(240)])
    assert months is not None
    assert (60, 180, True) == (len(months.rows), months.earlier, len(months.labels) <= 8)
    assert build_months([]) is None


def _burn(by_day, *, now: float, items: int = 100):
    return build_burn_down(items=items, by_day=by_day, made_at=0.0, deadline=10 * DAY, now=now * DAY)


@pytest.mark.parametrize(
    ("by_day", "now", "text"),
    [
        ([], 0, "0 of 100 items decided, 100 undecided; 10 days left, at an even pace"),
        ([("1970-01-03", 60)], 5, "60 of 100 items decided, 40 undecided; 5 days left, ahead of an even pace"),
        ([("1970-01-03", 50)], 5, "50 of 100 items decided, 50 undecided; 5 days left, at an even pace"),
        ([("1970-01-03", 1)], 9, "1 of 100 items decided, 99 undecided; 1 day left, behind an even pace"),
        ([("1970-01-03", 1)], 12, "1 of 100 items decided, 99 undecided; the deadline was 2 days ago"),
        ([("1970-01-02", 40), ("1970-01-01", 60)], 3, "100 of 100 items decided, 0 undecided"),
    ],
)
def test_a_burn_down_says_how_far_it_is(by_day, now, text) -> None:
    """The sentence has the numbers, the days left, and whether that is an even pace."""
    burn = _burn(by_day, now=now)
    assert burn is not None
    assert text == burn.description


def test_a_burn_down_falls_on_the_days_of_decisions() -> None:
    """The line begins with all items, is level between days, and ends at the present; the pace ends at the deadline."""
    burn = _burn([("1970-01-03", 40), ("1970-01-05", 20)], now=6)
    assert burn is not None
    left, top, right, bottom = burn.area
    assert [("1970-01-03", 40, 60), ("1970-01-05", 20, 40)] == list(burn.left)
    heights = [y for _, y in burn.undecided]
    assert sorted(heights) == heights
    assert (left, top, burn.today.at) == (burn.undecided[0][0], heights[0], burn.undecided[-1][0])
    assert ((left, top), (right, bottom)) == burn.pace
    assert "1970-01-11" == burn.deadline.label


def test_a_burn_down_of_nothing_is_none() -> None:
    """A campaign without items has no burn-down; more decisions than items do not go below zero."""
    assert _burn([], now=1, items=0) is None
    burn = _burn([("1970-01-02", 7)], now=1, items=5)
    assert burn is not None
    assert [("1970-01-02", 7, 0)] == list(burn.left)


def test_a_trend_is_in_the_order_of_days() -> None:
    """Reviews are drawn oldest first, and the sentence compares the last with the first."""
    trend = build_trend([("2026-10-01", 400, 300), ("2026-01-01", 500, 200)])
    assert trend is not None
    assert [("2026-01-01", "40 %"), ("2026-10-01", "75 %")] == [(each.day, each.share) for each in trend.points]
    expected = "on 2026-10-01 300 of 400 standing grants were needed, 75 %; on 2026-01-01 it was 200 of 500, 40 %"
    assert expected == trend.description
    left, top, right, bottom = trend.area
    assert all(left <= each.x <= right and top <= each.granted_y <= each.needed_y <= bottom for each in trend.points)


def test_a_trend_may_have_one_review_or_none() -> None:
    """One review is one point; a store without grants divides nothing by zero."""
    trend = build_trend([("2026-10-01", 0, 0)])
    assert trend is not None
    assert "on 2026-10-01 0 of 0 standing grants were needed, –" == trend.description
    assert build_trend([]) is None


def _backtest(settings, recommended=None, in_force=None) -> Backtest:
    return Backtest(
        horizon=365, first_review="2026-01-01", last_day="2026-10-01", pairs=10, regret=None,
        settings=tuple(settings), recommended=recommended, in_force=in_force,
    )  # fmt: skip


def test_the_trade_off_marks_the_window_in_force_and_the_recommendation() -> None:
    """Both are marked, also where they are no setting of the list, and every point is inside of the area."""
    settings = [
        BacktestedSetting("fixed", 90, 100, 10, 4000),
        BacktestedSetting("fixed", 180, 80, 2, 90_000),
        BacktestedSetting("likelihood", 0.05, 90, 1, 5000),
    ]
    apart = BacktestedSetting("fixed", 120, 70, 20, 100_000)
    plot = build_tradeoff(_backtest(settings, settings[2], apart))
    assert plot is not None
    assert ["90 days unused", "180 days unused", "likelihood up to 5 %"] == [each.name for each in plot.points]
    assert ["", "", "recommended"] == [each.note for each in plot.points]
    left, top, right, bottom = plot.area
    drawn = [*plot.points, plot.recommended, plot.in_force]
    assert all(each is not None and left <= each.x <= right and top <= each.y <= bottom for each in drawn)
    assert ["90 d", "180 d"] == [each.label for each in plot.fixed]


def test_a_setting_may_be_both_in_force_and_recommended() -> None:
    """One setting without regrets has a point at the corner, and both notes."""
    only = BacktestedSetting("fixed", 90, 0, 0, 0)
    plot = build_tradeoff(_backtest([only], only, only))
    assert plot is not None
    assert (["in force, recommended"], plot.area[0], plot.area[3]) == (
        [each.note for each in plot.points], plot.points[0].x, plot.points[0].y,
    )  # fmt: skip
    assert build_tradeoff(_backtest([])) is None
    assert build_tradeoff(_backtest([only])) is not None
