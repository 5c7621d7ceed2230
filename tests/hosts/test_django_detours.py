"""Ways around the guard through caches, fallbacks, copies and tracebacks; all are closed."""

# ruff: noqa: E402 - Django reads its settings first; views declare their rules as users do

from __future__ import annotations

import copy
import sys
import traceback
from typing import Any

import pytest

pytest.importorskip("django")

from hosts.django_setup import AUTHORITY, configure, make_class, project

configure()

from django.core.cache import cache
from django.core.exceptions import PermissionDenied
from django.http import HttpResponse
from django.template import engines
from django.template.response import SimpleTemplateResponse
from django.test import Client, RequestFactory
from django.urls import include, path, re_path
from django.views import View

from jwt_lp import ConfigurationError, Guard
from jwt_lp_django import LeastPrivilegeMixin, authenticated, enforce, guarded, public, requires, token_from
from jwt_lp_django.guard_access import guard_holder

pytestmark = pytest.mark.host

SECRET = b"SECRET"
HERE = __name__
CACHED: dict[str, bytes] = {}


def bearer(*permissions, name="alice"):
    return AUTHORITY.headers(name, permissions)


def secret(request, **kwargs):
    return HttpResponse(SECRET)


def caches_pages(get_response):
    """A middleware that caches pages by their path."""

    def middleware(request):
        if request.path in CACHED:
            return HttpResponse(CACHED[request.path])
        response = get_response(request)
        if response.status_code == 200:
            CACHED[request.path] = response.content
        return response

    return middleware


def answers(get_response):
    return lambda request: HttpResponse(SECRET)


def has_content_for_405(get_response):
    def middleware(request):
        response = get_response(request)
        return HttpResponse(SECRET) if response.status_code == 405 else response

    return middleware


def enforces_afterwards(get_response):
    def middleware(request):
        response = get_response(request)
        enforce(request, "a:b")
        return response

    return middleware


def enforces(get_response):
    def middleware(request):
        enforce(request, "a:b")
        return get_response(request)

    return middleware


def redirects_unrendered(get_response):
    return lambda request: SimpleTemplateResponse(engines["django"].from_string("SECRET"), status=302)


SITE_CACHE = ["django.middleware.cache.UpdateCacheMiddleware", "django.middleware.cache.FetchFromCacheMiddleware"]


@pytest.mark.parametrize("middleware", [[f"{HERE}.caches_pages"], SITE_CACHE], ids=["own", "django"])
def test_a_cached_page_has_the_rule_of_its_route(middleware) -> None:
    """A page cache's response needs what the route declares, not a wider path rule."""
    CACHED.clear()
    cache.clear()
    patterns = [path("shop/admin", requires("adm:in")(secret)), path("shop/x", secret), path("p", public(secret))]
    with project(*patterns, lp=AUTHORITY.settings(PUBLIC=["/shop"]), middleware=middleware):
        for url in ("/shop/admin", "/shop/x", "/p"):
            assert 200 == Client().get(url, headers=bearer("adm:in")).status_code
        without, little = (
            Client().get("/shop/admin", headers=headers).status_code for headers in (None, bearer("c:d"))
        )
        assert [401, 200, 200] == [without, *(Client().get(url).status_code for url in ("/shop/x", "/p"))]
        assert 403 == little


def test_a_middlewares_answer_for_another_method_is_withheld() -> None:
    """If the route does not have the method, no path rule opens a middleware's response to it."""
    with project(
        path("shop/admin", requires("adm:in")(secret)),
        path("shop/x", secret),
        lp=AUTHORITY.settings(PUBLIC=["/shop"]),
        middleware=[f"{HERE}.answers"],
    ):
        assert [403, 200] == [
            Client().post(url, headers=bearer("adm:in")).status_code for url in ("/shop/admin", "/shop/none")
        ]


def test_a_swapped_urlconf_applies_to_a_middlewares_response() -> None:
    """The guard looks the route up in the URLconf that Django would use."""
    with project(path("shop/y", public(secret)), middleware=[f"{HERE}.swaps", f"{HERE}.answers"]):
        assert [401, 200] == [Client().get(url).status_code for url in ("/shop/x", "/shop/z")]


def swaps(get_response):
    def middleware(request):
        patterns = [path("shop/x", requires("a:b")(secret)), path("shop/z", public(secret))]
        request.urlconf = type("URLs", (), {"urlpatterns": patterns})
        return get_response(request)

    return middleware


def test_content_in_place_of_a_405_is_withheld() -> None:
    """Only an error is sent if the view does not have the method."""
    with project(path("x", requires("a:b")(secret)), middleware=[f"{HERE}.has_content_for_405"]):
        assert 403 == Client().post("/x", headers=bearer("a:b")).status_code
    with project(path("x", requires("a:b")(secret))):
        assert 405 == Client().post("/x").status_code


def _text(error: BaseException) -> str:
    return "".join(traceback.TracebackException.from_exception(error, capture_locals=True).format())


@pytest.mark.parametrize("faulty", ["it ems:*", "", "a:{", object()])
def test_no_traceback_shows_the_token(faulty) -> None:
    """The locals of our frames hold nothing of the header, for a malformed requirement and for a refusal."""
    headers = bearer("a:b")
    token = headers["Authorization"].removeprefix("Bearer ")
    texts = []

    def view(request):
        for requirement in (faulty, "c:d"):
            try:
                enforce(request, requirement)
            except (ConfigurationError, PermissionDenied, TypeError, AttributeError) as error:
                texts.append(_text(error))
        return HttpResponse()

    with project(path("x", authenticated(view)), path("p", public(view))):
        assert [403, 403] == [Client().get(url, headers=headers).status_code for url in ("/x", "/p")]
    parts = [token, *token.split(".")[1:]]
    assert (4, []) == (len(texts), [part for text in texts for part in parts if part in text])


def test_repeated_enforce_decides_once_for_each_object() -> None:
    """Many objects are enforced in one request: one decision each, and no search through earlier decisions."""
    authorized = []

    class Spy(Guard):
        def authorize(self, *args: Any, **more: Any) -> Any:
            authorized.append(args[2]["n"])
            return super().authorize(*args, **more)

    def view(request, count):
        for number in [*range(count), *range(count)]:
            enforce(request, "o:{n}:read", params={"n": number})
        return HttpResponse()

    calls = []
    with (
        project(path("x/<int:count>", authenticated(view))),
        guard_holder().swap_guard(Spy(AUTHORITY.settings(OWN=True))),
    ):
        for count in (100, 400):
            entered: list[int] = []

            def counted(frame: Any, event: str, arg: Any, entered: list[int] = entered) -> None:
                entered += [1] if event == "call" else []

            sys.setprofile(counted)
            try:
                assert 200 == Client().get(f"/x/{count}", headers=bearer("o:*:read")).status_code
            finally:
                sys.setprofile(None)
            calls.append(len(entered))
    assert [*range(100), *range(400)] == authorized
    assert calls[1] < 5 * calls[0]


@pytest.mark.parametrize("where", ["enforces", "enforces_afterwards"])
def test_enforce_in_a_middleware_answers_as_the_guard_does(where) -> None:
    """Django would send a plain 403; the guard sends status, challenge and body, before the view and after it."""
    with project(path("x", public(secret)), middleware=[f"{HERE}.{where}"]):
        callers = (None, bearer("c:d"), bearer("a:b"))
        without, little, enough = (Client().get("/x", headers=headers) for headers in callers)
    assert [401, 403, 200] == [response.status_code for response in (without, little, enough)]
    assert ("Bearer", "insufficient_scope") == (without["WWW-Authenticate"], little.json()["error"])


def test_a_template_that_is_not_rendered_is_withheld() -> None:
    """A redirect with a template is not an empty redirect, rendered or not."""
    with project(path("x", secret), middleware=[f"{HERE}.redirects_unrendered"]):
        assert 401 == Client().get("/x").status_code


class Unhashable:
    __hash__: Any = None

    def __call__(self, request):
        return HttpResponse(SECRET)


class Everything:
    def __getattr__(self, name):
        return True

    def __call__(self, request):
        return HttpResponse(SECRET)


@pytest.mark.parametrize("view", [Unhashable(), Everything()])
def test_a_view_may_be_an_unusual_object(view) -> None:
    """A callable without a hash, and one that has every attribute, are guarded like any other."""
    with project(path("x", view)):
        assert [401, 403] == [Client().get("/x", headers=headers).status_code for headers in (None, bearer("a:b"))]


def test_an_include_may_hold_unusual_objects() -> None:
    """The include's declaration covers a callable without a hash."""
    with project(path("g/", guarded(include([path("x", Unhashable())]), "a:b"))):
        assert [401, 200] == [Client().get("/g/x", headers=headers).status_code for headers in (None, bearer("a:b"))]


def test_two_declarations_of_one_include_are_an_error() -> None:
    """The same declaration twice is allowed, and so is one guarded include inside another."""
    inner = guarded(include([path("x", secret)]), public)
    with pytest.raises(ConfigurationError, match="two rules for one include"):
        guarded(inner, "a:b")
    with project(path("p/", guarded(inner, public)), path("q/", guarded([path("", inner)], "a:b"))):
        assert [200, 200] == [Client().get(url).status_code for url in ("/p/x", "/q/x")]


@pytest.mark.parametrize(
    ("method", "expected"),
    [("GET", 200), ("HEAD", 200), ("DELETE", 200), ("OPTIONS", 405), ("FOO", 405), ("CONNECT", 405)],
)
@pytest.mark.parametrize("middleware", [True, False], ids=["guarded", "alone"])
def test_a_function_below_an_include_has_djangos_methods(middleware, method, expected) -> None:
    """It is not called for a preflight, nor for a method that Django's own classes do not have."""
    view = path("g/", guarded(include([path("x", secret)]), "a:b"))
    with project(view, **({} if middleware else {"MIDDLEWARE": []})):
        assert expected == Client().generic(method, "/g/x", headers=bearer("a:b")).status_code


def test_a_function_below_a_rule_has_djangos_methods() -> None:
    """The same if a rule of the settings is the only declaration."""
    with project(path("r", secret), lp=AUTHORITY.settings(PUBLIC=["/r"])):
        assert [200, 405, 405] == [Client().generic(method, "/r").status_code for method in ("POST", "OPTIONS", "FOO")]


def test_a_copy_with_another_credential_is_decided_anew() -> None:
    """The decision about the first request does not apply to a copy with another token."""
    inner = requires("adm:in")(lambda request: HttpResponse(getattr(token_from(request), "subject", None)))

    @requires("adm:in")
    def batch(request):
        other: Any = copy.copy(request)
        bob = AUTHORITY.headers("bob", request.GET.getlist("p"))
        other.META = {**request.META, "HTTP_AUTHORIZATION": bob["Authorization"]}
        answer = inner(other)
        answer["X-Mine"] = getattr(token_from(request), "subject", "")
        return answer

    with project(path("b", batch)):
        refused = Client().get("/b?p=a:b", headers=bearer("adm:in"))
        passed = Client().get("/b?p=adm:in", headers=bearer("adm:in"))
    responses = (refused, passed)
    assert [(403, "alice"), (200, "alice")] == [(response.status_code, response["X-Mine"]) for response in responses]
    assert b"bob" == passed.content


def test_a_copy_in_the_place_of_the_first_request_is_decided_anew() -> None:
    """A copy of a copy may lie in memory where the first request lay; it still is another request."""
    view = requires("a:b")(secret)
    with project(path("x", view)):
        for _ in range(100):
            first = RequestFactory().get("/x", headers=bearer("a:b"))
            assert 200 == view(first).status_code
            second = copy.copy(first)
            del first
            third = copy.copy(second)
            third.META = {**third.META, "HTTP_AUTHORIZATION": bearer("c:d")["Authorization"]}
            assert 403 == view(third).status_code


def test_a_plain_copy_is_the_same_request() -> None:
    """A copy with the same credential keeps the decisions."""
    request: Any = RequestFactory().get("/any", headers=bearer("a:b"))
    enforce(request, "a:b")
    assert "alice" == getattr(token_from(copy.copy(request)), "subject", None)


@pytest.mark.parametrize("url", ["/secret/", "/statichidden", "/staticmore", "/staticzero", "/admin/y", "/z"])
def test_a_path_rule_opens_no_ambiguous_regular_expression(url) -> None:
    """No path rule applies to routes with alternatives or optional slashes."""
    routes = [
        r"^static/$|^secret/$",
        r"^static/?hidden$",
        r"^static\/*more$",
        r"^static/{0}zero$",
        r"^(static/|admin/)y$",
        r"^static\Z|^z",
        r"^static/plain/?$",
    ]
    patterns = [re_path(route, lambda request, *args: HttpResponse(SECRET)) for route in routes]
    with project(*patterns, lp=AUTHORITY.settings(PUBLIC=["/static"])):
        assert [401, 200] == [Client().get(path).status_code for path in (url, "/static/plain")]


class Overrides:
    """A method override in process_view that restores the method afterwards."""

    def __init__(self, get_response):
        self.get_response = get_response

    def __call__(self, request):
        method = request.method
        response = self.get_response(request)
        request.method = method
        return response

    def process_view(self, request, view, args, kwargs):
        request.method = request.headers.get("X-HTTP-Method-Override", request.method)


class Both(View):
    def get(self, request):
        return HttpResponse()

    def delete(self, request):
        return HttpResponse(SECRET)


@pytest.mark.parametrize(
    "view",
    [
        make_class(LeastPrivilegeMixin, Both, required_permissions={"GET": "o:read", "DELETE": "o:delete"}),
        make_class(Both, get=requires("o:read")(Both.get), delete=requires("o:delete")(Both.delete)),
    ],
)
def test_a_temporary_method_override_is_decided_on(view) -> None:
    """A declaration that enforces itself sees the method of the call, whatever the middleware restores later."""
    with project(path("x", view.as_view()), middleware=[f"{HERE}.Overrides"]):
        callers = [bearer("o:read"), bearer("o:read", "o:delete")]
        assert [403, 200] == [
            Client().get("/x", headers={**headers, "X-HTTP-Method-Override": "DELETE"}).status_code
            for headers in callers
        ]


def test_a_retry_in_another_urlconf_changes_no_refusal() -> None:
    """The first refusal stays, even if another view would accept the same request afterwards."""
    with project(path("x", secret), middleware=[f"{HERE}.retries"]):
        assert [403, 403] == [
            Client().get("/x", headers=bearer(permission)).status_code for permission in ("a:b", "c:d")
        ]


def retries(get_response):
    def middleware(request):
        response = get_response(request)
        if response.status_code == 403:
            request.urlconf = type("URLs", (), {"urlpatterns": [path("x", requires("a:b")(secret))]})
            return get_response(request)
        return response

    return middleware
