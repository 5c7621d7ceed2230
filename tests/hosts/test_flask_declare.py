"""Declarations in Flask by views, classes, blueprints and settings, and the start-up check."""

from __future__ import annotations

import json
import logging
from concurrent.futures import ThreadPoolExecutor
from functools import wraps
from typing import Any, ClassVar, cast

import pytest

pytest.importorskip("flask")

from flask import Blueprint, Flask
from flask.views import MethodView, View

from jwt_lp import PUBLIC, ConfigurationError, any_of
from jwt_lp.testing.authority import Authority
from jwt_lp_flask import LeastPrivilege, authenticated, external, guard_from, public, requires
from jwt_lp_flask.routes import host

pytestmark = pytest.mark.host

AUTHORITY = Authority()


def guarded_app(**settings):
    app = Flask("shop", static_folder=None)
    LeastPrivilege(app, AUTHORITY.settings(**settings))
    return app


def served(**_):
    return b"served"


def status(app, method, path, *permissions):
    return app.test_client().open(path, method=method, headers=AUTHORITY.headers("alice", permissions)).status_code


def listed(app):
    """Label, requirement and origin of every route."""
    return {route.label: (str(route.requirement or ""), route.origin) for route in host.routes(app)}


def faults(app):
    with pytest.raises(ConfigurationError) as caught:
        LeastPrivilege().check(app)
    return caught.value.faults


# Functions


def test_a_declaration_is_a_new_wrapper():
    """A declaration for one route does not count for another route of the same function, whose name is kept."""
    app = guarded_app()
    app.add_url_rule("/a", "a", public(served))
    app.add_url_rule("/b", "b", served)
    assert [200, 403] == [status(app, "GET", path) for path in ("/a", "/b")]
    assert "served" == public(served).__name__


def test_a_view_is_declared_once():
    """A second, different declaration on one function is an error at import; an equal one is not."""
    with pytest.raises(ConfigurationError, match=r"served is declared twice: public, and a:b"):
        requires("a:b")(public(served))
    view = requires("a:b")(served)
    assert view is requires("a:b")(view)


@pytest.mark.parametrize(
    "wrong",
    [
        pytest.param(requires, id="no permission"),
        pytest.param(lambda: cast(Any, requires)(served), id="a bare requires"),
        pytest.param(lambda: requires("a:*"), id="a wildcard"),
        pytest.param(lambda: requires(PUBLIC), id="public inside"),
        pytest.param(lambda: requires("a:b")(cast(Any, "view")), id="no function"),
        pytest.param(lambda: requires("a:b")(MethodView), id="a class"),
        pytest.param(lambda: external(" "), id="no reason"),
    ],
)
def test_a_wrong_declaration_is_an_error_at_import(wrong):
    """A declaration that makes no sense is a `ConfigurationError` at import."""
    with pytest.raises(ConfigurationError):
        wrong()


def test_a_blueprint_registered_twice_is_guarded_twice():
    """Each registration of a blueprint has its own endpoints and parameters, nested blueprints too."""
    app = guarded_app(EXTERNAL={"second": "a proxy"}, PUBLIC=["first.inner"])
    inner = Blueprint("inner", "inner", url_prefix="/inner")
    inner.get("/x")(served)
    outer = Blueprint("outer", "outer", url_prefix="/<tenant>")
    outer.register_blueprint(inner)
    outer.get("/y", endpoint="y")(requires("{tenant}:read")(served))
    outer.get("/z", endpoint="z")(served)
    app.register_blueprint(outer, name="first", url_prefix="/1/<tenant>")
    app.register_blueprint(outer, name="second", url_prefix="/2/<tenant>")
    assert {
        "GET /1/{tenant}/inner/x": ("public", "PUBLIC first.inner"),
        "GET /1/{tenant}/y": ("{tenant}:read", "its decorator"),
        "GET /1/{tenant}/z": ("", ""),
        "GET /2/{tenant}/inner/x": ("external: a proxy", "EXTERNAL second"),
        "GET /2/{tenant}/y": ("{tenant}:read", "its decorator"),
        "GET /2/{tenant}/z": ("external: a proxy", "EXTERNAL second"),
    } == listed(app)
    paths = ["/1/t/inner/x", "/1/t/y", "/1/t/z", "/2/t/inner/x", "/2/t/y", "/2/t/z"]
    assert [200, 403, 403, 200, 403, 200] == [status(app, "GET", path) for path in paths]
    assert 200 == status(app, "GET", "/2/t/y", "t:read")


@pytest.mark.parametrize("rule", ["admin", "admin.index", "/admin", "/admin/{name}"])
def test_settings_declare_by_blueprint_endpoint_or_path(rule):
    """A settings rule is a blueprint's name, an endpoint or a prefix of path segments; it opens nothing else."""
    app = guarded_app(EXTERNAL={rule: "session login"})
    admin = Blueprint("admin", "admin", url_prefix="/admin")
    admin.add_url_rule("/<name>", "index", served)
    app.register_blueprint(admin)
    app.add_url_rule("/administration", "administration", served)
    assert [200, 403] == [status(app, "GET", path) for path in ("/admin/x", "/administration")]


def test_a_dotted_endpoint_does_not_belong_to_a_blueprint():
    """A rule for a blueprint does not open an endpoint whose name only looks like one of that blueprint."""
    app = guarded_app(EXTERNAL={"admin": "session login"})
    app.add_url_rule("/x", "admin.x", served)
    assert ("the rule 'admin' matches no route: correct or remove it",) == faults(app)


# Classes


class Orders(MethodView):
    def get(self, order_id):
        return b"served"

    def delete(self, order_id):
        return b"served"


class Decorated(Orders):
    @requires("orders:{order_id}:read")
    def get(self, order_id):
        return b"served"


class Mapped(Orders):
    required_permissions: ClassVar = {"GET": "orders:{order_id}:read"}


class Whole(Orders):
    decorators: ClassVar = [requires("orders:all")]

    @requires("orders:{order_id}:read")
    def get(self, order_id):
        return b"served"


class Opened(Orders):
    required_permissions = any_of("orders:all", "orders:some")
    get = public(Orders.get)


class Extended(Mapped):
    def put(self, order_id):
        return b"served"


class Plain(View):
    methods: ClassVar = ["GET", "DELETE"]
    required_permissions: ClassVar = {"GET": "orders:{order_id}:read"}

    def dispatch_request(self, **_):
        return b"served"


class Dispatched(View):
    methods: ClassVar = ["GET", "DELETE"]

    @requires("orders:all")
    def dispatch_request(self, **_):
        return b"served"


def of_class(cls, **settings):
    app = guarded_app(**settings)
    app.add_url_rule("/orders/<int:order_id>", view_func=cls.as_view("orders"))
    return app


READ, ALL = ("orders:7:read",), ("orders:all",)


@pytest.mark.parametrize(
    ("cls", "method", "permissions", "expected"),
    [
        (Orders, "GET", READ, 403),
        (Decorated, "GET", READ, 200),
        (Decorated, "HEAD", READ, 200),
        (Decorated, "GET", ALL, 403),
        (Decorated, "DELETE", READ, 403),
        (Mapped, "GET", READ, 200),
        (Mapped, "HEAD", READ, 200),
        (Mapped, "HEAD", (), 403),
        (Mapped, "DELETE", READ, 403),
        (Mapped, "PATCH", READ, 405),
        (Extended, "GET", READ, 200),
        (Extended, "PUT", READ, 403),
        (Whole, "DELETE", ALL, 200),
        (Whole, "DELETE", READ, 403),
        (Whole, "GET", READ, 200),
        (Whole, "GET", ALL, 403),
        (Opened, "GET", (), 200),
        (Opened, "DELETE", ("orders:some",), 200),
        (Opened, "DELETE", (), 403),
        (Plain, "GET", READ, 200),
        (Plain, "HEAD", READ, 200),
        (Plain, "DELETE", READ, 403),
        (Dispatched, "GET", ALL, 200),
        (Dispatched, "DELETE", (), 403),
    ],
)
def test_a_methods_declaration_comes_before_its_classs(cls, method, permissions, expected):
    """A method's declaration counts first, then its class's; without one it is refused, in subclasses too."""
    assert expected == status(of_class(cls), method, "/orders/7", *permissions)


def test_head_takes_the_rule_of_get_beside_a_head_of_its_own():
    """A `head` method has the rule of `get`; if there is no `get`, its own declaration counts."""
    both = type("Both", (Decorated,), {"head": public(Orders.get)})
    alone = type("Alone", (MethodView,), {"head": public(Orders.get)})
    assert [403, 200] == [status(of_class(cls), "HEAD", "/orders/7") for cls in (both, alone)]


def test_a_replaced_class_is_read_again():
    """If the class behind a view is replaced while serving, the new class's declarations count."""
    app = of_class(Opened)
    assert 200 == status(app, "GET", "/orders/7")
    vars(app.view_functions["orders"])["view_class"] = Orders
    assert 403 == status(app, "GET", "/orders/7")


def test_a_class_is_listed_by_method():
    """Each method of a class is listed as a route, with the place of its declaration."""
    label = "/orders/{order_id}"
    assert {
        f"DELETE {label}": ("orders:all", "decorators"),
        f"GET {label}": ("orders:{order_id}:read", "the decorator of get"),
    } == listed(of_class(Whole))
    assert {
        f"DELETE {label}": ("", ""),
        f"GET {label}": ("orders:{order_id}:read", "required_permissions['GET']"),
        f"PUT {label}": ("", ""),
    } == listed(of_class(Extended))
    assert [f"{__name__}.Extended.{name}" for name in ("delete", "get", "put")] == [
        route.endpoint for route in host.routes(of_class(Extended))
    ]


def test_a_class_decorator_may_be_anywhere_in_the_list():
    """Other decorators in the list keep the declaration, and a method's own declaration still comes first."""

    def wrapping(view):
        @wraps(view)
        def wrapper(**params):
            return view(**params)

        return wrapper

    class Listed(Orders):
        get = public(Orders.get)
        decorators: ClassVar = [requires("orders:all"), wrapping]

    app = of_class(Listed)
    assert [200, 200, 403] == [
        status(app, *request)
        for request in (("GET", "/orders/7"), ("DELETE", "/orders/7", *ALL), ("DELETE", "/orders/7"))
    ]


def test_a_wrapper_around_as_view_declares_the_class():
    """A declaration on the result of `as_view` counts as that of the class."""
    app = guarded_app()
    app.add_url_rule("/orders/<int:order_id>", view_func=requires("orders:all")(Orders.as_view("orders")))
    assert [200, 403] == [status(app, "DELETE", "/orders/7", *permissions) for permissions in (ALL, READ)]


@pytest.mark.parametrize(
    ("rules", "fault"),
    [
        ({"GTE": "a:b"}, "required_permissions['GTE'] is the rule of no method; did you mean 'GET'?"),
        ({"get": "a:b"}, "required_permissions['get'] is the rule of no method; did you mean 'GET'?"),
        ({"": "a:b"}, "required_permissions[''] is the rule of no method"),
        ({"HEAD": "a:b"}, "required_permissions['HEAD'] is the rule of no method"),
        ({"GET": 7}, "required_permissions['GET'] is neither a permission nor a requirement"),
        ({"GET": "a:*"}, "required_permissions['GET']: 'a:*' has a wildcard"),
        (["a:b"], "required_permissions is neither a permission nor a requirement"),
    ],
)
def test_a_wrong_rule_of_a_class_is_a_fault(rules, fault):
    """An invalid key or rule in `required_permissions` is listed by the check and opens nothing."""
    wrong = type("Wrong", (Orders,), {"required_permissions": rules, "get": public(Orders.get)})
    app = of_class(wrong, PUBLIC=["orders"])
    assert any(fault in message for message in faults(app))
    assert {("", "")} == set(listed(app).values())


def test_two_declarations_on_one_level_are_a_fault():
    """Two different declarations on one method, or on one class, are a fault, and settings do not open the route."""
    method = type("Method", (Decorated,), {"required_permissions": {"GET": "orders:all"}})
    cls = type("Cls", (Orders,), {"required_permissions": "orders:some", "decorators": [requires("orders:all")]})
    same = type("Same", (Decorated,), {"required_permissions": {"GET": "orders:{order_id}:read", "DELETE": PUBLIC}})
    contradiction = "the decorator of get and required_permissions['GET'] contradict each other"
    assert any(contradiction in message for message in faults(of_class(method, PUBLIC=["orders"])))
    assert any("contradict each other" in message for message in faults(of_class(cls, PUBLIC=["/orders"])))
    LeastPrivilege().check(of_class(same))


# The check


def test_settings_that_are_wrong_stop_the_start():
    """`init_app` raises all faults of the settings at once; missing settings and a second guard are errors too."""
    with pytest.raises(ConfigurationError) as caught:
        LeastPrivilege(Flask("shop"), {"ISUER": "x"})
    assert any("'ISUER'" in fault for fault in caught.value.faults)
    with pytest.raises(ConfigurationError, match=r'app\.config\["JWT_LP"\]'):
        LeastPrivilege().init_app(Flask("shop"))
    app = guarded_app()
    with pytest.raises(ConfigurationError, match="has a guard already"):
        LeastPrivilege(app, AUTHORITY.settings())


def test_settings_may_be_passed_or_configured():
    """Settings come from `init_app`, or else from the extension, or else from the configuration."""
    settings = guard_from(guarded_app(SERVICE="passed")).settings
    app = Flask("shop")
    app.config["JWT_LP"] = AUTHORITY.settings(SERVICE="configured")
    LeastPrivilege(settings=AUTHORITY.settings(SERVICE="kept")).init_app(app, settings)
    assert "passed" == guard_from(app).settings.service
    other, third = Flask("shop"), Flask("shop")
    other.config["JWT_LP"] = third.config["JWT_LP"] = app.config["JWT_LP"]
    LeastPrivilege(settings=AUTHORITY.settings(SERVICE="kept")).init_app(other)
    LeastPrivilege(third)
    assert ["kept", "configured"] == [guard_from(application).settings.service for application in (other, third)]


def test_faults_stop_every_request():
    """The check lists faulty declarations; without a check, every request is a 500."""
    app = guarded_app(PUBLIC=["nowhere"])
    app.config["PROPAGATE_EXCEPTIONS"] = False
    app.add_url_rule("/x/<item>", "x", requires("items:{itme}:read")(served))
    app.add_url_rule("/open", "open", public(served))
    listed_faults = faults(app)
    assert 2 == len(listed_faults)
    assert "GET /x/{item}: items:{itme}:read reads itme, but the route's parameters are: item" in listed_faults
    assert "the rule 'nowhere' matches no route: correct or remove it" in listed_faults
    for path in ("/open", "/open", "/x/7", "/missing"):
        assert 500 == app.test_client().get(path).status_code
    app.testing = True
    app.config["PROPAGATE_EXCEPTIONS"] = None
    with pytest.raises(ConfigurationError, match="matches no route"):
        app.test_client().get("/open")


def test_a_hook_before_the_guard_does_not_hide_a_fault():
    """A hook that answers before the guard does not hide a faulty declaration."""
    app = guarded_app(PUBLIC=["nowhere"])
    app.config["PROPAGATE_EXCEPTIONS"] = False
    app.add_url_rule("/open", "open", public(served))
    app.before_request_funcs[None].insert(0, served)
    assert 500 == app.test_client().get("/open").status_code


def test_undeclared_routes_are_logged_once_and_never_stop(caplog):
    """Each undeclared route is one warning with an id, its view and a hint, however many requests come."""
    app = guarded_app()
    app.add_url_rule("/v1/orders/<int:order_id>", "orders", served, methods=["GET", "DELETE"])
    app.add_url_rule("/class/<int:order_id>", view_func=Decorated.as_view("decorated"))
    app.add_url_rule("/open", "open", public(served))
    with ThreadPoolExecutor(8) as pool:
        codes = list(pool.map(lambda _: app.test_client().get("/open").status_code, range(16)))
    LeastPrivilege().check(app)
    assert [200] * 16 == codes
    lines = [record for record in caplog.records if "undeclared" in record.message]
    assert {logging.WARNING} == {record.levelno for record in lines}
    assert [
        {
            "id": "jwt_lp.W001",
            "route": "DELETE,GET /v1/orders/{order_id}",
            "endpoint": f"{__name__}.served",
            "hint": '@requires("orders:delete")',
        },
        {
            "id": "jwt_lp.W001",
            "route": "DELETE /class/{order_id}",
            "endpoint": f"{__name__}.Decorated.delete",
            "hint": 'required_permissions = {"DELETE": "class:delete"}',
        },
    ] == [json.loads(record.message.partition("undeclared ")[2]) for record in lines]


def misplaced():
    return b"served"


_registered, misplaced = misplaced, authenticated(misplaced)


def test_a_declaration_above_the_route_decorator_is_named():
    """A declaration above the route's decorator has no effect; the hint names its function."""
    app = guarded_app()
    app.add_url_rule("/x", "x", _registered)
    (route,) = host.routes(app)
    assert (False, f"{__name__}.misplaced") == (route.guarded, route.endpoint)
    assert f"move the declaration of {__name__}.misplaced below the decorator that registers the route" == route.hint


def test_rules_that_call_no_view_are_not_listed():
    """Redirects of the URL map, build-only rules and Flask's own OPTIONS are not listed."""
    app = guarded_app()
    app.add_url_rule("/old", "old", redirect_to="/new")
    app.add_url_rule("/built", "built", build_only=True)
    app.add_url_rule("/new", "new", served, methods=[])
    app.add_url_rule("/x/<any('a>', b):kind>/<int(min=3):size>", "x", served, methods=["GET", "OPTIONS"])
    assert ["GET,OPTIONS /x/{kind}/{size}"] == [route.label for route in host.routes(app) if "new" not in route.label]
