"""Views, classes and URLconfs that change while the process runs: every request gets the rule that is declared then."""

# ruff: noqa: E402 - Django reads its settings first; views declare their rules as users do

from __future__ import annotations

import gc
import weakref
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

pytest.importorskip("django")

from hosts.django_setup import AUTHORITY, configure, make_class, project, urlconf

configure()

from django.conf import settings
from django.conf.urls.i18n import i18n_patterns
from django.http import HttpResponse
from django.test import Client, override_settings
from django.urls import include, path, re_path
from django.views import View

from jwt_lp import all_of
from jwt_lp_django import LeastPrivilegeMixin, guarded, public, requires
from jwt_lp_django.declaration_cache import DeclarationCache
from jwt_lp_django.marks import INCLUDE_ATTRIBUTE, MARKS_ATTRIBUTE
from jwt_lp_django.views import declaration_of

pytestmark = pytest.mark.host

HERE = __name__


def bearer(*permissions):
    return AUTHORITY.headers("alice", permissions)


def answer(request, **kwargs):
    return HttpResponse("answer")


def marked(view, permission):
    """The function itself with a new declaration."""
    setattr(view, MARKS_ATTRIBUTE, getattr(requires(permission)(answer), MARKS_ATTRIBUTE))


def function(**attributes):
    def view(request):
        return HttpResponse("function")

    view.__dict__.update(attributes)
    return view


class Base(View):
    def get(self, request, **kwargs):
        return HttpResponse("get")


def mapped(rules, *bases):
    return make_class(*(bases or (Base,)), required_permissions=rules)


def change_marks():
    view: Any = requires("a:b")(function())
    return view, lambda: marked(view, "c:d")


def change_include():
    view: Any = function(**{INCLUDE_ATTRIBUTE: all_of("a:b")})
    return view, lambda: setattr(view, INCLUDE_ATTRIBUTE, all_of("c:d"))


def replace_rules():
    cls = mapped({"GET": "a:b"})
    return cls.as_view(), lambda: setattr(cls, "required_permissions", {"GET": "c:d"})


def rewrite_rules():
    cls = mapped({"GET": "a:b"})
    return cls.as_view(), lambda: cls.required_permissions.update(GET="c:d")


def delete_rules():
    cls = mapped({"GET": "a:b"}, mapped({"GET": "c:d"}))
    return cls.as_view(), lambda: delattr(cls, "required_permissions")


def change_base_behind_the_mixin():
    base = mapped({"GET": "a:b"})
    return make_class(LeastPrivilegeMixin, base).as_view(), lambda: setattr(base, "required_permissions", "c:d")


def rewrite_base_behind_the_mixin():
    base = mapped({"GET": "a:b"})
    cls = make_class(LeastPrivilegeMixin, base)
    return cls.as_view(), lambda: base.required_permissions.update(GET="c:d")


def decorate_method():
    cls = make_class(Base, get=requires("a:b")(Base.get))
    return cls.as_view(), lambda: setattr(cls, "get", requires("c:d")(Base.get))


def redecorate_method():
    cls = make_class(Base, get=requires("a:b")(Base.get))
    return cls.as_view(), lambda: marked(cls.get, "c:d")


def change_initkwargs():
    cls = mapped({"GET": "e:f"})
    view: Any = cls.as_view(required_permissions={"GET": "a:b"})
    return view, lambda: view.view_initkwargs.update(required_permissions={"GET": "c:d"})


def change_class_of_the_callback():
    view: Any = mapped({"GET": "a:b"}).as_view()
    return view, lambda: setattr(view, "view_class", mapped({"GET": "c:d"}))


CHANGES = [
    change_marks,
    change_include,
    replace_rules,
    rewrite_rules,
    delete_rules,
    change_base_behind_the_mixin,
    rewrite_base_behind_the_mixin,
    decorate_method,
    redecorate_method,
    change_initkwargs,
    change_class_of_the_callback,
]


@pytest.mark.parametrize("method", ["get", "head"])
@pytest.mark.parametrize("change", CHANGES, ids=lambda change: change.__name__)
def test_a_change_counts_at_once(change, method) -> None:
    """Whatever a declaration is read from may change between two requests: the next one gets the new rule."""
    view, apply = change()
    with project(path("x", view)):
        ask = getattr(Client(), method)
        before = [ask("/x", headers=bearer(permission)).status_code for permission in ("a:b", "c:d")]
        apply()
        after = [ask("/x", headers=bearer(permission)).status_code for permission in ("a:b", "c:d")]
    assert ([200, 403], [403, 200]) == (before, after)


def close_method(cls):
    cls.http_method_names.remove("get")


def drop_method(cls):
    del cls.get


@pytest.mark.parametrize("close", [close_method, drop_method])
def test_a_method_that_is_closed_late_is_refused(close) -> None:
    """The guard answers 405 as soon as the class has the method no more."""
    cls = make_class(View, get=Base.get, http_method_names=["get", "post"], required_permissions="a:b")
    with project(path("x", cls.as_view())):
        client = Client(headers=bearer("a:b"))
        assert 200 == client.get("/x").status_code
        close(cls)
        assert 405 == client.get("/x").status_code


def test_a_dispatch_that_is_replaced_late_counts() -> None:
    """A class whose own `dispatch` answers every method is asked for its rule, even without a method function."""
    cls = make_class(View, required_permissions="a:b")
    with project(path("x", cls.as_view())):
        client = Client(headers=bearer("a:b"))
        assert 405 == client.get("/x").status_code
        cls.dispatch = answer_dispatch
        assert [200, 403] == [client.get("/x").status_code, client.get("/x", headers=bearer("c:d")).status_code]
        del cls.dispatch
        assert 405 == client.get("/x", headers={"Authorization": ""}).status_code


def answer_dispatch(self, request, *args, **kwargs):
    return HttpResponse("own dispatch")


def test_one_class_in_two_routes_has_two_rules() -> None:
    """The arguments of each `as_view` count for its own route."""
    cls = mapped({"GET": "e:f"})
    routes = [path(name, cls.as_view(required_permissions={"GET": f"{name}:b"})) for name in ("a", "c")]
    with project(*routes, path("e", cls.as_view())):
        client = Client()
        answers = [
            [client.get(f"/{name}", headers=bearer(permission)).status_code for name in ("a", "c", "e")]
            for permission in ("a:b", "c:b", "e:f")
        ]
    assert [[200, 403, 403], [403, 200, 403], [403, 403, 200]] == answers


def test_a_new_view_never_gets_the_rule_of_a_deleted_one() -> None:
    """A view that takes the place of another in memory has its own rule."""
    cache, ids = DeclarationCache(), set[int]()
    for number in range(200):
        view = requires(f"a:n{number}")(function())
        ids.add(id(view))
        assert all_of(f"a:n{number}") == cache.find(view, "GET").requirement
        del view
    gc.collect()
    # Otherwise the test shows nothing: the places in memory were used again.
    assert len(ids) < 200


def test_an_entry_ends_with_its_callback() -> None:
    """The cache keeps no view alive, neither a function nor the callback of a class."""
    cache = DeclarationCache()
    views = [requires("a:b")(function()), mapped({"GET": "a:b"}).as_view()]
    references = [weakref.ref(view) for view in views]
    for view in views:
        cache.find(view, "GET")
    del view
    views.clear()
    gc.collect()
    assert [None, None] == [reference() for reference in references]


def test_methods_that_clients_invent_leave_nothing_behind() -> None:
    """What the guard answers with 405 is not kept, and a repeated question gets the same answer as the first."""
    cache, view = DeclarationCache(), requires("a:b")(function())
    for method in [f"FOO{number}" for number in range(20)] + ["OPTIONS", "POST"]:
        assert declaration_of(view, method) == cache.find(view, method) == cache.find(view, method)
    [entries] = cache._by_callback.values()
    assert {} == entries


def test_threads_get_the_rules_of_their_routes() -> None:
    """Many threads ask for many routes at once, and each gets the rule of its route."""
    routes = [path(f"r{number}", requires(f"r{number}:read")(answer)) for number in range(20)]
    with project(*routes):
        client = Client()
        client.get("/r0")

        def ask(number: int) -> tuple[int, int]:
            own, other = number % 20, (number + 1) % 20
            headers = bearer(f"r{own}:read")
            first, second = (client.get(f"/r{each}", headers=headers).status_code for each in (own, other))
            return first, second

        with ThreadPoolExecutor(8) as pool:
            assert {(200, 403)} == set(pool.map(ask, range(200)))


def test_a_changed_urlconf_counts_at_once() -> None:
    """The same route with the same name has the rule of the URLconf of each request."""
    with project(path("x/<int:n>", requires("a:b")(answer), name="x")):
        client = Client(headers=bearer("a:b"))
        first = client.get("/x/1").status_code
        with override_settings(ROOT_URLCONF=urlconf(path("x/<int:n>", requires("c:d")(answer), name="x"))):
            second = client.get("/x/1").status_code
        third = client.get("/x/1").status_code
    assert [200, 403, 200] == [first, second, third]


TENANTS = {name: urlconf(path("x/<int:n>", requires(f"{name}:read")(answer), name="x")) for name in ("a", "b")}


def per_tenant(get_response):
    """A middleware that gives each request the URLconf of its tenant."""

    def middleware(request):
        request.urlconf = TENANTS[request.headers["Tenant"]]
        return get_response(request)

    return middleware


def test_each_request_has_the_rules_of_its_urlconf() -> None:
    """`request.urlconf` differs between requests, with the same paths, names and parameters."""
    with project(path("x/<int:n>", public(answer)), middleware=[f"{HERE}.per_tenant"]):
        client = Client(headers=bearer("a:read"))
        answers = [client.get("/x/1", headers={"Tenant": tenant}).status_code for tenant in "abab"]
    assert [200, 403, 200, 403] == answers


def test_the_label_is_the_template_of_the_matched_route(caplog) -> None:
    """Nested includes, converters, regular expressions and language prefixes each give the label of their request."""
    inner = [path("items/<slug:name>/", requires("z:z")(answer)), re_path(r"^(?P<n>\d+)$", requires("z:z")(answer))]
    outer = include([path("v1/<int:tenant>/", include(inner))])
    languages = {"LANGUAGES": [("en", "English"), ("de", "German")], "LANGUAGE_CODE": "en"}
    stack = ["django.middleware.locale.LocaleMiddleware"]
    with project(path("api/", outer), *i18n_patterns(path("p/", outer)), middleware=stack, USE_I18N=True, **languages):
        client = Client(headers=bearer("a:b"))
        for url in (
            "/api/v1/7/items/one/",
            "/api/v1/8/9",
            "/en/p/v1/7/items/one/",
            "/de/p/v1/7/items/one/",
            "/api/v1/7/8",
        ):
            assert 403 == client.get(url).status_code
    labels = [record.getMessage().partition('"route": "')[2].partition('"')[0] for record in caplog.records]
    assert [
        "GET /api/v1/{tenant}/items/{name}/",
        "GET /api/v1/{tenant}/{n}",
        "GET /en/p/v1/{tenant}/items/{name}/",
        "GET /de/p/v1/{tenant}/items/{name}/",
        "GET /api/v1/{tenant}/{n}",
    ] == [label for label in labels if label]


def test_changed_settings_count_at_once() -> None:
    """A rule of the settings applies from the next request on, and no longer when the settings have it no more."""
    with project(path("x", answer, name="x"), path("y", guarded([path("", answer)], "a:b"))):
        client = Client()
        before = client.get("/x").status_code
        with override_settings(JWT_LP=AUTHORITY.settings(PUBLIC=["x"])):
            between = client.get("/x").status_code
        assert [401, 200, 401] == [before, between, client.get("/x").status_code]
        assert settings.JWT_LP.get("PUBLIC") is None
