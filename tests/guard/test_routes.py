"""What is declared for which route."""

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


def test_a_route_says_what_it_is() -> None:
    """The label is methods and template; a route is guarded once anything is declared for it."""
    assert ("GET,HEAD /orders/{order_id}", "* /", False, True, True) == (
        route().label,
        Route((), "/", "app.view").label,
        route().guarded,
        route(requirement=PUBLIC).guarded,
        route(requirement=AUTHENTICATED).guarded,
    )


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
    """A rule with a leading slash covers the template and what is below it, segment by segment as written."""
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
    """It names a route, or a namespace, blueprint or mount, exactly."""
    found = rules(public=[rule]).declare(route(names=("metrics",), groups=("ops",)))
    assert expected is (found.requirement is PUBLIC)


def test_what_a_rule_declares() -> None:
    """EXTERNAL gives its reason, PUBLIC opens, and the origin says which rule it was."""
    found = rules({"/admin": "session login"}, ["health"])
    assert (external("session login"), "EXTERNAL /admin") == (
        found.declare(route("/admin")).requirement,
        found.declare(route("/admin")).origin,
    )
    assert (PUBLIC, "PUBLIC health") == (
        found.declare(route(names=("health",))).requirement,
        found.declare(route(names=("health",))).origin,
    )
    assert route("/other") == found.declare(route("/other"))


@pytest.mark.parametrize("mark", [PUBLIC, IDENTIFIED, AUTHENTICATED, all_of("a"), external("x")], ids=str)
def test_a_mark_beats_settings(mark: Requirement) -> None:
    """What is declared nearer stays, whatever rules say."""
    marked = route("/admin", mark, origin="here")
    assert marked == rules({"/admin": "session login"}).declare(marked)


def test_a_bad_mark_is_not_overruled() -> None:
    """A route whose own declaration is at fault stays unmarked, whatever rules say."""
    marked = route("/admin", faults=("two marks on one view",))
    assert marked == rules({"/admin": "session login"}).declare(marked)


def test_rules_that_agree_are_no_fault() -> None:
    """Two public rules over one route declare it once."""
    found = rules(public=["/a", "/a/b"]).declare(route("/a/b"))
    assert (PUBLIC, ()) == (found.requirement, found.faults)


@pytest.mark.parametrize(
    ("external_rules", "public"),
    [
        pytest.param({"/a": "one"}, ["/a/b"], id="external and public"),
        pytest.param({"/a": "one", "/a/b": "two"}, [], id="two reasons"),
        pytest.param({"ops": "one"}, ["/a"], id="name and path"),
    ],
)
def test_rules_that_disagree_declare_nothing(external_rules: dict[str, str], public: list[str]) -> None:
    """The route stays unmarked, so it is refused, and the fault names the rules."""
    found = rules(external_rules, public).declare(route("/a/b", groups=("ops",)))
    assert (None, 1) == (found.requirement, len(found.faults))
    assert "contradict each other" in found.faults[0]
    assert found.faults == route_faults([found], Rules(), nothing)


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
    """Everything that would open all or says nothing is refused, all of it at once."""
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
    found = rules(public=[rule]).faults(iter(routes))
    assert expected == "" if not found else expected in found[0]


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
    """Each name that a declaration reads and the route does not have is a fault beside the route's own."""
    found = route(requirement=requirement, parameters=parameters, faults=("own",)).all_faults()
    assert ("own", expected) == (found[0], len(found) - 1)
    assert ["GET,HEAD /orders/{order_id}: "] * expected == [each[: len(route().label) + 2] for each in found[1:]]


def test_all_faults_of_a_host_each_once() -> None:
    """Declarations, requirements under these settings, and rules: every fault, and each of them once."""
    routes = [
        route(requirement=all_of("a:{x}"), parameters=frozenset({"order_id"})),
        route(requirement=all_of("a:{x}"), parameters=frozenset({"order_id"})),
        route(faults=("own",)),
    ]
    found = route_faults(routes, rules(public=["nowhere"]), lambda requirement: [f"bad {requirement}"])
    assert 4 == len(found)
    assert {"own", "bad a:{x}"} < set(found)


def test_faults_come_in_the_order_of_routes() -> None:
    """Two starts list the same faults in the same order."""
    routes = [route(requirement=all_of(f"a:{number}")) for number in range(50)]
    found = route_faults(routes, Rules(), lambda requirement: [str(requirement)])
    assert [f"a:{number}" for number in range(50)] == list(found)


paths = st.lists(st.sampled_from(["a", "b", "ab", "{x}"]), max_size=3).map(lambda parts: "/" + "/".join(parts))


@examples(150)
@given(paths.filter(lambda rule: rule != "/"), paths)
def test_a_prefix_rule_covers_whole_segments_only(rule: str, template: str) -> None:
    """A rule opens exactly the template itself and what continues it after a slash."""
    opened = rules(public=[rule]).declare(route(template)).requirement is PUBLIC
    assert opened is (template == rule or template.startswith(rule + "/"))


def test_naughty_rules() -> None:
    """A naughty rule or reason opens no ordinary route, and every message is one line."""
    for text in naughty_strings.load_strings():
        made = naughty_strings.result_or_error(partial(rules, {text: text}, [text + "x"]), ConfigurationError)
        if isinstance(made, ConfigurationError):
            assert all(fault.isprintable() for fault in made.faults)
            continue
        found = made.declare(route("/orders", names=("orders",), groups=("api",)))
        assert (None, ()) == (found.requirement, found.faults)
        assert all(fault.isprintable() for fault in made.faults([found]))


def test_a_name_of_several_routes_is_a_fault() -> None:
    """A rule's name has to mean one endpoint: FastAPI names routes for their functions, wherever these stand."""
    found = [Route(("GET",), f"/{name}", f"{name}.status", names=("status",)) for name in ("health", "admin")]
    assert ("the rule 'status' is the name of several routes: use a path prefix",) == rules(public=["status"]).faults(
        found
    )
