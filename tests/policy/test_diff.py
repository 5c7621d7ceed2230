"""Differences between two policies."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from examples import examples
from jwt_lp.issuing import limits
from jwt_lp.permissions.grants import Permissions
from jwt_lp.policy.diff import DEFAULT_LIFETIME, DEFAULT_SIZE, PolicyChange, PolicyDiff, diff_policies
from jwt_lp.policy.entries import Role
from jwt_lp.policy.file import EMPTY_POLICY, Policy

if TYPE_CHECKING:
    from collections.abc import Sequence

CALM = examples(200)


def read(**parts: Any) -> Policy:
    return Policy.from_mapping({"version": 1, **parts})


def entries(*names: str, **more: Any) -> dict[str, Any]:
    return {"permissions": {name: {} for name in names}, **more}


def texts(changes: Sequence[PolicyChange]) -> list[str]:
    return [change.text for change in changes]


def allowed(old: dict[str, Any], new: dict[str, Any]) -> list[str]:
    difference = diff_policies(read(**old), read(**new))
    assert () == difference.broken
    return texts(difference.allowed)


def broken(old: Sequence[str], new: Sequence[str]) -> list[str]:
    return texts(diff_policies(read(**entries(*old)), read(**entries(*new))).broken)


# The catalogue is only added to at its end


AGAIN = "restore it in its place, with `retired = true`"


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        pytest.param("abc", "abc", [], id="the same"),
        pytest.param("abc", "abcde", [], id="added at the end"),
        pytest.param("", "ab", [], id="the first entries"),
        pytest.param("abc", "ab", [f"'c' was removed: {AGAIN}"], id="the last one removed"),
        pytest.param("abc", "bc", [f"'a' was removed: {AGAIN}"], id="the first one removed"),
        pytest.param("abc", "adc", [f"'b' was removed, and 'd' has its position: {AGAIN}, and add 'd' at the end"], id="renamed"),
        pytest.param("ab", "acd", [f"'b' was removed, and 'c' has its position: {AGAIN}, and add 'c' at the end"], id="the last one renamed"),
        pytest.param("abc", "dabc", ["'d' is new and precedes older entries: move it to the end"], id="inserted"),
        pytest.param("abc", "adebc", [f"'{each}' is new and precedes older entries: move it to the end" for each in "de"], id="several inserted"),
        pytest.param("abcd", "bcda", ["'a' was moved: put it back to the beginning"], id="the first one moved"),
        pytest.param("abcd", "acdb", ["'b' was moved: put it back after 'a'"], id="moved"),
        pytest.param("abcde", "abxdyec", ["'c' was moved: put it back after 'b'", "'x' is new and precedes older entries: move it to the end", "'y' is new and precedes older entries: move it to the end"], id="moved and inserted"),
        pytest.param("ab", "xy", [f"'a' was removed, and 'x' has its position: {AGAIN}, and add 'x' at the end", f"'b' was removed, and 'y' has its position: {AGAIN}, and add 'y' at the end"], id="another catalogue"),
        pytest.param("ab", "", ["the catalogue was removed, so live tokens with compact permissions cannot be read: restore it"], id="none any more"),
    ],
)  # fmt: skip
def test_catalogue_changes_other_than_at_its_end(old: str, new: str, expected: list[str]) -> None:
    """Each entry that does not keep its position is named, with the remedy."""
    assert expected == broken(old, new)


def test_a_broken_entry_has_its_place() -> None:
    """A change of the catalogue is reported at its entry."""
    (change,) = diff_policies(read(**entries("a", "b")), read(**entries("a"))).broken
    assert ("permissions", "b") == change.place


@CALM
@given(st.lists(st.sampled_from("abcdefg"), unique=True), st.lists(st.sampled_from("abcdefgh"), unique=True))
def test_a_catalogue_is_broken_unless_it_begins_with_the_old_one(old: list[str], new: list[str]) -> None:
    """A change is reported exactly if positions would change, and no entry is reported twice."""
    changes = broken(old, new)
    assert (new[: len(old)] != old) is bool(changes)
    assert max(Counter(changes).values(), default=1) == 1


@CALM
@given(st.lists(st.sampled_from("abcdefg"), unique=True, min_size=2), st.data())
def test_only_the_moved_entry_is_named(old: list[str], data: st.DataObject) -> None:
    """Entries that a moved entry passes are not reported."""
    at, to = (data.draw(st.integers(0, len(old) - 1)) for _ in range(2))
    new = [name for name in old if name != old[at]]
    new.insert(to, old[at])
    changes = broken(old, new)
    assert (abs(at - to) > 0) == len(changes)


# What is newly allowed


HELD = "none of its grants covered that before"


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        pytest.param({}, {"clerk": {"grants": ["a"]}}, ["role clerk grants a: the role is new"], id="a new role"),
        pytest.param({}, {"clerk": {}}, [], id="a new role without grants"),
        pytest.param({"clerk": {}}, {"clerk": {"grants": ["a", "b:*"]}}, [f"role clerk grants a: {HELD}", f"role clerk grants b:*: {HELD}"], id="new grants"),
        pytest.param({"clerk": {"grants": ["b:*"]}}, {"clerk": {"grants": ["b:c"]}}, [], id="a narrower grant"),
        pytest.param({"clerk": {"grants": ["b:*"]}}, {"clerk": {"grants": ["b:**"]}}, [f"role clerk grants b:**: {HELD}"], id="a wider pattern"),
        pytest.param({"clerk": {"grants": ["b:c"]}}, {"clerk": {"grants": ["b:*"]}}, [f"role clerk grants b:*: {HELD}"], id="a pattern in place of one"),
        pytest.param(
            {"clerk": {}, "boss": {"grants": ["a"]}}, {"clerk": {"includes": ["boss"]}, "boss": {"grants": ["a"]}},
            [f"role clerk grants a through role boss: {HELD}"], id="an include",
        ),
        pytest.param(
            {"clerk": {"includes": ["boss"]}, "boss": {}}, {"clerk": {"includes": ["boss"]}, "boss": {"grants": ["a"]}},
            [f"role clerk grants a through role boss: {HELD}", f"role boss grants a: {HELD}"], id="a grant of what is included",
        ),
        pytest.param(
            {"clerk": {"includes": ["boss"]}, "boss": {"grants": ["a"]}}, {"clerk": {"grants": ["a"]}, "boss": {"grants": ["a"]}},
            [], id="an include written out",
        ),
        pytest.param({"clerk": {"grants": ["a"]}}, {}, [], id="a role removed"),
        pytest.param({"clerk": {}}, {"clerk": {"from": ["realm:x"]}}, ["'realm:x' confers role clerk: the entry is new"], id="a source"),
        pytest.param({"clerk": {"from": ["Auth0/role:x"]}}, {"clerk": {"from": ["auth0/role:x"]}}, [], id="the same source, written otherwise"),
        pytest.param({"clerk": {"from": ["role:x"]}}, {"clerk": {"from": ["auth0/role:x"]}}, ["'auth0/role:x' confers role clerk: the entry is new"], id="the source of one issuer"),
        pytest.param(
            {}, {"web": {"from": ["a/ceiling:scope:x"]}},
            ["'a/ceiling:scope:x' raises the ceiling to what role web grants: the entry is new"], id="a ceiling",
        ),
    ],
)  # fmt: skip
def test_new_grants_and_sources_of_roles(old: dict[str, Any], new: dict[str, Any], expected: list[str]) -> None:
    """A grant that no older grant of the role covers, and a new entry of `from`, are newly allowed."""
    assert expected == allowed({"roles": old}, {"roles": new})


ROLES = {"roles": {"clerk": {"grants": ["a", "b:*"]}, "boss": {"grants": ["a", "c"]}}}
NEW = "the client is new"
MORE = "none of its grants covered that before"


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        pytest.param({}, {"web": {}}, [], id="a client without anything"),
        pytest.param({}, {"web": {"grants": ["a"]}}, [f"client web holds a: {NEW}"], id="a new client"),
        pytest.param({}, {"web": {"roles": ["clerk"]}}, [f"client web holds a, b:* by role clerk: {NEW}"], id="a new client with a role"),
        pytest.param({"web": {"grants": ["a"]}}, {"web": {"grants": ["a", "d"]}}, [f"client web holds d: {MORE}"], id="a grant"),
        pytest.param({"web": {"roles": ["clerk"]}}, {"web": {"grants": ["b:c"]}}, [], id="what its role had"),
        pytest.param({"web": {"roles": ["clerk"]}}, {"web": {"roles": ["boss"]}}, [f"client web holds c by role boss: {MORE}"], id="another role"),
        pytest.param({"web": {"grants": ["a", "c"]}}, {"web": {"roles": ["boss"]}}, [], id="a role that brings nothing"),
        pytest.param({"web": {"grants": ["a"]}}, {}, [], id="a client removed"),
    ],
)  # fmt: skip
def test_new_grants_and_roles_of_clients(old: dict[str, Any], new: dict[str, Any], expected: list[str]) -> None:
    """A grant or role of a client is newly allowed if its older grants do not cover it."""
    assert expected == allowed({"clients": old, **ROLES}, {"clients": new, **ROLES})


def test_a_role_that_a_client_had_is_named_once() -> None:
    """New grants of a role that a client has are reported only with the role."""
    clients = {"clients": {"web": {"roles": ["clerk"]}}}
    changes = allowed({**clients, "roles": {"clerk": {}}}, {**clients, "roles": {"clerk": {"grants": ["a"]}}})
    assert [f"role clerk grants a: {HELD}"] == changes


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        pytest.param({"a": {}}, {"a": {}, "b": {}}, ["tokens for b: the audience is new"], id="a new audience"),
        pytest.param({}, {"b": {"wildcards": True}}, [], id="the first audience, which bounds tokens"),
        pytest.param({"a": {}}, {}, ["tokens for any audience: the policy named audiences before, and names none now"], id="no audience any more"),
        pytest.param({"a": {"claims": ["x"]}, "b": {}}, {"b": {}}, [], id="an audience removed"),
        pytest.param({"a": {}, "b": {}}, {"a": {"may_call": ["b"]}, "b": {}}, ["a token for a may be narrowed to one for b: the entry is new"], id="a call"),
        pytest.param({"a": {"may_call": ["a"]}, "b": {}}, {"a": {"may_call": ["a", "b"]}, "b": {}}, ["a token for a may be narrowed to one for b: the entry is new"], id="one more call"),
        pytest.param({"a": {"claims": ["x"]}}, {"a": {"claims": ["x", "email"]}}, ["tokens for a may hold the claim 'email': the entry is new"], id="a claim"),
        pytest.param({}, {"a": {"claims": ["email"]}}, ["tokens for a may hold the claim 'email': the entry is new"], id="a claim of the first audience"),
        pytest.param({"a": {}}, {"a": {"wildcards": True}}, ["tokens for a may hold wildcards: they might not before"], id="wildcards"),
        pytest.param({"a": {"wildcards": True}}, {"a": {}}, [], id="no wildcards"),
        pytest.param({"a": {"max_lifetime": "5m"}}, {"a": {"max_lifetime": "6m"}}, ["tokens for a may live 360 seconds: it was 300"], id="a longer life"),
        pytest.param({"a": {"max_lifetime": "5m"}}, {"a": {}}, ["tokens for a may live 3600 seconds: it was 300"], id="no limit of its own"),
        pytest.param({"a": {}}, {"a": {"max_lifetime": "2h"}}, ["tokens for a may live 7200 seconds: it was 3600"], id="longer than usual"),
        pytest.param({"a": {"max_lifetime": "5m"}}, {"a": {"max_lifetime": "4m"}}, [], id="a shorter life"),
        pytest.param({"a": {"max_size": 100}}, {"a": {}}, ["tokens for a may have 4096 characters: it was 100"], id="no size of its own"),
        pytest.param({"a": {}}, {"a": {"max_size": 100}}, [], id="a smaller size"),
        pytest.param({}, {"a": {"max_size": 5000}}, ["tokens for a may have 5000 characters: it was 4096"], id="a larger size of the first audience"),
    ],
)  # fmt: skip
def test_wider_audiences(old: dict[str, Any], new: dict[str, Any], expected: list[str]) -> None:
    """Each wider limit of an audience is newly allowed."""
    assert expected == allowed({"audiences": old}, {"audiences": new})


def test_the_usual_limits_are_those_of_issuing() -> None:
    """An audience without a limit is compared by the issuer's default."""
    assert (limits.MAX_LIFETIME, limits.MAX_SIZE) == (DEFAULT_LIFETIME, DEFAULT_SIZE)


CLERK = {"roles": {"clerk": {"grants": ["a:*"]}}, "clients": {"web": {"grants": ["**"]}}}
RISKIER = "and at a lower risk requests are refused later when the revocations are stale"


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        pytest.param({"a:b": {}}, {"a:b": {}, "a:c": {}}, ["'a:c', which a:* of role clerk, ** of client web covers: it is new in the catalogue"], id="covered by patterns"),
        pytest.param({"a:b": {}}, {"a:b": {}, "a:{id}": {}}, ["'a:{id}', which a:* of role clerk, ** of client web covers: it is new in the catalogue"], id="a template"),
        pytest.param({"a:b": {}}, {"a:b": {}, "a:c": {"retired": True}}, [], id="retired from the start"),
        pytest.param({"a:b": {}}, {"a:b": {}, "a:c": {"retired": False, "risk": "low"}, "b": {}}, [
            "'a:c', which a:* of role clerk, ** of client web covers: it is new in the catalogue",
            "'b', which ** of client web covers: it is new in the catalogue",
        ], id="each"),
        pytest.param({}, {"a:b": {}}, [], id="the first catalogue, which bounds grants"),
        pytest.param({"a:b": {}, "x": {"retired": True}}, {"a:b": {}, "x": {}}, ["'x' may be granted and issued: it was retired"], id="alive again"),
        pytest.param({"a:b": {}, "x": {}}, {"a:b": {}, "x": {"retired": True}}, [], id="retired"),
        pytest.param({"a:b": {"risk": "high"}}, {"a:b": {}}, [f"'a:b' is of medium risk: it was of high risk, {RISKIER}"], id="a lower risk"),
        pytest.param({"a:b": {}, "x": {}}, {"a:b": {}, "x": {"retired": True, "risk": "low"}}, [f"'x' is of low risk: it was of medium risk, {RISKIER}"], id="a lower risk of what live tokens hold"),
        pytest.param({"a:b": {"risk": "low"}}, {"a:b": {"risk": "high"}}, [], id="a higher risk"),
    ],
)  # fmt: skip
def test_wider_catalogues(old: dict[str, Any], new: dict[str, Any], expected: list[str]) -> None:
    """A new entry that an older pattern covers, a restored entry and a lower risk are newly allowed."""
    assert expected == allowed({"permissions": old, **CLERK}, {"permissions": new, **CLERK})


def test_a_new_entry_that_nothing_covers_allows_nothing() -> None:
    """A new entry at the end of the catalogue that no pattern covers is no difference."""
    assert PolicyDiff() == diff_policies(read(**entries("a")), read(**entries("a", "b")))


def test_a_new_pattern_is_named_once() -> None:
    """A new entry that only a new pattern covers is not reported separately."""
    new = entries("a", "b:c", roles={"clerk": {"grants": ["b:*"]}})
    assert ["role clerk grants b:*: the role is new"] == allowed(entries("a"), new)


def test_without_a_catalogue_everything_exists() -> None:
    """Removing the catalogue allows everything that it excluded."""
    difference = diff_policies(read(**entries("a"), **ROLES_OF_A), read(**ROLES_OF_A))
    expected = ["every permission exists: no catalogue limits what is granted and issued any more"]
    assert expected == texts(difference.allowed)
    assert 1 == len(difference.broken)


ROLES_OF_A: dict[str, Any] = {"roles": {"clerk": {"grants": ["a"]}}}


def test_a_malformed_source_confers_nothing() -> None:
    """A malformed source, which confers no role, is no difference."""
    assert PolicyDiff() == diff_policies(EMPTY_POLICY, Policy(roles={"clerk": Role("clerk", sources=("clerk",))}))


def test_removed_grants_are_listed() -> None:
    """What only the old policy allows is listed as narrowed."""
    old = {
        "permissions": {"a:b": {}, "x": {}},
        "roles": {"clerk": {"grants": ["a:*"], "from": ["realm:clerk"]}},
        "clients": {"web": {"grants": ["x"]}},
        "audiences": {"one": {"max_lifetime": "1d"}, "two": {}},
    }
    new = {
        "permissions": {"a:b": {"risk": "high"}, "x": {"retired": True}},
        "roles": {"clerk": {"grants": ["a:b"]}},
        "audiences": {"one": {}},
    }
    difference = diff_policies(read(**old), read(**new))
    assert ((), ()) == (difference.broken, difference.allowed)
    assert [
        f"no longer: {each}"
        for each in (
            "'a:b' is of medium risk",
            "'x' may be granted and issued",
            "role clerk grants a:*",
            "'realm:clerk' confers role clerk",
            "client web holds x",
            "tokens for one may live 86400 seconds",
            "tokens for two",
        )
    ] == texts(difference.narrowed)


@pytest.mark.parametrize(
    ("part", "place"),
    [
        pytest.param({"roles": {"clerk": {"grants": ["a"]}}}, ("roles", "clerk", "grants"), id="a grant"),
        pytest.param({"roles": {"clerk": {"from": ["realm:x"]}}}, ("roles", "clerk", "from"), id="a source"),
        pytest.param({"clients": {"web": {"grants": ["a"]}}}, ("clients", "web", "grants"), id="a client"),
        pytest.param({"audiences": {"api": {"claims": ["x"]}}}, ("audiences", "api", "claims"), id="an audience"),
    ],
)
def test_a_change_has_its_place(part: dict[str, Any], place: tuple[str, ...]) -> None:
    """Each change has the path of its keys."""
    assert [place] == [change.place for change in diff_policies(EMPTY_POLICY, read(**part)).allowed]


# What holds for any two policies


SEGMENTS = st.sampled_from(["a", "b", "c"])
PERMISSIONS = st.lists(SEGMENTS, min_size=1, max_size=3).map(":".join)
GRANTS = st.builds(
    lambda head, last: ":".join([*head, *last]),
    st.lists(SEGMENTS | st.just("*"), min_size=1, max_size=3),
    st.sampled_from([[], ["**"]]),
)
NAMES = st.sampled_from(["clerk", "boss"])
HOLDERS = st.dictionaries(
    NAMES,
    st.fixed_dictionaries({"grants": st.lists(GRANTS, unique=True, max_size=4)}),
)
INCLUDING = HOLDERS.map(
    lambda roles: (
        roles
        if "boss" not in roles or "clerk" not in roles
        else {**roles, "boss": {**roles["boss"], "includes": ["clerk"]}}
    )
)
CLIENTS = st.dictionaries(
    st.sampled_from(["web", "app"]),
    st.fixed_dictionaries(
        {"grants": st.lists(GRANTS, unique=True, max_size=3), "roles": st.lists(NAMES, unique=True, max_size=2)}
    ),
)
AUDIENCES = st.dictionaries(
    st.sampled_from(["one", "two"]),
    st.fixed_dictionaries(
        {},
        optional={
            "claims": st.lists(st.sampled_from(["x", "y"]), unique=True),
            "max_lifetime": st.integers(1, 9000),
            "max_size": st.integers(1, 9000),
            "wildcards": st.booleans(),
        },
    ),
)
POLICIES = st.builds(
    lambda roles, clients, audiences: read(
        roles=roles,
        clients={
            name: {**each, "roles": [role for role in each["roles"] if role in roles]} for name, each in clients.items()
        },
        audiences=audiences,
    ),
    INCLUDING,
    CLIENTS,
    AUDIENCES,
)


@CALM
@given(POLICIES)
def test_a_policy_has_no_difference_from_itself(policy: Policy) -> None:
    """A policy compared with itself has no differences."""
    assert PolicyDiff() == diff_policies(policy, policy)


@CALM
@given(POLICIES, POLICIES)
def test_differences_are_symmetric(one: Policy, other: Policy) -> None:
    """In the opposite direction, newly allowed and narrowed differences change places."""
    there, back = diff_policies(one, other), diff_policies(other, one)
    assert [f"no longer: {change.text.rpartition(': ')[0]}" for change in there.allowed] == texts(back.narrowed)
    assert len(there.narrowed) == len(back.allowed)


@CALM
@given(POLICIES, POLICIES, st.lists(PERMISSIONS, max_size=12))
def test_every_new_permission_is_listed(old: Policy, new: Policy, sample: list[str]) -> None:
    """A listed grant covers permission permission that a role or a client newly holds."""
    sentences = texts(diff_policies(old, new).allowed)
    for name in new.roles:
        more = _new_permissions(Permissions.of(old.grants([name])), Permissions.of(new.grants([name])), sample)
        assert [] == [permission for permission in more if not _listed(permission, sentences, f"role {name} grants ")]
    for name, client in new.clients.items():
        was = old.clients.get(name)
        before = Permissions.of([*was.grants, *old.grants(was.roles)] if was else [])
        more = _new_permissions(before, Permissions.of([*client.grants, *new.grants(client.roles)]), sample)
        starts = [f"client {name} holds ", *(f"role {role} grants " for role in client.roles)]
        assert [] == [
            permission for permission in more if not any(_listed(permission, sentences, start) for start in starts)
        ]


def _new_permissions(before: Permissions, after: Permissions, sample: Sequence[str]) -> list[str]:
    return [permission for permission in sample if permission in after and permission not in before]


def _listed(permission: str, sentences: Sequence[str], start: str) -> bool:
    """Whether a sentence with this beginning names a grant that covers the permission."""
    named = [
        grant
        for text in sentences
        if text.startswith(start)
        for grant in text.removeprefix(start)
        .rpartition(": ")[0]
        .split(" by role ")[0]
        .split(" through ")[0]
        .split(", ")
    ]
    return permission in Permissions.of(named, patterns=True)


@CALM
@given(POLICIES, NAMES, GRANTS)
def test_a_grant_that_is_added_and_removed_is_no_change(policy: Policy, name: str, grant: str) -> None:
    """An added grant is listed, and after its removal there is no difference."""
    plain: dict[str, Any] = {each: {"grants": [str(one) for one in role.grants]} for each, role in policy.roles.items()}
    before = read(roles=plain)
    held = plain.get(name, {"grants": []})["grants"]
    after = read(roles={**plain, name: {"grants": [*dict.fromkeys([*held, grant])]}})
    known = Permissions.of(before.grants([name])).find_containing(grant) is not None
    expected = [] if known else [f"role {name} grants {grant}"]
    assert expected == [each.text.partition(": ")[0] for each in diff_policies(before, after).allowed]
    assert PolicyDiff() == diff_policies(before, read(roles=plain))
    assert () == diff_policies(after, before).allowed
