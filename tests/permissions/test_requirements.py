"""Requirements of routes, and their evaluation."""

from __future__ import annotations

import pickle
from collections.abc import Callable, Mapping
from functools import partial
from types import MappingProxyType
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

import naughty_strings
from examples import examples
from jwt_lp import (
    AUTHENTICATED,
    IDENTIFIED,
    PUBLIC,
    ConfigurationError,
    Permission,
    Permissions,
    Requirement,
    TemplateError,
    all_of,
    any_of,
    external,
)
from jwt_lp.permissions.grants import is_segment
from jwt_lp.permissions.requirements import Binding, Evaluation, EvaluationContext, PermissionRequirement

FEW = examples(60)
MANY = examples(200)


def facts(
    *held: str,
    params: Mapping[str, object] | None = None,
    claims: Mapping[str, object] | None = None,
    issuer: str = "default",
) -> EvaluationContext:
    return EvaluationContext(Permissions.of(held, patterns=True), params or {}, claims or {}, issuer)


# The same, for calls that a type checker refuses already.
every: Any = all_of
some: Any = any_of
outside: Any = external


def bound(**where: Any) -> Requirement:
    return all_of(AUTHENTICATED, where=where)


@pytest.mark.parametrize(
    ("expected", "make"),
    [
        pytest.param("a", lambda: all_of("a"), id="one"),
        pytest.param("a & b", lambda: all_of("a", "b"), id="all"),
        pytest.param("a | b", lambda: any_of("a", "b"), id="any"),
        pytest.param("a", lambda: any_of("a"), id="any of one"),
        pytest.param("a | (b & c)", lambda: any_of("a", all_of("b", "c")), id="all in any"),
        pytest.param("a & (b | c)", lambda: all_of("a", any_of("b", "c")), id="any in all"),
        pytest.param("a & b", lambda: all_of("a") & "b", id="&"),
        pytest.param("a & b", lambda: "a" & all_of("b"), id="& from the right"),
        pytest.param("a | b", lambda: all_of("a") | "b", id="|"),
        pytest.param("a | b", lambda: "a" | all_of("b"), id="| from the right"),
        pytest.param("(a | b) & c", lambda: (all_of("a") | "b") & "c", id="& of |"),
        pytest.param("orders:{order_id}:read", lambda: all_of("orders:{order_id}:read"), id="template"),
        pytest.param("files:{name!e}", lambda: all_of("files:{name!e}"), id="encoding template"),
        pytest.param("a & u=sub", lambda: all_of("a", where={"u": "sub"}), id="binding"),
        pytest.param("a & t=org.id", lambda: all_of("a", where={"t": ["org", "id"]}), id="nested claim"),
        pytest.param(
            "a & t=one/sub,two/org.id",
            lambda: all_of("a", where={"t": {"one": "sub", "two": ("org", "id")}}),
            id="binding by issuer",
        ),
        pytest.param("a unbound t,u", lambda: all_of("a", unbound=("u", "t")), id="opted out"),
        pytest.param("a unbound tenant", lambda: all_of("a", unbound="tenant"), id="opted out of one, as a word"),
        pytest.param("authenticated", lambda: AUTHENTICATED, id="authenticated"),
        pytest.param("authenticated & u=sub", lambda: bound(u="sub"), id="authenticated and bound"),
        pytest.param("public", lambda: PUBLIC, id="public"),
        pytest.param("public, identified", lambda: IDENTIFIED, id="identified"),
        pytest.param("external: a proxy", lambda: external("a proxy"), id="external"),
        pytest.param("a::b", lambda: all_of("a::b"), id="a text of empty segments is compared whole"),
    ],
)
def test_it_prints_as_written(expected: str, make: Callable[[], Requirement]) -> None:
    """`str` is the requirement as written, and `repr` says that it is a requirement."""
    assert (expected, f"<Requirement {expected}>") == (str(make()), repr(make()))


@pytest.mark.parametrize(
    ("reason", "make"),
    [
        pytest.param("without a permission requires nothing", all_of, id="all_of()"),
        pytest.param("without a permission requires nothing", any_of, id="any_of()"),
        pytest.param("without a permission", lambda: all_of(where={"u": "sub"}), id="a binding alone"),
        pytest.param("can never be granted", lambda: all_of(""), id="empty"),
        pytest.param("can never be granted", lambda: all_of("a b"), id="blank"),
        pytest.param("can never be granted", lambda: all_of("a\n"), id="line feed"),
        pytest.param("can never be granted", lambda: all_of("é"), id="not ASCII"),
        pytest.param("can never be granted", lambda: all_of('a"'), id="quote"),
        pytest.param("has a wildcard", lambda: all_of("a:*"), id="wildcard"),
        pytest.param("has a wildcard", lambda: any_of("a", "**"), id="wildcard in any_of"),
        pytest.param("is not a template", lambda: all_of("a:*:{b}"), id="wildcard in a template"),
        pytest.param("is not a template", lambda: all_of("a:{b}c"), id="half a segment"),
        pytest.param("is not a template", lambda: all_of("a:{b}{c}"), id="two in one segment"),
        pytest.param("is not a template", lambda: all_of("a:{b!r}"), id="another conversion"),
        pytest.param("is not a template", lambda: all_of("a:{b.c}"), id="an attribute"),
        pytest.param("is not a template", lambda: all_of("a:{0}"), id="a number"),
        pytest.param("is not a template", lambda: all_of("a:{}"), id="no name"),
        pytest.param("is not a template", lambda: all_of("a:{b:c}"), id="a format"),
        pytest.param("is not a template", lambda: all_of("a:{b"), id="left open"),
        pytest.param("is not a template", lambda: all_of("a:b}"), id="closed alone"),
        pytest.param("is not a template", lambda: all_of("a::{b}"), id="an empty segment in a template"),
        pytest.param("is not a template", lambda: all_of("a:{b}\n"), id="a line feed after a template"),
        pytest.param("is not a template", lambda: all_of("a:{bé}"), id="a name outside ASCII"),
        pytest.param("longer than", lambda: all_of("a" * 257), id="257 characters"),
        pytest.param("longer than", lambda: all_of(":".join("a" * 17)), id="17 segments"),
        pytest.param("longer than", lambda: all_of(":".join(["{a}"] * 17)), id="17 placeholders"),
        pytest.param("would make the whole", lambda: all_of(PUBLIC), id="public alone in all_of"),
        pytest.param("would make the whole", lambda: any_of("a", PUBLIC), id="public in any_of"),
        pytest.param("would make the whole", lambda: all_of("a") | external("x"), id="| external"),
        pytest.param("would make the whole", lambda: PUBLIC & "a", id="public &"),
        pytest.param("would make the whole", lambda: "a" | IDENTIFIED, id="| identified"),
        pytest.param("not list", lambda: every(["a", "b"]), id="a list"),
        pytest.param("not int", lambda: some(5), id="a number"),
        pytest.param("not NoneType", lambda: every("a") & None, id="& None"),
        pytest.param("not int", lambda: 5 | every("a"), id="a number |"),
        pytest.param("is a name or a list of keys", lambda: bound(u=""), id="binding to no claim"),
        pytest.param("is a name or a list of keys", lambda: bound(u=[]), id="binding to no keys"),
        pytest.param("is a name or a list of keys", lambda: bound(u=["a", ""]), id="binding to an empty key"),
        pytest.param("is a name or a list of keys", lambda: bound(u=["a", 5]), id="binding to a number"),
        pytest.param("is a name or a list of keys", lambda: bound(u=None), id="binding to None"),
        pytest.param("is a name or a list of keys", lambda: bound(u={}), id="binding to no issuer"),
        pytest.param("is a name or a list of keys", lambda: bound(u={"one": {"two": "sub"}}), id="issuers in issuers"),
        pytest.param("is a name or a list of keys", lambda: bound(u={"one": 5}), id="an issuer's number"),
        pytest.param("needs a reason", lambda: external(""), id="external without a reason"),
        pytest.param("needs a reason", lambda: external(" \n"), id="external with blanks"),
        pytest.param("needs a reason", lambda: outside(None), id="external None"),
        pytest.param("", lambda: every("a", where=["u"]), id="where as a list"),
        pytest.param("", lambda: every("a", where="u"), id="where as a word"),
        pytest.param("", lambda: every("a", where={5: "sub"}), id="a number for a parameter"),
        pytest.param("", lambda: every("a", unbound=None), id="unbound None"),
        pytest.param("", lambda: every("a", unbound=[5]), id="unbound a number"),
    ],
)
def test_faulty_requirements_are_refused(reason: str, make: Callable[..., Any]) -> None:
    """A requirement that is empty, too wide, never grantable or of a wrong type is refused when it is made."""
    with pytest.raises(ConfigurationError) as caught:
        make()
    assert reason in str(caught.value)
    assert str(caught.value).isprintable()


@pytest.mark.parametrize(
    ("expected", "value", "claim"),
    [
        pytest.param(True, "alice", "alice", id="equal text"),
        pytest.param(True, "7", 7, id="text and number"),
        pytest.param(True, 7, "7", id="number and text"),
        pytest.param(True, 7, 7, id="equal numbers"),
        pytest.param(True, -7, "-7", id="negative"),
        pytest.param(True, 0, 0, id="zero"),
        pytest.param(True, "a b/*:{é}", "a b/*:{é}", id="what is no segment"),
        pytest.param(True, UUID(int=10), str(UUID(int=10)), id="UUID"),
        pytest.param(True, "a", ["b", "a"], id="membership"),
        pytest.param(True, "7", ("b", 7), id="membership of a number"),
        pytest.param(False, UUID(int=10), str(UUID(int=10)).upper(), id="UUID in capitals"),
        pytest.param(False, "alice", "bob", id="another"),
        pytest.param(False, "alice", "Alice", id="another case"),
        pytest.param(False, "alice", "alice ", id="a blank more"),
        pytest.param(False, "é", "e\u0301", id="another form of é"),
        pytest.param(False, "7", 7.0, id="a float"),
        pytest.param(False, 7.0, 7, id="a float parameter"),
        pytest.param(False, "07", 7, id="a leading zero"),
        pytest.param(False, "", "", id="both empty"),
        pytest.param(False, None, None, id="both null"),
        pytest.param(False, True, True, id="both true"),
        pytest.param(False, 1, True, id="one and true"),
        pytest.param(False, "True", True, id="the word and true"),
        pytest.param(False, "None", None, id="the word and null"),
        pytest.param(False, "a", {"a": 1}, id="an object"),
        pytest.param(False, "a", {"value": "a"}, id="an object with it"),
        pytest.param(False, "a", [], id="an empty list"),
        pytest.param(False, "", [""], id="empty among"),
        pytest.param(False, None, [None], id="null among"),
        pytest.param(False, "a", [["a"]], id="a list in a list"),
        pytest.param(False, "a", [{"a": "a"}], id="an object among"),
        pytest.param(False, ["a"], ["a"], id="a list as parameter"),
        pytest.param(False, "ab", "a", id="a prefix"),
        pytest.param(False, "\ud800", "\ud800", id="a lone surrogate"),
        pytest.param(False, 10**5000, 10**5000, id="numbers that Python would not write"),
    ],
)
def test_a_binding_compares_canonical_text(expected: bool, value: object, claim: object) -> None:
    """A claim matches if it, or one list member, is a non-empty str or an int with equal text."""
    for where, claims in (("sub", {"sub": claim}), (["org", "id"], {"org": MappingProxyType({"id": claim})})):
        outcome = bound(u=where).evaluate(facts(params={"u": value}, claims=claims))
        assert (expected, ()) == (outcome.satisfied, outcome.faults)


@pytest.mark.parametrize(
    ("params", "claims", "where"),
    [
        pytest.param({}, {"sub": "a"}, "sub", id="no parameter"),
        pytest.param({"u": "a"}, {}, "sub", id="no claim"),
        pytest.param({}, {}, "sub", id="neither"),
        pytest.param({"u": "a"}, {"org": "a"}, ["org", "id"], id="no object on the way"),
        pytest.param({"u": "a"}, {"org": [{"id": "a"}]}, ["org", "id"], id="a list on the way"),
        pytest.param({"u": "a"}, {"org.id": "a"}, ["org", "id"], id="a dotted name is one key"),
        pytest.param({"u": "a"}, {"org": {"id": "a"}}, "org.id", id="a dot is no path"),
    ],
)
def test_an_absent_parameter_or_claim_equals_nothing(params: Any, claims: Any, where: Any) -> None:
    """A binding with an absent parameter or claim is not satisfied, and is not a fault of the application."""
    outcome = bound(u=where).evaluate(facts(params=params, claims=claims))
    assert (False, 1, ()) == (outcome.satisfied, len(outcome.missing), outcome.faults)


def test_a_binding_by_issuer() -> None:
    """Each issuer's claim applies to its own tokens; for an unnamed issuer the binding fails."""
    requirement = all_of("a", where={"u": {"one": "sub", "two": ["org", "id"]}})
    claims = {"sub": "s", "org": {"id": "o"}}
    found = [
        (issuer, value)
        for issuer in ("one", "two", "three", "")
        for value in ("s", "o")
        if requirement.evaluate(facts("a", params={"u": value}, claims=claims, issuer=issuer)).satisfied
    ]
    assert [("one", "s"), ("two", "o")] == found


@pytest.mark.parametrize(
    ("expected", "where", "issuers"),
    [
        pytest.param("", "sub", ["default"], id="one issuer"),
        pytest.param(
            "a binding has to name its issuer: {'one': 'sub', ...}", "sub", ["one", "two"], id="several, none named"
        ),
        pytest.param("", {"one": "sub"}, ["one", "two"], id="named"),
        pytest.param("no issuer is called 'three'; there is one, two", {"three": "sub"}, ["one", "two"], id="unknown"),
        pytest.param("no issuer is called 'x'", {"x": "sub"}, ["default"], id="unknown to the one issuer"),
        pytest.param(
            "a binding has to name its issuer", {"one": "sub", "": "sub"}, ["one", "two"], id="any among several"
        ),
    ],
)
def test_faults_of_a_binding(expected: str, where: Any, issuers: list[str]) -> None:
    """With several issuers, a binding names issuers, and only configured ones."""
    *_, binding = bound(u=where).atoms()
    assert isinstance(binding, Binding)
    faults = binding.faults(issuers)
    assert (expected != "") is bool(faults)
    assert expected in "".join(faults)


@pytest.mark.parametrize(
    ("expected", "make"),
    [
        pytest.param("a", lambda: all_of("a"), id="one"),
        pytest.param("a b", lambda: all_of("a", "b", "a"), id="all, each once"),
        pytest.param("a", lambda: any_of("a", "b"), id="first alternative"),
        pytest.param("a b", lambda: any_of(all_of("a", "b"), "c"), id="first of any"),
        pytest.param("a b", lambda: all_of("a", any_of("b", "c")), id="all with the first of any"),
        pytest.param("a", lambda: all_of("a", where={"u": "sub"}), id="bindings are no scope"),
        pytest.param(None, lambda: all_of("a", "b:{c}"), id="a template"),
        pytest.param("a", lambda: any_of("a", "b:{c}"), id="a template in the second alternative"),
        pytest.param(None, lambda: AUTHENTICATED, id="authenticated"),
        pytest.param(None, lambda: any_of(AUTHENTICATED, "a"), id="authenticated first"),
        pytest.param(None, lambda: PUBLIC, id="public"),
    ],
)
def test_scope(expected: str | None, make: Callable[[], Requirement]) -> None:
    """`scope` is the permissions of the first alternative, or None if one is a template that is not filled."""
    assert expected == make().scope()


@pytest.mark.parametrize(
    ("expected", "make", "params"),
    [
        pytest.param("a:7:b", lambda: all_of("a:{x}:b"), {"x": 7}, id="one"),
        pytest.param("a:7 c a:8", lambda: all_of("a:{x}", "c", "a:{y}"), {"x": 7, "y": 8}, id="literal ones between"),
        pytest.param("a:7", lambda: all_of("a:{x}", "a:{y}"), {"x": 7, "y": 7}, id="each once"),
        pytest.param("a:b%3Ac", lambda: all_of("a:{x!e}"), {"x": "b:c"}, id="encoded"),
        pytest.param(None, lambda: all_of("a:{x}"), {"x": "b:c"}, id="no segment"),
        pytest.param(None, lambda: all_of("a:{x}"), {"x": 7.0}, id="no segment's type"),
        pytest.param(None, lambda: all_of("a:{x}", "b:{y}"), {"x": 7}, id="one that is not there"),
        pytest.param(None, lambda: any_of("a:{y}", "b:{x}"), {"x": 7}, id="not the second alternative"),
        pytest.param(None, lambda: all_of("a:{x}"), {"x": "b" * 255}, id="a permission that is too long"),
        pytest.param(
            None, lambda: all_of(*(f"a{number}:{{x}}" for number in range(5))), {"x": "b" * 240}, id="too long together"
        ),
    ],
)
def test_a_filled_scope(expected: str | None, make: Callable[[], Requirement], params: dict[str, object]) -> None:
    """`scope` has the parameters filled in, or is None if they cannot fill every template of the first alternative."""
    assert expected == make().scope(params)


def test_the_properties_of_a_requirement() -> None:
    """A requirement gives its parameters and its distinct permissions."""
    requirement = all_of("a", any_of("b:{x}", all_of("c:{y!e}:{x}", "a"), "d"), where={"u": "sub"})
    assert frozenset({"x", "y", "u"}) == requirement.names
    assert ("a", "b:{x}", "c:{y!e}:{x}", "d") == requirement.permissions
    assert (frozenset(), frozenset(), ()) == (AUTHENTICATED.names, PUBLIC.names, AUTHENTICATED.permissions)
    assert [True, True, False, False, False] == [
        item.requires_token for item in (AUTHENTICATED, requirement, PUBLIC, IDENTIFIED, external("x"))
    ]


@pytest.mark.parametrize(
    ("expected", "make"),
    [
        (False, lambda: all_of("a")),
        (True, lambda: all_of("a", enforce=True)),
        (True, lambda: any_of("b", all_of("a", enforce=True))),
        (True, lambda: all_of("b", all_of("a", enforce=True))),
        (False, lambda: any_of("b", all_of("a", "c"))),
        (False, lambda: AUTHENTICATED),
        (True, lambda: all_of("a", enforce=True).with_bindings({"t": binding("t")})),
    ],
)
def test_enforced(expected: bool, make: Callable[[], Requirement]) -> None:
    """A requirement is enforced if any part is; otherwise `enforce` does not change it."""
    assert expected is make().enforced


def binding(parameter: str, claim: str = "sub") -> Binding:
    *_, node = all_of("a", where={parameter: claim}).atoms()
    assert isinstance(node, Binding)
    return node


@pytest.mark.parametrize(
    ("expected", "make"),
    [
        pytest.param("a & t=sub", lambda: all_of("a"), id="one"),
        pytest.param("a & b & t=sub", lambda: all_of("a", "b"), id="all"),
        pytest.param("(a & t=sub) | (b & t=sub)", lambda: any_of("a", "b"), id="each alternative"),
        pytest.param("(a unbound t) | (b & t=sub)", lambda: any_of(all_of("a", unbound="t"), "b"), id="one opted out"),
        pytest.param("a unbound t", lambda: all_of("a", unbound="t"), id="opted out"),
        pytest.param("a & t=sub unbound x", lambda: all_of("a", unbound="x"), id="opted out of another"),
        pytest.param("a & u=uid & t=sub", lambda: all_of("a", where={"u": "uid"}), id="beside its own"),
        pytest.param("authenticated & t=sub", lambda: AUTHENTICATED, id="authenticated"),
        pytest.param("public", lambda: PUBLIC, id="public"),
        pytest.param("public, identified", lambda: IDENTIFIED, id="identified"),
        pytest.param("external: x", lambda: external("x"), id="external"),
    ],
)
def test_bindings_of_settings(expected: str, make: Callable[[], Requirement]) -> None:
    """Bindings of the settings apply to each alternative that does not opt out, and not to open routes."""
    requirement = make()
    assert (expected, str(requirement)) == (
        str(requirement.with_bindings({"t": binding("t")})),
        str(requirement.with_bindings({})),
    )


@pytest.mark.parametrize(
    ("expected", "held", "make"),
    [
        pytest.param(Evaluation((), ("a",)), [], lambda: all_of("a"), id="nothing held"),
        pytest.param(
            Evaluation((), ("b", "c")), ["a"], lambda: all_of("a", "b", "c", "b"), id="all: what is missing, once"
        ),
        pytest.param(
            Evaluation((), ("a", "b")), [], lambda: any_of(all_of("a", "b"), "c"), id="any: the first alternative"
        ),
        pytest.param(Evaluation(), [], lambda: AUTHENTICATED, id="authenticated"),
        pytest.param(Evaluation(), [], lambda: PUBLIC, id="public"),
    ],
)
def test_outcomes(expected: Evaluation, held: list[str], make: Callable[[], Requirement]) -> None:
    """Missing terms are as written, in the order written, each once."""
    evaluation = make().evaluate(facts(*held))
    assert (expected.missing, expected.faults, not expected.missing) == (
        evaluation.missing,
        evaluation.faults,
        evaluation.satisfied,
    )


def test_the_first_alternative_that_is_held_is_credited() -> None:
    """`any_of` credits one alternative, `all_of` every grant once."""
    requirement = any_of("z", all_of("a:1", "a:2"), "b")
    assert ["a:*"] == [grant.text for grant in requirement.evaluate(facts("a:*", "b")).used]
    assert ["b"] == [grant.text for grant in requirement.evaluate(facts("b")).used]


@pytest.mark.parametrize(
    ("used", "fault", "value"),
    [
        pytest.param("orders:7:read", "", 7, id="int"),
        pytest.param("orders:7:read", "", "7", id="text"),
        pytest.param("", "", "8", id="another"),
        pytest.param("", "", "*", id="wildcard"),
        pytest.param("", "", "**", id="wildcards"),
        pytest.param("", "", "7:read", id="two segments"),
        pytest.param("", "", "", id="empty"),
        pytest.param("", "", "７", id="a full-width digit"),
        pytest.param("", "", "%37", id="percent is not decoded"),
        pytest.param("", "", "7" * 250, id="too long in the end"),
        pytest.param("", "", 10**5000, id="a number that Python would not write"),
        pytest.param("", "cannot be a segment", None, id="null"),
        pytest.param("", "cannot be a segment", True, id="bool"),
        pytest.param("", "cannot be a segment", 7.0, id="float"),
    ],
)
def test_a_template_requires_one_literal_permission(used: str, fault: str, value: object) -> None:
    """A value that is not a segment makes the permission missing; a wrong type is also a configuration fault."""
    outcome = all_of("orders:{order_id}:read").evaluate(facts("orders:7:read", params={"order_id": value}))
    assert used == "".join(grant.text for grant in outcome.used)
    assert (() if used else ("orders:{order_id}:read",)) == outcome.missing
    assert (fault != "", True) == (bool(outcome.faults), fault in "".join(outcome.faults))


def test_a_parameter_that_the_route_lacks_is_a_fault() -> None:
    """A parameter that the route lacks is named in the fault, and the permission is missing."""
    outcome = any_of("a:{x}", "b:{y}").evaluate(facts("a:**", "b:**", params={}))
    assert (False, ("a:{x}: the route has no parameter x", "b:{y}: the route has no parameter y")) == (
        outcome.satisfied,
        outcome.faults,
    )


def test_an_encoded_template_matches_an_encoded_grant() -> None:
    """`{name!e}` requires exactly the grant that `Permission.segment(…, encode=True)` made."""
    requirement = all_of("files:{name!e}:read")
    for value in ("a b", "*", "**", "a:b", "é", "a%2Ab", "{x}", "../etc"):
        granted = f"files:{Permission.segment(value, encode=True)}:read"
        assert requirement.evaluate(facts(granted, params={"name": value})).satisfied
        assert not requirement.evaluate(facts(granted, params={"name": value + "x"})).satisfied


templates = st.lists(st.sampled_from(["a", "b", "{x}", "{y}", "{x!e}", "{y!e}"]), min_size=1, max_size=4).map(":".join)
values = st.one_of(
    st.text(max_size=6), st.integers(), st.uuids(), st.sampled_from(["*", "**", "a:b", "", "{x}", "é", "%", "\ud800"])
)


@MANY
@given(
    templates, st.dictionaries(st.sampled_from(["x", "y"]), st.one_of(values, st.none(), st.floats(), st.booleans()))
)
def test_a_filled_template_has_as_many_segments_or_is_refused(template: str, params: dict[str, object]) -> None:
    """Filling gives one literal segment for each placeholder, or raises only `TemplateError`."""
    term = PermissionRequirement.parse(template)
    try:
        filled = term.fill(params) if term.parts else template
    except TemplateError:
        assert not all_of(template).evaluate(facts("**", params=params)).satisfied
        return
    parts = filled.split(":")
    assert len(template.split(":")) == len(parts)
    for written, part in zip(template.split(":"), parts, strict=True):
        assert is_segment(part)
        assert part == written or "{" in written


# A tree of requirements beside its meaning: ("a",) is a permission, ("&", …) all of, ("|", …) any of.
trees = st.recursive(
    st.sampled_from(["a", "b", "c", "d", "t:{x}", "AUTH"]),
    lambda below: st.tuples(st.sampled_from("&|"), st.lists(below, min_size=1, max_size=3)),
    max_leaves=8,
)


def built(tree: Any) -> Requirement:
    if tree == "AUTH":
        return AUTHENTICATED
    if isinstance(tree, str):
        return all_of(tree)
    return (all_of if tree[0] == "&" else any_of)(*map(built, tree[1]))


def means(tree: Any, held: frozenset[str]) -> bool:
    if isinstance(tree, str):
        return tree == "AUTH" or tree.replace("{x}", "1") in held
    return (all if tree[0] == "&" else any)(means(part, held) for part in tree[1])


@MANY
@given(trees, st.frozensets(st.sampled_from(["a", "b", "c", "d", "t:1", "t:2"])))
def test_the_reference_evaluator_agrees(tree: Any, held: frozenset[str]) -> None:
    """A tree is satisfied as a reference evaluation says, and only grants that were needed are credited."""
    outcome = built(tree).evaluate(facts(*held, params={"x": 1}))
    assert means(tree, held) is outcome.satisfied
    if outcome.satisfied:
        credited = frozenset(grant.text for grant in outcome.used)
        assert credited <= held
        assert means(tree, credited)


@MANY
@given(trees, st.frozensets(st.sampled_from(["a", "b", "c", "d", "t:{x}"])))
def test_each_alternative_is_enough(tree: Any, held: frozenset[str]) -> None:
    """The requirement is satisfied if one alternative is held, and only then if all are shown."""
    shown = built(tree).alternatives()
    enough = any(held.issuperset(texts) for texts in shown)
    satisfied = built(tree).evaluate(facts(*(texts.replace("{x}", "1") for texts in held), params={"x": 1})).satisfied
    assert satisfied if enough else not satisfied or len(shown) == 32
    assert 1 <= len(shown) <= 32


def test_alternatives_are_bounded() -> None:
    """A requirement with millions of alternatives shows the first 32 in order."""
    wide = all_of(*(any_of(f"a{number}", f"b{number}") for number in range(40)))
    long = any_of(*(f"a{number}" for number in range(40)))
    assert (32, 32) == (len(wide.alternatives()), len(long.alternatives()))
    assert ([("a0",), ("a1",)], "b39") == (long.alternatives()[:2], wide.alternatives()[1][-1])


def reading(text: str) -> Any:
    """Parse the text that `str` wrote, for `means`."""
    parts, depth, start, sign = [], 0, 0, "&"
    for place, char in enumerate(text):
        depth += (char == "(") - (char == ")")
        if depth == 0 and char in "&|":
            sign = char
            parts.append(text[start : place - 1])
            start = place + 2
    if not parts:
        inner = text[1:-1] if text[:1] == "(" else ""
        return reading(inner) if inner else "AUTH" if text == "authenticated" else text
    return sign, [reading(each) for each in (*parts, text[start:])]


@MANY
@given(trees, st.frozensets(st.sampled_from(["a", "b", "c", "d", "t:1"])))
def test_the_text_of_a_requirement_has_the_same_meaning(tree: Any, held: frozenset[str]) -> None:
    """The parsed text gives a requirement that the same grants satisfy."""
    assert means(tree, held) is means(reading(str(built(tree))), held)


@FEW
@given(trees, st.frozensets(st.sampled_from(["a", "b", "c", "d", "t:1"])), st.sampled_from(["me", "you"]))
def test_a_bound_requirement_is_never_wider(tree: Any, held: frozenset[str], tenant: str) -> None:
    """With a binding, a requirement is satisfied only if it was before and the parameter equals the claim."""
    plain = built(tree)
    context = facts(*held, params={"x": 1, "t": tenant}, claims={"sub": "me"})
    assert (plain.evaluate(context).satisfied and tenant == "me") is plain.with_bindings({"t": binding("t")}).evaluate(
        context
    ).satisfied


@FEW
@given(
    trees,
    st.dictionaries(st.text(max_size=2) | st.just("x"), st.one_of(values, st.none(), st.lists(st.text())), max_size=3),
)
def test_evaluation_never_raises(tree: Any, params: dict[str, object]) -> None:
    """Evaluation returns a value for all parameters, and a missing term is never satisfied."""
    outcome = all_of(built(tree), where={"x": ["a", "b"]}).evaluate(
        facts("a", "t:**", params=params, claims={"a": params})
    )
    assert outcome.satisfied is (not outcome.missing)


def test_requirements_are_values() -> None:
    """Equal trees are equal and have equal hashes, and cannot be modified."""
    assert all_of("a", any_of("b", "c"), where={"u": "sub"}) == all_of("a", any_of("b", "c"), where={"u": "sub"})
    assert 3 == len({all_of("a", "b"), any_of("a", "b"), all_of("a", "b"), all_of("a", "b", enforce=True)})
    with pytest.raises(AttributeError):
        all_of("a").template = "b"  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    "requirement",
    [
        pytest.param(all_of("a:{b}"), id="template"),
        pytest.param(all_of("a", "b:{c}"), id="template in all_of"),
        pytest.param(any_of("a", all_of("b", "c:{d!e}")), id="template, nested"),
        pytest.param(bound(u="sub"), id="binding"),
        pytest.param(any_of("a", all_of("b", where={"u": "sub"})), id="binding, nested"),
        pytest.param(PUBLIC, id="public"),
        pytest.param(external("a proxy"), id="external"),
    ],
)
def test_what_depends_on_parameters_has_no_key(requirement: Requirement) -> None:
    """A requirement that reads parameters has no key, so no decision about it can be kept; nor has an open one."""
    assert None is requirement.key


# Few names, so that equal requirements meet; a permission may hold parentheses, so texts may be ambiguous.
names = st.sampled_from(["a", "b", "(a", "b)", "all", "any", "authenticated"])
keyed = st.recursive(
    st.one_of(names.map(all_of), st.just(AUTHENTICATED)),
    lambda parts: st.one_of(
        st.builds(
            lambda all_parts, unbound, enforce: all_of(*all_parts, unbound=unbound, enforce=enforce),
            st.lists(parts, min_size=1, max_size=3),
            st.sampled_from([(), ("t",)]),
            st.booleans(),
        ),
        st.lists(parts, min_size=1, max_size=3).map(lambda any_parts: any_of(*any_parts)),
    ),
    max_leaves=6,
)


@MANY
@given(keyed, keyed)
def test_keys_are_equal_exactly_if_requirements_are(one: Requirement, other: Requirement) -> None:
    """Two requirements without parameters have the same key if, and only if, they are equal."""
    assert (one == other) is (one.key == other.key)
    assert None is not one.key
    assert 1 == len({one.key, pickle.loads(pickle.dumps(one)).key})


def test_naughty_requirements() -> None:
    """Each string is a requirement that only its own grant satisfies, or a `ConfigurationError` in ASCII."""
    for text in naughty_strings.load_strings():
        requirement = naughty_strings.result_or_error(partial(all_of, text), ConfigurationError)
        if isinstance(requirement, ConfigurationError):
            assert str(requirement).isascii()
            continue
        assert text == str(requirement)
        assert requirement.key == text or "{" in text
        assert not requirement.evaluate(facts("a", "orders:read")).satisfied or text in ("a", "orders:read")


def test_naughty_parameters() -> None:
    """Each value fills one literal segment or none, and equals only the same claim."""
    plain, encoded, owner = all_of("files:{name}:read"), all_of("files:{name!e}:read"), bound(name="sub")
    for text in naughty_strings.load_strings():
        context = facts("files:mine:read", "files:*:write", params={"name": text}, claims={"sub": "mine"})
        assert (False, False, False) == tuple(
            requirement.evaluate(context).satisfied for requirement in (plain, encoded, owner)
        )
        lone = any(0xD800 <= ord(char) < 0xE000 for char in text)
        same = facts(params={"name": text}, claims={"sub": text})
        assert (text != "" and not lone) is owner.evaluate(same).satisfied
