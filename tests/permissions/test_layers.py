"""Layers of grants: the indexes credit the very grant that a plain walk over all grants credits."""

from __future__ import annotations

from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from examples import examples
from jwt_lp import GrammarError, Grant, Permissions
from jwt_lp.permissions import grammar
from jwt_lp.permissions.grants import Denial, is_pattern
from jwt_lp.permissions.layers import DirectTexts, GrantList, Layer

MANY = examples(300)
FEW = examples(100)

# Two letters and up to four segments, so that grants meet in every way: the same shape, other shapes, the same text.
segments = st.sampled_from(["a", "b"])
permissions = st.lists(segments, min_size=1, max_size=4).map(":".join)
patterns = st.builds(
    lambda head, last: ":".join([*head, *last]),
    st.lists(st.sampled_from(["a", "b", "*"]), min_size=1, max_size=4),
    st.sampled_from([[], [], ["**"]]),
) | st.just("**")
# Also texts that are neither: no pattern covers them, and they cover only themselves.
texts = st.one_of(permissions, patterns, st.sampled_from(["a::b", "a:**:b", "*a", "{a}", "a:", "é"]))
grants = st.builds(
    Grant, texts, st.sampled_from(["scope", "cperm"]), st.sampled_from([None, "clerk", "boss"]), st.booleans()
)
denials = st.builds(
    Denial,
    st.just("d"),
    patterns | permissions,
    st.lists(patterns | permissions, max_size=2),
    st.sampled_from([None, "clerk"]),
)
questions = st.one_of(permissions, texts)


# --- the reference: one walk, one segment at a time


def covers(grant: Grant, permission: str) -> bool:
    if not (grant.pattern and is_pattern(grant.text)):
        return grant.text == permission
    wanted, given_parts = permission.split(":"), grant.text.split(":")
    if any(part == "" or set(part) & set("*{}é") for part in wanted):
        return False
    if given_parts[-1] == "**":
        # One segment or more.
        given_parts = given_parts[:-1] + ["*"] * max(len(wanted) - len(given_parts) + 1, 1)
    return len(wanted) == len(given_parts) and all(
        mine in ("*", part) for mine, part in zip(given_parts, wanted, strict=True)
    )


def rank(grant: Grant) -> tuple[int, bool, str, str, str, bool]:
    """Exact, then `*`, then `**`; then direct before role; then by name."""
    kind = 0 if not (grant.pattern and is_pattern(grant.text)) else 2 if grant.text.endswith("**") else 1
    return kind, grant.role is not None, grant.text, grant.source, grant.role or "", grant.pattern


def credited(
    held: list[Grant], permission: str, ceilings: list[list[Grant]] | None = None, denied: list[Denial] | None = None
) -> Grant | None:
    if not all(any(covers(grant, permission) for grant in ceiling) for ceiling in ceilings or []):
        return None
    left = [
        grant
        for grant in held
        if covers(grant, permission) and not any(denial.denies(permission, grant) for denial in denied or [])
    ]
    return min(left, key=rank, default=None)


def layered(held: list[Grant], cuts: list[int]) -> Layer:
    """The grants as one layer of several sets."""
    places = sorted(cut % (len(held) + 1) for cut in cuts)
    parts = [held[start:end] for start, end in zip([0, *places], [*places, len(held)], strict=True)]
    return Layer(*map(GrantList, parts))


@MANY
@given(st.lists(grants, max_size=12), questions, st.lists(st.integers(0, 12), max_size=3))
def test_the_credited_grant(held: list[Grant], permission: str, cuts: list[int]) -> None:
    """However the grants are divided into sets, the credited grant is the one that a walk over all of them credits."""
    assert credited(held, permission) == Permissions.of(held).grant_for(permission)
    assert credited(held, permission) == layered(held, cuts).grant_for(permission)


@MANY
@given(st.lists(grants, max_size=12), questions, st.lists(st.integers(0, 12), max_size=3))
def test_every_covering_grant(held: list[Grant], permission: str, cuts: list[int]) -> None:
    """All covering grants are found, and in the order in which they would be credited."""
    covering = sorted((grant for grant in held if covers(grant, permission)), key=rank)
    assert covering == layered(held, cuts).find_covering(permission)


@MANY
@given(
    st.lists(grants, max_size=8),
    st.lists(st.lists(grants, max_size=5), max_size=2),
    st.lists(denials, max_size=3),
    questions,
)
def test_ceilings_veto_and_denials_win(
    held: list[Grant], ceilings: list[list[Grant]], denied: list[Denial], permission: str
) -> None:
    """A ceiling that does not cover a permission vetoes it, and a denied grant leaves it to the next one."""
    both = Permissions.of(held)
    for ceiling in ceilings:
        both &= Permissions.of(ceiling)
    assert credited(held, permission, ceilings) == both.grant_for(permission)
    remaining = both.with_denials(denied)
    expected = credited(held, permission, ceilings, denied)
    assert expected == remaining.grant_for(permission)
    revoked = expected is None and credited(held, permission, ceilings) is not None
    assert revoked is (remaining.denial_for(permission) is not None)


@MANY
@given(
    st.lists(st.tuples(texts, st.sampled_from(["scope", "cperm"])), max_size=10, unique=True), st.booleans(), questions
)
def test_texts_are_grants(pairs: list[tuple[str, str]], wild: bool, question: str) -> None:
    """Permissions made of texts equal those made of grants, and answer every question alike."""
    made = Permissions.of_texts(pairs, patterns=wild)
    grants_made = Permissions.of(Grant(text, source, pattern=wild) for text, source in pairs)
    assert grants_made.grant_for(question) == made.grant_for(question)
    assert grants_made.grants_containing(question) == made.grants_containing(question)
    assert sorted(grants_made, key=rank) == sorted(made, key=rank)
    assert (made, hash(made)) == (grants_made, hash(grants_made))
    # The same again, when grants exist already.
    assert grants_made.grant_for(question) == made.grant_for(question)
    assert sorted(grants_made, key=rank) == sorted(made, key=rank)
    assert () == made.roles


@MANY
@given(st.lists(grants, max_size=8), st.lists(grants, max_size=8), questions)
def test_a_union_is_one_layer(one: list[Grant], other: list[Grant], question: str) -> None:
    """Joined permissions are those of all grants together, for each question that can be asked."""
    joined, whole = Permissions.of(one) | Permissions.of(other), Permissions.of([*one, *other])
    assert whole.grant_for(question) == joined.grant_for(question)
    assert whole.grants_containing(question) == joined.grants_containing(question)
    assert (set(whole.roles), sorted(whole, key=rank)) == (set(joined.roles), sorted(joined, key=rank))
    assert whole == joined
    assert (whole == Permissions.of(one)) is (set(one) == {*one, *other})


def test_only_plain_grants_are_joined() -> None:
    """Permissions with a ceiling or a denial are not joined: it is unclear what these would apply to."""
    plain = Permissions.of(["a"])
    for other in (Permissions(), plain & plain, plain.with_denials([Denial("d", "a")])):
        for join in (lambda one, two: one | two, lambda one, two: two | one):
            with pytest.raises(GrammarError, match="can be joined"):
                join(plain, other)


@FEW
@given(st.lists(grants, max_size=10), questions)
def test_containing_grants(held: list[Grant], text: str) -> None:
    """A containing grant covers every permission that the text covers; of `EVERY` permission none is missed."""
    found = Permissions.of(held).grants_containing(text)
    wanted = Grant(text, "", None, pattern=True)
    for grant in held:
        covered = [each for each in EVERY if covers(wanted, each)]
        if grant in found:
            assert all(covers(grant, each) for each in covered)


# "z" stands for all segments that no pattern names.
EVERY = [":".join(each) for size in range(1, 6) for each in product("abz", repeat=size)]


def test_a_pattern_index_is_built_once_and_only_if_it_is_needed() -> None:
    """An exact grant needs no pattern, and the shapes of one size are listed once."""
    layer = Layer(DirectTexts({"a": "scope", "b:*": "scope", "c:**": "scope"}, patterns=True))
    assert "a" == str(layer.grant_for("a"))
    (index,) = layer._indexes
    assert None is index._patterns
    assert ["b:*", "c:**", "c:**", "None"] == [str(layer.grant_for(each)) for each in ("b:x", "c:x", "c:x:y", "d:x")]
    assert {2, 3} == set(index._by_size)


@pytest.mark.once
def test_a_hundred_thousand_patterns_take_one_look_up() -> None:
    """The number of compared patterns does not depend on how many there are of the same shape."""
    layer = Layer(GrantList(Grant(f"r{number}:*", "role r", "r", pattern=True) for number in range(100_000)))
    assert "r99999:*" == str(layer.grant_for("r99999:x"))
    (index,) = layer._indexes
    assert 1 == len(index._shapes_for(2))
    assert None is layer.grant_for("r99999:x:y")


def test_no_text_beyond_a_permission_is_kept() -> None:
    """A client chooses the values of a template, so what is kept of them is bounded in number and in length."""
    held = Permissions.of(["orders:*:read"], patterns=True)
    grammar._split.cache_clear()
    assert held.grant_for(f"orders:{'7' * 100_000}:read") is None
    assert 0 == grammar._split.cache_info().currsize
    assert held.grant_for("orders:7:read") is not None
    assert 1 == grammar._split.cache_info().currsize
