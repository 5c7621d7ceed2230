"""The policy file: what is read, and what is refused."""

from __future__ import annotations

import os
import tomllib
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from examples import examples
from jwt_lp._support.toml_lines import line_of, locate_keys
from jwt_lp._support.validation import TableReader
from jwt_lp.errors import ConfigurationError
from jwt_lp.permissions.grants import Grant
from jwt_lp.policy.entries import Audience, CatalogueEntry, Client, Role
from jwt_lp.policy.file import EMPTY_POLICY, Policy

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

# The first example of a run may take longer than Hypothesis would have it.
CALM = examples(100)

FILE = """\
# The policy of the orders service.
version = 1

[permissions]
"orders:read" = { description = "See orders", risk = "low" }
"orders:{order_id}:read" = { description = "See one order" }
"orders:create" = {}
permissions = { risk = "high" }

[roles.viewer]
grants = ["orders:read"]
from = ["auth0/role:viewer"]

[roles.clerk]
description = "Takes orders"
grants = [
    "orders:*",     # read and create
    "orders:create",
]
includes = ["viewer"]
from = ["realm:orders-clerk", "client:orders-api:clerk", "group:/staff/clerks"]

[audiences."orders-api"]
may_call = ["billing-api"]
claims = ["email"]
max_lifetime = "5m"
max_size = 4096
wildcards = true

[audiences.billing-api]

[clients.web]
description = "The shop"
grants = ["orders:create"]
roles = ["viewer"]
"""


def read(**parts: object) -> Policy:
    return Policy.from_mapping({"version": 1, **parts})


def faults(**parts: object) -> tuple[str, ...]:
    return refused({"version": 1, **parts})


def refused(data: object) -> tuple[str, ...]:
    with pytest.raises(ConfigurationError) as caught:
        Policy.from_mapping(data)  # type: ignore[arg-type]
    return caught.value.faults


def loaded(path: Path, text: str | bytes) -> Policy:
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return Policy.load(path)


def file_faults(path: Path, text: str | bytes) -> tuple[str, ...]:
    with pytest.raises(ConfigurationError) as caught:
        loaded(path, text)
    return tuple(fault.removeprefix(f"{path}:") for fault in caught.value.faults)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "least-privilege.toml"


# What a policy says


def test_a_file_gives_its_catalogue_in_order(path: Path) -> None:
    """The catalogue keeps the order of the file, and the default risk is medium."""
    expected = [
        CatalogueEntry("orders:read", "See orders", "low"),
        CatalogueEntry("orders:{order_id}:read", "See one order", "medium"),
        CatalogueEntry("orders:create", "", "medium"),
        CatalogueEntry("permissions", "", "high"),
    ]
    assert expected == list(loaded(path, FILE).catalogue.values())


def test_a_retired_permission_stays_in_the_catalogue() -> None:
    """A retired permission keeps its position, and a pattern may still cover the others."""
    policy = read(
        permissions={"orders:lost": {"retired": True}, "orders:read": {"retired": False}},
        roles={"clerk": {"grants": ["orders:*", "orders:read"]}},
        clients={"web": {"grants": ["orders:read"]}},
    )
    assert [("orders:lost", True), ("orders:read", False)] == [
        (entry.name, entry.retired) for entry in policy.catalogue.values()
    ]


def test_a_role_holds_its_grants_and_included_ones(path: Path) -> None:
    """A role's grants are its own and the included ones, once each, and all credited to that role."""
    expected = Role(
        "clerk",
        "Takes orders",
        (
            Grant("orders:*", "role clerk", "clerk", pattern=True),
            Grant("orders:create", "role clerk", "clerk"),
            Grant("orders:read", "role clerk", "clerk"),
        ),
        ("viewer",),
        ("realm:orders-clerk", "client:orders-api:clerk", "group:/staff/clerks"),
    )
    assert expected == loaded(path, FILE).roles["clerk"]


def test_audiences_are_read(path: Path) -> None:
    """An audience's limits are read, a span as seconds; defaults are None, empty or False."""
    expected = {
        "orders-api": Audience("orders-api", ("billing-api",), ("email",), 300, 4096, wildcards=True),
        "billing-api": Audience("billing-api"),
    }
    assert expected == loaded(path, FILE).audiences


def test_clients_are_read(path: Path) -> None:
    """A client's own grants are separate from its roles."""
    expected = {"web": Client("web", "The shop", (Grant("orders:create", "client web"),), ("viewer",))}
    assert expected == loaded(path, FILE).clients


def test_a_policy_remembers_its_file(path: Path) -> None:
    """A policy from a file has the file's path, and one from a mapping has none."""
    policy = loaded(path, FILE)
    assert (str(path), None) == (policy.path, Policy.from_mapping(tomllib.loads(FILE)).path)


def test_a_path_may_be_a_string(path: Path) -> None:
    """The path is a string or a path object."""
    assert loaded(path, FILE) == Policy.load(os.fspath(path))


def test_the_smallest_policy_is_the_empty_one() -> None:
    """Empty tables are equal to absent ones."""
    assert read(permissions={}, roles={}) == EMPTY_POLICY


def test_without_a_catalogue_any_grant_is_accepted() -> None:
    """Without a catalogue, a role's grants are not compared with one."""
    policy = read(roles={"clerk": {"grants": ["anything", "at:**"]}})
    expected = (Grant("anything", "role clerk", "clerk"), Grant("at:**", "role clerk", "clerk", pattern=True))
    assert expected == policy.roles["clerk"].grants


@pytest.mark.parametrize("part", ["catalogue", "roles", "audiences", "clients"])
def test_a_policy_is_read_only(path: Path, part: str) -> None:
    """The mappings of a policy cannot be modified."""
    with pytest.raises(TypeError):
        getattr(loaded(path, FILE), part)["extra"] = None


def test_a_policy_copies_its_input() -> None:
    """Changes to a mapping do not affect a policy that was made from it."""
    roles = {"clerk": Role("clerk")}
    policy = Policy(roles=roles)
    roles["admin"] = Role("admin")
    assert ["clerk"] == list(policy.roles)


def test_the_repr_of_a_policy_is_short(path: Path) -> None:
    """The repr has counts and the beginning of the digest."""
    policy = loaded(path, FILE)
    assert f"<Policy: 4 permissions, 2 roles, digest {policy.digest[:12]}>" == repr(policy)


def test_the_grants_of_several_roles(path: Path) -> None:
    """The grants of several roles add up, a role named twice counts once, and an unknown one grants nothing."""
    grants = loaded(path, FILE).grants(["viewer", "admin", "clerk", "viewer"])
    expected = [
        ("orders:read", "viewer"),
        ("orders:*", "clerk"),
        ("orders:create", "clerk"),
        ("orders:read", "clerk"),
    ]
    assert expected == [(grant.text, grant.role) for grant in grants]


# Outside roles


@pytest.mark.parametrize(
    ("outside", "issuer", "several", "expected"),
    [
        pytest.param(["realm:orders-clerk"], "kc", False, (("clerk",), 0), id="one issuer, plain entry"),
        pytest.param(["role:viewer"], "auth0", False, (("viewer",), 0), id="one issuer, entry with its name"),
        pytest.param(["role:viewer"], "kc", False, ((), 1), id="one issuer, entry with another name"),
        pytest.param(["realm:orders-clerk"], "kc", True, ((), 1), id="several issuers, plain entry"),
        pytest.param(["role:viewer"], "auth0", True, (("viewer",), 0), id="several issuers, entry with its name"),
        pytest.param(["role:viewer"], "kc", True, ((), 1), id="several issuers, entry with another name"),
        pytest.param(["role:viewer"], "AUTH0", True, (("viewer",), 0), id="the name in another case"),
        pytest.param(["auth0/role:viewer"], "kc", False, ((), 1), id="an entry's text is not an outside name"),
        pytest.param(["clerk", "viewer"], "kc", False, ((), 2), id="our own names confer nothing"),
        pytest.param(["group:/staff/clerks"], "kc", False, (("clerk",), 0), id="a name with slashes"),
        pytest.param(["Realm:orders-clerk"], "kc", False, ((), 1), id="case matters"),
        pytest.param(
            ["realm:orders-clerk", "client:orders-api:clerk", "x:y", "x:y"],
            "kc",
            False,
            (("clerk",), 1),
            id="each role and each name once",
        ),
        pytest.param([], "kc", False, ((), 0), id="nothing"),
    ],
)
def test_an_external_role_confers_the_roles_that_list_it(
    path: Path, outside: list[str], issuer: str, *, several: bool, expected: tuple[tuple[str, ...], int]
) -> None:
    """An external role confers the roles that list it, by issuer if there are several; unlisted ones are counted."""
    assert expected == loaded(path, FILE).resolve_external_roles(outside, issuer, several=several)


def test_an_external_role_may_confer_several_roles() -> None:
    """Two roles may list the same external role, with or without the issuer."""
    policy = read(roles={"a": {"from": ["realm:x"]}, "b": {"from": ["kc/realm:x"]}, "c": {"from": ["realm:x"]}})
    assert (("b", "a", "c"), 0) == policy.resolve_external_roles(["realm:x"], "kc", several=False)


def test_an_empty_issuer_name_matches_no_plain_entry() -> None:
    """With several issuers, an empty issuer name does not match an entry without an issuer."""
    assert ((), 1) == read(roles={"a": {"from": ["realm:x"]}}).resolve_external_roles(["realm:x"], "", several=True)


def test_a_malformed_source_confers_nothing() -> None:
    """A role that was constructed with a malformed source is conferred by no external role."""
    assert ((), 1) == Policy(roles={"a": Role("a", sources=("clerk",))}).resolve_external_roles(
        ["clerk"], "kc", several=False
    )


# Risk


@pytest.mark.parametrize(
    ("permission", "expected"),
    [
        pytest.param("orders:read", "low", id="exact"),
        pytest.param("orders:ship", "medium", id="not in the catalogue"),
        pytest.param("orders:42:read", "medium", id="a template alone"),
        pytest.param("orders:all:read", "high", id="exact and a template, the higher"),
        pytest.param("orders:{pk}:read", "high", id="a template that may be an entry of high risk"),
        pytest.param("orders:{pk}:ship", "low", id="a template with other names"),
        pytest.param("orders:42:ship", "low", id="low is below medium"),
        pytest.param("acme:close", "high", id="a template whose first segment is a placeholder"),
        pytest.param("orders:*", "high", id="a pattern, the highest of what it covers"),
        pytest.param("a::b", "medium", id="no permission at all"),
        pytest.param("", "medium", id="empty"),
    ],
)
def test_the_highest_matching_risk_counts(permission: str, expected: str) -> None:
    """A permission has the highest risk among matching entries, and medium if none matches."""
    policy = read(
        permissions={
            "orders:read": {"risk": "low"},
            "orders:{order_id}:read": {},
            "orders:all:read": {"risk": "high"},
            "orders:{order_id!e}:ship": {"risk": "low"},
            "{tenant}:close": {"risk": "high"},
        }
    )
    assert expected == policy.risk(permission)


# The digest


def test_policies_are_equal_if_their_digests_are() -> None:
    """Equal policies count as one in a set, and no policy equals anything else."""
    one, other = Policy.from_mapping(tomllib.loads(FILE)), Policy.from_mapping(tomllib.loads(FILE))
    assert {one} == {one, other}
    assert one != EMPTY_POLICY
    assert one != one.digest


def test_the_digest_is_stable() -> None:
    """The digest is SHA-256 in hexadecimal, and the same in every release."""
    assert ("01498d452d78", "679c0a4b66bf") == (
        EMPTY_POLICY.digest[:12],
        Policy.from_mapping(tomllib.loads(FILE)).digest[:12],
    )


@pytest.mark.parametrize(
    ("old", "new", "same"),
    [
        pytest.param("# The policy of", "\n\n# A policy of", True, id="comments and layout"),
        pytest.param('"5m"', "300", True, id="one span, written otherwise"),
        pytest.param('"orders:create" = {}', '"orders:create" = { risk = "medium" }', True, id="a default"),
        pytest.param('"orders:create" = {}', '"orders:create" = { retired = false }', True, id="not retired, and says so"),
        pytest.param("permissions = {", "permissions = { retired = true,", False, id="retired"),
        pytest.param('["realm:orders-clerk", "client:orders-api:clerk", ', '["client:orders-api:clerk", "realm:orders-clerk", ', True, id="the order of a list"),
        pytest.param('risk = "low"', 'risk = "high"', False, id="a risk"),
        pytest.param('"orders:create",', "", False, id="a grant"),
        pytest.param('includes = ["viewer"]', "", False, id="an include"),
        pytest.param('"group:/staff/clerks"', '"group:/staff"', False, id="an outside role"),
        pytest.param("4096", "4097", False, id="an audience"),
        pytest.param("[clients.web]", "[clients.app]", False, id="a client"),
    ],
)  # fmt: skip
def test_the_digest_depends_on_the_content(path: Path, old: str, new: str, *, same: bool) -> None:
    """Files with the same meaning have the same digest, and others have different ones."""
    assert same is (loaded(path, FILE) == loaded(path, FILE.replace(old, new)))


ROLES = st.dictionaries(
    st.sampled_from("abcdef"), st.frozensets(st.sampled_from(["x", "y", "z:*", "z:**"])), min_size=2
)


@CALM
@given(ROLES, st.randoms())
def test_the_digest_ignores_the_order_of_roles(roles: dict[str, frozenset[str]], random: Any) -> None:
    """Roles and their grants may be written in any order."""
    mixed = list(roles)
    random.shuffle(mixed)
    one = {name: {"grants": sorted(grants)} for name, grants in roles.items()}
    other = {name: {"grants": sorted(roles[name], reverse=True)} for name in mixed}
    assert read(roles=one).digest == read(roles=other).digest


@CALM
@given(st.permutations(["a", "b", "c:{id}", "d:e"]))
def test_the_digest_depends_on_the_order_of_the_catalogue(names: list[str]) -> None:
    """Policies whose catalogues differ in order are different."""
    first = ["a", "b", "c:{id}", "d:e"]
    one, other = (read(permissions={name: {} for name in order}) for order in (first, names))
    assert (first == names) is (one.digest == other.digest)


# Includes


@CALM
@given(st.dictionaries(st.integers(0, 7), st.frozensets(st.integers(0, 7)), min_size=1))
def test_flattening_is_the_transitive_closure(graph: dict[int, frozenset[int]]) -> None:
    """A role holds the grants of all roles that it includes, directly or indirectly, and no others."""
    # Only smaller ones are included, so there is no cycle.
    below = {n: {m for m in graph.get(n, ()) if m < n} for n in range(8)}
    reached: dict[int, set[int]] = {}
    for n in range(8):
        reached[n] = {n}.union(*(reached[m] for m in below[n]))
    policy = read(
        roles={f"r{n}": {"grants": [f"g{n}"], "includes": [f"r{m}" for m in below[n]]} for n in reversed(range(8))}
    )
    expected = {f"r{n}": {(f"g{m}", f"r{n}") for m in reached[n]} for n in range(8)}
    assert expected == {
        name: {(grant.text, grant.role) for grant in role.grants} for name, role in policy.roles.items()
    }


def test_includes_may_be_deep() -> None:
    """A long chain of includes is flattened like a short one."""
    chain: dict[str, Any] = {f"r{n}": {"includes": [f"r{n + 1}"]} for n in range(3000)}
    policy = read(roles=chain | {"r3000": {"grants": ["x"]}})
    assert (Grant("x", "role r0", "r0"),) == policy.roles["r0"].grants


def test_a_cycle_is_named() -> None:
    """Each cycle of includes is reported with its roles, without follow-up faults."""
    expected = {
        "roles.a.includes: roles include each other: 'a' -> 'a'",
        "roles.b.includes: roles include each other: 'b' -> 'c' -> 'd' -> 'b'",
    }
    messages = faults(
        roles={
            "a": {"includes": ["a"]},
            "b": {"includes": ["c"]},
            "c": {"includes": ["d"]},
            "d": {"includes": ["b", "e"]},
            "e": {},
        }
    )
    assert expected == set(messages)


# Faults


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        pytest.param({}, "version: must be 1: write `version = 1` at the top", id="no version"),
        pytest.param({"version": 2}, "version: must be 1: write `version = 1` at the top", id="another version"),
        pytest.param({"version": True}, "version: must be 1: write `version = 1` at the top", id="not quite 1"),
        pytest.param({"version": 1, 2: 3}, "a key must be a string, not int", id="a key that is no string"),
    ],
)
def test_the_top_is_checked(data: Mapping[str, object], expected: str) -> None:
    """The version must be the number 1, and keys strings."""
    assert (expected,) == refused(data)


def test_a_policy_is_a_table() -> None:
    """A policy that is not a mapping is refused."""
    assert "must be a table, not list" == refused([])[0]


@pytest.mark.parametrize(
    ("parts", "expected"),
    [
        pytest.param({"role": {}}, "role: unknown key; did you mean 'roles'?", id="top"),
        pytest.param({"permissions": {"a": {"rsik": "low"}}}, "permissions.a.rsik: unknown key; did you mean 'risk'?", id="permission"),
        pytest.param({"roles": {"a": {"grant": []}}}, "roles.a.grant: unknown key; did you mean 'grants'?", id="role"),
        pytest.param({"audiences": {"a": {"may_cal": []}}}, "audiences.a.may_cal: unknown key; did you mean 'may_call'?", id="audience"),
        pytest.param({"clients": {"a b": {"x": 1}}}, "clients.'a b'.x: unknown key; the keys are description, grants, roles", id="client"),
    ],
)  # fmt: skip
def test_an_unknown_key_is_refused_at_any_level(parts: dict[str, object], expected: str) -> None:
    """An unknown key is refused with the nearest known key, or with all keys if none is near."""
    assert (expected,) == faults(**parts)


LIFETIME = 'audiences.a.max_lifetime: must be a whole number of seconds, or a span like "5m", from 1 to 1000000000'


@pytest.mark.parametrize(
    ("parts", "expected"),
    [
        pytest.param({"permissions": []}, "permissions: must be a table, not list", id="permissions"),
        pytest.param({"permissions": {"a": 1}}, "permissions.a: must be a table, not int", id="permission"),
        pytest.param({"permissions": {"a": {"description": 1}}}, "permissions.a.description: must be a string, not int", id="text"),
        pytest.param({"permissions": {"a": {"risk": 1}}}, "permissions.a.risk: must be one of low, medium, high", id="risk"),
        pytest.param({"permissions": {"a": {"risk": "hihg"}}}, "permissions.a.risk: must be one of low, medium, high; did you mean 'high'?", id="a near risk"),
        pytest.param({"permissions": {"a": {"retired": "yes"}}}, "permissions.a.retired: must be true or false, not str", id="retired"),
        pytest.param({"roles": {"a": {"grants": "x"}}}, "roles.a.grants: must be a list of strings, not str", id="list"),
        pytest.param({"roles": {"a": {"grants": ["x", 1]}}}, "roles.a.grants[1]: must be a string, not int", id="element"),
        pytest.param({"roles": {"a": {"from": {}}}}, "roles.a.from: must be a list of strings, not dict", id="from"),
        pytest.param({"audiences": {"a": {"wildcards": 1}}}, "audiences.a.wildcards: must be true or false, not int", id="flag"),
        pytest.param({"audiences": {"a": {"max_size": "1k"}}}, "audiences.a.max_size: must be a whole number of bytes from 1 to 1000000000", id="size"),
        pytest.param({"audiences": {"a": {"max_lifetime": "5 min"}}}, LIFETIME, id="no span"),
        pytest.param({"audiences": {"a": {"max_lifetime": 0}}}, LIFETIME, id="zero"),
        pytest.param({"audiences": {"a": {"max_lifetime": True}}}, LIFETIME, id="bool"),
        pytest.param({"audiences": {"a": {"max_lifetime": 10**5000}}}, LIFETIME, id="huge"),
        pytest.param({"audiences": {"a": {"max_lifetime": "999999999d"}}}, LIFETIME, id="a huge span"),
        pytest.param({"audiences": {"a": {"max_lifetime": "٥m"}}}, LIFETIME, id="digits of another script"),
    ],
)  # fmt: skip
def test_a_wrong_type_is_refused(parts: dict[str, object], expected: str) -> None:
    """A value of a wrong type is refused with its place."""
    assert (expected,) == faults(**parts)


@pytest.mark.parametrize(("text", "expected"), [("90s", 90), ("5m", 300), ("2h", 7200), ("1d", 86400), (60, 60)])
def test_a_lifetime_is_in_seconds(text: object, expected: int) -> None:
    """A lifetime is a number of seconds or a span."""
    assert expected == read(audiences={"a": {"max_lifetime": text}}).audiences["a"].max_lifetime


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        pytest.param("a::b", "permissions.'a::b': 'a::b' is not a permission: a segment is empty", id="empty segment"),
        pytest.param("", "permissions.'': '' is not a permission: a segment is empty", id="empty"),
        pytest.param("a:*", "permissions.'a:*': a wildcard belongs in a grant; the catalogue names permissions", id="wildcard"),
        pytest.param("a:{i}:*", "permissions.'a:{i}:*': a wildcard belongs in a grant; the catalogue names permissions", id="wildcard in a template"),
        pytest.param("ä", "permissions.'\\xe4': '\\xe4' is not a permission: '\\xe4' is not allowed in a segment", id="not ASCII"),
    ],
)  # fmt: skip
def test_the_catalogue_names_permissions_and_templates(name: str, expected: str) -> None:
    """A name in the catalogue is a permission or a template, never a pattern."""
    assert (expected,) == faults(permissions={name: {}})


@pytest.mark.parametrize("name", ["a:{}", "a:x{i}", "a:{i!r}", "}", "a:{i}:" + "x" * 256])
def test_a_template_must_be_well_formed(name: str) -> None:
    """A template's placeholders are whole segments with a name."""
    assert 1 == len(faults(permissions={name: {}}))


WILD = "; a wildcard is a whole segment, and `**` the last one"


@pytest.mark.parametrize(
    ("grant", "expected"),
    [
        pytest.param("a::b", "'a::b' is not a permission: a segment is empty", id="empty segment"),
        pytest.param("a:**:b", f"'a:**:b' is not a permission: '*' is not allowed in a segment{WILD}", id="** not last"),
        pytest.param("a:b*", f"'a:b*' is not a permission: '*' is not allowed in a segment{WILD}", id="part of a segment"),
        pytest.param("a:{i}", "'a:{i}' is not a permission: '{' is not allowed in a segment", id="template"),
    ],
)  # fmt: skip
@pytest.mark.parametrize("table", ["roles", "clients"])
def test_a_grant_is_a_permission_or_a_pattern(table: str, grant: str, expected: str) -> None:
    """A malformed grant is refused, in a role and in a client."""
    assert (f"{table}.x.grants[1]: {expected}",) == faults(**{table: {"x": {"grants": ["ok", grant]}}})


CATALOGUE: dict[str, object] = {"orders:read": {}, "orders:{order_id}:ship": {}}


@pytest.mark.parametrize(
    "grant",
    ["orders:read", "orders:42:ship", "orders:*", "*:read", "orders:**", "**", "orders:42:*", "orders:*:ship", "orders:42:**"],
)  # fmt: skip
def test_a_grant_in_the_catalogue_is_accepted(grant: str) -> None:
    """A grant is accepted if it is in the catalogue, fills a template, or covers an entry."""
    policy = read(permissions=CATALOGUE, roles={"a": {"grants": [grant]}})
    assert (grant,) == tuple(map(str, policy.roles["a"].grants))


@pytest.mark.parametrize(
    ("grant", "expected"),
    [
        pytest.param("orders:raed", "'orders:raed' is not in the catalogue; did you mean 'orders:read'?", id="typo"),
        pytest.param("zzz", "'zzz' is not in the catalogue", id="nothing near"),
        pytest.param("orders:*:*:*", "'orders:*:*:*' covers nothing in the catalogue", id="pattern"),
        pytest.param("orders:read:**", "'orders:read:**' covers nothing in the catalogue", id="** is never none"),
        pytest.param("x" * 300, "a permission has at most 16 segments and 256 characters", id="long"),
    ],
)
@pytest.mark.parametrize("table", ["roles", "clients"])
def test_a_grant_outside_the_catalogue_is_refused(table: str, grant: str, expected: str) -> None:
    """A grant that is not in the catalogue is refused with the nearest entry."""
    # `orders:{order_id}:ship` would be covered by `orders:read:**`.
    catalogue = {"orders:read": {}, "orders:{order_id}": {}} if "**" in grant else CATALOGUE
    assert (f"{table}.x.grants[0]: {expected}",) == faults(permissions=catalogue, **{table: {"x": {"grants": [grant]}}})


@pytest.mark.parametrize(
    ("grant", "expected"),
    [
        pytest.param("orders:lost", "'orders:lost' is retired; did you mean 'orders:list'?", id="by name"),
        pytest.param("old:7", "'old:7' is retired", id="an instance of a template"),
        pytest.param("old:*", "'old:*' covers nothing in the catalogue but retired entries", id="a pattern"),
    ],
)
@pytest.mark.parametrize("table", ["roles", "clients"])
def test_a_retired_permission_cannot_be_granted(table: str, grant: str, expected: str) -> None:
    """A retired permission cannot be granted, even if a live template covers it."""
    retired = {"orders:lost": {"retired": True}, "old:{id}": {"retired": True}}
    live: dict[str, object] = {"orders:list": {}, "orders:{id}": {}}
    parts = {table: {"x": {"grants": [grant]}}}
    assert (f"{table}.x.grants[0]: {expected}",) == faults(permissions={**retired, **live}, **parts)


@pytest.mark.parametrize(
    "entry",
    ["clerk", ":clerk", "realm:", "/realm:x", "a/b/realm:x", "Realm:x", "realm: x", "realm:x ", "a b/realm:x", "realm:x\n", ""],
)  # fmt: skip
def test_an_external_role_has_a_kind_and_a_name(entry: str) -> None:
    """An entry of `from` is "kind:name" or "issuer/kind:name"."""
    messages = faults(roles={"a": {"from": [entry]}})
    expected = (
        f'roles.a.from[0]: {entry!a} is not an external role: write "kind:name" or "issuer/kind:name", '
        'such as "realm:clerk" or "auth0/role:clerk"'
    )
    assert (expected,) == messages


@pytest.mark.parametrize(
    ("parts", "expected"),
    [
        pytest.param({"roles": {"a": {"grants": ["x", "y", "x"]}}}, "roles.a.grants[2]: 'x' is duplicated", id="grant"),
        pytest.param({"roles": {"a": {"from": ["r:x", "r:x"]}}}, "roles.a.from[1]: 'r:x' is duplicated", id="outside role"),
        pytest.param({"roles": {"a": {"includes": ["b"]}, "bb": {}}}, "roles.a.includes[0]: there is no role 'b'; did you mean 'bb'?", id="include"),
        pytest.param({"audiences": {"a": {"may_call": ["zz"]}}}, "audiences.a.may_call[0]: there is no audience 'zz'", id="audience"),
        pytest.param({"clients": {"a": {"roles": ["zz"]}}}, "clients.a.roles[0]: there is no role 'zz'", id="role"),
    ],
)  # fmt: skip
def test_broken_references_and_duplicates_are_refused(parts: dict[str, object], expected: str) -> None:
    """A reference to a missing name is refused, and so is a duplicate in a list."""
    assert (expected,) == faults(**parts)


@pytest.mark.parametrize("name", ["", "a:b", "a b", "*", "{a}", "ä", "x" * 257])
def test_the_name_of_a_role_is_a_segment(name: str) -> None:
    """A role's name is one segment, as a deny entry and a token name it."""
    assert 1 == len(faults(roles={name: {}}))


@pytest.mark.parametrize("name", ["", " a", "a\n"])
@pytest.mark.parametrize("table", ["audiences", "clients"])
def test_audiences_and_clients_have_a_name(table: str, name: str) -> None:
    """The name of an audience or a client is printable, and has no leading or trailing blanks."""
    assert (f"{table}.{name!a}: a name is printable, not empty, and has no leading or trailing blanks",) == faults(
        **{table: {name: {}}}
    )


def test_a_long_text_is_cut_in_messages() -> None:
    """Messages repeat only the beginning of a long text."""
    assert 700 > len(faults(roles={"a": {"includes": ["x" * 100_000]}})[0])


def test_every_fault_is_reported_at_once() -> None:
    """One fault does not hide another."""
    expected = (
        "version: must be 1: write `version = 1` at the top",
        "permissions.b.risk: must be one of low, medium, high",
        "roles.a.grants[0]: 'c' is not in the catalogue",
        "audiences.d: must be a table, not NoneType",
        "clients.e.roles: must be a list of strings, not int",
    )
    assert expected == refused(
        {
            "permissions": {"b": {"risk": None}},
            "roles": {"a": {"grants": ["c"]}},
            "audiences": {"d": None},
            "clients": {"e": {"roles": 1}},
        }
    )


SCALARS = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8) | st.binary(max_size=2)
WORDS = st.sampled_from(
    ["version", "permissions", "roles", "audiences", "clients", "grants", "includes", "from", "a", "a:*", "a:{b}", "r:a",
     "description", "risk", "retired", "may_call", "claims", "max_lifetime", "max_size", "wildcards", "high", "**", "5m"]
)  # fmt: skip
TREES = st.recursive(
    SCALARS | WORDS,
    lambda each: st.lists(each, max_size=4) | st.dictionaries(WORDS | st.integers() | st.text(), each, max_size=5),
    max_leaves=12,
)
SHAPED = st.fixed_dictionaries(
    {"version": st.just(1) | SCALARS},
    optional={
        part: st.dictionaries(WORDS, st.dictionaries(WORDS, TREES, max_size=4), max_size=4) | TREES
        for part in ("permissions", "roles", "audiences", "clients")
    },
)


@CALM
@given(TREES | SHAPED)
def test_reading_raises_no_other_errors(data: Any) -> None:
    """Reading any input gives a policy or a ConfigurationError with faults."""
    try:
        outcome: object = Policy.from_mapping(data)
    except ConfigurationError as error:
        outcome = error.faults
    assert isinstance(outcome, Policy) or (isinstance(outcome, tuple) and outcome != ())


# Lines


BAD = """\
version = 1
colour = "red"

[permissions]
"orders:read" = { description = "See # \\" orders", risk = "hi" }
'''x'''.y = 1

[roles."clerk one"]
grants = [
    "orders:read",    # fine, [ and { and "
    "orders:raed",
    'orders:read',
]
includes = ["nobody"]

[roles.viewer]
description = \"\"\"
[roles.ghost]
grants = ["ghost"]
\"\"\"
from = ["realm:a", { x = [1, 2], y = 3 }, "realm:a"]
from_ = 1

[roles]
late.grants = [ [ "x" ], "orders:x" ]
late."inclu\\u0064es" = ["later"]
"""


def test_faults_of_a_file_are_in_order_with_their_lines(path: Path) -> None:
    """Each fault of a file begins with its path and line, in the order of the file."""
    text = BAD.replace("'''x'''.y = 1\n", "x.y = 1\n")
    expected = [
        "2: colour: unknown key",
        "5: permissions.'orders:read'.risk: must",
        "6: permissions.x.y: unknown key",
        "8: roles.'clerk one': a role's name",
        "11: roles.'clerk one'.grants[1]: 'orders:raed'",
        "12: roles.'clerk one'.grants[2]: 'orders:read' is dup",
        "14: roles.'clerk one'.includes[0]: there",
        "21: roles.viewer.from[1]: must",
        "21: roles.viewer.from[2]: 'realm:a' is dup",
        "22: roles.viewer.from_: unknown",
        "25: roles.late.grants[0]: must",
        "25: roles.late.grants[1]: 'orders:x' is",
        "26: roles.late.includes[0]: there",
    ]
    messages = file_faults(path, text)
    assert expected == [fault[: len(start)] for fault, start in zip(messages, expected, strict=True)]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        pytest.param("", "1: version: must be 1", id="an empty file"),
        pytest.param("\n\n[permissions]\n", "1: version: must be 1", id="no version"),
        pytest.param("version = 1\n\n[roles\n", "3: not TOML: ", id="syntax"),
        pytest.param("version = 1\nversion = 1\n", "2: not TOML: ", id="a duplicate key"),
        pytest.param("version = 1\n[roles.a]\n[roles.b]\n[roles.a]\n", "4: not TOML: ", id="a duplicate table"),
        pytest.param('version = 1\n[roles]\na = """\n\n', "5: not TOML: ", id="the end of the file"),
        pytest.param(b'version = 1\n\n# \xff"\n', "3: not TOML: not UTF-8", id="bytes"),
        pytest.param(f"version = {'1' * 5000}", "1: not TOML: ", id="a huge number"),
        pytest.param(f"version = {'[' * 50_000}", "1: not TOML: ", id="deep arrays"),
        pytest.param("#" * (1024 * 1024 + 1), "1: is longer than 1048576 bytes", id="a huge file"),
    ],
)
def test_unreadable_content_is_refused_with_a_line(path: Path, text: str | bytes, expected: str) -> None:
    """A file that is not TOML, too large or empty is refused with a line."""
    (message,) = file_faults(path, text)
    assert expected == message[: len(expected)]


def test_the_largest_file_is_read(path: Path) -> None:
    """A file of exactly the maximum size is read."""
    start = b"version = 1\n#"
    assert loaded(path, start + b"x" * (1024 * 1024 - len(start))) == EMPTY_POLICY


@pytest.mark.parametrize(
    ("name", "expected"), [("none.toml", "No such file or directory"), (".", "Is a directory"), ("\0", "embedded null byte")]
)  # fmt: skip
def test_a_file_that_cannot_be_opened_is_refused(tmp_path: Path, name: str, expected: str) -> None:
    """A file that cannot be opened or read raises ConfigurationError with the reason."""
    where = f"{tmp_path}/{name}"
    with pytest.raises(ConfigurationError) as caught:
        Policy.load(where)
    assert (f"{where}:1: cannot be read: {expected}",) == caught.value.faults


@pytest.mark.parametrize(
    ("text", "at", "expected"),
    [
        pytest.param("\na.b = 1", ("a", "b"), 2, id="dotted"),
        pytest.param("\n\"a\" . 'b' = 1", ("a", "b"), 2, id="dotted and quoted"),
        pytest.param("[a]\nb = 1\nc = 2", ("a", "c"), 3, id="table"),
        pytest.param("[a]\nb = 1", ("a", "x"), 1, id="what is not there stands at its table"),
        pytest.param("x = 1\n\n[a]\n[a.b]\nc = [", ("a", "b", "z", 3), 4, id="at the nearest table"),
        pytest.param("x = 1", ("y",), 1, id="nothing near"),
        pytest.param("[[a]]\nb = 1\n[[a]]\n", ("a",), 1, id="an array of tables"),
        pytest.param("a = [\n1.5,\n{ b = 2,\n c = [\n3, 4,\n] },\n]\nd = 1", ("a", 1, "c", 0), 5, id="nested"),
        pytest.param("a = [\n1.5,\n{ b = 2,\n c = [\n3, 4,\n] },\n]\nd = 1", ("d",), 8, id="after nested"),
        pytest.param("a = '''\n''''' # '''\nb = 1", ("b",), 3, id="quotes at the end of a literal"),
        pytest.param('a = """\n\\"""\n""""" # "\nb = 1', ("b",), 4, id="quotes at the end of a string"),
        pytest.param("a = 1\r\nb = 2\r\n", ("b",), 2, id="line ends of Windows"),
        pytest.param('"\\u0061" = 1\n', ("a",), 1, id="an escaped key"),
        pytest.param('"\\q" = 1\n', ('"\\q"',), 1, id="a key that is no TOML"),
        pytest.param("]}\n,\na = 1", ("a",), 3, id="closed before it is open"),
    ],
)
def test_a_line_is_found(text: str, at: tuple[str | int, ...], expected: int) -> None:
    """The line of a key or an element is found, or that of the nearest enclosing table."""
    assert expected == line_of(locate_keys(text), at)


@CALM
@given(st.text(alphabet="ab\"'\\#[]{}=,. \n\r1", max_size=60) | st.text())
def test_finding_lines_never_raises(text: str) -> None:
    """For any text, the result is a line number of that text."""
    lines = locate_keys(text)
    assert all(1 <= line <= text.count("\n") + 1 for line in lines.values())


SPACE = st.sampled_from(["", " ", "\t"])
BREAK = st.sampled_from(["", "\n", " # [x] = {\n", "\n\n"])
ATOMS = st.sampled_from(
    ["1", "-1.5e3", "true", '"a # ] \\" , }"', "'a = { \\'", '"""a\n"" \\""" """', "'''\n''x'''''", "1979-05-27 07:32:00Z"]
)  # fmt: skip


@st.composite
def values(draw: Any, line: int, path: tuple[Any, ...], lines: dict[tuple[Any, ...], int], depth: int = 0) -> str:
    """Draw a TOML value that starts on `line`, and note the lines of its members."""
    kind = draw(st.sampled_from(["atom", "array", "table"] if depth < 3 else ["atom"]))
    if kind == "atom":
        return str(draw(ATOMS))
    text = "[" if kind == "array" else "{"
    for index in range(draw(st.integers(0, 3))):
        text += ("," if index else "") + (draw(BREAK) if kind == "array" else draw(SPACE))
        key = index if kind == "array" else f"k{index}"
        lines[(*path, key)] = line + text.count("\n")
        text += f"{key} = " if kind == "table" else ""
        text += draw(values(line + text.count("\n"), (*path, key), lines, depth + 1))
    return text + (draw(BREAK) + "]" if kind == "array" else "}")


@CALM
@given(st.data())
def test_every_key_and_element_of_a_document_is_found(data: Any) -> None:
    """In any document, each key and element is found on its line."""
    text = ""
    expected: dict[tuple[Any, ...], int] = {}
    for number in range(data.draw(st.integers(1, 4))):
        text += data.draw(BREAK) + "\n"
        table = f"t{number}"
        expected[(table,)] = expected[(table, "x y")] = text.count("\n") + 1
        text += f'[{table}."x y"]\n'
        expected[(table, "x y", f"v{number}")] = text.count("\n") + 1
        text += f"v{number} = "
        text += data.draw(values(text.count("\n") + 1, (table, "x y", f"v{number}"), expected)) + "\n"
    tomllib.loads(text)
    assert expected == locate_keys(text)


def test_a_table_without_known_keys_accepts_any() -> None:
    """A table without known keys accepts any key."""
    assert {"x": 1} == TableReader.read((), {"x": 1}, []).data


def test_the_catalogue_entries_that_a_pattern_covers() -> None:
    """`under` gives each live entry once, templates as patterns, restricted to what the pattern covers."""
    names = ["orders:list", "orders:{id}:read", "orders:{id}:{part}", "stock:take", "orders:old"]
    catalogue = {name: {"retired": name == "orders:old"} for name in names}
    policy = Policy.from_mapping({"version": 1, "permissions": catalogue})
    assert ("orders:list",) == policy.under("orders:*")
    assert ("orders:list", "orders:*:read", "orders:*:*", "stock:take") == policy.under("**")
    assert ("orders:7:read", "orders:7:*") == policy.under("orders:7:*")
    assert () == policy.under("bills:**")
