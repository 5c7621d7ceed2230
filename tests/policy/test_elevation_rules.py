"""Elevation rules: reading, choice and differences."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from jwt_lp.errors import ConfigurationError
from jwt_lp.policy.diff import diff_policies
from jwt_lp.policy.elevation_rules import ElevationRule
from jwt_lp.policy.file import EMPTY_POLICY, Policy

if TYPE_CHECKING:
    from pathlib import Path

RULE: dict[str, Any] = {"ask": ["role:support"], "approve": "orders:approve"}
BASE: dict[str, Any] = {"version": 1, "roles": {"support": {"grants": []}, "lead": {"grants": []}}}
CATALOGUE = {
    "orders:export": {"risk": "high"},
    "orders:list": {"risk": "low"},
    "orders:{id}:note": {"risk": "low"},
    "orders:old": {"retired": True},
    "orders:approve": {},
}


def read(catalogue: bool = False, /, **rules: Any) -> Policy:
    named = {name.replace("__", ":").replace("_STAR", "*"): rule for name, rule in rules.items()}
    return Policy.from_mapping({**BASE, **({"permissions": CATALOGUE} if catalogue else {}), "elevation": named})


def one(name: str = "orders:export", catalogue: bool = False, **rule: Any) -> Policy:
    return read(catalogue, **{name: {**RULE, **rule}})


def test_a_rule_is_read_with_its_defaults() -> None:
    """What a rule does not say has the strict value."""
    expected = ElevationRule("orders:export", ("role:support",), "orders:approve")
    assert expected == one().elevation["orders:export"]
    assert (1, False, 3600, 86400, True, "", False, (), 0) == expected[3:]


def test_every_key_is_read() -> None:
    """In the units that the file uses."""
    rule = one(
        "orders:list", True, ask=["staff/subject:ana", "role:lead"], approvals=2, self=True, longest="30m", answer=60,
        reason=False, ticket="OPS-[0-9]+", break_glass=True, approver_issuers=["Staff"], approver_since="7d",
    ).elevation["orders:list"]  # fmt: skip
    assert ElevationRule(
        "orders:list", ("staff/subject:ana", "role:lead"), "orders:approve", 2, True, 1800, 60, False, "OPS-[0-9]+",
        True, ("staff",), 604800,
    ) == rule  # fmt: skip
    assert ".+" == one(ticket=True).elevation["orders:export"].ticket
    assert ("anyone",) == one(ask="anyone").elevation["orders:export"].ask


@pytest.mark.parametrize(
    ("rule", "fault"),
    [
        ({"ask": "role:support"}, "ask: must say who may ask"),
        ({"ask": None}, "ask: must say who may ask"),
        ({"ask": 7}, "ask: must be a list of strings, not int"),
        ({"ask": []}, "ask: nobody may ask"),
        ({"ask": ["role:suport"]}, "ask[0]: there is no role 'suport'; did you mean 'support'?"),
        ({"ask": ["anyone"]}, "ask[0]: 'anyone' is neither"),
        ({"ask": ["group:ops"]}, "ask[0]: 'group:ops' is neither"),
        ({"approve": ""}, "approve: must be the permission whose holders decide"),
        ({"approve": 7}, "approve: must be a string, not int"),
        ({"approve": "orders:*"}, "approve: 'orders:*' is not a permission"),
        ({"approvals": 0}, "approvals: must be a whole number"),
        ({"approvals": 11}, "approvals: must be at most 10"),
        ({"longest": "1y"}, "longest: must be a whole number of seconds, or a span"),
        ({"longest": "32d"}, "longest: must be at most 2678400 seconds"),
        ({"ticket": "OPS-("}, "ticket: is not a regular expression"),
        ({"ticket": ""}, "ticket: must be true, false, or a regular expression"),
        ({"reason": "yes"}, "reason: must be true or false"),
        ({"approver_issuers": ["a/b"]}, "approver_issuers[0]: is not the name of an issuer"),
        ({"self": True}, "self: may be true only where every permission of the rule is of low risk"),
        ({"break_glass": True, "ask": "anyone"}, "ask: must name roles or subjects where break_glass is true"),
        ({"break_glass": True, "ask": ["subject:ana"]}, "ask[0]: 'subject:ana' is that subject of any issuer"),
        ({"approver": "x"}, "approver: unknown key; did you mean 'approve'?"),
    ],
)
def test_a_faulty_rule_is_refused(rule: dict[str, Any], fault: str) -> None:
    """The fault says the place and what to write; only this one is found."""
    with pytest.raises(ConfigurationError) as caught:
        read(**{"orders:export": {name: value for name, value in {**RULE, **rule}.items() if value is not None}})
    (found,) = caught.value.faults
    assert found.startswith(f"elevation.'orders:export'.{fault}")


@pytest.mark.parametrize(
    ("name", "rule", "fault"),
    [
        ("orders:**:read", {}, "'orders:**:read' is not a permission"),
        ("orders:exprt", {}, "is not in the catalogue, or is retired; did you mean 'orders:export'?"),
        ("orders:old", {}, "is not in the catalogue, or is retired"),
        ("reports:*", {}, "covers nothing in the catalogue"),
        ("orders:export", {"approve": "orders:aprove"}, "approve: 'orders:aprove' is not in the catalogue"),
        ("orders:export", {"self": True}, "self: may be true only"),
        ("orders:*", {"self": True}, "self: may be true only"),
        ("orders:*", {}, "covers 'orders:approve', whose holders approve elevations of 'orders:*'"),
        ("orders:approve", {}, "covers 'orders:approve'"),
    ],
)
def test_a_rule_that_the_catalogue_forbids(name: str, rule: dict[str, Any], fault: str) -> None:
    """Names are those of live entries, `self` is for low risk, and nobody becomes an approver by an elevation."""
    with pytest.raises(ConfigurationError) as caught:
        one(name, True, **rule)
    assert any(fault in each for each in caught.value.faults)


def test_faults_have_file_and_line(tmp_path: Path) -> None:
    """As all faults of the policy file."""
    path = tmp_path / "policy.toml"
    path.write_text('version = 1\n\n[elevation."orders:export"]\nask = "anyone"\napprovals = 0\n', encoding="utf-8")
    with pytest.raises(ConfigurationError) as caught:
        Policy.load(path)
    assert [f"{path}:3: elevation.'orders:export'.approve", f"{path}:5: elevation.'orders:export'.approvals"] == [
        fault.rpartition(": must")[0] for fault in caught.value.faults
    ]


def test_a_rule_covers_no_permission_that_decides_about_another() -> None:
    """A pattern that would let people ask for the approval of other rules is refused."""
    with pytest.raises(ConfigurationError, match="whose holders approve elevations of 'stock:count'"):
        read(**{"stock:count": {**RULE, "approve": "stock:lead:approve"}, "stock:**": RULE})


@pytest.mark.parametrize(
    ("permission", "pattern"),
    [
        ("orders:export", "orders:export"),
        ("orders:print", "orders:*"),
        ("orders:7:export", "orders:*:export"),
        ("orders:7:print", "orders:**"),
        ("stock:7:export", "*:*:export"),
        ("orders", None),
        ("stock:export", None),
        ("orders:*", None),
        ("orders:{id}", None),
        ("", None),
    ],
)
def test_the_most_specific_rule_decides(permission: str, pattern: str | None) -> None:
    """Its pattern has the fewest wildcards; nothing is said about patterns and templates."""
    names = ("orders:**", "*:*:export", "orders:*", "orders:export", "orders:*:export")
    for order in (names, names[::-1]):
        rule = read(**{name: {**RULE, "approve": "lead"} for name in order}).elevation_rule(permission)
        assert pattern == (rule and rule.pattern)
    assert EMPTY_POLICY.elevation_rule(permission) is None


@pytest.mark.parametrize(
    ("ask", "subject", "roles", "issuer", "expected"),
    [
        ("anyone", "x", (), "", True),
        (["role:support"], "x", ("lead", "support"), "", True),
        (["role:support"], "support", ("lead",), "", False),
        (["subject:ana"], "ana", (), "", True),
        (["subject:ana"], "ana", (), "staff", True),
        (["subject:ana"], "Ana", (), "", False),
        (["subject:role:support"], "role:support", (), "", True),
        (["staff/subject:ana"], "ana", (), "Staff", True),
        (["Staff/subject:ana"], "ana", (), "staff", True),
        (["staff/subject:ana"], "ana", (), "customers", False),
        (["staff/subject:ana"], "ana", (), "", False),
    ],
)
def test_who_may_ask(ask: Any, subject: str, roles: tuple[str, ...], issuer: str, expected: bool) -> None:
    """Roles by name, subjects by their exact text, of one issuer if the entry names it."""
    assert expected is one(ask=ask).elevation["orders:export"].may_ask(subject, roles, issuer)


def test_rules_change_the_digest_and_no_rule_changes_none() -> None:
    """Policies without rules keep the digest that they had before there were any."""
    plain = Policy.from_mapping(BASE)
    assert plain.digest == Policy.from_mapping({**BASE, "elevation": {}}).digest
    assert len({plain.digest, one().digest, one(longest=60).digest, one("orders:list").digest}) == 4
    assert one(ask=["role:lead", "role:support"]) == one(ask=["role:support", "role:lead"])


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ({}, {}, []),
        ({"ask": "anyone"}, {}, []),
        ({"ask": ["role:support", "role:lead"]}, {}, []),
        ({}, {"ask": "anyone"}, ["ask"]),
        ({}, {"ask": ["role:support", "subject:ana"]}, ["ask"]),
        ({}, {"approve": "else"}, ["approve"]),
        ({"approvals": 2}, {}, ["approvals"]),
        ({}, {"approvals": 2}, []),
        ({}, {"longest": "2h"}, ["longest"]),
        ({"longest": "2h"}, {}, []),
        ({}, {"answer": "2d"}, ["answer"]),
        ({"approver_since": "2d"}, {"approver_since": "1d"}, ["approver_since"]),
        ({}, {"approver_since": "1d"}, []),
        ({}, {"approver_issuers": ["staff"]}, ["approver_issuers"]),
        ({"approver_issuers": ["staff"]}, {"approver_issuers": ["staff", "ops"]}, ["approver_issuers"]),
        ({}, {"reason": False}, ["reason"]),
        ({"reason": False}, {}, []),
        ({"ticket": True}, {}, ["ticket"]),
        ({"ticket": "A-.*"}, {"ticket": "B-.*"}, ["ticket"]),
        ({}, {"ticket": True}, []),
        ({}, {"break_glass": True}, ["break_glass"]),
        ({"break_glass": True}, {}, []),
        ({}, {"ask": "anyone", "reason": False, "longest": "2h"}, ["ask", "longest", "reason"]),
    ],
)
def test_a_wider_rule_is_a_widening(old: dict[str, Any], new: dict[str, Any], expected: list[str]) -> None:
    """Each key that allows more is reported with its place; one that allows less is not."""
    changes = diff_policies(one(**old), one(**new)).allowed
    assert [("elevation", "orders:export", key) for key in expected] == [change.place for change in changes]
    assert not diff_policies(one(**old), one(**old)).allowed


def test_self_approval_is_a_widening() -> None:
    """Where the risk allows it."""
    changes = diff_policies(one("orders:list", True), one("orders:list", True, self=True)).allowed
    assert ["elevation of 'orders:list' may be approved by the asker: it might not before"] == [c.text for c in changes]


def test_new_and_wider_patterns_are_widenings() -> None:
    """A permission that nobody could ask for before, under a pattern too; the removal of a rule alone is none."""
    plain = Policy.from_mapping(BASE)
    text = "elevation of 'orders:export' may be asked for by role:support: no rule was about it"
    assert [text] == [change.text for change in diff_policies(plain, one()).allowed]
    assert [f"no longer: {text.partition(': no')[0]}"] == [
        change.text for change in diff_policies(one(), plain).narrowed
    ]
    wide = one("orders:*", approve="lead")
    assert [("elevation", "orders:*")] == [c.place for c in diff_policies(one(approve="lead"), wide).allowed]
    assert not diff_policies(wide, one(approve="lead")).allowed


def test_the_removal_of_a_strict_rule_under_a_lax_one_is_a_widening() -> None:
    """The lax rule decides then, though it did not change."""
    lax = {**RULE, "approve": "lead", "ask": "anyone"}
    strict = {**RULE, "approve": "lead", "approvals": 2}
    old, new = read(**{"orders:*": lax, "orders:export": strict}), read(**{"orders:*": lax})
    changes = diff_policies(old, new).allowed
    assert [("elevation", "orders:*", "ask"), ("elevation", "orders:*", "approvals")] == [c.place for c in changes]
    assert "'orders:export'" in changes[0].text
    assert not diff_policies(new, old).allowed


def test_two_new_patterns_are_told_once_each() -> None:
    """Though both are about the permissions that they have in common."""
    both = read(**{"orders:*": {**RULE, "approve": "lead"}, "*:export": {**RULE, "approve": "lead"}})
    changes = diff_policies(Policy.from_mapping(BASE), both).allowed
    assert [("elevation", "orders:*"), ("elevation", "*:export")] == [change.place for change in changes]
