"""Changes to a Flask application while it serves, and to a request after its decision: the guard sees each of them."""

from __future__ import annotations

from types import MappingProxyType
from typing import Any, ClassVar

import pytest

pytest.importorskip("flask")

from flask import Blueprint, Flask, current_app, request
from flask.views import MethodView, View
from werkzeug.exceptions import HTTPException
from werkzeug.middleware.dispatcher import DispatcherMiddleware
from werkzeug.routing import BaseConverter
from werkzeug.test import Client

from jwt_lp import Guard
from jwt_lp.testing.authority import Authority
from jwt_lp_flask import LeastPrivilege, authenticated, enforce, guard_from, public, requires
from jwt_lp_flask.routes import host

pytestmark = pytest.mark.host

AUTHORITY = Authority()


def guarded_app(**settings):
    app = Flask("shop", static_folder=None)
    LeastPrivilege(app, AUTHORITY.settings(**settings))
    return app


def served(*_, **__):
    return b"served"


def headers(*permissions, **more):
    return AUTHORITY.headers("alice", permissions, **more)


def status(app, method, path, *permissions, **more):
    return app.test_client().open(path, method=method, headers=headers(*permissions), **more).status_code


class Orders(MethodView):
    def get(self, **_):
        return b"served"

    def post(self, **_):
        return b"served"


def of_class(cls, path="/orders", **settings):
    app = guarded_app(**settings)
    app.add_url_rule(path, view_func=cls.as_view("orders"))
    return app


@pytest.fixture
def checked(monkeypatch):
    """The routes that guards were asked about, in order."""
    routes = []
    check = Guard.check

    def counting(self, authorization, requirement, params, route, **more):
        routes.append((route, dict(params)))
        return check(self, authorization, requirement, params, route, **more)

    monkeypatch.setattr(Guard, "check", counting)
    return routes


# One decision


def test_a_route_with_parameters_is_decided_once(checked):
    """Hook, declaration and response share one decision, also where a class or a parameter is declared."""
    app = of_class(type("Read", (Orders,), {"get": requires("orders:{n}:read")(Orders.get)}), "/orders/<int:n>")
    app.add_url_rule("/both/<n>", "both", requires("a:b", "items:{n}:read")(served))
    assert 200 == status(app, "GET", "/orders/7", "orders:7:read")
    assert 200 == status(app, "GET", "/both/x", "a:b", "items:x:read")
    assert [("GET /orders/{n}", {"n": 7}), ("GET /both/{n}", {"n": "x"})] == checked


def test_requests_never_share_a_decision(checked):
    """A request's decision ends with it, also if tests or scripts share a context among requests."""
    app = guarded_app()
    app.add_url_rule("/x", "x", requires("a:b")(served))
    with app.app_context():
        assert [200, 403, 200] == [status(app, "GET", "/x", *held) for held in (("a:b",), (), ("a:b",))]
    with app.test_client() as client:
        assert 200 == client.get("/x", headers=headers("a:b")).status_code
        assert 401 == client.get("/x").status_code
    assert 5 == len(checked)


# The application changes


def test_a_view_replaced_during_its_request_is_decided_on():
    """If a hook replaces the view, the new view's declaration is enforced; without one nothing is sent."""
    for replaced, expected in ((requires("c:d")(served), 403), (served, 403), (requires("a:b")(served), 200)):
        app = guarded_app()
        app.add_url_rule("/x", "x", requires("a:b")(served))

        @app.before_request
        def replace(replaced=replaced):
            current_app.view_functions["x"] = replaced

        assert expected == status(app, "GET", "/x", "a:b")
        assert expected == status(app, "GET", "/x", "a:b")


def test_a_replaced_method_is_read_again(monkeypatch):
    """If a method of a class is replaced while serving, or a base class's is, the new method's declaration counts."""
    base = type("Base", (Orders,), {"get": public(Orders.get)})
    cls = type("Derived", (base,), {})
    app = of_class(cls)
    assert 200 == status(app, "GET", "/orders")
    monkeypatch.setattr(base, "get", Orders.get)
    assert 403 == status(app, "GET", "/orders", "a:b")
    monkeypatch.setattr(cls, "get", requires("a:b")(Orders.get), raising=False)
    assert [200, 403] == [status(app, "GET", "/orders", *held) for held in (("a:b",), ())]


def test_a_replaced_dispatch_is_read_again(monkeypatch):
    """If a class's `dispatch_request` is replaced while serving, the new function's declaration counts."""

    class Plain(View):
        @public
        def dispatch_request(self):
            return b"served"

    app = of_class(Plain)
    assert 200 == status(app, "GET", "/orders")
    monkeypatch.setattr(Plain, "dispatch_request", served)
    assert 403 == status(app, "GET", "/orders", "a:b")


@pytest.mark.parametrize("way", ["replaced", "changed"])
def test_changed_rules_of_a_class_are_read_again(way):
    """If `required_permissions` is replaced or changed while serving, the new rules count."""

    class Mapped(Orders):
        required_permissions: ClassVar[dict[str, str]] = {"GET": "a:b", "POST": "a:b"}

    app = of_class(Mapped)
    assert [200, 200] == [status(app, method, "/orders", "a:b") for method in ("GET", "POST")]
    if way == "replaced":
        Mapped.required_permissions = {"GET": "c:d"}
    else:
        Mapped.required_permissions["GET"] = "c:d"
        del Mapped.required_permissions["POST"]
    assert [403, 403] == [status(app, method, "/orders", "a:b") for method in ("GET", "POST")]
    assert 200 == status(app, "GET", "/orders", "c:d")


def test_a_faulty_declaration_made_while_serving_opens_nothing():
    """If a class's rules become no rules while serving, nothing is declared."""

    class Opened(Orders):
        required_permissions: ClassVar[Any] = {"GET": "a:b"}

    app = of_class(Opened)
    assert 200 == status(app, "GET", "/orders", "a:b")
    for wrong in (7, {"GET": 7}, MappingProxyType({"GTE": "a:b"})):
        Opened.required_permissions = wrong
        assert 403 == status(app, "GET", "/orders", "a:b")


def test_a_blueprint_registered_or_removed_later_is_seen():
    """A rule of the settings for a blueprint holds exactly as long as the blueprint is registered."""
    app = guarded_app(PUBLIC=["admin"])
    blueprint = Blueprint("admin", "admin", url_prefix="/admin")
    blueprint.add_url_rule("/x", "x", served)
    blueprint.add_url_rule("/declared", "declared", requires("a:b")(served))
    app.register_blueprint(blueprint)

    def answers():
        return [status(app, "GET", path, "a:b") for path in ("/admin/x", "/admin/declared")]

    assert [200, 200] == answers()
    del app.blueprints["admin"]
    app.blueprints["other"] = blueprint
    assert [403, 200] == answers()
    app.blueprints["admin"] = blueprint
    assert [200, 200] == answers()


def test_one_function_under_two_endpoints_has_two_rules():
    """A rule of the settings for one endpoint of a function, or one declaration, counts for that endpoint alone."""
    app = guarded_app(PUBLIC=["open"])
    declared = requires("a:b")(served)
    for name, view in (("open", served), ("closed", served), ("one", declared), ("two", declared)):
        app.add_url_rule(f"/{name}", name, view)
    app.add_url_rule("/again", "closed", served)
    for _ in range(2):
        assert [200, 403, 403] == [status(app, "GET", path, "a:b") for path in ("/open", "/closed", "/again")]
        assert [200, 403, 200] == [
            status(app, "GET", path, *held) for path, *held in (("/one", "a:b"), ("/two",), ("/two", "a:b"))
        ]


def test_one_path_on_two_hosts_has_two_sets_of_parameters():
    """Rules that differ only in their host have their own parameters, and the settings bind each."""
    app = Flask("shop", static_folder=None, host_matching=True)
    LeastPrivilege(app, AUTHORITY.settings(BIND={"tenant": "tenant"}))
    view = requires("a:b")(served)
    app.add_url_rule("/x", "x", view, host="example.test")
    app.add_url_rule("/x", "x", view, host="<tenant>.example.test")
    mine = headers("a:b", claims={"tenant": "t1"})
    for _ in range(2):
        assert [200, 200, 403] == [
            app.test_client().get("/x", base_url=f"http://{name}", headers=mine).status_code
            for name in ("example.test", "t1.example.test", "t2.example.test")
        ]


def test_a_tenants_subdomain_is_a_parameter_like_any_other():
    """A parameter of the subdomain fills templates, also for a blueprint on that subdomain."""
    app = Flask("shop", static_folder=None, subdomain_matching=True)
    app.config["SERVER_NAME"] = "example.test"
    LeastPrivilege(app, AUTHORITY.settings())
    blueprint = Blueprint("b", "b", subdomain="<tenant>")
    blueprint.add_url_rule("/x", "x", requires("tenants:{tenant}:read")(served))
    app.register_blueprint(blueprint)
    for _ in range(2):
        assert [200, 403] == [
            status(app, "GET", "/x", "tenants:t1:read", base_url=f"http://{name}.example.test") for name in ("t1", "t2")
        ]


def test_a_swapped_guard_decides_by_its_own_settings():
    """With another guard, its rules for routes count from the next request on, and those of the first one after it."""
    app = guarded_app(PUBLIC=["x"])
    app.add_url_rule("/x", "x", served)
    assert 200 == status(app, "GET", "/x")
    with host.swap_guard(app, AUTHORITY.guard()):
        assert 403 == status(app, "GET", "/x")
    assert 200 == status(app, "GET", "/x")


def test_mounted_applications_decide_for_themselves():
    """Applications next to each other in a dispatcher have the same paths and endpoints, and their own declarations."""
    outer, inner = guarded_app(), guarded_app()
    outer.add_url_rule("/x", "x", public(served))
    inner.add_url_rule("/x", "x", requires("a:b")(served))
    client = Client(DispatcherMiddleware(outer, {"/inner": inner}))
    for _ in range(2):
        assert [200, 401] == [client.get(path).status_code for path in ("/x", "/inner/x")]
        assert 200 == client.get("/inner/x", headers=headers("a:b")).status_code


def test_an_application_is_freed_without_the_garbage_collector():
    """The guard does not refer to its application, so Flask's promise about references holds."""
    import gc
    import weakref

    app = guarded_app()
    app.add_url_rule("/x", "x", requires("a:b")(served))
    assert 200 == status(app, "GET", "/x", "a:b")
    guard_from(app).close()
    gone = weakref.ref(app)
    gc.collect()
    gc.disable()
    try:
        del app
        assert None is gone()
    finally:
        gc.enable()


# The request changes after the decision


@pytest.mark.parametrize("held", [("orders:list",), ("orders:list", "orders:create")])
def test_a_changed_method_is_decided_again(held):
    """If a hook changes the method, the method that Flask then calls has to be declared and permitted."""
    ran = []

    class Listed(MethodView):
        @requires("orders:list")
        def post(self):
            return b"served"

        @requires("orders:create")
        def get(self):
            ran.append(request.method)
            return b"served"

        def delete(self):
            return b"served"

    app = of_class(Listed)

    @app.before_request
    def override():
        request.method = request.args["method"]

    permitted = "orders:create" in held
    assert (200 if permitted else 403) == status(app, "POST", "/orders?method=GET", *held)
    assert (["GET"] if permitted else []) == ran
    assert 403 == status(app, "POST", "/orders?method=DELETE", *held)
    assert 200 == status(app, "POST", "/orders?method=POST", *held)


def test_a_changed_rule_is_decided_again():
    """If a hook replaces the matched rule, the endpoint that Flask then calls is decided on."""
    app = guarded_app()
    app.add_url_rule("/open", "open", public(served))
    app.add_url_rule("/closed", "closed", requires("a:b")(served))
    app.add_url_rule("/undeclared", "undeclared", served)
    rules = {rule.endpoint: rule for rule in app.url_map.iter_rules()}

    @app.before_request
    def reroute():
        request.url_rule = rules[request.args["to"]]

    assert [200, 403, 403] == [status(app, "GET", f"/open?to={name}") for name in rules]
    assert 200 == status(app, "GET", "/open?to=closed", "a:b")


class Numbers(BaseConverter):
    """Values that are equal though their types differ."""

    def to_python(self, value):
        return 1


@pytest.mark.parametrize("inside", [False, True])
@pytest.mark.parametrize(
    ("change", "expected"),
    [
        pytest.param(lambda args: None, 200, id="nothing"),
        pytest.param(lambda args: args.update(n=1), 200, id="the same value"),
        pytest.param(lambda args: args.update(n=True), 403, id="an equal value of another type"),
        pytest.param(lambda args: args.update(n=1.0), 403, id="an equal number of another type"),
        pytest.param(lambda args: args.update(n=2), 403, id="another value"),
        pytest.param(lambda args: args.update(more=1), 200, id="one more parameter"),
        pytest.param(lambda args: args.clear(), 403, id="no parameter"),
        pytest.param(lambda args: setattr(request, "view_args", {"n": 2}), 403, id="other arguments"),
        pytest.param(lambda args: setattr(request, "view_args", {"n": 1}), 200, id="equal arguments"),
        pytest.param(lambda args: setattr(request, "view_args", {"m": 1}), 403, id="another name"),
    ],
)
def test_changed_arguments_are_decided_again(inside, change, expected):
    """Arguments that a hook changes in any way are decided on again, by type and value."""
    app = guarded_app()
    app.url_map.converters["number"] = Numbers
    if inside:
        app.add_url_rule("/x/<number:n>", "x", requires("items:{n}:read")(served))
    else:
        cls: Any = type("Mapped", (Orders,), {"required_permissions": {"GET": "items:{n}:read"}})
        app.add_url_rule("/x/<number:n>", view_func=cls.as_view("x"))
    app.before_request(lambda: change(request.view_args))
    assert expected == status(app, "GET", "/x/1", "items:1:read")


def test_a_parameter_that_is_an_object_is_compared_by_identity():
    """If a hook puts another object in place of a converter's, the guard decides again, even if they are equal."""

    class Shop:
        def __init__(self, name):
            self.name = name

        def __eq__(self, other):
            return True

        def __hash__(self):
            return 1

        def __str__(self):
            return self.name

    class Shops(BaseConverter):
        def to_python(self, value):
            return Shop(value)

    app = guarded_app()
    app.url_map.converters["shop"] = Shops
    app.add_url_rule("/<shop:shop>", "x", requires("a:b")(lambda shop: enforce(request, "a:b").subject))

    @app.before_request
    def swap():
        if request.args:
            request.view_args = {"shop": Shop("other")}

    assert [200, 200] == [status(app, "GET", path, "a:b") for path in ("/one", "/one?swap")]


def test_a_decision_is_found_again_after_another():
    """Decisions on changed arguments do not replace the refusal of the first ones, which is final."""
    app = guarded_app()

    @app.get("/<item>")
    @authenticated
    def view(item):
        for name in ("a", "b", "a"):
            assert request.view_args is not None
            request.view_args["item"] = name
            try:
                part(name)
            except HTTPException:
                assert name == "b"
        return b"served"

    part = requires("items:{item}:read")(lambda item: item)
    assert 403 == status(app, "GET", "/x", "items:a:read")
    assert 200 == status(app, "GET", "/x", "items:a:read", "items:b:read")
