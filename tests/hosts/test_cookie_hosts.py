"""Cookies in one host each: websockets, Django's own CSRF check, and the helpers that set and clear the cookies."""

from __future__ import annotations

from http.cookies import Morsel, SimpleCookie
from typing import Any

import pytest

from hosts.asgi_calls import call, connect
from jwt_lp.guard.cookies import csrf_token
from jwt_lp.testing.authority import Authority

pytestmark = pytest.mark.host

ORIGIN = {"Origin": "https://api.test"}


@pytest.fixture
def authority() -> Authority:
    return Authority()


def settings(authority: Authority, **more: object) -> dict[str, Any]:
    return {**authority.settings(), "COOKIE": True, **more}


def morsels(lines: list[str]) -> dict[str, Morsel[str]]:
    return {name: morsel for line in lines for name, morsel in SimpleCookie(line).items()}


def attributes(morsel: Morsel[str]) -> tuple[object, ...]:
    return morsel["path"], bool(morsel["secure"]), bool(morsel["httponly"]), morsel["samesite"], morsel["domain"]


def test_a_websocket_of_another_origin_is_refused(authority: Authority) -> None:
    """A cookie opens a websocket only for a page of this host; the refusal is sent in the handshake."""
    applications, routing = pytest.importorskip("starlette.applications"), pytest.importorskip("starlette.routing")
    from jwt_lp_starlette import LeastPrivilege, requires

    async def chat(websocket: Any) -> None:
        await websocket.accept()
        await websocket.close()

    app = applications.Starlette(routes=[routing.WebSocketRoute("/chat", requires("chat:read")(chat))])
    LeastPrivilege(app, settings(authority))
    token = authority.token(permissions=["chat:read"])
    cookie = {"Cookie": f"__Host-access={token}"}
    for headers in (cookie, {**cookie, "Origin": "https://attacker.test"}, {**cookie, "Sec-Fetch-Site": "same-origin"}):
        answer = connect(app, "/chat", headers).answer("websocket.http.response")
        assert (403, "csrf") == (answer.status, answer.json["error"])
        assert "websocket.close" == connect(app, "/chat", headers, denial=False).sent[0]["type"]
    assert "websocket.accept" == connect(app, "/chat", {**cookie, **ORIGIN}).sent[0]["type"]
    # A subprotocol is a credential like a header.
    answer = connect(app, "/chat", {**cookie, **ORIGIN}, protocols=["bearer", token]).answer("websocket.http.response")
    assert 400 == answer.status


def test_the_helpers_of_starlette_and_fastapi(authority: Authority) -> None:
    """What `set_cookie` sets is accepted at the next request, and `clear_cookie` removes it."""
    applications = pytest.importorskip("starlette.applications")
    responses, routing = pytest.importorskip("starlette.responses"), pytest.importorskip("starlette.routing")
    from jwt_lp_starlette import LeastPrivilege, clear_cookie, public, requires, set_cookie

    @public
    async def enter(request: Any) -> Any:
        return set_cookie(responses.PlainTextResponse("in"), authority.token(permissions=["a:b"]), request)

    @public
    async def leave(request: Any) -> Any:
        return clear_cookie(responses.PlainTextResponse("out"), request)

    @requires("a:b")
    async def work(request: Any) -> Any:
        return responses.PlainTextResponse("done")

    routes = [
        routing.Route("/in", enter, methods=["POST"]),
        routing.Route("/out", leave, methods=["POST"]),
        routing.Route("/work", work, methods=["POST"]),
    ]
    app = applications.Starlette(routes=routes)
    LeastPrivilege(app, settings(authority))
    with pytest.importorskip("starlette.testclient").TestClient(app, base_url="https://api.test") as client:
        answer = client.post("/in")
        cookies = morsels(answer.headers.get_list("set-cookie"))
        _check_cookies(cookies)
        assert "no-store" == answer.headers["cache-control"]
        assert 403 == client.post("/work").status_code
        assert 200 == client.post("/work", headers={"X-CSRF-Token": cookies["__Host-csrf"].value}).status_code
        client.post("/out")
        assert 401 == client.post("/work", headers={"X-CSRF-Token": cookies["__Host-csrf"].value}).status_code


def test_the_helpers_of_flask(authority: Authority) -> None:
    """What `set_cookie` sets is accepted at the next request, and `clear_cookie` removes it."""
    flask = pytest.importorskip("flask")
    from jwt_lp_flask import LeastPrivilege, clear_cookie, public, requires, set_cookie

    app = flask.Flask(__name__, static_folder=None)
    LeastPrivilege(app, settings(authority))

    @app.post("/in")
    @public
    def enter() -> Any:
        return set_cookie(flask.Response("in"), authority.token(permissions=["a:b"]))

    @app.post("/out")
    @public
    def leave() -> Any:
        return clear_cookie(flask.Response("out"))

    @app.post("/work")
    @requires("a:b")
    def work() -> Any:
        return "done"

    client = app.test_client()
    secure: Any = {"base_url": "https://api.test"}
    answer = client.post("/in", **secure)
    cookies = morsels(answer.headers.getlist("Set-Cookie"))
    _check_cookies(cookies)
    assert "no-store" == answer.headers["Cache-Control"]
    csrf = {"X-CSRF-Token": cookies["__Host-csrf"].value}
    assert 403 == client.post("/work", **secure).status_code
    assert 200 == client.post("/work", headers=csrf, **secure).status_code
    client.post("/out", **secure)
    assert 401 == client.post("/work", headers=csrf, **secure).status_code


def _check_cookies(cookies: dict[str, Morsel[str]]) -> None:
    """Both cookies stay on this host and are secure; scripts read the CSRF cookie alone."""
    assert {
        "__Host-access": ("/", True, True, "Lax", ""),
        "__Host-csrf": ("/", True, False, "Lax", ""),
    } == {name: attributes(morsel) for name, morsel in cookies.items()}
    assert csrf_token(cookies["__Host-access"].value) == cookies["__Host-csrf"].value


@pytest.mark.parametrize("is_async", [False, True], ids=["sync", "async"])
def test_the_helpers_of_django(authority: Authority, is_async: bool) -> None:
    """What `set_cookie` sets is accepted with Django's CSRF token, in the header or the form, also in an exempt view."""
    pytest.importorskip("django")
    from hosts.django_setup import configure, project

    configure()
    from django.http import HttpResponse
    from django.urls import path
    from django.views.decorators.csrf import csrf_exempt

    from jwt_lp_django import clear_cookie, enforce, public, requires, set_cookie

    def enter(request: Any) -> Any:
        return set_cookie(HttpResponse("in"), authority.token(permissions=["a:b"]), request)

    def leave(request: Any) -> Any:
        return clear_cookie(HttpResponse("out"), request)

    def work(request: Any) -> Any:
        return HttpResponse(request.POST.get("name", ""))

    def inside(request: Any) -> Any:
        enforce(request, "a:b")
        return HttpResponse("inside")

    def adapted(view: Any) -> Any:
        async def awaited(request: Any) -> Any:
            return view(request)

        return awaited if is_async else view

    patterns = [
        path("in", csrf_exempt(public(methods=("POST",))(adapted(enter)))),
        path("out", public(methods=("POST",))(adapted(leave))),
        path("work", requires("a:b", methods=("POST",))(adapted(work))),
        path("exempt", csrf_exempt(requires("a:b", methods=("POST",))(adapted(work)))),
        path("inside", csrf_exempt(public(methods=("POST",))(adapted(inside)))),
    ]
    with project(*patterns, lp=settings(authority)):
        client = _client(is_async)
        answer = client.post("/in")
        access = answer.cookies["__Host-access"]
        assert ("/", True, True, "Lax", "") == attributes(access)
        assert "no-store" == answer.headers["Cache-Control"]
        token = answer.cookies["csrftoken"].value
        for url in ("/work", "/exempt", "/inside"):
            refused = client.post(url)
            assert (403, "csrf") == (refused.status_code, refused.json()["error"])
            assert "X-CSRFToken or in the form field csrfmiddlewaretoken" in refused.json()["detail"]
            assert 200 == client.post(url, headers={"X-CSRFToken": token}).status_code
            assert 200 == client.post(url, {"csrfmiddlewaretoken": token, "name": "n"}).status_code
            elsewhere = client.post(url, headers={"X-CSRFToken": token, "Origin": "https://attacker.test"})
            assert 403 == elsewhere.status_code
        assert b"n" == client.post("/work", {"csrfmiddlewaretoken": token, "name": "n"}).content
        # A second sign-in keeps the CSRF token of open forms.
        assert token == client.post("/in").cookies["csrftoken"].value
        assert 403 == client.post("/out").status_code
        left = client.post("/out", headers={"X-CSRFToken": token})
        assert (0, "/") == (left.cookies["__Host-access"]["max-age"], left.cookies["__Host-access"]["path"])
        assert token != left.cookies["csrftoken"].value
        assert 401 == client.post("/work").status_code


def _client(is_async: bool) -> Any:
    """A client that is not exempt from CSRF checks, for a WSGI or an ASGI application; both are called alike."""
    from asgiref.sync import async_to_sync
    from django.test import AsyncClient, Client

    if not is_async:
        return Client(enforce_csrf_checks=True)
    client: Any = AsyncClient(enforce_csrf_checks=True)
    client.post = async_to_sync(client.post)
    return client


def test_the_browsable_api_and_its_session(authority: Authority) -> None:
    """In REST framework, where every view is exempt, the cookie still needs Django's CSRF token."""
    pytest.importorskip("rest_framework")
    from hosts.django_setup import configure, project

    configure()
    from django.urls import path
    from rest_framework.response import Response
    from rest_framework.test import APIClient
    from rest_framework.views import APIView

    from jwt_lp_django.drf import HasPermissions

    class Orders(APIView):
        permission_classes = (HasPermissions.of("orders:create"),)

        def post(self, request: Any) -> Any:
            return Response({"user": request.user.username, "name": request.data.get("name")})

    with project(path("orders", Orders.as_view()), lp=settings(authority)):
        client = APIClient(enforce_csrf_checks=True)
        client.cookies["__Host-access"] = authority.token(permissions=["orders:create"])
        client.cookies["csrftoken"] = "c" * 32
        refused = client.post("/orders", {"name": "n"}, format="json")
        assert (403, "csrf") == (refused.status_code, refused.json()["error"])
        passed = client.post("/orders", {"name": "n"}, format="json", headers={"X-CSRFToken": "c" * 32})
        assert (200, {"user": "alice", "name": "n"}) == (passed.status_code, passed.json())
        formed = client.post("/orders", {"name": "n", "csrfmiddlewaretoken": "c" * 32})
        assert (200, {"user": "alice", "name": "n"}) == (formed.status_code, formed.json())


def test_django_needs_its_middleware(authority: Authority) -> None:
    """Without Django's CSRF middleware no browser gets the token, so the start fails."""
    pytest.importorskip("django")
    from hosts.django_setup import GUARD, configure, project

    configure()
    from django.test import override_settings

    from jwt_lp_django.checks import run_checks

    with project(lp=settings(authority)):
        assert [] == [message.id for message in run_checks() if message.is_serious()]
        with override_settings(MIDDLEWARE=[GUARD]):
            assert ["jwt_lp.E007"] == [message.id for message in run_checks() if message.is_serious()]


def test_a_copied_request_with_another_cookie_is_decided_anew(authority: Authority) -> None:
    """A decision about a request does not apply to a copy of it that carries another cookie."""
    pytest.importorskip("django")
    from copy import copy

    from hosts.django_setup import configure

    configure()
    from django.test import RequestFactory

    from jwt_lp_django.decisions import request_state

    request = RequestFactory().get("/", headers={"Cookie": "__Host-access=a"})
    state = request_state(request)
    same, other = copy(request), copy(request)
    other.META = {**request.META, "HTTP_COOKIE": "__Host-access=b"}
    assert [True, False] == [request_state(each) is state for each in (same, other)]


def test_a_view_may_ask_again(authority: Authority) -> None:
    """`enforce` in a view after a decision that passed asks for no proof again; in a public view it does."""
    applications, routing = pytest.importorskip("starlette.applications"), pytest.importorskip("starlette.routing")
    responses = pytest.importorskip("starlette.responses")
    from jwt_lp_starlette import LeastPrivilege, enforce, public, requires

    async def view(request: Any) -> Any:
        enforce(request, "a:b")
        return responses.PlainTextResponse("ok")

    routes = [
        routing.Route("/declared", requires("a:b")(view), methods=["POST"]),
        routing.Route("/public", public(view), methods=["POST"]),
    ]
    app = applications.Starlette(routes=routes)
    LeastPrivilege(app, settings(authority))
    token = authority.token(permissions=["a:b"])
    cookie = {"Cookie": f"__Host-access={token}"}
    for url in ("/declared", "/public"):
        assert 200 == call(app, "POST", url, {**cookie, "X-CSRF-Token": csrf_token(token)}).status
        assert 403 == call(app, "POST", url, cookie).status
