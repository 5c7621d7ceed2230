"""The Flask adapter's host object, its command, and Flask-Login with it."""

from __future__ import annotations

import pytest

pytest.importorskip("flask")

from flask import Blueprint, Flask, abort, request

from jwt_lp import ConfigurationError
from jwt_lp.guard.hosts import Host
from jwt_lp.testing.authority import Authority, LeastPrivilegeTesting
from jwt_lp_flask import LeastPrivilege, authenticated, current_token, guard_from, public, requires, token_from
from jwt_lp_flask.cli import group
from jwt_lp_flask.routes import host

pytestmark = pytest.mark.host

AUTHORITY = Authority()


@pytest.fixture
def app():
    app = Flask("shop", static_folder=None)
    LeastPrivilege(app, AUTHORITY.settings(PUBLIC=["docs"]))
    blueprint = Blueprint("shop", "shop", url_prefix="/<lang>")

    @blueprint.url_value_preprocessor
    def localised(endpoint, values):
        if values.pop("lang") == "xx":
            abort(404)

    blueprint.add_url_rule("/orders/<int:order_id>", "order", requires("orders:{order_id}:read")(subject))
    app.register_blueprint(blueprint)
    app.add_url_rule("/docs", "docs", lambda: "docs")
    app.add_url_rule("/me", "me", authenticated(subject), methods=["GET", "POST"])
    return app


def subject(**_):
    return {"subject": current_token.subject}


# The host object


def test_the_host_recognises_flask_only(app):
    """The host recognises only Flask applications; for one without a guard the error says what to add."""
    typed: Host = host
    assert [True, False, False] == [typed.recognises(value) for value in (app, object(), None)]
    assert guard_from(app) is typed.guard(app)
    for ask in (typed.guard, typed.routes):
        with pytest.raises(ConfigurationError, match=r"LeastPrivilege\(app\)"):
            ask(Flask("bare"))


@pytest.mark.parametrize(
    ("method", "path", "expected"),
    [
        ("GET", "/en/orders/007", ("GET /{lang}/orders/{order_id}", "orders:{order_id}:read", {"order_id": 7})),
        ("HEAD", "/en/orders/7", ("HEAD /{lang}/orders/{order_id}", "orders:{order_id}:read", {"order_id": 7})),
        ("POST", "/me", ("POST /me", "authenticated", {})),
        ("GET", "/docs", ("GET /docs", "public", {})),
    ],
)
def test_a_request_is_resolved_as_flask_does(app, method, path, expected):
    """`resolve` returns the router's route and the parameters that the view gets after the preprocessors."""
    resolved = host.resolve(app, method, path)
    assert resolved is not None
    route, params = resolved
    assert expected == (route.label, str(route.requirement), params)


@pytest.mark.parametrize("request_line", ["GET /none", "PUT /me", "OPTIONS /me", "GET /docs/", "GET /xx/orders/7"])
def test_a_request_that_reaches_no_view_is_not_resolved(app, request_line):
    """A path without a route, a wrong method, Flask's OPTIONS, a redirect and a preprocessor's 404 give None."""
    assert None is host.resolve(app, *request_line.split(" "))


def test_a_guard_is_swapped_and_restored(app):
    """Inside `swap_guard`, the application accepts the other authority's tokens, and its own again afterwards."""
    other = Authority(like=guard_from(app).settings)
    client, headers = app.test_client(), other.headers()
    assert 401 == client.get("/me", headers=headers).status_code
    with host.swap_guard(app, other.guard()):
        assert 200 == client.get("/me", headers=headers).status_code
    assert 401 == client.get("/me", headers=headers).status_code
    with host.swap_guard(app, AUTHORITY.guard(PUBLIC=["nowhere"])):
        assert 500 == client.get("/docs").status_code
    assert 200 == client.get("/docs").status_code


def test_a_test_client_logs_in(app):
    """Every request of the client carries the token, unless it has its own header."""
    client = app.test_client()
    assert host.login(client, AUTHORITY.headers("bob")["Authorization"])
    assert {"subject": "bob"} == client.get("/me").json
    assert {"subject": "carol"} == client.get("/me", headers=AUTHORITY.headers("carol")).json
    assert 401 == app.test_client().get("/me").status_code
    assert not host.login(object(), "Bearer x")


def test_the_fixture_works_on_flask(app):
    """`lp.install` and `lp.login` make the application trust an authority for one test."""
    testing = LeastPrivilegeTesting()
    testing.install(app)
    client = app.test_client()
    testing.login(client, "dave", ["orders:7:read"])
    assert {"subject": "dave"} == client.get("/en/orders/7").json
    testing.close()
    assert 401 == client.get("/en/orders/7").status_code


# The command


def test_the_command_answers_for_the_current_app(app):
    """`flask jwt-lp routes` lists the application's routes; its exit code shows whether all are declared."""
    pytest.importorskip("rich")
    run = app.test_cli_runner().invoke
    good = run(group, ["routes", "--json"])
    assert (0, True) == (good.exit_code, "orders:{order_id}:read" in good.output)
    app.add_url_rule("/bare", "bare", subject)
    assert [1, 1] == [run(group, [command]).exit_code for command in ("routes", "check")]
    assert 2 == run(group, ["nonsense"]).exit_code
    assert "flask jwt-lp" in run(group, ["--help"]).output


def test_the_command_needs_a_guard():
    """Without the extension the command reports a configuration error that says what to add."""
    pytest.importorskip("rich")
    result = Flask("bare").test_cli_runner().invoke(group, ["check"])
    assert (2, True) == (result.exit_code, "LeastPrivilege(app)" in result.output)


# With another extension


def test_flask_login_reads_the_token(app):
    """Flask-Login's request loader can read the guard's token; without a token there is no user."""
    flask_login = pytest.importorskip("flask_login")

    app.secret_key = "not used: nothing is kept in a session"
    manager = flask_login.LoginManager(app)

    @manager.request_loader
    def load(request):
        token = token_from(request)
        if token is None:
            return None
        user = flask_login.UserMixin()
        user.id = token.subject
        return user

    @app.get("/who")
    @public(identify=True)
    def who():
        user = flask_login.current_user
        return {"who": user.get_id() if user.is_authenticated else None}

    app.add_url_rule("/login", "login", public(flask_login.login_required(lambda: request.path)))
    app.add_url_rule("/in", "in", authenticated(flask_login.login_required(subject)))
    client = app.test_client()
    assert [None, "erin"] == [
        client.get("/who", headers=headers).json["who"] for headers in ({}, AUTHORITY.headers("erin"))
    ]
    assert {"subject": "erin"} == client.get("/in", headers=AUTHORITY.headers("erin")).json
    assert 401 == client.get("/login", headers=AUTHORITY.headers("erin")).status_code
