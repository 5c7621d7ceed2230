"""Routes, and the rules that declare them."""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial
from typing import Any

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
    Requirement,
    Route,
    Rules,
    all_of,
    external,
    route_faults,
)


def route(template: str = "/orders/{order_id}", requirement: Requirement | None = None, **more: Any) -> Route:
    return Route(("GET", "HEAD"), template, "app.view", requirement, **more)


def rules(external_rules: dict[str, Any] | None = None, public: Iterable[str] = ()) -> Rules:
    return Rules.of(external_rules or {}, list(public))


def nothing(requirement: Requirement) -> list[str]:
    return []


def test_label_and_guarded() -> None:
    """The label has the methods and the template; a route with any declaration is guarded."""
    assert ("GET,HEAD /orders/{order_id}", "* /", False, True, True) == (
        route().label,
        Route((), "/", "app.view").label,
        route().guarded,
        route(requirement=PUBLIC).guarded,
        route(requirement=AUTHENTICATED).guarded,
    )


@pytest.mark.parametrize(
    ("requirement", "kind"),
    [
        (None, "undeclared"),
        (PUBLIC, "public"),
        (IDENTIFIED, "public"),
        (external("the gateway"), "external"),
        (AUTHENTICATED, "authenticated"),
        (all_of(AUTHENTICATED, where={"order_id": "sub"}), "authenticated"),
        (all_of("orders:read"), "requirement"),
    ],
)
def test_the_kind_of_a_declaration(requirement: Requirement | None, kind: str) -> None:
    """Each declaration is of one kind; without a permission, any valid token is enough."""
    assert kind == route(requirement=requirement).kind


@pytest.mark.parametrize(
    ("expected", "rule", "template"),
    [
        (True, "/admin", "/admin"),
        (True, "/admin", "/admin/"),
        (True, "/admin/", "/admin"),
        (True, "/admin", "/admin/users/{id}"),
        (True, "/orders/{order_id}", "/orders/{order_id}/lines"),
        (True, "/a/b", "/a/b/c"),
        (False, "/admin", "/administrator"),
        (False, "/admin", "/Admin"),
        (False, "/admin", "/"),
        (False, "/admin", "/api/admin"),
        (False, "/admin/users", "/admin"),
        (False, "/orders/7", "/orders/{order_id}"),
        (False, "/a//b", "/a/b"),
        (False, "/a/*", "/a/b"),
        (False, "/a/..", "/a"),
        (False, "/%61dmin", "/admin"),
    ],
)
def test_a_path_is_a_prefix_of_whole_segments(expected: bool, rule: str, template: str) -> None:
    """A rule with a leading slash covers the template and everything below it, by whole segments."""
    assert (PUBLIC if expected else None) is rules(public=[rule]).declare(route(template)).requirement


@pytest.mark.parametrize(
    ("expected", "rule"),
    [
        (True, "metrics"),
        (True, "ops"),
        (False, "metric"),
        (False, "METRICS"),
        (False, "app.view"),
        (False, "metrics/"),
        (False, "orders"),
    ],
)
def test_any_other_rule_is_a_name(expected: bool, rule: str) -> None:
    """Any other rule must equal the name of a route, namespace, blueprint or mount."""
    declared = rules(public=[rule]).declare(route(names=("metrics",), groups=("ops",)))
    assert expected is (declared.requirement is PUBLIC)


def test_what_a_rule_declares() -> None:
    """EXTERNAL gives its reason, PUBLIC opens the route, and the origin names the rule."""
    both = rules({"/admin": "session login"}, ["health"])
    assert (external("session login"), "EXTERNAL /admin") == (
        both.declare(route("/admin")).requirement,
        both.declare(route("/admin")).origin,
    )
    assert (PUBLIC, "PUBLIC health") == (
        both.declare(route(names=("health",))).requirement,
        both.declare(route(names=("health",))).origin,
    )
    assert route("/other") == both.declare(route("/other"))


@pytest.mark.parametrize("mark", [PUBLIC, IDENTIFIED, AUTHENTICATED, all_of("a"), external("x")], ids=str)
def test_a_declaration_overrides_the_rules(mark: Requirement) -> None:
    """A route's own declaration stays, whatever the rules say."""
    marked = route("/admin", mark, origin="here")
    assert marked == rules({"/admin": "session login"}).declare(marked)


def test_a_faulty_declaration_is_not_overridden() -> None:
    """A route whose own declaration has a fault stays undeclared, whatever the rules say."""
    marked = route("/admin", faults=("two marks on one view",))
    assert marked == rules({"/admin": "session login"}).declare(marked)


def test_rules_that_agree_are_no_fault() -> None:
    """Two public rules over one route declare it once."""
    declared = rules(public=["/a", "/a/b"]).declare(route("/a/b"))
    assert (PUBLIC, ()) == (declared.requirement, declared.faults)


@pytest.mark.parametrize(
    ("external_rules", "public"),
    [
        pytest.param({"/a": "one"}, ["/a/b"], id="external and public"),
        pytest.param({"/a": "one", "/a/b": "two"}, [], id="two reasons"),
        pytest.param({"ops": "one"}, ["/a"], id="name and path"),
    ],
)
def test_rules_that_disagree_declare_nothing(external_rules: dict[str, str], public: list[str]) -> None:
    """Rules that contradict each other declare nothing, and the fault names them."""
    declared = rules(external_rules, public).declare(route("/a/b", groups=("ops",)))
    assert (None, 1) == (declared.requirement, len(declared.faults))
    assert "contradict each other" in declared.faults[0]
    assert declared.faults == route_faults([declared], Rules(), nothing)


@pytest.mark.parametrize(
    ("expected", "external_rules", "public"),
    [
        pytest.param(["would open everything"], {"/": "x"}, [], id="external /"),
        pytest.param(["would open everything"], {}, ["/"], id="public /"),
        pytest.param(["would open everything"], {}, ["//"], id="public //"),
        pytest.param(["would open everything"], {}, [""], id="public empty"),
        pytest.param(["both EXTERNAL and PUBLIC"], {"a": "x"}, ["a"], id="both"),
        pytest.param(["EXTERNAL['a']", "needs a reason"], {"a": ""}, [], id="no reason"),
        pytest.param(["EXTERNAL['a']", "needs a reason"], {"a": None}, [], id="reason None"),
        pytest.param(
            ["EXTERNAL['a']", "EXTERNAL['b']", "'/'", "both"], {"a": "", "b": 5, "c": "x"}, ["/", "c"], id="all at once"
        ),
    ],
)
def test_rules_that_are_refused(expected: list[str], external_rules: dict[str, Any], public: list[str]) -> None:
    """Rules that open everything, contradict each other or lack a reason are refused, all at once."""
    with pytest.raises(ConfigurationError) as caught:
        rules(external_rules, public)
    assert [] == [each for each in expected if each not in "\n".join(caught.value.faults)]


@pytest.mark.parametrize(
    ("expected", "rule"),
    [
        ("matches no route", "/other"),
        ("matches no route", "unknown"),
        ("matches no route", " "),
        ("a route and of a namespace", "both"),
        ("", "/orders"),
        ("", "name"),
        ("", "group"),
    ],
)
def test_faults_of_rules(expected: str, rule: str) -> None:
    """A rule that matches nothing, or both a namespace and a route, is a fault."""
    routes = [route(names=("name", "both")), route("/x", groups=("group", "both"))]
    faults = rules(public=[rule]).faults(iter(routes))
    assert expected == "" if not faults else expected in faults[0]


@pytest.mark.parametrize(
    ("expected", "requirement", "parameters"),
    [
        pytest.param(0, None, frozenset(), id="nothing declared"),
        pytest.param(0, all_of("a:{x}"), None, id="the host does not tell"),
        pytest.param(0, all_of("a:{x}", where={"y": "sub"}), frozenset({"x", "y", "z"}), id="all known"),
        pytest.param(1, all_of("a:{x}"), frozenset(), id="no parameters"),
        pytest.param(2, all_of("a:{x}", where={"y": "sub"}), frozenset({"z"}), id="two unknown"),
    ],
)
def test_names_the_route_lacks(
    expected: int, requirement: Requirement | None, parameters: frozenset[str] | None
) -> None:
    """Each name in a declaration that is no parameter of the route is a fault, besides the route's own faults."""
    faults = route(requirement=requirement, parameters=parameters, faults=("own",)).all_faults()
    assert ("own", expected) == (faults[0], len(faults) - 1)
    assert ["GET,HEAD /orders/{order_id}: "] * expected == [fault[: len(route().label) + 2] for fault in faults[1:]]


def test_all_faults_of_a_host_each_once() -> None:
    """The faults of declarations, requirements and rules are all listed, each once."""
    routes = [
        route(requirement=all_of("a:{x}"), parameters=frozenset({"order_id"})),
        route(requirement=all_of("a:{x}"), parameters=frozenset({"order_id"})),
        route(faults=("own",)),
    ]
    faults = route_faults(routes, rules(public=["nowhere"]), lambda requirement: [f"bad {requirement}"])
    assert 4 == len(faults)
    assert {"own", "bad a:{x}"} < set(faults)


def test_faults_come_in_the_order_of_routes() -> None:
    """The faults are always listed in the order of the routes."""
    routes = [route(requirement=all_of(f"a:{number}")) for number in range(50)]
    faults = route_faults(routes, Rules(), lambda requirement: [str(requirement)])
    assert [f"a:{number}" for number in range(50)] == list(faults)


paths = st.lists(st.sampled_from(["a", "b", "ab", "{x}"]), max_size=3).map(lambda parts: "/" + "/".join(parts))


@examples(150)
@given(paths.filter(lambda rule: rule != "/"), paths)
def test_a_prefix_rule_covers_whole_segments_only(rule: str, template: str) -> None:
    """A prefix rule matches exactly the template itself and what continues it after a slash."""
    opened = rules(public=[rule]).declare(route(template)).requirement is PUBLIC
    assert opened is (template == rule or template.startswith(rule + "/"))


def test_naughty_rules() -> None:
    """A naughty rule or reason opens no ordinary route, and every message is one line."""
    for text in naughty_strings.load_strings():
        result = naughty_strings.result_or_error(partial(rules, {text: text}, [text + "x"]), ConfigurationError)
        if isinstance(result, ConfigurationError):
            assert all(fault.isprintable() for fault in result.faults)
            continue
        declared = result.declare(route("/orders", names=("orders",), groups=("api",)))
        assert (None, ()) == (declared.requirement, declared.faults)
        assert all(fault.isprintable() for fault in result.faults([declared]))


def test_a_name_of_several_routes_is_a_fault() -> None:
    """A name that several endpoints have is a fault: FastAPI names routes after their functions."""
    routes = [Route(("GET",), f"/{name}", f"{name}.status", names=("status",)) for name in ("health", "admin")]
    assert ("the rule 'status' is the name of several routes: use a path prefix",) == rules(public=["status"]).faults(
        routes
    )
