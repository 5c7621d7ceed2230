"""Declarations in a Django project: where they may stand, what they cover, and the checks before the start."""

# ruff: noqa: E402, RUF012 - Django reads its settings first; views declare their rules as users do

from __future__ import annotations

import logging
import re
from datetime import UTC, datetime
from functools import partial
from typing import Any

import pytest

pytest.importorskip("django")

from hosts.django_setup import AUTHORITY, GUARD, configure, make_class, project

configure()

from django.contrib import admin
from django.core import checks
from django.core.asgi import get_asgi_application
from django.core.exceptions import ImproperlyConfigured
from django.core.wsgi import get_wsgi_application
from django.http import HttpResponse
from django.test import Client, modify_settings, override_settings
from django.urls import include, path, re_path, reverse
from django.utils.decorators import method_decorator
from django.views import View
from django.views.decorators.cache import never_cache
from django.views.decorators.csrf import csrf_exempt
from django.views.generic import RedirectView

from jwt_lp import AUTHENTICATED, PUBLIC, ConfigurationError, any_of
from jwt_lp_django import LeastPrivilegeMixin, authenticated, external, guarded, public, requires
from jwt_lp_django.checks import run_checks
from jwt_lp_django.routes import all_routes, host
from jwt_lp_django.template import route_template

pytestmark = pytest.mark.host

SESSIONS = {
    "SESSION_ENGINE": "django.contrib.sessions.backends.signed_cookies",
    "middleware": [
        "django.contrib.sessions.middleware.SessionMiddleware",
        "django.contrib.auth.middleware.AuthenticationMiddleware",
        "django.contrib.messages.middleware.MessageMiddleware",
    ],
}


def bearer(*permissions, **more):
    return AUTHORITY.headers("alice", permissions, **more)


def status(method, url, *permissions):
    return Client().generic(method, url, headers=bearer(*permissions)).status_code


def secret(request, **kwargs):
    return HttpResponse(b"SECRET")


def lossy(view):
    def wrapper(request):
        return view(request)

    return wrapper


class Plain(View):
    def get(self, request, **kwargs):
        return HttpResponse("got")

    def post(self, request, **kwargs):
        return HttpResponse("posted")


class Mapped(Plain):
    required_permissions = {"GET": "o:list", "POST": any_of("o:create", "o:admin")}


class Grown(Mapped):
    def delete(self, request):
        return HttpResponse("deleted")


class Bare(Plain):
    required_permissions = "a:b"


class Mixed(LeastPrivilegeMixin, Plain):
    required_permissions = {"GET": "o:list", "POST": external("a proxy")}


class Handlers(Plain):
    @requires("o:list")
    def get(self, request, **kwargs):
        return HttpResponse("got")

    @method_decorator(requires("o:create"))
    def post(self, request, **kwargs):
        return HttpResponse("posted")


@method_decorator(requires("a:b"), name="dispatch")
class Dispatched(Plain):
    pass


class Overriding(Dispatched):
    def dispatch(self, request, *args, **kwargs):
        return HttpResponse(b"SECRET")


class OwnDispatch(View):
    def dispatch(self, request, *args, **kwargs):
        return HttpResponse(b"SECRET")


class OwnOptions(Plain):
    required_permissions: Any = None

    def options(self, request):
        return HttpResponse(b"SECRET")


class AsyncMapped(View):
    required_permissions = {"GET": "o:list"}

    async def get(self, request):
        return HttpResponse("got")


@pytest.mark.parametrize(
    ("decorated", "expected"),
    [
        (never_cache(requires("a:b")(secret)), 200),
        (requires("a:b")(never_cache(secret)), 200),
        (csrf_exempt(never_cache(requires("a:b")(secret))), 200),
        (lossy(requires("a:b")(secret)), 403),
        (partial(requires("a:b")(secret)), 403),
        (requires("a:b")(partial(secret)), 200),
        (requires("a:b")(lossy(secret)), 200),
    ],
)
def test_a_declaration_survives_only_decorators_that_copy_attributes(decorated, expected) -> None:
    """If a decorator loses the declaration, the route is refused and listed, never open."""
    with project(path("x", decorated)):
        assert expected == status("GET", "/x", "a:b")
        assert 403 == status("GET", "/x", "c:d")
        assert (expected == 403) == bool(run_checks())


def test_a_declaration_is_never_shared() -> None:
    """A view under two declarations has each on its own route, and none on a third."""
    with project(path("p", public(secret)), path("r", requires("a:b")(secret)), path("u", secret)):
        assert [200, 401, 401] == [Client().get(url).status_code for url in ("/p", "/r", "/u")]


@pytest.mark.parametrize(
    ("view", "method", "permission", "expected"),
    [
        (Plain, "GET", "a:b", 403),
        (Plain, "DELETE", "a:b", 405),
        (Plain, "FOO", "a:b", 405),
        (Plain, "OPTIONS", "a:b", 200),
        (Mapped, "GET", "o:list", 200),
        (Mapped, "HEAD", "o:list", 200),
        (Mapped, "HEAD", "o:create", 403),
        (Mapped, "POST", "o:admin", 200),
        (Mapped, "POST", "o:list", 403),
        (Mapped, "DELETE", "o:list", 405),
        (Grown, "DELETE", "o:list", 403),
        (Grown, "GET", "o:list", 200),
        (Bare, "POST", "a:b", 200),
        (Bare, "GET", "c:d", 403),
        (Mixed, "GET", "o:list", 200),
        (Mixed, "POST", "c:d", 200),
        (Handlers, "GET", "o:list", 200),
        (Handlers, "POST", "o:create", 200),
        (Handlers, "POST", "o:list", 403),
        (Dispatched, "POST", "a:b", 200),
        (Dispatched, "POST", "c:d", 403),
        (Dispatched, "PUT", "a:b", 405),
        (Overriding, "GET", "a:b", 403),
        (OwnDispatch, "GET", "a:b", 403),
        (OwnDispatch, "FOO", "a:b", 405),
        (OwnDispatch, "OPTIONS", "a:b", 200),
        (OwnOptions, "OPTIONS", "a:b", 403),
        (AsyncMapped, "GET", "o:list", 200),
        (AsyncMapped, "HEAD", "c:d", 403),
        (AsyncMapped, "OPTIONS", "c:d", 200),
    ],
)
def test_a_class_has_the_rules_of_its_methods(view, method, permission, expected) -> None:
    """A mapping covers its keys, one requirement covers all methods, a handler's declaration itself; 405 before 403."""
    with project(path("x", view.as_view())):
        assert expected == status(method, "/x", permission)


def test_a_rule_over_as_view_covers_its_methods() -> None:
    """A declaration over `as_view()` is the route's own, and takes precedence over one of the class without keys."""
    with project(path("x", requires("c:d")(Bare.as_view())), path("y", requires("c:d")(Plain.as_view()))):
        assert [200, 403, 405] == [
            status("POST", "/x", "c:d"),
            status("POST", "/y", "a:b"),
            status("PUT", "/y", "c:d"),
        ]


def test_a_preflight_calls_no_view() -> None:
    """OPTIONS gets an empty answer with Allow, and no line of the view runs, unless the view answers it itself."""
    ran: list[str] = []

    class Loud(View):
        def __init__(self, **kwargs):
            ran.append("init")
            super().__init__(**kwargs)

        def setup(self, request, *args, **kwargs):
            ran.append("setup")
            super().setup(request, *args, **kwargs)

        def dispatch(self, request, *args, **kwargs):
            ran.append("dispatch")
            return HttpResponse(b"SECRET")

        def _allowed_methods(self):
            ran.append("allowed")
            return ["SECRET"]

        def get(self, request):
            return HttpResponse(b"SECRET")

    views = [
        Loud.as_view(),
        requires("a:b")(Loud.as_view()),
        never_cache(Loud.as_view()),
        make_class(LeastPrivilegeMixin, Loud, required_permissions="a:b").as_view(),
    ]
    stacks: list[Any] = [{}, {"MIDDLEWARE": []}]
    for stack, served in zip(stacks, (views, views[3:]), strict=True):
        with project(*(path(str(number), view) for number, view in enumerate(served)), **stack):
            for number in range(len(served)):
                answer = Client().options(f"/{number}")
                assert (200, b"", True) == (answer.status_code, answer.content, "GET" in answer["Allow"])
    assert [] == ran
    with project(path("x", OwnOptions.as_view(required_permissions="a:b"))):
        assert [401, 200] == [Client().options("/x").status_code, status("OPTIONS", "/x", "a:b")]


@pytest.mark.parametrize(
    "view",
    [
        requires("a:b")(OwnOptions.as_view()),
        requires("a:b", methods=("OPTIONS",))(OwnOptions.as_view()),
        make_class(OwnOptions, options=requires("a:b")(OwnOptions.options)).as_view(),
        make_class(OwnOptions, required_permissions={"OPTIONS": "a:b"}).as_view(),
        guarded([path("", OwnOptions.as_view())], "a:b"),
    ],
    ids=["route", "route, by method", "method", "key", "include"],
)
def test_a_views_own_options_may_be_declared(view) -> None:
    """A declaration that covers OPTIONS opens it, like any other method."""
    with project(path("x", include(view) if isinstance(view, list) else view)):
        assert [401, 200, 403] == [
            Client().options("/x").status_code,
            status("OPTIONS", "/x", "a:b"),
            status("OPTIONS", "/x", "c:d"),
        ]


def test_the_mixin_enforces_without_the_middleware() -> None:
    """A class with the mixin decides before any of its code runs, with the middleware or without."""
    calls = []

    class Seen(Mixed):
        def setup(self, request, *args, **kwargs):
            calls.append(1)
            super().setup(request, *args, **kwargs)

    with project(path("x", Seen.as_view()), MIDDLEWARE=[]):
        assert [401, 403, 200, 405] == [
            Client().get("/x").status_code,
            status("GET", "/x", "c:d"),
            status("GET", "/x", "o:list"),
            status("DELETE", "/x", "o:list"),
        ]
    assert [1] == calls


def test_the_mixin_enforces_on_an_async_class_too() -> None:
    """Refusals are awaitable if the class is async."""

    class Awaited(LeastPrivilegeMixin, AsyncMapped):
        pass

    @method_decorator(requires("o:list"), name="dispatch")
    class Dispatching(View):
        async def get(self, request):
            return HttpResponse("got")

    with project(path("m", Awaited.as_view()), path("d", Dispatching.as_view()), MIDDLEWARE=[]):
        for url in ("/m", "/d"):
            assert [401, 403, 200] == [
                Client().get(url).status_code,
                status("GET", url, "c:d"),
                status("GET", url, "o:list"),
            ]


def test_an_include_is_declared_as_a_whole() -> None:
    """Names and namespaces stay, inner declarations take precedence, and the included patterns do not change."""
    inner: list[Any] = [
        path("list", secret, name="list"),
        path("own", requires("a:b")(secret), name="own"),
        re_path(r"^deep/", include(([path("x/<int:n>", secret, name="x")], "deep"))),
        path("cls", Plain.as_view()),
    ]
    outer = path("g/", guarded(include((inner, "shop"), namespace="store"), "c:d"))
    with project(outer, path("open/", include((inner, "other")))):
        assert ["/g/list", "/g/deep/x/3"] == [reverse("store:list"), reverse("store:deep:x", args=[3])]
        assert [200, 403, 200, 200, 200] == [
            status("GET", "/g/list", "c:d"),
            status("GET", "/g/own", "c:d"),
            status("GET", "/g/own", "a:b"),
            status("POST", "/g/deep/x/3", "c:d"),
            status("POST", "/g/cls", "c:d"),
        ]
        assert [403, 403] == [status("GET", "/open/list", "c:d"), status("GET", "/g/list", "a:b")]


def test_the_nearest_include_counts() -> None:
    """Of two guarded includes around a view the inner one counts."""
    inner = guarded(include([path("x", secret)]), "in:ner")
    with project(path("a/", guarded(include([path("b/", inner), path("y", secret)]), public))):
        assert [401, 200] == [Client().get(url).status_code for url in ("/a/b/x", "/a/y")]
        assert 200 == status("GET", "/a/b/x", "in:ner")


def test_an_include_enforces_without_the_middleware() -> None:
    """The views of a guarded include decide by themselves."""
    with project(path("g/", guarded(include([path("x", secret)]), "c:d")), MIDDLEWARE=[]):
        assert [401, 200] == [Client().get("/g/x").status_code, status("GET", "/g/x", "c:d")]


@pytest.mark.parametrize(
    "declaration", [PUBLIC, public, external("a proxy"), AUTHENTICATED, authenticated, requires("a:b")]
)
def test_an_include_accepts_every_kind_of_declaration(declaration) -> None:
    """Requirements and decorators are accepted."""
    with project(path("g/", guarded(include([path("x", secret)]), declaration))):
        assert 200 == status("GET", "/g/x", "a:b")


def test_an_include_accepts_nothing_else() -> None:
    """Any other value is an error when the URLconf is read."""
    with pytest.raises(ConfigurationError, match="no requirement"):
        guarded(include([path("x", secret)]), 3)


def test_the_admin_is_declared_by_its_namespace() -> None:
    """`EXTERNAL = {"admin": ...}` leaves the admin to its sessions, and reversing works."""
    rule = AUTHORITY.settings(EXTERNAL={"admin": "session login"})
    with project(path("admin/", admin.site.urls), lp=rule, **SESSIONS):
        answer = Client().get("/admin/")
        assert (302, "/admin/login/?next=/admin/") == (answer.status_code, answer["Location"])
        assert [] == run_checks()


def test_the_admin_is_declared_by_its_include() -> None:
    """`guarded(admin.site.urls, external(...))` does the same."""
    with project(path("admin/", guarded(admin.site.urls, external("session login"))), **SESSIONS):
        assert "/admin/" == reverse("admin:index")
        assert [302, 200] == [Client().get(url).status_code for url in ("/admin/", "/admin/login/")]


def test_the_admin_refuses_a_tokens_user() -> None:
    """A token's subject is never staff, whatever it holds."""
    with project(path("admin/", guarded(admin.site.urls, "a:b")), **SESSIONS):
        assert 302 == status("GET", "/admin/", "a:b", "is_staff")


@pytest.mark.parametrize(
    ("rule", "expected"),
    [("shop", [200, 200, 401]), ("shop:x", [200, 401, 401]), ("/s/x", [200, 401, 401]), ("y", [401, 401, 200])],
)
def test_rules_of_the_settings(rule, expected) -> None:
    """A rule names a namespace, a route's full name with its namespace, or a prefix of the template."""
    inner = [path("x", secret, name="x"), path("y", secret, name="y")]
    patterns = [path("s/", include((inner, "shop"))), path("top", secret, name="y")]
    with project(*patterns, lp=AUTHORITY.settings(PUBLIC=[rule])):
        assert expected == [Client().get(url).status_code for url in ("/s/x", "/s/y", "/top")]


def test_no_rule_opens_what_a_mapping_omits() -> None:
    """A method that a class's mapping omits stays refused, under an include and under a rule."""
    rule = AUTHORITY.settings(PUBLIC=["/m"])
    with project(
        path("m/x", Grown.as_view()),
        path("m/y", secret),
        path("g/", guarded(include([path("x", Grown.as_view())]), PUBLIC)),
        lp=rule,
    ):
        assert [401, 401, 200] == [
            Client().delete("/m/x").status_code,
            Client().delete("/g/x").status_code,
            Client().get("/m/y").status_code,
        ]


def ids():
    return [str(message.id).removeprefix("jwt_lp.") for message in run_checks()]


def test_a_sound_project_has_no_messages() -> None:
    """There is no message if every route has a declaration."""
    with project(
        path("x/<int:n>", requires("o:{n}:read")(secret)),
        path("m", Mapped.as_view()),
        path("p", Plain.as_view(), {}),
        lp=AUTHORITY.settings(PUBLIC=["/p"]),
    ):
        assert [] == ids()


@pytest.mark.parametrize(
    ("view", "expected"),
    [
        (secret, ["W001"]),
        (Grown.as_view(), ["W001"]),
        (requires("o:{nope}:read")(secret), ["E004"]),
        (requires("a:b")(requires("c:d")(secret)), ["E004"]),
        (requires("a:b")(requires("a:b")(secret)), []),
        (requires("a:b")(Handlers.as_view()), ["E004", "E004"]),
        (requires("a:b")(Mapped.as_view()), ["E004", "E004"]),
        (requires("a:b", where={"n": {"nobody": "sub"}})(secret), ["E005"]),
    ],
)
def test_faults_have_stable_ids(view, expected) -> None:
    """An undeclared route is a warning, everything else an error."""
    with project(path("x/<int:n>", view)):
        assert expected == ids()


@pytest.mark.parametrize(
    ("required", "expected"),
    [
        ({"GTE": "a:b", "POST": "a:b", "GET": "a:b"}, "'GTE' (did you mean 'GET'?)"),
        ({"get": "a:b", "POST": "a:b", "GET": "a:b"}, "'get' (did you mean 'GET'?)"),
        ({"list": "a:b", "POST": "a:b", "GET": "a:b"}, "'list'"),
        ({"HEAD": "a:b", "POST": "a:b", "GET": "a:b"}, "HEAD always has the rule of GET"),
        ({"GET": 3, "POST": "a:b"}, "int is no requirement"),
        ({"GET": "a:*", "POST": "a:b"}, "wildcard"),
        (["a:b"], "list is no requirement"),
    ],
)
def test_faults_of_a_mapping_are_named(required, expected) -> None:
    """The message for an unknown key suggests the closest known one; the message for a wrong value names its type."""

    class Faulty(Plain):
        required_permissions = required

    with project(path("x", Faulty.as_view())):
        assert {"jwt_lp.E004"} == {message.id for message in run_checks()}
        assert any(expected in message.msg for message in run_checks())


def test_contradicting_declarations_refuse_at_run_time() -> None:
    """If the checks at start did not see them, two rules for one request let nobody in."""
    view = requires("a:b")(requires("c:d")(secret))
    urls = type("URLs", (), {"urlpatterns": [path("x", view)]})

    with project(path("x", public(secret))):
        client = Client()
        assert 200 == client.get("/x").status_code
        with override_settings(ROOT_URLCONF=urls):
            assert [403, 403] == [
                client.get("/x", headers=bearer(*permissions)).status_code for permissions in (["a:b", "c:d"], ["a:b"])
            ]


@pytest.mark.parametrize(
    ("stack", "expected"),
    [
        ([], ["E002"]),
        (["django.middleware.common.CommonMiddleware", GUARD], ["E003"]),
        ([GUARD, "django.middleware.common.CommonMiddleware"], []),
    ],
)
def test_the_middleware_is_there_and_first(stack, expected) -> None:
    """A missing middleware, and one that is not first, are errors."""
    with project(path("x", requires("a:b")(secret)), MIDDLEWARE=stack):
        assert expected == ids()


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({"ISSUER": ""}, ["E001"]),
        ({"NOPE": 1, "ISUER": 2}, ["E001", "E001"]),
        ({"PUBLIC": ["nowhere"]}, ["E006"]),
        ({"PUBLIC": ["/nowhere"]}, ["W004"]),
        ({"EXTERNAL": {"/": "everything"}}, ["E001"]),
        ({"URLCONFS": [__name__]}, ["W001"]),
        ({"URLCONFS": ["no.such.urls"]}, ["E001"]),
    ],
)
def test_faults_of_settings(settings, expected) -> None:
    """Each fault of the settings is one message, and the URLCONFS of the settings are checked too."""
    with project(path("x", requires("a:b")(secret)), lp=AUTHORITY.settings(**settings)):
        assert expected == ids()


urlpatterns = [path("from/another/urlconf", secret)]


def test_missing_settings_are_reported() -> None:
    """The check reports that JWT_LP is missing, or that the app is not installed."""
    with project(path("x", requires("a:b")(secret))):
        with override_settings():
            from django.conf import settings

            del settings.JWT_LP
            from jwt_lp_django.guard_access import guard_holder

            guard_holder()._guard = None
            assert {"E001"} == set(ids())
        guard_holder()._guard = None
        with modify_settings(INSTALLED_APPS={"remove": ["jwt_lp_django"]}):
            assert "INSTALLED_APPS" in run_checks()[0].msg


def test_deploy_checks_report_what_is_lax(monkeypatch) -> None:
    """Observe mode and development tokens are warnings of `check --deploy` alone."""
    monkeypatch.setenv("JWT_LP_DEV", "1")
    today = datetime.now(UTC).date().isoformat()
    with project(path("x", requires("a:b")(secret)), lp=AUTHORITY.settings(OBSERVE_UNTIL=today)):
        deploy = {
            message.id
            for message in checks.run_checks(include_deployment_checks=True)
            if str(message.id).startswith("jwt_lp")
        }
        plain = {message.id for message in checks.run_checks() if str(message.id).startswith("jwt_lp")}
    assert ({"jwt_lp.W002", "jwt_lp.W003"}, set()) == (deploy, plain)


@pytest.mark.parametrize("boot", [get_wsgi_application, get_asgi_application])
def test_errors_stop_the_start(boot) -> None:
    """WSGI and ASGI servers run no checks, so the middleware runs them, and lists all errors."""
    patterns = [path("a", requires("o:{x}")(secret)), path("b", requires("o:{y}")(secret))]
    with project(*patterns), pytest.raises(ImproperlyConfigured) as raised:
        boot()
    assert 2 == str(raised.value).count("(jwt_lp.E004)")


@pytest.mark.parametrize("boot", [get_wsgi_application, get_asgi_application])
def test_warnings_do_not_stop_the_start(boot, caplog) -> None:
    """An undeclared route is one log line with its id and a declaration to add."""
    with project(path("orders/<int:n>", secret), lp=AUTHORITY.settings()), caplog.at_level(logging.WARNING, "jwt_lp"):
        boot()
    logged = [vars(record)["jwt_lp"] for record in caplog.records if "W001" in record.getMessage()]
    assert [("jwt_lp.W001", '@requires("orders:read")')] == [(entry["id"], entry["hint"]) for entry in logged]


def test_a_silenced_warning_is_not_logged(caplog) -> None:
    """SILENCED_SYSTEM_CHECKS applies to warnings."""
    with project(path("x", secret), SILENCED_SYSTEM_CHECKS=["jwt_lp.W001"]):
        get_wsgi_application()
    assert [] == [record for record in caplog.records if "W001" in record.getMessage()]


@pytest.mark.parametrize(
    ("route", "expected"),
    [
        ("orders/<int:order_id>", "/orders/{order_id}"),
        ("orders/<order_id>/x", "/orders/{order_id}/x"),
        (r"^orders/(?P<pk>[^/.]+)/$", "/orders/{pk}/"),
        (r"api/orders\.(?P<format>[a-z0-9]+)/?$", "/api/orders.{format}/"),
        (r"api/(?:v1|v2)/(?P<year>\d{4}(-\d+)?)/x", "/api/(?:v1|v2)/{year}/x"),
        (r"^files/(\w+)/[(^]+/\Z", "/files/{}/[(^]+/"),
        (r"^(?P<page>\d+)?$", "/{page}"),
        (r"^a/$|^b/$", "/^a/$|^b/$"),
        (r"a/?b", "/^a/?b"),
        (r"^a\/*b$", r"/^a\/*b$"),
        (r"^a/{0}b", "/^a/{0}b"),
        (r"^a/?(?P<x>b)", "/^a/?(?P<x>b)"),
        (r"^a/?\Z", "/a/"),
        (r"^(a|b/)c[|]/\|$", "/{}c[|]/|"),
        ("", "/"),
    ],
)
def test_route_templates_are_readable(route, expected) -> None:
    """Parameters read `{name}`, whatever the kind of pattern."""
    assert expected == route_template(route)


def test_routes_are_listed_with_everything() -> None:
    """Every route has its methods, template, endpoint, origin, names and parameters."""
    patterns = [
        path("a/<int:n>", requires("o:{n}:read")(requires("o:new", methods=("POST",))(secret)), name="a"),
        path("m", Grown.as_view()),
        path("s/", guarded(include(([path("x", secret, name="x")], "shop")), external("a proxy"))),
        path("o", Dispatched.as_view()),
    ]
    with project(*patterns):
        routes = {(route.methods, route.template, str(route.requirement), route.origin) for route in all_routes()}
        shop = next(route for route in all_routes() if route.template == "/s/x")
        first = next(route for route in all_routes() if route.methods == ("GET", "HEAD"))
    assert {
        (("GET", "HEAD"), "/a/{n}", "o:{n}:read", "@requires"),
        (("POST",), "/a/{n}", "o:new", "@requires"),
        (("GET", "HEAD"), "/m", "o:list", "required_permissions['GET']"),
        (("POST",), "/m", "o:create | o:admin", "required_permissions['POST']"),
        (("DELETE",), "/m", "None", ""),
        ((), "/s/x", "external: a proxy", "guarded(include(...))"),
        (("GET", "POST", "HEAD"), "/o", "a:b", "@requires"),
    } == routes
    assert (("shop:x",), ("shop",)) == (shop.names, shop.groups)
    assert frozenset({"n"}) == first.parameters


def test_hints_are_lines_to_paste() -> None:
    """The hint is a decorator for a function, an attribute for a class, and a missing key for a mapping."""
    patterns = [
        path("orders", secret),
        path("orders/<int:n>", Plain.as_view()),
        path("carts", Grown.as_view()),
        path("", RedirectView.as_view(url="/x")),
    ]
    with project(*patterns):
        hints = [route.hint for route in all_routes() if not route.guarded]
    assert '@requires("orders:read")' == hints[0]
    assert 'required_permissions = {"GET": "orders:read", "POST": "orders:create"}' == hints[1]
    assert '"DELETE": "carts:delete",' == hints[2]


def test_the_admin_is_one_warning(caplog) -> None:
    """All undeclared routes of a site of the admin are one warning, with the one line that declares them."""
    patterns = [
        path("first", secret),
        path("admin/", admin.site.urls),
        path("staff/", admin.AdminSite(name="staff").urls),
        path("last", secret),
    ]
    with project(*patterns):
        found = [(message.msg.partition(" (")[0], message.hint) for message in run_checks()]
        get_wsgi_application()
        logged = [vars(record)["jwt_lp"]["route"] for record in caplog.records if "W001" in record.getMessage()]
    line = 'JWT_LP = {..., "EXTERNAL": {"%s": "session login of Django\'s admin"}}'
    assert [
        ("* /first", '@requires("first:read")'),
        ("* /admin/", line % "admin"),
        ("* /staff/", line % "staff"),
        ("* /last", '@requires("last:read")'),
    ] == found
    assert ["* /first", "* /admin/", "* /staff/", "* /last"] == logged
    external_sites = {"admin": "its own login", "staff": "its own login"}
    with project(path("admin/", admin.site.urls), patterns[2], lp=AUTHORITY.settings(EXTERNAL=external_sites)):
        assert [] == run_checks()


def test_whitenoise_is_listed() -> None:
    """A middleware that is known to serve files without a view is listed as a route."""
    with project(path("x", public(secret)), MIDDLEWARE=[GUARD, f"{__name__}.WhiteNoiseMiddleware"]):
        assert ["W001"] == ids()
        assert "/static/{path}" in run_checks()[0].msg
    rule = AUTHORITY.settings(EXTERNAL={"/static": "public files"})
    with project(path("x", public(secret)), lp=rule, MIDDLEWARE=[GUARD, f"{__name__}.WhiteNoiseMiddleware"]):
        assert [] == ids()


def WhiteNoiseMiddleware(get_response):  # noqa: N802 - stands in for the class
    def middleware(request):
        return HttpResponse(b"file") if request.path.endswith(".css") else get_response(request)

    return middleware


@pytest.mark.parametrize("rule", ["whitenoise", "/static"])
def test_whitenoise_is_declared_by_a_rule(rule) -> None:
    """A rule declares it by name or by path; its responses elsewhere are withheld."""
    rules = AUTHORITY.settings(EXTERNAL={rule: "public files"})
    with project(path("x", public(secret)), lp=rules, middleware=[f"{__name__}.WhiteNoiseMiddleware"]):
        assert [] == run_checks()
        codes = [Client().get(url).status_code for url in ("/static/a.css", "/a.css", "/static/../a.css")]
    assert [200, 401, 401] == codes


def test_the_host_finds_what_the_router_chooses() -> None:
    """`resolve` returns the route and the view's parameters; None without a view or without the method."""
    with project(path("o/<int:n>", requires("o:{n}:read")(secret))):
        resolved: Any = host.resolve(None, "get", "/o/7")
        route, params = resolved
        assert ("GET /o/{n}", {"n": 7}) == (route.label, dict(params))
        assert (None, None) == (host.resolve(None, "GET", "/nowhere"), host.resolve(None, "POST", "/o/7"))


def test_the_host_recognises_its_applications() -> None:
    """The host recognises Django's handlers, and None after settings are configured."""
    with project(path("x", public(secret))):
        apps = (get_wsgi_application(), get_asgi_application(), None, object())
        recognised = [host.recognises(app) for app in apps]
    assert [True, True, True, False] == recognised


@pytest.mark.parametrize(
    ("declaration", "value"), [(public, "PUBLIC"), (authenticated, "AUTHENTICATED"), (requires("orders:list"), "...")]
)
def test_a_decorator_of_a_class_is_refused_with_what_to_write(declaration: Any, value: str) -> None:
    """The error names the attribute that a class declares instead."""
    with pytest.raises(
        ConfigurationError, match=rf"on the class V: write required_permissions = {re.escape(value)} there"
    ):
        declaration(type("V", (), {}))
