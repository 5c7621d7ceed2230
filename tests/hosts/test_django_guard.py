"""Decisions of the Django adapter, and attempts of middleware and views to get around it."""

# ruff: noqa: E402, RUF012 - Django reads its settings first; views declare their rules as users do

from __future__ import annotations

import asyncio
import io
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any

import pytest

pytest.importorskip("django")

from hosts.django_setup import AUTHORITY, configure, make_class, project

configure()

from asgiref.sync import markcoroutinefunction
from django.core.exceptions import PermissionDenied
from django.core.handlers.base import BaseHandler
from django.http import FileResponse, HttpResponse, HttpResponseRedirect, JsonResponse, StreamingHttpResponse
from django.test import AsyncClient, Client, RequestFactory, override_settings
from django.urls import path, re_path
from django.utils.decorators import method_decorator
from django.views import View
from django.views.decorators.csrf import csrf_exempt, csrf_protect

from jwt_lp import ConfigurationError, Decision, Guard
from jwt_lp_django import (
    LeastPrivilegeMixin,
    authenticated,
    can,
    enforce,
    external,
    public,
    requires,
    token_from,
)
from jwt_lp_django.decisions import RequestRefused
from jwt_lp_django.middleware import LeastPrivilegeMiddleware

pytestmark = pytest.mark.host

SECRET = b"SECRET"
HERE = __name__


def bearer(*permissions, **more):
    return AUTHORITY.headers("alice", permissions, **more)


def secret(request, **kwargs):
    return HttpResponse(SECRET)


async def asecret(request, **kwargs):
    return HttpResponse(SECRET)


def status(method, url, *permissions, client=None):
    return (client or Client()).generic(method, url, headers=bearer(*permissions)).status_code


def answers(get_response):
    """A middleware that answers before the view, like a health check or static files."""
    return lambda request: HttpResponse(SECRET)


def falls_back(get_response):
    """A middleware that has content for a 404, like flatpages."""

    def middleware(request):
        response = get_response(request)
        return HttpResponse(SECRET) if response.status_code == 404 else response

    return middleware


def calls_view(get_response):
    """A middleware that calls a view by itself."""

    def middleware(request):
        return secret(request)

    return middleware


def calls_marked_view(get_response):
    """A middleware that calls a declared view by itself."""

    def middleware(request):
        return requires("a:b")(secret)(request)

    return middleware


def redirects(get_response):
    return lambda request: HttpResponseRedirect("https://testserver/")


def redirects_with_content(get_response):
    return lambda request: HttpResponse(SECRET, status=302, headers={"Location": "/"})


def preflights(get_response):
    """A middleware that answers preflights, like django-cors-headers."""

    def middleware(request):
        return HttpResponse() if request.method == "OPTIONS" else get_response(request)

    return middleware


def breaks(get_response):
    def middleware(request):
        raise PermissionDenied

    return middleware


def swaps(get_response):
    def middleware(request):
        request.urlconf = type("URLs", (), {"urlpatterns": [path("x", secret), path("y", requires("a:b")(secret))]})
        return get_response(request)

    return middleware


def rewrites_headers(get_response):
    """A middleware that makes an Authorization header from a cookie, and replaces the client's address."""

    def middleware(request):
        if "token" in request.COOKIES:
            request.META["HTTP_AUTHORIZATION"] = "Bearer " + request.COOKIES["token"]
        request.META["REMOTE_ADDR"] = "127.0.0.1"
        return get_response(request)

    return middleware


class Early:
    """A middleware whose process_view calls the view."""

    ran: list[str] = []

    def __init__(self, get_response):
        self.get_response = get_response

    def __call__(self, request):
        return self.get_response(request)

    def process_view(self, request, view, args, kwargs):
        Early.ran.append(request.path)
        return view(request, *args, **kwargs)


def test_a_view_without_a_declaration_never_runs() -> None:
    """401 without a credential, 403 without scope with one, and no line of the view runs."""
    ran = []

    def view(request):
        ran.append(1)
        return HttpResponse(SECRET)

    with project(path("x", view)):
        without_token, with_token = Client().get("/x"), Client().get("/x", headers=bearer("a:b"))
    assert (401, "Bearer") == (without_token.status_code, without_token["WWW-Authenticate"])
    assert (403, False) == (with_token.status_code, "scope=" in with_token["WWW-Authenticate"])
    assert [] == ran


@pytest.mark.parametrize("middleware", ["answers", "falls_back", "calls_view", "redirects_with_content"])
def test_a_middlewares_response_is_withheld(middleware) -> None:
    """A response without a decision is not sent, whichever middleware made it."""
    with project(path("x", secret), middleware=[f"{HERE}.{middleware}"]):
        answer = Client().get("/nowhere", headers=bearer("a:b"))
    assert (403, "application/problem+json", False) == (
        answer.status_code,
        answer["Content-Type"],
        SECRET in answer.content,
    )


@pytest.mark.parametrize("middleware", ["answers", "falls_back", "calls_view"])
def test_a_middlewares_response_is_withheld_under_asgi(middleware) -> None:
    """The same under ASGI."""

    async def ask():
        return await AsyncClient().get("/nowhere")

    with project(path("x", secret), middleware=[f"{HERE}.{middleware}"]):
        answer = asyncio.run(ask())
    assert (401, False) == (answer.status_code, SECRET in answer.content)


def test_a_middleware_may_answer_below_a_declared_path() -> None:
    """A path rule of the settings covers responses without a view below it, and no others."""
    rule = AUTHORITY.settings(EXTERNAL={"/static": "public files"})
    patterns = [path("static/<path:path>", secret)]
    with project(*patterns, lp=rule, middleware=[f"{HERE}.answers"]):
        codes = [Client().get(url).status_code for url in ("/static/a.css", "/staticx", "/static/../x")]
    assert [200, 401, 401] == codes


@pytest.mark.parametrize(
    ("middleware", "method", "expected"),
    [("redirects", "GET", 302), ("preflights", "OPTIONS", 200), ("breaks", "GET", 403)],
)
def test_an_empty_answer_is_sent(middleware, method, expected) -> None:
    """Empty redirects, empty answers to a preflight and errors are sent unchanged."""
    with project(path("x", secret), middleware=[f"{HERE}.{middleware}"]):
        assert expected == Client().generic(method, "/x").status_code


def test_a_slash_redirect_and_404_are_djangos() -> None:
    """APPEND_SLASH and 404 do not change, because no view was chosen."""
    with project(path("x/", requires("a:b")(secret)), middleware=["django.middleware.common.CommonMiddleware"]):
        codes = [Client().get(url).status_code for url in ("/x", "/nowhere", "/x/")]
    assert [301, 404, 401] == codes


def test_the_guards_process_view_comes_first() -> None:
    """No other middleware's process_view can call the view before the decision."""
    Early.ran.clear()
    with project(path("x", requires("a:b")(secret)), middleware=[f"{HERE}.Early"]):
        codes = [Client().get("/x", headers=bearer(permission)).status_code for permission in ("c:d", "a:b")]
    assert ([403, 200], ["/x"]) == (codes, Early.ran)


def test_a_declared_view_called_by_a_middleware_enforces_itself() -> None:
    """A declaration enforces wherever the view is called from, and its response is sent."""
    with project(path("x", secret), middleware=[f"{HERE}.calls_marked_view"]):
        codes = [Client().get("/x", headers=bearer(permission)).status_code for permission in ("c:d", "a:b")]
    assert [403, 200] == codes


def test_the_view_of_a_swapped_urlconf_counts() -> None:
    """The guard decides on the view that Django chose, from whichever URLconf."""
    with project(path("x", public(secret)), middleware=[f"{HERE}.swaps"]):
        assert [403, 200] == [status("GET", url, "a:b") for url in ("/x", "/y")]


def test_templates_are_filled_with_the_views_parameters() -> None:
    """Default arguments of the route replace those of the path, for the view and for the guard."""
    view = requires("orders:{order_id}:read")(secret)
    with project(path("o/<int:order_id>", view, {"order_id": 1})):
        assert [403, 200] == [status("GET", "/o/7", permission) for permission in ("orders:7:read", "orders:1:read")]


@pytest.mark.parametrize("url", ["/o/5:x", "/o/*", "/o/%2A", "/o/5%0A", "/o/%00", "/o/{x}", "/o/..%2F", "/o/ "])
def test_a_value_that_is_no_segment_is_refused(url) -> None:
    """No value in a path can turn a template into another permission."""
    with project(re_path(r"^o/(?P<order_id>[^/]*)$", requires("o:{order_id}:read")(secret))):
        assert status("GET", url, "o:*:read", "o:**") in {403, 404}


def test_a_line_break_after_the_path_matches_no_other_route() -> None:
    """A path with a trailing line feed is decided on the view that Django chooses, if any."""
    with project(re_path(r"^x$", requires("a:b")(secret))):
        assert status("GET", "/x%0A", "c:d") in {403, 404}


@pytest.mark.parametrize("view", [secret, asecret])
@pytest.mark.parametrize(
    ("declaration", "method", "expected"),
    [
        (requires("a:b"), "GET", 200),
        (requires("a:b"), "HEAD", 200),
        (requires("a:b"), "POST", 405),
        (requires("a:b"), "OPTIONS", 405),
        (requires("a:b"), "FOO", 405),
        (requires("a:b", methods=("POST",)), "POST", 200),
        (requires("a:b", methods=("POST",)), "GET", 405),
        (requires("c:d", methods=("POST",)), "POST", 403),
        (public, "GET", 200),
        (public, "DELETE", 405),
        (public(methods=("DELETE",)), "DELETE", 200),
        (external("a proxy"), "POST", 405),
        (authenticated, "PUT", 405),
    ],
)
def test_a_function_has_the_methods_that_are_declared(view, declaration, method, expected) -> None:
    """GET and HEAD, or the named methods; 405 with Allow for all others, also unknown ones and preflights."""
    with project(path("x", declaration(view))):
        answer = Client().generic(method, "/x", headers=bearer("a:b"))
    assert (expected, expected == 405) == (answer.status_code, "Allow" in answer)


def test_methods_add_up() -> None:
    """Two declarations with different methods on one function: each method has its own."""
    view = requires("o:list")(requires("o:create", methods=["post"])(secret))
    with project(path("x", view)):
        codes = {(m, p): status(m, "/x", p) for m in ("GET", "HEAD", "POST", "PUT") for p in ("o:list", "o:create")}
    passing = {("GET", "o:list"): 200, ("HEAD", "o:list"): 200, ("POST", "o:create"): 200}
    assert {key: passing.get(key, 405 if key[0] == "PUT" else 403) for key in codes} == codes


def test_a_view_called_by_another_view_decides_for_itself() -> None:
    """A decision counts for one requirement with the same parameters, also in a helper view."""
    inner = requires("o:{order_id}:read")(secret)
    outer = public(lambda request: inner(request, order_id=7))
    other = requires("o:{order_id}:read")(lambda request, order_id: inner(request, order_id=order_id + 1))
    with project(path("x", outer), path("o/<int:order_id>", other)):
        assert [401, 200] == [Client().get("/x").status_code, status("GET", "/x", "o:7:read")]
        assert [403, 200] == [status("GET", "/o/7", *p) for p in (["o:7:read"], ["o:7:read", "o:8:read"])]


def test_one_request_is_one_decision(caplog) -> None:
    """Middleware, decorator and view ask repeatedly; the refusal is logged once."""
    with project(path("x", requires("a:b")(requires("a:b")(secret)))):
        status("GET", "/x", "c:d")
    assert 1 == sum("jwt-lp refused" in record.getMessage() for record in caplog.records)


def test_a_declaration_enforces_without_the_middleware() -> None:
    """Without the middleware a function, a class, a handler and async views still enforce."""

    class Handler(View):
        @requires("a:b")
        def get(self, request):
            return HttpResponse(SECRET)

    class AsyncDispatch(View):
        async def get(self, request):
            return HttpResponse(SECRET)

    views = [
        requires("a:b")(secret),
        requires("a:b")(asecret),
        Handler.as_view(),
        method_decorator(requires("a:b"), name="dispatch")(AsyncDispatch).as_view(),
        requires("a:b")(View.as_view()),
    ]
    with project(*(path(str(number), view) for number, view in enumerate(views[:4])), MIDDLEWARE=[]):
        for number in range(4):
            codes = [
                Client().get(f"/{number}", headers=bearer(permission)).status_code for permission in ("c:d", "a:b")
            ]
            assert [403, 200] == codes
        assert 405 == Client().post("/0", headers=bearer("a:b")).status_code
        assert SECRET == Client().get("/1", headers=bearer("a:b")).content


def test_a_declaration_enforces_without_any_handler() -> None:
    """A view that is called with a request of RequestFactory enforces too."""
    view = requires("o:{order_id}:read")(secret)
    request = RequestFactory().get("/any", headers=bearer("o:7:read"))
    assert [200, 403] == [view(request, order_id=order_id).status_code for order_id in (7, 8)]


def test_the_token_is_attached_to_the_request() -> None:
    """`request.access_token`, `token_from`, `request.user` and `auser` give the same subject."""
    seen = {}

    async def view(request):
        seen["same"] = token_from(request) is request.access_token is request.user.token
        seen["async"] = await request.auser() is request.user
        return JsonResponse({})

    with project(path("x", requires("a:b")(view))):
        status("GET", "/x", "a:b")
    assert {"same": True, "async": True} == seen


def test_an_open_view_has_no_token() -> None:
    """A public view gets the anonymous token, whatever was sent; an identified view gets a valid one if it was sent."""
    seen = []

    def view(request):
        seen.append((request.access_token.subject, hasattr(request, "user")))
        return HttpResponse()

    with project(path("p", public(view)), path("i", public(identify=True)(view))):
        for url in ("/p", "/i"):
            Client().get(url, headers=bearer())
        Client().get("/i", headers={"Authorization": "Bearer junk"})
    assert [("", False), ("alice", True), ("", False)] == seen


def test_the_user_is_the_tokens_after_other_middleware() -> None:
    """If the guard accepted a token, its user replaces the session's; on open routes the session's user stays."""
    kinds = []

    def view(request):
        kinds.append(type(request.user).__name__)
        return HttpResponse()

    stack = [
        "django.contrib.sessions.middleware.SessionMiddleware",
        "django.contrib.auth.middleware.AuthenticationMiddleware",
    ]
    with project(
        path("a", requires("a:b")(view)),
        path("p", public(lambda request: HttpResponse())),
        middleware=stack,
        SESSION_ENGINE="django.contrib.sessions.backends.signed_cookies",
    ):
        assert [200, 200] == [status("GET", "/a", "a:b"), status("GET", "/p")]
    assert ["TokenUser"] == kinds


@pytest.mark.parametrize(
    ("url", "headers", "expected"),
    [
        ("/a", {"Authorization": True}, 200),
        ("/p", {"Authorization": True}, 403),
        ("/p", {}, 403),
        ("/i", {"Authorization": True}, 403),
        ("/e", {}, 403),
        ("/exempt", {}, 200),
        ("/protected", {"Authorization": True}, 200),
    ],
)
def test_only_the_header_replaces_the_csrf_token(url, headers, expected) -> None:
    """A request that passed with its Authorization header needs no CSRF token; every other request does."""
    post = ("POST",)
    patterns = [
        path("a", requires("a:b", methods=post)(secret)),
        path("p", public(methods=post)(secret)),
        path("i", public(identify=True, methods=post)(secret)),
        path("e", external("a session", methods=post)(secret)),
        path("exempt", csrf_exempt(public(methods=post)(secret))),
        path("protected", requires("a:b", methods=post)(csrf_protect(secret))),
    ]
    with project(*patterns, middleware=["django.middleware.csrf.CsrfViewMiddleware"]):
        client = Client(enforce_csrf_checks=True)
        assert expected == client.post(url, headers=bearer("a:b") if headers else {}).status_code


def test_a_header_made_from_a_cookie_needs_the_csrf_token() -> None:
    """A header that a middleware made from a cookie passes the guard, but still needs the CSRF token."""
    stack = [f"{HERE}.rewrites_headers", "django.middleware.csrf.CsrfViewMiddleware"]
    with project(path("x", requires("a:b", methods=("POST", "GET"))(secret)), middleware=stack):
        client = Client(enforce_csrf_checks=True)
        client.cookies["token"] = AUTHORITY.token("alice", ["a:b"])
        assert [200, 403] == [client.get("/x").status_code, client.post("/x").status_code]


def test_enforce_ends_the_request_with_the_refusal() -> None:
    """Status, challenge and body are the guard's, in sync and async views."""

    def view(request):
        enforce(request, "items:{item}:use", params={"item": request.GET["item"]})
        return HttpResponse(SECRET)

    async def aview(request):
        return view(request)

    with project(path("s", authenticated(view)), path("a", authenticated(aview))):
        for url in ("/s", "/a"):
            refused = Client().get(f"{url}?item=4", headers=bearer("items:3:use"))
            assert (403, "insufficient_scope") == (refused.status_code, refused.json()["error"])
            assert "no-store" == refused["Cache-Control"]
            assert refused["WWW-Authenticate"].startswith('Bearer error="insufficient_scope"')
            assert 200 == Client().get(f"{url}?item=3", headers=bearer("items:3:use")).status_code


def test_enforce_reads_the_credential_of_a_public_view() -> None:
    """If no credential has been read yet, `enforce` reads it."""

    def view(request):
        return HttpResponse(enforce(request, "a:b").subject)

    with project(path("x", public(view))):
        assert 401 == Client().get("/x").status_code
        assert b"alice" == Client().get("/x", headers=bearer("a:b")).content


def test_enforce_is_an_error_that_a_view_may_catch() -> None:
    """It is a PermissionDenied, so that a view can clean up; the refusal is sent nevertheless."""

    def view(request):
        try:
            enforce(request, "a:b")
        except PermissionDenied:
            return HttpResponse(SECRET)
        return HttpResponse("fine")

    with project(path("x", authenticated(view))):
        refused, passed = (Client().get("/x", headers=bearer(*permissions)) for permissions in ([], ["a:b"]))
    assert (403, "insufficient_scope") == (refused.status_code, refused.json()["error"])
    assert (200, b"fine") == (passed.status_code, passed.content)


def test_a_withheld_response_is_closed_with_the_refusal() -> None:
    """The withheld response is closed with the refusal that replaces it."""
    closed = []

    class Rows:
        def __iter__(self):
            return iter([SECRET])

        def close(self):
            closed.append(True)

    def view(request):
        with suppress(PermissionDenied):
            enforce(request, "a:b")
        return StreamingHttpResponse(Rows())

    with project(path("x", authenticated(view))):
        refused = Client().get("/x", headers=bearer())
    assert (403, False, [True]) == (refused.status_code, SECRET in refused.content, closed)


@pytest.mark.parametrize("kind", ["sync", "async"])
def test_a_refusal_ends_a_response_that_has_begun(kind) -> None:
    """The status was sent before; what the view yields after the refusal is not sent."""

    def parts(request):
        for number in range(3):
            with suppress(PermissionDenied):
                enforce(request, "o:{n}:read", params={"n": number})
            yield f"row {number};"

    async def awaited(request):
        for part in parts(request):
            yield part

    def view(request):
        return StreamingHttpResponse(parts(request))

    async def aview(request):
        return StreamingHttpResponse(awaited(request))

    with project(path("x", authenticated(view if kind == "sync" else aview))):
        rows = [b"row 0;", b"row 1;", b"row 2;"]
        few, all_rows = bearer("o:0:read", "o:2:read"), bearer("o:*:read")
        received: list[bytes] = []
        if kind == "sync":
            assert rows == list(Client().get("/x", headers=all_rows))
            response: Any = Client().get("/x", headers=few)
            with pytest.raises(RequestRefused):
                received.extend(response)
        else:
            assert rows == asyncio.run(_collect(all_rows, []))
            with pytest.raises(RequestRefused):
                asyncio.run(_collect(few, received))
    assert [b"row 0;"] == received


async def _collect(headers: Any, received: list[bytes]) -> list[bytes]:
    response: Any = await AsyncClient().get("/x", headers=headers)
    async for part in response:
        received.append(part)  # noqa: PERF401 - the caller needs the parts before an error
    return received


def test_a_file_response_keeps_its_file() -> None:
    """Servers can still send a file response in their own way."""

    def view(request):
        return FileResponse(io.BytesIO(b"file"))

    with project(path("x", authenticated(view))):
        handler = BaseHandler()
        handler.load_middleware()
        response: Any = handler.get_response(RequestFactory().get("/x", headers=bearer()))
    assert response.file_to_stream is not None
    assert b"file" == response.getvalue()


def test_a_view_on_the_event_loop_waits_for_no_keys() -> None:
    """While keys are missing, `enforce` in an async view is refused at once; in a sync view it waits."""
    waited: list[bool] = []

    class Waiting(Guard):
        def check(self, *args: Any, wait: bool = True, **more: Any) -> Any:
            if args[1] is None or not args[1].requires_token:
                return super().check(*args, wait=wait, **more)
            waited.append(wait)
            return super().check(*args, wait=wait, **more) if wait else Decision(requirement=args[1], pending=True)

    @requires("a:b")
    def helper(request):
        return HttpResponse(SECRET)

    def view(request):
        return HttpResponse(enforce(request, "a:b").subject)

    async def aview(request):
        return view(request)

    async def helped(request):
        return helper(request)

    from jwt_lp_django.guard_access import guard_holder

    async def ask(url: str) -> Any:
        return await AsyncClient().get(url, headers=bearer("a:b"))

    patterns = [path("sync", public(view)), path("async", public(aview)), path("helped", public(helped))]
    with project(*patterns), guard_holder().swap_guard(Waiting(AUTHORITY.settings())):
        answers = [asyncio.run(ask(url)) for url in ("/sync", "/async", "/helped")]
    assert [200, 503, 503] == [answer.status_code for answer in answers]
    assert ["5", "5"] == [answer["Retry-After"] for answer in answers[1:]]
    # Each asks without waiting first, and only the sync view may wait then.
    assert [False, True, False, False] == waited


def test_can_asks_and_never_refuses() -> None:
    """A probe is False without a token, and writes nothing to the log."""

    def view(request):
        return JsonResponse({"can": can(request, "o:{n}:read", params={"n": 3})})

    with project(path("x", public(identify=True)(view))):
        headers: list[Any] = [{}, bearer("o:3:read"), bearer("o:4:read")]
        results = [Client().get("/x", headers=one).json()["can"] for one in headers]
    assert [False, True, False] == results


def test_the_peer_is_the_sockets_address() -> None:
    """The guard gets the address that arrived, not one that a middleware set."""
    peers = []

    class Spy(Guard):
        def check(self, *args: Any, **more: Any) -> Any:
            call = more["call"]
            peers.append((call.peer, call.method, call.endpoint, call.field("x-a")))
            return super().check(*args, **more)

    from jwt_lp_django.guard_access import guard_holder

    with (
        project(path("x", requires("a:b")(secret)), middleware=[f"{HERE}.rewrites_headers"]),
        guard_holder().swap_guard(Spy(AUTHORITY.settings())),
    ):
        Client().get("/x", headers={"X-A": "1"}, REMOTE_ADDR="10.1.1.1")
    assert [("10.1.1.1", "GET", f"{HERE}.secret", ("1",))] == peers


def test_the_label_is_the_full_template(caplog) -> None:
    """Includes and converters are part of the route's name; values are not."""
    from django.urls import include

    inner = [re_path(r"^orders/(?P<pk>[^/.]+)/$", requires("a:b")(secret))]
    with project(path("api/<slug:tenant>/", include(inner))):
        status("GET", "/api/acme/orders/7/", "c:d")
    assert ["GET /api/{tenant}/orders/{pk}/"] == [r.jwt_lp["route"] for r in caplog.records if hasattr(r, "jwt_lp")]


def test_threads_do_not_mix_subjects_up() -> None:
    """Of many simultaneous requests each has its own subject."""

    def view(request):
        return HttpResponse(f"{request.user.username} {request.access_token.subject}")

    def ask(name):
        return Client().get("/x", headers=AUTHORITY.headers(name, ["a:b"])).content.decode()

    names = [f"user{number}" for number in range(30)]
    with project(path("x", requires("a:b")(view))), ThreadPoolExecutor(10) as pool:
        assert [f"{name} {name}" for name in names] == list(pool.map(ask, names))


def test_tasks_do_not_mix_subjects_up() -> None:
    """The same for tasks of one event loop."""

    async def view(request):
        before = request.user.username
        await asyncio.sleep(0.01)
        return HttpResponse(f"{before} {request.access_token.subject}")

    async def ask(name):
        return (await AsyncClient().get("/x", headers=AUTHORITY.headers(name, ["a:b"]))).content.decode()

    async def all_of_them(names):
        return await asyncio.gather(*map(ask, names))

    names = [f"user{number}" for number in range(20)]
    with project(path("x", requires("a:b")(view))):
        assert [f"{name} {name}" for name in names] == asyncio.run(all_of_them(names))


def test_an_async_stack_stays_on_the_event_loop() -> None:
    """Under ASGI neither the middleware nor its process_view runs in a thread."""
    from django.core.handlers.asgi import ASGIHandler

    with project(path("x", requires("a:b")(asecret))):
        handler: Any = ASGIHandler()
    assert [True] == [asyncio.iscoroutinefunction(hook) for hook in handler._view_middleware]
    assert asyncio.iscoroutinefunction(handler._middleware_chain)


def test_missing_keys_are_waited_for_in_a_thread() -> None:
    """A pending decision is repeated in a thread."""
    import threading

    from jwt_lp_django.guard_access import guard_holder

    calls = []

    class Slow(Guard):
        def check(self, *args: Any, **more: Any) -> Any:
            wait = more["wait"]
            calls.append((wait, threading.current_thread() is main))
            decision = super().check(*args, **more)
            return (
                decision if wait else Decision(decision.token, decision.requirement, route=decision.route, pending=True)
            )

    async def ask():
        return (await AsyncClient().get("/x", headers=bearer("a:b"))).status_code

    main = threading.current_thread()
    with project(path("x", requires("a:b")(asecret))), guard_holder().swap_guard(Slow(AUTHORITY.settings())):
        assert 200 == asyncio.run(ask())
    assert [(False, True), (True, False)] == calls


def test_two_headers_are_refused_under_asgi() -> None:
    """Every line of the header is passed to the guard, so two lines are refused with 400."""
    from django.test import AsyncRequestFactory

    good = bearer("a:b")["Authorization"]
    view = requires("a:b")(asecret)
    request: Any = AsyncRequestFactory().get("/x")
    request.scope["headers"] += [(b"authorization", b"Basic abc"), (b"authorization", good.encode())]
    request.META["HTTP_AUTHORIZATION"] = "Basic abc," + good
    assert 400 == asyncio.run(view(request)).status_code


def test_observe_mode_lets_through_and_logs(caplog) -> None:
    """Missing declarations, permissions and tokens are only logged; `enforce=True` still refuses."""
    today = datetime.now(UTC).date().isoformat()
    patterns = [
        path("u", secret),
        path("r", requires("a:b")(lambda request: HttpResponse(repr(request.access_token)))),
        path("e", requires("a:b", enforce=True)(secret)),
    ]
    with project(*patterns, lp=AUTHORITY.settings(OBSERVE_UNTIL=today)):
        client = Client()
        assert [200, 200, 401] == [client.get(url).status_code for url in ("/u", "/r", "/e")]
        assert b"<AccessToken anonymous>" == client.get("/r", headers={"Authorization": "Bearer junk"}).content
    assert 3 == sum("jwt-lp observed" in record.getMessage() for record in caplog.records)


def test_a_withheld_file_is_closed(tmp_path) -> None:
    """A file that a middleware opened is closed when its response is withheld."""
    (tmp_path / "f").write_bytes(SECRET)
    opened = (tmp_path / "f").open("rb")
    with override_settings(MIDDLEWARE=["jwt_lp_django.middleware.LeastPrivilegeMiddleware"]):
        middleware = LeastPrivilegeMiddleware(lambda request: FileResponse(opened))
    answer: Any = middleware(RequestFactory().get("/x"))
    answer.close()
    assert (401, True) == (answer.status_code, opened.closed)


def test_a_decorated_class_is_an_error() -> None:
    """The error for a decorated view class tells what to write."""
    with pytest.raises(ConfigurationError, match="required_permissions"):
        requires("a:b")(View)


def sync_only(get_response):
    """A sync-only middleware: Django runs what is inside it in a thread."""

    def middleware(request):
        return get_response(request)

    return middleware


class AsyncOnly:
    sync_capable = False
    async_capable = True

    def __init__(self, get_response):
        self.get_response = get_response
        markcoroutinefunction(self)

    async def __call__(self, request):
        return await self.get_response(request)


@pytest.mark.parametrize("inner", ["sync_only", "AsyncOnly"])
@pytest.mark.parametrize("view", [secret, asecret])
def test_mixed_stacks_stay_correct(inner, view) -> None:
    """Sync and async middleware and views in one stack are as strict, under WSGI and ASGI."""

    async def ask(permission):
        return (await AsyncClient().get("/x", headers=bearer(permission))).status_code

    with project(path("x", requires("a:b")(view)), path("u", view), middleware=[f"{HERE}.{inner}"]):
        assert [403, 200] == [status("GET", "/x", permission) for permission in ("c:d", "a:b")]
        assert [403, 200] == [asyncio.run(ask(permission)) for permission in ("c:d", "a:b")]
        assert 403 == status("GET", "/u", "a:b")


class LateMethod:
    """A method override in process_view, after the guard's."""

    def __init__(self, get_response):
        self.get_response = get_response

    def __call__(self, request):
        return self.get_response(request)

    def process_view(self, request, view, args, kwargs):
        request.method = request.headers.get("X-HTTP-Method-Override", request.method)


class LateArguments(LateMethod):
    """A middleware that changes the view's parameters after the decision."""

    def process_view(self, request, view, args, kwargs):
        kwargs["n"] = 8


class Methods(View):
    required_permissions = {"GET": "a:b", "POST": "c:d"}

    def get(self, request, **kwargs):
        return HttpResponse("got")

    def post(self, request, **kwargs):
        return HttpResponse(SECRET)


class Mixed(LeastPrivilegeMixin, Methods):
    def post(self, request, **kwargs):
        raise AssertionError


@pytest.mark.parametrize(
    ("view", "expected"),
    [
        (Methods.as_view(), 403),
        (Mixed.as_view(), 403),
        (requires("a:b")(requires("c:d", methods=("POST",))(secret)), 403),
        (requires("a:b")(secret), 405),
    ],
)
def test_a_method_that_is_changed_late_is_decided_again(view, expected) -> None:
    """The view's own declaration refuses it; without one the response is withheld."""
    with project(path("x", view), middleware=[f"{HERE}.LateMethod"]):
        headers = {**bearer("a:b"), "X-HTTP-Method-Override": "POST"}
        assert [200, expected] == [Client().get("/x", headers=one).status_code for one in (bearer("a:b"), headers)]


@pytest.mark.parametrize(
    "view",
    [
        requires("o:{n}:read")(secret),
        make_class(Methods, required_permissions="o:{n}:read").as_view(),
        make_class(LeastPrivilegeMixin, Methods, required_permissions="o:{n}:read").as_view(),
    ],
)
def test_arguments_that_are_changed_late_are_decided_again(view) -> None:
    """A decision is valid only for the parameters that it was made with."""
    with project(path("x/<int:n>", view), middleware=[f"{HERE}.LateArguments"]):
        assert [403, 403, 200] == [
            status("GET", "/x/7", "o:7:read"),
            status("GET", "/x/7", "o:8:read"),
            status("GET", "/x/7", "o:7:read", "o:8:read"),
        ]


def calls_again(get_response):
    """A middleware that calls the view itself after a refusal."""

    def middleware(request):
        response = get_response(request)
        if response.status_code < 400:
            return response
        match = request.resolver_match
        return match.func(request, **match.kwargs)

    return middleware


@pytest.mark.parametrize(
    "view",
    [
        requires("a:b")(secret),
        Mixed.as_view(),
        Methods.as_view(),
        requires("a:b")(make_class(View, get=lambda self, request: secret(request)).as_view()),
    ],
)
def test_a_refused_view_refuses_again(view) -> None:
    """A view that is called again after its refusal refuses again."""
    with project(path("x", view), middleware=[f"{HERE}.calls_again"]):
        assert [403, 200] == [status("GET", "/x", permission) for permission in ("c:d", "a:b")]


def test_a_preflight_never_becomes_a_call() -> None:
    """OPTIONS is answered before another middleware can change the method."""
    with project(path("x", Methods.as_view()), middleware=[f"{HERE}.LateMethod"]):
        answer = Client().options("/x", headers={"X-HTTP-Method-Override": "POST"})
    assert (200, b"") == (answer.status_code, answer.content)
