"""Properties of every review."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from jwt_lp.permissions.grants import Denial, Grant, Permissions
from jwt_lp.review.analysis.client_findings import ClientFindings
from jwt_lp.review.analysis.decision_rule import DecisionRule
from jwt_lp.review.analysis.evidence import GrantPath, Holder
from jwt_lp.review.analysis.role_findings import RoleFindings
from jwt_lp.review.analysis.subject_findings import KeptGrant, subject_findings
from jwt_lp.review.analysis.verdicts import ReviewContext
from jwt_lp.review.findings import Finding
from jwt_lp.review.pattern_overlap import EnforcedPermissions, covers, overlap, pattern_of, permissions_in

NOW = 740_000
FLOOR, GRACE = 30, 14
PERMISSIONS = ("a:b", "a:c", "a:{id}:b", "d:b", "d")
GRANTS = (*PERMISSIONS[:2], "a:7:b", "a:*", "a:**", "*:b", "**", "d:b", "d", "a::b")
TERMS = st.lists(st.sampled_from(PERMISSIONS), unique=True)


@st.composite
def _ways(draw: st.DrawFn) -> GrantPath:
    grant = draw(st.sampled_from(GRANTS))
    path = GrantPath(draw(st.sampled_from(["", "", "clerk", "boss"])), grant)
    path.since = NOW - draw(st.integers(0, 500))
    path.granted = draw(st.sampled_from([0, NOW - 10, NOW - 200]))
    for permission in draw(
        st.lists(st.sampled_from([p for p in PERMISSIONS if covers(grant, p)] or [grant]), unique=True)
    ):
        last = NOW - draw(st.integers(0, 400))
        path.used[permission] = last
        path.last = max(path.last, last)
        path.first = min(path.first or last, last)
        path.uses += 1
    path.days = len(set(path.used.values()))
    return path


@st.composite
def _holders(draw: st.DrawFn) -> Holder:
    holder = Holder("iss", draw(st.sampled_from(["alice", "bob"])))
    for path in draw(st.lists(_ways(), max_size=5)):
        holder.paths[path.role, path.grant] = path
        holder.clients["web", path.grant] = path
    return holder


def _context(terms: list[str], window: int) -> ReviewContext:
    return ReviewContext(
        now=NOW, rule=DecisionRule("fixed", window), model=None, grace=GRACE, since=NOW - 1000,
        requested=EnforcedPermissions(terms), users={}, active=1,
    )  # fmt: skip


def _all(holder: Holder, context: ReviewContext):
    roles = RoleFindings(context, {})
    clients = ClientFindings(context)
    clients.add(holder)
    return [*_of_subject(holder, context), *roles.add(context.judge(holder)), *roles.findings(), *clients.findings()]


def _of_subject(holder: Holder, context: ReviewContext) -> list[Finding]:
    found = subject_findings(context.judge(holder), context)
    return [each.finding(context) if isinstance(each, KeptGrant) else each for each in found]


@given(_holders(), TERMS, st.sampled_from([30, 60, 180]))
def test_a_review_never_adds(holder: Holder, terms: list[str], window: int) -> None:
    """A narrower proposal is covered by the held grant, and only keep, remove and narrow are proposed."""
    for found in _all(holder, _context(terms, window)):
        assert found.proposal in {"keep", "remove", "narrow"}
        if found.proposal == "narrow":
            assert found.instead
            held = Permissions.of([Grant(found.grant, "", pattern=True)])
            assert all(held.find_containing(grant) for grant in found.instead)
        if found.proposal == "remove" and found.kind != "member":
            assert () == found.instead


@given(_holders(), TERMS, st.sampled_from([30, 60, 180]))
def test_recently_used_permissions_are_never_revoked(holder: Holder, terms: list[str], window: int) -> None:
    """No proposed deny entry for a subject refuses a permission that it used within the floor, through any grant."""
    lately = {
        (path.grant, permission)
        for path in holder.paths.values()
        for permission, last in path.used.items()
        if NOW - last < FLOOR
    }
    for found in _of_subject(holder, _context(terms, window)):
        if found.proposal == "keep":
            continue
        denial = Denial("x", found.grant, found.instead)
        for grant, permission in lately:
            asked = permission.replace("{id}", "77")
            assert not denial.denies(asked, Grant(grant, "", pattern=True)), (found, permission)


@given(_holders(), TERMS)
def test_a_grant_within_the_grace_period_is_kept(holder: Holder, terms: list[str]) -> None:
    """A new grant is not proposed, nor a role's grant while a member holds it newly."""
    for found in _all(holder, _context(terms, 60)):
        fresh = [
            path
            for path in holder.paths.values()
            if path.grant == found.grant and path.role == found.role and NOW - path.held_since < GRACE
        ]
        assert not fresh or found.of == "client" or found.proposal == "keep"


@given(_holders(), TERMS)
def test_a_grant_that_nothing_requires_is_never_unused(holder: Holder, terms: list[str]) -> None:
    """A grant without use that no enforcement point requires is unobservable."""
    context = _context(terms, 60)
    for found in _all(holder, context):
        if (
            found.kind != "member"
            and not found.uses
            and context.requested
            and not any(overlap(found.grant, t) for t in terms)
        ):
            assert "unobservable" == found.verdict
            assert "keep" == found.proposal


@given(_holders(), TERMS)
def test_all_overlapping_grants_are_shown(holder: Holder, terms: list[str]) -> None:
    """A finding lists all other grants of the subject with a permission in common."""
    for found in _of_subject(holder, _context(terms, 60)):
        if found.verdict == "used" and found.proposal == "keep":
            continue
        others = [
            path
            for path in holder.paths.values()
            if (path.role, path.grant) != (found.role, found.grant) and overlap(path.grant, found.grant)
        ]
        assert len(others) == len(found.others)
        for path in others:
            assert any(path.grant in other and path.role in other for other in found.others)


SEGMENTS = st.lists(st.sampled_from(["a", "b", "*"]), min_size=1, max_size=4)
PATTERNS = st.builds(lambda parts, deep: ":".join([*parts, *(["**"] if deep else [])]), SEGMENTS, st.booleans())
LITERALS = st.lists(st.sampled_from("ab"), min_size=1, max_size=5).map(":".join)


@given(PATTERNS, PATTERNS, LITERALS)
def test_patterns_that_cover_one_permission_overlap(one: str, other: str, literal: str) -> None:
    """Two patterns that cover one permission overlap, in either order."""
    if covers(one, literal) and covers(other, literal):
        assert overlap(one, other)
    assert overlap(one, other) is overlap(other, one)


@given(PATTERNS, PATTERNS)
def test_patterns_that_overlap_have_a_permission_in_common(one: str, other: str) -> None:
    """Patterns that overlap have a permission that both cover."""
    if not overlap(one, other):
        return
    mine, theirs = one.split(":"), other.split(":")
    size = max(len(mine), len(theirs))
    common = []
    for index in range(size):
        found = [parts[index] if index < len(parts) else "**" for parts in (mine, theirs)]
        common.append(next((segment for segment in found if "*" not in segment), "a"))
    # A `**` is one segment or more.
    assert any(covers(one, text) and covers(other, text) for text in (":".join(common), ":".join([*common, "a"])))


def test_terms_of_a_requirement_as_it_is_written() -> None:
    """Permissions are found in the text of a requirement; bindings and markers are not."""
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
    assert written == {requirement: permissions_in(requirement) for requirement in written}


def test_a_template_is_granted_as_a_pattern() -> None:
    """A grant for all values of a template needs a wildcard."""
    assert ("orders:*:read", "orders:list") == (pattern_of("orders:{id}:read"), pattern_of("orders:list"))
    assert covers("orders:*:read", "orders:{id}:read")
    assert not covers("orders:42:read", "orders:{id}:read")
    assert not covers("a:*", "a::b")
