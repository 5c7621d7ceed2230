"""Roles mined from assignments, on drawn assignments and on a published set."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jwt_lp.review.role_mining import MinedRole, mine_roles, suggest_split
from prerequisites import require

CUSTOMER = Path(__file__).parents[3] / "shared" / "data" / "assignments.csv"
ASSIGNMENTS = st.dictionaries(st.sampled_from("stuvwxyz"), st.sets(st.sampled_from("abcdef")))


def _given_by(roles):
    """What the roles give each member."""
    given_by: dict[str, set[str]] = {}
    for role in roles:
        for member in role.members:
            given_by.setdefault(member, set()).update(role.grants)
    return given_by


@given(ASSIGNMENTS)
def test_roles_give_exactly_what_is_held(held):
    """Nobody gets more or less than they hold, and no exact cover has fewer roles than the bound."""
    mined = mine_roles(held)
    assert {holder: set(grants) for holder, grants in held.items() if grants} == _given_by(mined.roles)
    assert (0, 1.0, sum(map(len, held.values()))) == (mined.deviation, mined.coverage, mined.assignments)
    distinct = {frozenset(grants) for grants in held.values() if grants}
    assert (
        mined.least
        <= len(mined.roles)
        <= min(len(distinct), len({each for grants in held.values() for each in grants}))
    )


@given(ASSIGNMENTS, st.integers(1, 5))
def test_roles_of_few_members_are_left_out(held, most):
    """What is left is still never more than is held; the rest is named, and counted as the deviation."""
    mined = mine_roles(held, min_members=most)
    given_by = _given_by(mined.roles)
    assert all(given_by[holder] <= set(held[holder]) for holder in given_by)
    rest = {(holder, grant) for holder, grants in held.items() for grant in grants} - {
        (holder, grant) for holder, grants in given_by.items() for grant in grants
    }
    assert (rest, len(rest)) == (set(mined.direct), mined.deviation)


@given(ASSIGNMENTS, st.randoms(use_true_random=False))
def test_the_order_of_the_assignments_does_not_matter(held, random):
    """The same assignments give the same roles with the same names."""
    holders = list(held)
    random.shuffle(holders)
    assert mine_roles(held) == mine_roles({holder: sorted(held[holder], reverse=True) for holder in holders})


@given(ASSIGNMENTS, ASSIGNMENTS)
def test_a_split_gives_what_was_used_and_never_more_than_the_role(held, used):
    """Each member keeps exactly what they used of the role."""
    for role in mine_roles(held).roles:
        split = suggest_split(role, used)
        within = {member: set(used.get(member, ())) & set(role.grants) for member in role.members}
        wanted = {member: grants for member, grants in within.items() if grants}
        if split is None:
            assert not wanted or wanted == {member: set(role.grants) for member in role.members}
        else:
            assert wanted == _given_by(split.parts)
            assert set(role.grants) - set().union(*wanted.values()) == set(split.unused)


def test_a_role_that_is_two_roles():
    """Two groups of members that use different halves are shown as two roles, and what nobody uses as unused."""
    role = MinedRole("clerk", ("a", "b", "c"), ("s", "t", "u"))
    split = suggest_split(role, {"s": ["a"], "t": ["a"], "u": ["b", "z"]})
    assert split is not None
    assert [(("a",), ("s", "t")), (("b",), ("u",))] == [(part.grants, part.members) for part in split.parts]
    assert (("c",), 9) == (split.unused, role.assignments)


def test_nothing_is_mined_from_nothing():
    """No assignments are covered whole by no role."""
    mined = mine_roles({"s": []})
    assert ((), 0, 1.0, 0) == (mined.roles, mined.assignments, mined.coverage, mined.least)


@pytest.mark.filterwarnings("error")
def test_a_published_set():
    """10,021 people with 45,427 assignments of 277 permissions are 276 roles without deviation; 267 are needed at least."""
    require(CUSTOMER.exists(), "the shared data is not here")
    held: dict[str, set[str]] = {}
    with CUSTOMER.open(encoding="utf-8") as opened:
        for user, permission in list(csv.reader(opened))[1:]:
            held.setdefault(user, set()).add(permission)
    mined = mine_roles(held)
    assert (45427, 276, 0, held) == (mined.assignments, len(mined.roles), mined.deviation, _given_by(mined.roles))
    assert 267 == mined.least
