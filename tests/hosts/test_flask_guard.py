"""The decisions of the Flask adapter, which no hook and no error handler can avoid."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from datetime import UTC, datetime
from typing import ClassVar

import pytest

pytest.importorskip("flask")

from flask import Blueprint, Flask, Response, abort, current_app, g, request, send_file, stream_with_context
from flask.views import MethodView
from werkzeug.exceptions import HTTPException
from werkzeug.middleware.proxy_fix import ProxyFix
from werkzeug.routing import Rule

from jwt_lp import ConfigurationError, TemplateError
from jwt_lp.testing.authority import Authority
from jwt_lp_flask import (
    LeastPrivilege,
    authenticated,
    can,
    current_token,
    enforce,
    external,
    guard_from,
    public,
    requires,
    token_from,
)

pytestmark = pytest.mark.host

AUTHORITY = Authority()
SECRET = b"SECRET"


@pytest.fixture
def app():
    app = Flask("shop", static_folder=None)
    LeastPrivilege(app, AUTHORITY.settings())
    with guard_from(app):
        yield app


def bearer_headers(*permissions, **more):
    return AUTHORITY.headers("alice", permissions, **more)


def secret(**_):
    return SECRET


def add(app, path, view):
    """Register a view under its own endpoint."""
    app.add_url_rule(path, path, view)


def status(app, method, path, *permissions):
    with app.test_client().open(path, method=method, headers=bearer_headers(*permissions)) as answer:
        assert answer.status_code < 400 or SECRET not in answer.data
        return answer.status_code


# The order of hooks


def test_the_decision_is_made_before_any_hook():
    """No hook of the project runs for a refused request, whether registered before or after the extension."""
    ran = []
    app = Flask("shop", static_folder=None)
    app.before_request(lambda: ran.append("before"))
    LeastPrivilege(app, AUTHORITY.settings())
    blueprint = Blueprint("b", "b")
    blueprint.before_app_request(lambda: ran.append("blueprint"))
    blueprint.get("/x")(requires("a:b")(secret))
    app.register_blueprint(blueprint)
    app.before_request(lambda: ran.append("after"))
    assert 403 == status(app, "GET", "/x")
    assert [] == ran
    assert 200 == status(app, "GET", "/x", "a:b")
    assert ["before", "blueprint", "after"] == ran


def test_an_earlier_hook_does_not_answer_a_refused_request(app):
    """A hook that answers every request never runs for a refused request."""
    app.before_request(secret)
    add(app, "/x", requires("a:b")(secret))
    assert 403 == status(app, "GET", "/x")


def test_the_answer_of_a_hook_before_the_guard_is_checked(app):
    """The answer of a hook before the guard is sent only if the request passes the route's requirement."""
    add(app, "/x", requires("a:b")(secret))
    add(app, "/undeclared", secret)
    app.before_request_funcs[None].insert(0, secret)
    assert 403 == status(app, "GET", "/x")
    assert 200 == status(app, "GET", "/x", "a:b")
    assert 403 == status(app, "GET", "/undeclared", "a:b")
    anonymous = app.test_client().get("/undeclared")
    assert (401, "Bearer") == (anonymous.status_code, anonymous.headers["WWW-Authenticate"])


def test_a_withheld_response_is_closed(app):
    """A withheld response is closed."""
    closed = []

    def streaming():
        response = current_app.response_class(iter([SECRET]))
        response.call_on_close(lambda: closed.append(True))
        return response

    app.before_request_funcs[None].insert(0, streaming)
    add(app, "/x", requires("a:b")(secret))
    assert 403 == status(app, "GET", "/x")
    assert [True] == closed


def test_a_failure_before_the_guard_is_withheld(app):
    """If a preprocessor aborts, a client without permission gets the refusal, not the preprocessor's answer."""

    @app.url_value_preprocessor
    def first_or_404(endpoint, values):
        abort(404, "SECRET")

    add(app, "/x", requires("a:b")(secret))
    assert 403 == status(app, "GET", "/x")
    assert 404 == app.test_client().get("/x", headers=bearer_headers("a:b")).status_code


def test_a_decision_is_made_once(app, monkeypatch):
    """Guard, decorator and `enforce` share one decision for one requirement, which is recorded once."""
    checked = []
    check = guard_from(app).check
    add(app, "/x", requires("a:b")(lambda: enforce(request, "a:b").subject))

    def counting(*args, **kwargs):
        checked.append(args[3])
        return check(*args, **kwargs)

    monkeypatch.setattr(guard_from(app), "check", counting)
    assert 200 == status(app, "GET", "/x", "a:b")
    assert ["GET /x"] == checked


# Routes without a declaration


def test_an_undeclared_route_is_refused(app):
    """An undeclared route answers 401 bare without a token and 403 without `scope` with one."""
    add(app, "/x", secret)
    anonymous = app.test_client().get("/x")
    assert (401, "Bearer") == (anonymous.status_code, anonymous.headers["WWW-Authenticate"])
    answer = app.test_client().get("/x", headers=bearer_headers("a:b"))
    assert 403 == answer.status_code
    assert "scope=" not in answer.headers["WWW-Authenticate"]


def test_static_files_are_refused_unless_declared(tmp_path):
    """The static endpoints of the application and of blueprints need a declaration like any route."""
    (tmp_path / "a.txt").write_bytes(SECRET)
    for settings, expected in (({}, 403), ({"PUBLIC": ["static", "b"]}, 200)):
        app = Flask("static", static_folder=str(tmp_path), static_url_path="/static")
        LeastPrivilege(app, AUTHORITY.settings(**settings))
        app.register_blueprint(
            Blueprint("b", "b", static_folder=str(tmp_path), static_url_path="/static", url_prefix="/b")
        )
        assert [expected, expected] == [status(app, "GET", f"{at}/static/a.txt") for at in ("", "/b")]


def test_a_decorator_that_loses_the_declaration_fails_closed(app):
    """A decorator without `functools.wraps`, or ours above the route's, leaves the route undeclared."""

    def lossy(view):
        def replaced(**params):
            return view(**params)

        return replaced

    app.add_url_rule("/lossy", "lossy", lossy(requires("a:b")(secret)))
    requires("a:b")(app.get("/order", endpoint="order")(secret))
    assert [403, 403] == [status(app, "GET", path, "a:b") for path in ("/lossy", "/order")]


def test_rules_without_a_function_or_methods_are_refused(app):
    """A rule that was added to the URL map by hand is refused for every method."""
    app.url_map.add(Rule("/none", endpoint="none"))
    app.url_map.add(Rule("/any", endpoint="any"))
    app.endpoint("any")(secret)
    assert [403] * 4 == [status(app, method, path) for method in ("GET", "OPTIONS") for path in ("/none", "/any")]


def test_a_replaced_view_is_read_again(app):
    """If a view function is replaced while serving, the new function's declaration counts, if it has one."""
    app.add_url_rule("/x", "x", public(secret))
    assert 200 == status(app, "GET", "/x")
    app.view_functions["x"] = secret
    assert 403 == status(app, "GET", "/x")


# Methods


def test_head_takes_the_rule_of_get(app):
    """HEAD has the rule of GET, and no body."""
    add(app, "/x", requires("a:b")(secret))
    assert [403, 200] == [status(app, "HEAD", "/x", *permissions) for permissions in ((), ("a:b",))]


def test_a_preflight_never_reaches_a_view(app):
    """Flask's own empty answer to OPTIONS passes; a view that takes OPTIONS needs permission, also for a preflight."""
    ran = []

    def view():
        ran.append(request.method)
        return SECRET

    app.add_url_rule("/own", "own", requires("a:b")(view), methods=["GET"])
    app.add_url_rule("/explicit", "explicit", requires("a:b")(view), methods=["GET", "OPTIONS"])
    app.add_url_rule("/undeclared", "undeclared", view, methods=["OPTIONS"])
    preflight = {"Origin": "https://other.test", "Access-Control-Request-Method": "GET"}
    answers = [app.test_client().options(path, headers=preflight) for path in ("/own", "/explicit", "/undeclared")]
    assert [200, 401, 401] == [answer.status_code for answer in answers]
    assert b"" == answers[0].data
    assert [] == ran
    assert 200 == status(app, "OPTIONS", "/explicit", "a:b")


def test_a_hook_that_answers_options_with_content_is_withheld(app):
    """A hook's answer to OPTIONS with content is withheld; only an empty answer is Flask's own."""
    app.before_request(lambda: SECRET if request.method == "OPTIONS" else None)
    add(app, "/x", requires("a:b")(secret))
    assert 403 == status(app, "OPTIONS", "/x")


def test_flasks_own_answers_need_no_token(app):
    """404, 405 and the slash redirect are Flask's own answers, with and without a token."""
    add(app, "/x/", requires("a:b")(secret))
    for headers in (None, bearer_headers()):
        client = app.test_client()
        answers = [client.get("/none", headers=headers), client.post("/x/", headers=headers)]
        assert [404, 405] == [answer.status_code for answer in answers]
        assert "GET" in answers[1].headers["Allow"]
        assert 308 == client.get("/x", headers=headers).status_code
    assert 404 == app.test_client().get("/x/%0A").status_code


def test_content_for_an_unknown_path_is_withheld(app):
    """A 404 handler may change the text, but neither it nor a hook may serve content for a path without a route."""
    app.register_error_handler(404, lambda error: (request.args["word"], int(request.args["status"])))
    app.before_request(lambda: SECRET if request.path == "/hook" else None)
    client = app.test_client()
    assert b"gone" == client.get("/none?word=gone&status=404").data
    assert 401 == client.get("/none?word=SECRET&status=200").status_code
    assert 401 == client.get("/hook").status_code


# Refusals are final


@pytest.mark.parametrize("trap", [False, True])
@pytest.mark.parametrize("inside", [False, True])
def test_no_error_handler_turns_a_refusal_into_an_answer(app, trap, inside):
    """Catch-all error handlers never see a refusal of the guard or of a view, and cannot replace one."""
    app.config.update(TRAP_HTTP_EXCEPTIONS=trap, PROPAGATE_EXCEPTIONS=False)
    app.register_error_handler(Exception, lambda error: (SECRET, 200))
    app.register_error_handler(403, lambda error: (SECRET, 200))
    add(app, "/x", (authenticated if inside else requires("a:b"))(lambda: enforce(request, "a:b").subject))
    answer = app.test_client().get("/x", headers=bearer_headers())
    assert (403, "insufficient_scope") == (answer.status_code, answer.json["error"])
    assert 'scope="a:b"' in answer.headers["WWW-Authenticate"]


@pytest.mark.parametrize(("expected", "path"), [(True, "/plain/7"), (False, "/replaced/7"), (False, "/inside/7")])
def test_a_403_names_no_value_of_the_application(app, expected, path):
    """`scope` names what the client sent, and not what a preprocessor or `enforce` put in its place."""

    @app.url_value_preprocessor
    def replace(endpoint, values):
        if endpoint == "replaced":
            values["order_id"] = "internal"

    def inside(order_id):
        return enforce(request, "orders:{order_id}:read", params={"order_id": "internal"}).subject

    app.add_url_rule("/plain/<order_id>", "plain", requires("orders:{order_id}:read")(secret))
    app.add_url_rule("/replaced/<order_id>", "replaced", requires("orders:{order_id}:read")(secret))
    app.add_url_rule("/inside/<order_id>", "inside", authenticated(inside))
    answer = app.test_client().get(path, headers=bearer_headers())
    challenge = answer.headers["WWW-Authenticate"]
    assert (403, expected) == (answer.status_code, 'scope="orders:7:read"' in challenge)
    assert "internal" not in f"{challenge}{answer.text}"


def test_a_view_cannot_swallow_a_refusal(app):
    """A refusal by `enforce` or by another view's declaration is final, even if the caller catches it."""
    guarded = requires("a:b")(secret)

    @app.get("/x")
    @authenticated
    def view():
        try:
            enforce(request, "a:b") if request.args else guarded()
        except HTTPException:
            return SECRET
        return b"served"

    assert [403, 403] == [status(app, "GET", path) for path in ("/x", "/x?enforce")]
    assert 200 == status(app, "GET", "/x", "a:b")


def test_a_refusal_ends_a_response_that_has_begun(app):
    """If the status was sent before a refusal, the rest of the body is not sent, and the response is closed."""
    closed = []

    def rows():
        try:
            for number in range(3):
                with suppress(HTTPException):
                    enforce(request, "o:{n}:read", params={"n": number})
                yield f"row {number};"
        finally:
            closed.append(True)

    add(app, "/x", authenticated(lambda: Response(stream_with_context(rows()))))
    with app.test_client() as client:
        assert b"row 0;row 1;row 2;" == client.get("/x", headers=bearer_headers("o:*:read")).data
        chunks = []
        with (
            client.get("/x", headers=bearer_headers("o:0:read", "o:2:read"), buffered=False) as answer,
            pytest.raises(RuntimeError, match="refused after its response had begun"),
        ):
            chunks.extend(answer.iter_encoded())
    assert ([b"row 0;"], [True, True]) == (chunks, closed)


def test_a_file_response_is_passed_through(app, tmp_path):
    """A file is passed through unchanged, so that the server can send it in its own way."""
    (tmp_path / "file").write_bytes(b"file")
    passed = []

    def look(response):
        passed.append(response.direct_passthrough)
        return response

    # After-request hooks run in reverse order.
    app.after_request_funcs[None].insert(0, look)
    add(app, "/x", authenticated(lambda: send_file(tmp_path / "file")))
    with app.test_client().get("/x", headers=bearer_headers()) as answer:
        assert (b"file", [True]) == (answer.data, passed)


def test_no_later_hook_turns_a_refusal_into_an_answer():
    """An after-request hook cannot replace a refusal by content, whenever it was registered."""
    app = Flask("shop", static_folder=None)
    app.after_request(lambda response: app.response_class(SECRET, request.args["status"], response.headers))
    LeastPrivilege(app, AUTHORITY.settings())
    add(app, "/x", requires("a:b")(secret))
    assert 403 == status(app, "GET", "/x?status=200")
    app.after_request_funcs[None][1:] = [lambda response: app.response_class(SECRET, 403)]
    assert 403 == status(app, "GET", "/x")


def test_a_refusal_may_be_reworded(app):
    """An after-request hook may change the body of a refusal if status and challenge stay."""

    @app.after_request
    def envelope(response):
        response.set_data(b"envelope")
        response.headers["Access-Control-Allow-Origin"] = "*"
        return response

    add(app, "/x", requires("a:b")(secret))
    answer = app.test_client().get("/x")
    assert (401, b"envelope", "*") == (
        answer.status_code,
        answer.data,
        answer.headers["Access-Control-Allow-Origin"],
    )


# Parameters of the view


def test_a_template_is_filled_from_the_views_parameters(app):
    """Templates use parameters as preprocessors change them; a removed parameter leads to a refusal."""

    @app.url_value_preprocessor
    def localised(endpoint, values):
        values.pop("lang", None)
        if "item" in values:
            values["item"] = f"{values['item']}-eu"

    add(app, "/<lang>/<item>", requires("items:{item}:read")(secret))
    add(app, "/gone/<lang>/x", requires("langs:{lang}:read")(secret))
    assert [200, 403] == [status(app, "GET", "/en/7", permission) for permission in ("items:7-eu:read", "items:7:read")]
    assert 403 == status(app, "GET", "/gone/en/x", "langs:en:read")


def test_parameters_changed_after_the_decision_are_checked_again(app):
    """If a hook after the guard changes the view's parameters, the guard decides again."""
    ran = []

    @app.get("/x/<int:item>")
    @requires("items:{item}:read")
    def item(item):
        ran.append(item)
        return SECRET

    app.add_url_rule("/y/<int:item>", view_func=Item.as_view("mapped"))

    @app.before_request
    def moved():
        assert request.view_args is not None
        request.view_args["item"] = 8

    assert 403 == status(app, "GET", "/x/7", "items:7:read")
    assert [] == ran
    assert 403 == status(app, "GET", "/y/7", "items:7:read")
    assert 200 == status(app, "GET", "/x/7", "items:7:read", "items:8:read")


class Item(MethodView):
    required_permissions: ClassVar = {"GET": "items:{item}:read"}

    def get(self, item):
        return SECRET


@pytest.mark.parametrize("value", ["a:b", "*", "**", "a%00", "a%0A", "%7Bitem%7D", "a%20b", "%C3%A9", "a%22"])
def test_no_value_widens_the_required_permission(app, value):
    """A value that is not one segment is refused, whatever the token grants."""
    add(app, "/x/<item>", requires("items:{item}:read")(secret))
    assert 403 == status(app, "GET", f"/x/{value}", "items:**")


def test_the_converted_value_counts(app):
    """The required permission uses the converted value, which is the one that the view gets."""
    add(app, "/x/<int:item>", requires("items:{item}:read")(secret))
    assert 200 == status(app, "GET", "/x/007", "items:7:read")


def test_a_wrong_type_inside_the_view_is_refused(app):
    """`enforce` refuses a value of a wrong type, even after a decision on an equal value."""

    @app.get("/x")
    @authenticated
    def view():
        enforce(request, "items:{item}:read", params={"item": 1})
        enforce(request, "items:{item}:read", params={"item": True})
        return SECRET

    assert 403 == status(app, "GET", "/x", "items:1:read")


# Inside the view


def test_the_token_is_kept_on_the_request(app):
    """`current_token` and `token_from` give the verified token, or nothing on a route that requires none."""
    add(
        app,
        "/me",
        authenticated(lambda: {"is": current_token.subject, "same": token_from(request) == current_token}),
    )
    add(app, "/open", public(lambda: {"token": bool(current_token)}))
    add(app, "/who", public(identify=True)(lambda: {"token": bool(current_token)}))
    add(app, "/proxied", external("a proxy")(lambda: {"token": bool(current_token)}))
    client = app.test_client()
    assert {"is": "alice", "same": True} == client.get("/me", headers=bearer_headers()).json
    answers = [client.get(path, headers=bearer_headers()).json["token"] for path in ("/open", "/who", "/proxied")]
    assert [False, True, False] == answers


def test_enforce_decides_and_can_only_answers(app, caplog):
    """`enforce` uses the route's parameters, refuses and logs; `can` only answers and logs nothing."""

    @app.get("/shops/<shop>")
    @authenticated
    def view(shop):
        answers = {"can": can(request, "shops:{shop}:{item}", params={"item": "a"})}
        if request.args:
            enforce(request, "shops:{shop}:{item}", params={"item": "a"})
        return answers

    client = app.test_client()
    assert {"can": False} == client.get("/shops/1", headers=bearer_headers()).json
    assert [] == [record for record in caplog.records if "refused" in record.message]
    assert {"can": True} == client.get("/shops/1?enforce", headers=bearer_headers("shops:1:a")).json
    assert 403 == client.get("/shops/1?enforce", headers=bearer_headers("shops:2:a")).status_code
    assert ["GET /shops/{shop}"] == [record.jwt_lp["route"] for record in caplog.records if "refused" in record.message]


def test_a_context_pushed_by_hand_has_no_decision(app):
    """In a context pushed by hand there is no token and `can` is False, but `enforce` decides."""
    add(app, "/x", requires("a:b")(secret))
    with app.test_request_context("/x", headers=bearer_headers("a:b")):
        assert (None, False) == (token_from(request), can(request, "a:b"))
        assert not current_token
        assert "alice" == enforce(request, "a:b").subject
        assert (True, "alice") == (can(request, "a:b"), current_token.subject)
    with app.test_request_context("/x"), pytest.raises(HTTPException) as caught:
        enforce(request, "a:b")
    assert 401 == caught.value.get_response().status_code
    assert (None, False) == (token_from(request), can(request, "a:b"))


def test_decisions_do_not_outlive_their_request(app):
    """Requests that share an application context, and so `flask.g`, do not share decisions."""
    add(app, "/x", requires("a:b")(lambda: {"is": current_token.subject, "g": sorted(g)}))
    with app.app_context():
        client = app.test_client()
        assert {"is": "alice", "g": []} == client.get("/x", headers=bearer_headers("a:b")).json
        assert 401 == client.get("/x").status_code
        assert 403 == client.get("/x", headers=bearer_headers()).status_code
        assert None is token_from(request)


def test_threads_never_mix_subjects(app):
    """Concurrent requests on reused threads each see their own token."""

    @app.get("/me")
    @authenticated
    def me():
        app.test_client().get("/nested", headers=AUTHORITY.headers("nested"))
        return {"is": current_token.subject}

    add(app, "/nested", authenticated(lambda: {"is": current_token.subject}))
    names = [f"user{number}" for number in range(60)]

    def ask(name):
        return app.test_client().get("/me", headers=AUTHORITY.headers(name)).json["is"]

    with ThreadPoolExecutor(8) as pool:
        assert names == list(pool.map(ask, names))


def test_async_views_are_guarded_alike(app):
    """Async functions and methods are declared and refused like sync ones, and see the same token."""
    pytest.importorskip("asgiref")

    @app.get("/x")
    @requires("a:b")
    async def view():
        enforce(request, "a:b")
        return {"is": current_token.subject, "can": can(request, "a:c")}

    class Views(MethodView):
        @requires("a:b")
        async def get(self):
            return {"is": current_token.subject}

        async def post(self):
            return SECRET

    app.add_url_rule("/class", view_func=Views.as_view("views"))
    client = app.test_client()
    assert {"is": "alice", "can": False} == client.get("/x", headers=bearer_headers("a:b")).json
    assert {"is": "alice"} == client.get("/class", headers=bearer_headers("a:b")).json
    assert [403, 403, 403] == [
        status(app, *call) for call in (("GET", "/x"), ("GET", "/class"), ("POST", "/class", "a:b"))
    ]


# The header, the peer, the settings


def test_two_credentials_are_refused(app):
    """Two Authorization header lines, which WSGI joins into one list, are malformed."""
    add(app, "/x", requires("a:b")(secret))
    joined = ",".join([bearer_headers("a:b")["Authorization"]] * 2)
    answer = app.test_client().get("/x", headers={"Authorization": joined})
    assert (400, "invalid_request") == (answer.status_code, answer.json["error"])


def test_the_peer_is_the_address_of_the_connection(app, monkeypatch):
    """Behind ProxyFix the peer is the address of the connection, not that in the header."""
    calls = []
    check = guard_from(app).check

    def seeing(*args, call, **kwargs):
        calls.append((call.peer, call.field("X-Forwarded-For"), call.method, call.endpoint, call.url()))
        return check(*args, call=call, **kwargs)

    add(app, "/x", public(secret))
    monkeypatch.setattr(guard_from(app), "check", seeing)
    app.wsgi_app = ProxyFix(app.wsgi_app)
    base = {"REMOTE_ADDR": "203.0.113.9"}
    app.test_client().get("/x", headers={"X-Forwarded-For": "127.0.0.1"}, environ_base=base)
    assert [("203.0.113.9", ("127.0.0.1",), "GET", f"{__name__}.secret", "http://localhost/x")] == calls


def test_bindings_of_settings_hold():
    """A parameter that settings bind must equal the claim, in the route's decision and in `enforce`."""
    bound = Flask("bound", static_folder=None)
    LeastPrivilege(bound, AUTHORITY.settings(BIND={"tenant": "tenant"}))

    @bound.get("/<tenant>/x")
    @authenticated
    def view(tenant):
        enforce(request, "a:b", params={"tenant": request.args.get("other", tenant)})
        return b"ok"

    headers = bearer_headers("a:b", claims={"tenant": "t1"})
    answers = [
        bound.test_client().get(path, headers=headers).status_code for path in ("/t1/x", "/t2/x", "/t1/x?other=t2")
    ]
    assert [200, 403, 403] == answers


def test_observe_mode_passes_and_keeps_no_bad_token():
    """In observe mode, refusals only are logged and no bad token is kept, but `enforce=True` refuses."""
    today = datetime.now(UTC).date()
    observed = Flask("observed", static_folder=None)
    LeastPrivilege(observed, AUTHORITY.settings(OBSERVE_UNTIL=today))
    add(observed, "/undeclared", lambda: {"token": bool(current_token)})
    add(observed, "/lacking", requires("a:b")(lambda: {"token": bool(current_token)}))
    add(observed, "/always", requires("a:b", enforce=True)(secret))
    client = observed.test_client()
    assert {"token": False} == client.get("/undeclared", headers={"Authorization": "Bearer junk"}).json
    assert [{"token": False}, {"token": True}] == [
        client.get("/lacking", headers=headers).json for headers in (None, bearer_headers())
    ]
    assert 403 == client.get("/always", headers=bearer_headers()).status_code


def test_applications_of_one_process_have_their_own_guards():
    """Each application accepts only its own authority's tokens, even if one extension initialised both."""
    other, extension = Authority(algorithm="RS256"), LeastPrivilege()
    apps = []
    for settings in (AUTHORITY.settings(), other.settings()):
        application = Flask("each", static_folder=None)
        application.config["JWT_LP"] = settings
        extension.init_app(application)
        add(application, "/x", authenticated(lambda: {"is": current_token.subject}))
        apps.append(application)
    assert [200, 401] == [
        application.test_client().get("/x", headers=bearer_headers()).status_code for application in apps
    ]
    assert guard_from(apps[0]) is not guard_from(apps[1])
    with apps[1].app_context():
        assert guard_from(apps[1]) is guard_from() is guard_from(current_app)


def test_a_declaration_without_a_guard_fails_closed():
    """Without the extension, a declared view raises an error that says what to add."""
    app = Flask("bare", static_folder=None)
    add(app, "/x", public(secret))
    add(app, "/y", lambda: {"can": can(request, "a:b"), "token": bool(current_token)})
    answer = app.test_client().get("/x", headers=bearer_headers())
    assert 500 == answer.status_code
    assert {"can": False, "token": False} == app.test_client().get("/y", headers=bearer_headers()).json
    with app.test_request_context("/x"):
        for ask in (guard_from, lambda: enforce(request, "a:b"), lambda: guard_from(app)):
            with pytest.raises(ConfigurationError, match=r"LeastPrivilege\(app\)"):
                ask()


@pytest.mark.parametrize("handled", [False, True])
def test_a_guard_that_fails_serves_nothing(app, handled, monkeypatch):
    """An error inside the guard is a 500 that no handler can turn into content."""
    app.config["PROPAGATE_EXCEPTIONS"] = False
    add(app, "/x", requires("a:b")(secret))

    def failing(*args, **kwargs):
        raise TemplateError("broken", configured=True)

    monkeypatch.setattr(guard_from(app), "check", failing)
    if handled:
        app.register_error_handler(Exception, lambda error: (SECRET, 200))
    answer = app.test_client().get("/x", headers=bearer_headers("a:b"))
    assert (500, False) == (answer.status_code, SECRET in answer.data)


def test_a_parameter_that_a_preprocessor_removes_is_still_bound():
    """`BIND` holds even if a preprocessor removes the route's parameter before the guard sees it."""
    app = Flask("shop", static_folder=None)

    @app.url_value_preprocessor
    def pull(endpoint, values):
        g.tenant_id = values.pop("tenant_id")

    @app.get("/t/<tenant_id>/orders")
    @requires("orders:list")
    def orders():
        return g.tenant_id

    @app.get("/u/<tenant_id>/orders")
    @requires("orders:list", unbound=["tenant_id"])
    def everywhere():
        return g.tenant_id

    LeastPrivilege(app, AUTHORITY.settings(BIND={"tenant_id": ["org", "id"]}))
    headers = bearer_headers("orders:list", claims={"org": {"id": "acme"}})
    client = app.test_client()
    assert [403, 403, 200] == [
        client.get(path, headers=headers).status_code for path in ("/t/other/orders", "/t/acme/orders", "/u/x/orders")
    ]
