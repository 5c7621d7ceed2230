"""What holds of every review, whatever happened before it."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from jwt_lp.permissions import Denial, Grant, Permissions
from jwt_lp.review._ways import Asked, covers, overlap, pattern_of, terms_of
from jwt_lp.review.bench import Bench
from jwt_lp.review.clients import Clients
from jwt_lp.review.evidence import Holder, Way
from jwt_lp.review.judging import Rule
from jwt_lp.review.roles import Roles
from jwt_lp.review.weighing import findings_of

NOW = 740_000
FLOOR, GRACE = 30, 14
PERMISSIONS = ("a:b", "a:c", "a:{id}:b", "d:b", "d")
GRANTS = (*PERMISSIONS[:2], "a:7:b", "a:*", "a:**", "*:b", "**", "d:b", "d", "a::b")
TERMS = st.lists(st.sampled_from(PERMISSIONS), unique=True)


@st.composite
def _ways(draw: st.DrawFn) -> Way:
    grant = draw(st.sampled_from(GRANTS))
    way = Way(draw(st.sampled_from(["", "", "clerk", "boss"])), grant)
    way.since = NOW - draw(st.integers(0, 500))
    way.granted = draw(st.sampled_from([0, NOW - 10, NOW - 200]))
    for permission in draw(
        st.lists(st.sampled_from([p for p in PERMISSIONS if covers(grant, p)] or [grant]), unique=True)
    ):
        last = NOW - draw(st.integers(0, 400))
        way.used[permission] = last
        way.last = max(way.last, last)
        way.first = min(way.first or last, last)
        way.uses += 1
    way.days = len(set(way.used.values()))
    return way


@st.composite
def _holders(draw: st.DrawFn) -> Holder:
    holder = Holder("iss", draw(st.sampled_from(["alice", "bob"])))
    for way in draw(st.lists(_ways(), max_size=5)):
        holder.ways[way.role, way.grant] = way
        holder.clients["web", way.grant] = way
    return holder


def _bench(terms: list[str], window: int) -> Bench:
    return Bench(
        now=NOW, rule=Rule("fixed", window), model=None, grace=GRACE, since=NOW - 1000, asked=Asked(terms),
        risk=lambda _: "medium", users={}, active=1,
    )  # fmt: skip


def _all(holder: Holder, bench: Bench):
    roles = Roles(bench, {})
    clients = Clients(bench)
    clients.add(holder)
    return [*findings_of(holder, bench), *roles.add(holder), *roles.findings(), *clients.findings()]


@given(_holders(), TERMS, st.sampled_from([30, 60, 180]))
def test_a_review_never_adds(holder: Holder, terms: list[str], window: int) -> None:
    """What would be left is covered by what is held; and nothing is ever proposed but to keep, remove or narrow."""
    for found in _all(holder, _bench(terms, window)):
        assert found.proposal in {"keep", "remove", "narrow"}
        if found.proposal == "narrow":
            assert found.instead
            held = Permissions.of([Grant(found.grant, "", pattern=True)])
            assert all(held.containing(each) for each in found.instead)
        if found.proposal == "remove" and found.kind != "member":
            assert () == found.instead


@given(_holders(), TERMS, st.sampled_from([30, 60, 180]))
def test_what_is_in_use_is_never_taken_back(holder: Holder, terms: list[str], window: int) -> None:
    """No deny entry that is proposed for a subject refuses what it used within the floor, through whatever grant."""
    lately = {
        (way.grant, permission)
        for way in holder.ways.values()
        for permission, last in way.used.items()
        if NOW - last < FLOOR
    }
    for found in findings_of(holder, _bench(terms, window)):
        if found.proposal == "keep":
            continue
        denial = Denial("x", found.grant, found.instead)
        for grant, permission in lately:
            asked = permission.replace("{id}", "77")
            assert not denial.takes(asked, Grant(grant, "", pattern=True)), (found, permission)


@given(_holders(), TERMS)
def test_what_was_granted_within_the_grace_stays(holder: Holder, terms: list[str]) -> None:
    """A new grant is not proposed, nor a role while a member holds it anew."""
    for found in _all(holder, _bench(terms, 60)):
        fresh = [
            way
            for way in holder.ways.values()
            if way.grant == found.grant and way.role == found.role and NOW - way.held < GRACE
        ]
        assert not fresh or found.of == "client" or found.proposal == "keep"


@given(_holders(), TERMS)
def test_what_nobody_asks_for_is_never_called_unused(holder: Holder, terms: list[str]) -> None:
    """A grant that no enforcement point asks for, and that was never used, is unobservable."""
    bench = _bench(terms, 60)
    for found in _all(holder, bench):
        if (
            found.kind != "member"
            and not found.uses
            and bench.asked
            and not any(overlap(found.grant, t) for t in terms)
        ):
            assert "unobservable" == found.verdict
            assert "keep" == found.proposal


@given(_holders(), TERMS)
def test_every_other_way_is_shown(holder: Holder, terms: list[str]) -> None:
    """Beside a finding stand all other grants of the subject that have a permission in common with it."""
    for found in findings_of(holder, _bench(terms, 60)):
        if found.verdict == "used" and found.proposal == "keep":
            continue
        others = [
            way
            for way in holder.ways.values()
            if (way.role, way.grant) != (found.role, found.grant) and overlap(way.grant, found.grant)
        ]
        assert len(others) == len(found.others)
        for way in others:
            assert any(way.grant in said and way.role in said for said in found.others)


SEGMENTS = st.lists(st.sampled_from(["a", "b", "*"]), min_size=1, max_size=4)
PATTERNS = st.builds(lambda parts, deep: ":".join([*parts, *(["**"] if deep else [])]), SEGMENTS, st.booleans())
LITERALS = st.lists(st.sampled_from("ab"), min_size=1, max_size=5).map(":".join)


@given(PATTERNS, PATTERNS, LITERALS)
def test_what_both_cover_is_where_they_overlap(one: str, other: str, literal: str) -> None:
    """Two patterns that cover one permission overlap, and in either order."""
    if covers(one, literal) and covers(other, literal):
        assert overlap(one, other)
    assert overlap(one, other) is overlap(other, one)


@given(PATTERNS, PATTERNS)
def test_patterns_that_overlap_have_a_permission_in_common(one: str, other: str) -> None:
    """An overlap is never claimed for nothing."""
    if not overlap(one, other):
        return
    mine, theirs = one.split(":"), other.split(":")
    size = max(len(mine), len(theirs))
    common = []
    for index in range(size):
        found = [parts[index] if index < len(parts) else "**" for parts in (mine, theirs)]
        common.append(next((each for each in found if "*" not in each), "a"))
    # A `**` is one segment or more.
    assert any(covers(one, text) and covers(other, text) for text in (":".join(common), ":".join([*common, "a"])))


def test_terms_of_a_requirement_as_it_is_written() -> None:
    """Permissions are found in what a requirement prints as; bindings and marks are none."""
    written = {
        "orders:read": ("orders:read",),
        "a:b & (c:d | e:{id}:f) & user_id=sub": ("a:b", "c:d", "e:{id}:f"),
        "a:b & tenant=auth0/org.id unbound tenant_id": ("a:b",),
        "authenticated": (),
        "public": (),
        "public, identified": (),
        "external: the gateway": (),
        "(a:b & c:d) | a:b": ("a:b", "c:d"),
    }
    assert written == {requirement: terms_of(requirement) for requirement in written}


def test_a_template_is_granted_as_a_pattern() -> None:
    """Whoever is to pass a template for every value needs a wildcard in its place."""
    assert ("orders:*:read", "orders:list") == (pattern_of("orders:{id}:read"), pattern_of("orders:list"))
    assert covers("orders:*:read", "orders:{id}:read")
    assert not covers("orders:42:read", "orders:{id}:read")
    assert not covers("a:*", "a::b")
