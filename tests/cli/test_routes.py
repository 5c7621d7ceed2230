from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta

import pytest

SOON = (datetime.now(UTC).date() + timedelta(days=5)).isoformat()


def test_all_declared_is_fine(project, cli):
    """If every route has a declaration, the exit code is 0."""
    code, out, err = cli("routes", "shop:app")
    assert (0, "") == (code, err)
    assert "8 routes: 4 requirement, 1 authenticated, 2 public, 1 external, 0 undeclared; 0 faults" in " ".join(
        out.split()
    )
    assert "!!" not in out
    for message in ("external: the proxy", "orders:audit | (orders:list & orders:export)", "users:read & user_id=sub"):
        assert message in out


def test_an_undeclared_route_is_found(project, cli):
    """An undeclared route is marked and counted, and makes the exit code 1."""
    code, out, _ = cli("routes", "shop:undeclared")
    assert 1 == code
    (line,) = [line for line in out.splitlines() if line.startswith("!!")]
    assert "POST" in line
    assert "no declaration: refused" in line
    assert "--suggest prints the missing declarations." in out


def test_a_wide_terminal_has_a_line_for_each_route(project, cli):
    """In a wide terminal, endpoint and origin have columns of their own."""
    _, out, _ = cli("routes", "shop:app", COLUMNS="140")
    (line,) = [line for line in out.splitlines() if "/orders/{order_id}" in line]
    for message in ("GET", "shop.order", "orders:{order_id}:read", "@requires"):
        assert message in line


def test_a_narrow_terminal_loses_nothing(project, cli):
    """In a terminal of 40 columns everything is folded and nothing is cut."""
    _, out, _ = cli("routes", "shop:app", COLUMNS="40")
    assert max(map(len, out.splitlines())) <= 40
    assert "…" not in out


def test_faults_are_shown(project, cli):
    """Faults of declarations and of rules are listed and make the exit code 1."""
    project.write(
        "shop.py",
        (project.folder / "shop.py").read_text(encoding="utf-8")
        + 'faulty = create_app([Route(("GET",), "/f/{id}", "shop.f", all_of("f:{idd}:read"), parameters=frozenset({"id"}))])\n',
    )
    project.settings(EXTERNAL={"nowhere": "nobody"})
    code, out, _ = cli("routes", "shop:faulty")
    message = " ".join(out.split())
    assert 1 == code
    assert "!! fault: GET /f/{id}: f:{idd}:read reads idd, but the route's parameters are: id" in message
    assert "!! fault: the rule 'nowhere' matches no route" in message
    assert "2 faults" in message
    code, out, err = cli("routes", "shop:faulty", "--json")
    (faulty,) = [route for route in json.loads(out) if route["endpoint"] == "shop.f"]
    assert 1 == code
    assert ["GET /f/{id}: f:{idd}:read reads idd, but the route's parameters are: id"] == faulty["faults"]
    assert "matches no route" in err
    assert "reads idd" not in err


def test_json_is_alone_on_standard_output(project, cli):
    """`--json` prints only a list of objects; everything else is on standard error."""
    project.settings(OBSERVE_UNTIL=SOON)
    code, out, err = cli("routes", "shop:undeclared", "--json")
    found = {route["template"] if route["methods"] != ["POST"] else "new": route for route in json.loads(out)}
    assert 1 == code
    assert "NOT enforced" in err
    assert {
        "methods": ["GET"],
        "template": "/orders/{order_id}",
        "endpoint": "shop.order",
        "kind": "requirement",
        "guarded": True,
        "requirement": "orders:{order_id}:read",
        "permissions": ["orders:{order_id}:read"],
        "parameters": ["order_id"],
        "origin": "@requires",
        "reason": None,
        "hint": "",
        "faults": [],
    } == found["/orders/{order_id}"]
    assert ["external", "the proxy"] == [found["/legacy"][name] for name in ("kind", "reason")]
    assert ["undeclared", None, '@requires("orders:create")'] == [
        found["new"][name] for name in ("kind", "requirement", "hint")
    ]
    assert ["public", "public", "authenticated"] == [found[path]["kind"] for path in ("/", "/hello", "/me")]


def test_observe_mode_and_development_are_loud(project, cli):
    """Warnings about relaxed settings come first, and in observe mode an undeclared route is not called refused."""
    project.settings(OBSERVE_UNTIL=SOON)
    _, out, _ = cli("routes", "shop:undeclared", JWT_LP_DEV="1")
    assert " ".join(out.split()).startswith(
        f"!! OBSERVE_UNTIL = {SOON}: requirements are observed, NOT enforced, until then !!"
    )
    assert "!! JWT_LP_DEV=1: " in out
    assert "no declaration: passes while observing" in " ".join(out.split())


def test_suggestions_are_ready_to_paste(project, cli):
    """`--suggest` prints missing declarations by endpoint, and settings for third-party routes."""
    project.write(
        "shop.py",
        (project.folder / "shop.py").read_text(encoding="utf-8")
        + """
late = create_app([
    Route(("POST",), "/orders", "shop.create", hint='@requires("orders:create")'),
    Route(("PUT",), "/orders", "shop.create", hint='@requires("orders:update")'),
    Route(("GET",), "/x", "shop.x"),
    Route((), "/admin/", "pytest.admin", names=("index",), groups=("admin",)),
    Route(("GET",), "/admin/login", "pytest.login", groups=("admin",)),
    Route(("GET",), "/files", "json.tool", names=("own",)),
    Route(("GET",), "/api", "pytest.api", groups=("own",)),
    Route(("GET",), "/", "pytest.spa"),
    Route(("GET",), '/api/x', "shop.y", hint="@public", groups=("own",)),
])
""",
    )
    code, out, err = cli("routes", "shop:late", "--suggest")
    assert 1 == code
    assert (
        """\
# shop.create: POST /orders; PUT /orders
@requires("orders:create")
@requires("orders:update")

# shop.x: GET /x
# no suggestion: declare it by hand

# shop.y: GET /api/x
@public

# in the settings, for routes that you cannot decorate (or PUBLIC = [...], if they are public)
EXTERNAL = {
    "admin": "say who guards it instead",
    "/files": "say who guards it instead",
    # no rule matches only GET /api: serve it under a path of its own
    # no rule matches only GET /: serve it under a path of its own
}
"""
        == out
    )
    assert "17 routes" in err


def test_nothing_to_suggest(project, cli):
    """If nothing is missing, standard output is empty."""
    code, out, err = cli("routes", "shop:app", "--suggest")
    assert (0, "") == (code, out)
    assert err.startswith("# nothing is missing")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((), "which application?"),
        (("shop:bare",), "the application has no guard: add ToyGuard(app)"),
        (("shop:app", "--json", "--suggest"), "leave --suggest out"),
    ],
)
def test_wrong_usage(project, cli, arguments, message):
    """Wrong usage exits with 2, names the right usage, and prints nothing on standard output."""
    code, out, err = cli("routes", *arguments)
    assert (2, "") == (code, out)
    assert message in err


def test_a_template_cannot_steer_the_terminal(project, cli):
    """Every part of a route is printed escaped."""
    project.write(
        "shop.py",
        (project.folder / "shop.py").read_text(encoding="utf-8")
        + 'odd = create_app([Route(("GET",), "/\\x1b[2J[red]", "shop.\\u202e", hint="# \\x07")])\n',
    )
    assert "/\\x1b[2J[red]" in cli("routes", "shop:odd")[1]
    assert "# \\x07\n" in cli("routes", "shop:odd", "--suggest")[1]


@pytest.mark.parametrize(
    ("endpoint", "expected"),
    [
        ("pytest.x", True),
        ("json.tool", True),
        ("shop.x", False),
        ("__main__.x", False),
        ("nowhere.x", False),
        ("", False),
    ],
)
def test_whose_code_it_is(project, endpoint, expected):
    """Code of the standard library and of installed packages is third-party; all other code is the project's."""
    from jwt_lp.cli.routes import is_third_party

    assert expected == is_third_party(endpoint)
