"""Tests of measuring in interleaved rounds."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.rounds import Distribution, Rounds, measure, turn_order


def test_another_side_begins_each_round() -> None:
    """Two sides alternate; of three, each begins in turn, and every other cycle runs backwards."""
    assert [("a", "b"), ("b", "a"), ("b", "a"), ("a", "b")] == [tuple(turn_order("ab", number)) for number in range(4)]
    orders = ["".join(turn_order("abc", number)) for number in range(6)]
    assert ["abc", "bca", "cab", "cba", "acb", "bac"] == orders


@given(st.integers(1, 6), st.integers(0, 50))
def test_every_side_works_once_in_each_round(sides: int, number: int) -> None:
    """The order is a permutation of the sides."""
    names = "abcdef"[:sides]
    assert list(names) == sorted(turn_order(names, number))


@given(st.integers(2, 5))
def test_no_side_is_always_behind_the_same_other_one(sides: int) -> None:
    """Over two cycles each side goes first as often as every other one, and after two others at least."""
    names = "abcde"[:sides]
    orders = [list(turn_order(names, number)) for number in range(2 * sides)]
    assert {2} == {sum(order[0] == side for order in orders) for side in names}
    if sides > 2:
        before = {side: {order[order.index(side) - 1] for order in orders if order[0] != side} for side in names}
        assert all(len(others) >= 2 for others in before.values())


def test_a_round_is_timed_by_the_clock_and_divided_by_its_operations() -> None:
    """Each side's cost is what its own work took; the rounds of the warm-up are not counted."""
    now, ran = 0, list[tuple[str, int]]()

    def side(name: str, nanoseconds: int, operations: int) -> Callable[[int], int]:
        def work(number: int) -> int:
            nonlocal now
            ran.append((name, number))
            now += nanoseconds * (100 if number == 0 else 1)
            return operations

        return work

    rounds = measure({"a": side("a", 4000, 2), "b": side("b", 9000, 1)}, 3, clock=lambda: now)
    assert {"a": pytest.approx((2e-6,) * 3), "b": pytest.approx((9e-6,) * 3)} == rounds.costs
    assert [("a", 0), ("b", 0), ("b", 1), ("a", 1), ("b", 2), ("a", 2), ("a", 3), ("b", 3)] == ran
    assert Distribution(4.5, 4.5, 4.5) == pytest.approx(rounds.times("a", "b"))


def test_ratios_are_taken_within_a_round() -> None:
    """A round in which the machine was slow for both sides has the ratio of the others."""
    rounds = Rounds({"ours": (1.0, 10.0, 1.0), "theirs": (3.0, 30.0, 3.0), "bare": (0.5, 5.0, 0.5)})
    assert Distribution(3, 3, 3) == rounds.times("ours", "theirs")
    assert Distribution.of([0.5, 5.0, 0.5]) == rounds.extra("ours", "bare")
    added = rounds.added({"ours": "bare", "theirs": "bare"})
    assert Distribution(0.2, 0.2, 0.2) == added.share("ours", "theirs")


def test_the_quiet_half_is_chosen_by_all_sides_alike() -> None:
    """A round is disturbed if any side took longer, whichever it is."""
    costs = {"ours": (1.0, 9.0, 1.1, 1.0, 1.2), "theirs": (50.0, 50.0, 90.0, 51.0, 52.0)}
    quiet = Rounds(costs).quiet_half()
    assert {"ours": (1.0, 1.0, 1.2), "theirs": (50.0, 51.0, 52.0)} == quiet.costs
    swapped = Rounds({"ours": costs["theirs"], "theirs": costs["ours"]}).quiet_half()
    assert quiet.costs["ours"] == swapped.costs["theirs"]


@given(st.lists(st.floats(-1e9, 1e9), min_size=1))
def test_the_median_is_between_the_quartiles(values: list[float]) -> None:
    """Also of one value, and of values that are equal."""
    found = Distribution.of(values)
    assert min(values) <= found.low <= found.median <= found.high <= max(values)
