"""`or_session`: what a session of the host lets pass, alike in every host."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.util import find_spec
from typing import Any

import pytest

from jwt_lp import AUTHENTICATED, ConfigurationError, all_of, any_of
from jwt_lp.testing.authority import Authority

pytestmark = pytest.mark.host

AUTHORITY = Authority()
REASON = "the shop's pages call it with their session"

Ask = Callable[..., tuple[int, Any]]
"""Method, Authorization header, who is signed in, and where the request comes from, to status and body."""

ORIGINS = ("nowhere", "page", "elsewhere")


@contextmanager
def django(  # noqa: C901 - one project with one of three views
    settings: Mapping[str, Any], *, rest: bool = False, asynchronous: bool = False
) -> Iterator[Ask]:
    from hosts.django_setup import configure, project

    configure()
    from asgiref.sync import async_to_sync
    from django.contrib.auth.models import User
    from django.core.management import call_command
    from django.http import HttpRequest, JsonResponse
    from django.test import AsyncClient, Client
    from django.urls import path

    from jwt_lp_django import requires

    call_command("migrate", verbosity=0)
    User.objects.all().delete()

    def described(request: Any) -> dict[str, Any]:
        return {"who": request.user.get_username(), "token": request.access_token.subject}

    declare = requires("orders:list", or_session=REASON, methods=("GET", "POST"))
    view: Any
    if rest:
        from rest_framework.decorators import api_view, authentication_classes, permission_classes
        from rest_framework.permissions import IsAuthenticated
        from rest_framework.response import Response

        from jwt_lp_django.drf import JWTAuthentication

        @api_view(["GET", "POST"])
        @authentication_classes([JWTAuthentication])
        @declare
        @permission_classes([IsAuthenticated])
        def view(request: Any) -> Any:
            return Response(described(request))
    elif asynchronous:

        @declare
        async def view(request: HttpRequest) -> JsonResponse:
            user = await request.auser()
            return JsonResponse({"who": user.get_username(), "token": request.access_token.subject})  # type: ignore[attr-defined]
    else:

        @declare
        def view(request: HttpRequest) -> JsonResponse:
            return JsonResponse(described(request))

    names = ("sessions.middleware.Session", "auth.middleware.Authentication")
    middleware = [*(f"django.contrib.{name}Middleware" for name in names), "django.middleware.csrf.CsrfViewMiddleware"]
    secret = "s" * 32

    def ask(method: str, authorization: str | None, user: str | None, origin: str) -> tuple[int, Any]:
        client: Any = (AsyncClient if asynchronous else Client)(enforce_csrf_checks=True)
        if user is not None:
            member = User.objects.get_or_create(username=user)[0]
            client.force_login(member)
            User.objects.filter(pk=member.pk).update(is_active=user != "gone")
        headers = {} if authorization is None else {"Authorization": authorization}
        if origin == "page":
            client.cookies["csrftoken"] = secret
            headers["X-CSRFToken"] = secret
        if origin == "elsewhere":
            client.cookies["csrftoken"] = secret
            headers |= {"Origin": "https://evil.example"}
        if origin == "socket":
            headers |= FETCHED["socket"]
        call = getattr(client, method.lower())
        answer = async_to_sync(call)("/x", headers=headers) if asynchronous else call("/x", headers=headers)
        return answer.status_code, answer.json()

    with project(path("x", view), lp=settings, middleware=middleware):
        yield ask
    User.objects.all().delete()


FETCHED = {
    "nowhere": {},
    "page": {"Sec-Fetch-Site": "same-origin"},
    "elsewhere": {"Sec-Fetch-Site": "cross-site", "Origin": "http://localhost"},
    # The handshake of a websocket as WSGI hosts see it, which any page may send with cookies.
    "socket": {"Upgrade": "websocket", "Connection": "Upgrade", "Origin": "https://evil.example"},
}


@dataclass
class Member:
    name: str

    @property
    def is_active(self) -> bool:
        return self.name != "gone"

    is_authenticated = True
    is_anonymous = False

    def get_id(self) -> str:
        return self.name


@contextmanager
def flask(settings: Mapping[str, Any]) -> Iterator[Ask]:
    from flask import Flask
    from flask_login import current_user  # type: ignore[import-untyped]  # it has no types

    from jwt_lp_flask import LeastPrivilege, current_token, requires
    from jwt_lp_flask.login import TokenLoginManager

    app = Flask("sessions", static_folder=None)
    app.secret_key = "for tests only"
    local = lambda token: Member(f"local {token.subject}")  # noqa: E731 - a function of the settings
    guarded = LeastPrivilege(app, {**settings, "LOCAL_USER": local})
    assert guarded
    TokenLoginManager(app).user_loader(Member)

    @app.route("/x", methods=["GET", "POST"])
    @requires("orders:list", or_session=REASON)
    def view() -> Any:
        who = current_user.name if current_user.is_authenticated else ""
        return {"who": who.removeprefix("local "), "token": current_token.subject}

    # Werkzeug keeps handshakes from routes that are not for websockets.
    app.add_url_rule("/socket", "socket", view, websocket=True)

    def ask(method: str, authorization: str | None, user: str | None, origin: str) -> tuple[int, Any]:
        client = app.test_client()
        if user is not None:
            with client.session_transaction() as session:
                session["_user_id"] = user
        headers = {**FETCHED[origin], **({} if authorization is None else {"Authorization": authorization})}
        answer = client.open("/socket" if origin == "socket" else "/x", method=method, headers=headers)
        return answer.status_code, answer.json

    yield ask


@contextmanager
def starlette(settings: Mapping[str, Any], *, fast: bool = False) -> Iterator[Ask]:
    from starlette.applications import Starlette
    from starlette.authentication import AuthCredentials, AuthenticationBackend, SimpleUser
    from starlette.middleware import Middleware
    from starlette.middleware.authentication import AuthenticationMiddleware
    from starlette.requests import HTTPConnection, Request
    from starlette.responses import JSONResponse
    from starlette.routing import Route
    from starlette.testclient import TestClient

    from jwt_lp_starlette import LeastPrivilege, requires, token_from

    class Cookies(AuthenticationBackend):
        async def authenticate(self, conn: HTTPConnection) -> Any:
            name = conn.cookies.get("session")
            # A backend gives no user who is not active.
            return None if name in {None, "gone"} else (AuthCredentials([]), SimpleUser(str(name)))

    middleware = [Middleware(AuthenticationMiddleware, backend=Cookies())]

    def described(request: Request) -> dict[str, str]:
        token = token_from(request)
        return {"who": request.user.display_name, "token": token.subject if token else ""}

    app: Starlette
    if fast:
        from fastapi import FastAPI

        from jwt_lp_starlette.fastapi import Requires

        app = FastAPI(openapi_url=None, middleware=middleware)
        # The name is local here, so it is given as it is.
        described.__annotations__["request"] = Request
        app.api_route("/x", methods=["GET", "POST"], dependencies=[Requires("orders:list", or_session=REASON)])(
            described
        )
    else:

        @requires("orders:list", or_session=REASON)
        async def view(request: Request) -> JSONResponse:
            return JSONResponse(described(request))

        app = Starlette(routes=[Route("/x", view, methods=["GET", "POST"])], middleware=middleware)
    LeastPrivilege(app, settings)

    def ask(method: str, authorization: str | None, user: str | None, origin: str) -> tuple[int, Any]:
        client = TestClient(app, cookies={} if user is None else {"session": user})
        headers = {**FETCHED[origin], **({} if authorization is None else {"Authorization": authorization})}
        answer = client.request(method, "/x", headers=headers)
        return answer.status_code, answer.json()

    yield ask


def django_async(settings: Mapping[str, Any]) -> AbstractContextManager[Ask]:
    return django(settings, asynchronous=True)


def rest_framework(settings: Mapping[str, Any]) -> AbstractContextManager[Ask]:
    return django(settings, rest=True)


def fastapi(settings: Mapping[str, Any]) -> AbstractContextManager[Ask]:
    return starlette(settings, fast=True)


# What Starlette's test client is made of.
_CLIENT = "httpx2" if find_spec("httpx2") else "httpx"
HOSTS = [
    host
    for host, needed in (
        (django, ("django",)),
        (django_async, ("django",)),
        (rest_framework, ("rest_framework",)),
        (flask, ("flask", "flask_login")),
        (starlette, ("starlette", _CLIENT)),
        (fastapi, ("fastapi", _CLIENT)),
    )
    if all(map(find_spec, needed))
]


@pytest.fixture(params=HOSTS, ids=lambda host: host.__name__)
def host(request: pytest.FixtureRequest) -> Any:
    return request.param


@pytest.fixture
def ask(host: Any) -> Iterator[Ask]:
    with host(AUTHORITY.settings()) as asking:
        yield asking


def bearer(*permissions: str) -> str:
    return AUTHORITY.headers("alice", permissions)["Authorization"]


def test_a_token_or_a_session(ask: Ask) -> None:
    """One of the two is enough; with both the request is that of the token."""
    good = bearer("orders:list")
    assert 401 == ask("GET", None, None, "page")[0]
    assert (200, {"who": "bob", "token": ""}) == ask("GET", None, "bob", "nowhere")
    assert (200, {"who": "alice", "token": "alice"}) == ask("GET", good, None, "nowhere")
    assert (200, {"who": "alice", "token": "alice"}) == ask("GET", good, "bob", "nowhere")


def test_a_session_helps_no_token_that_is_refused(ask: Ask) -> None:
    """A token that is not valid, lacks the permission or is sent twice is refused, whoever is signed in."""
    statuses = {"Bearer x": 401, bearer("orders:read"): 403, f"{bearer('orders:list')}, Bearer x": 400, "Bearer ": 400}
    for sent, status in statuses.items():
        for method in ("GET", "POST"):
            assert status == ask(method, sent, "bob", "page")[0], sent


def test_a_user_who_is_not_active_is_nobody(ask: Ask) -> None:
    """The session of a user who is not active any more does not count."""
    assert 401 == ask("GET", None, "gone", "page")[0]


def test_an_unsafe_method_needs_the_page_of_the_site(ask: Ask) -> None:
    """With a session, an unsafe method is refused from elsewhere; a token needs no such proof."""
    assert (200, {"who": "bob", "token": ""}) == ask("POST", None, "bob", "page")
    for origin in ("nowhere", "elsewhere"):
        assert 401 == ask("POST", None, "bob", origin)[0]
    for origin in ("nowhere", "page"):
        assert (200, {"who": "alice", "token": "alice"}) == ask("POST", bearer("orders:list"), "bob", origin)


def test_no_page_of_another_site_opens_a_websocket(ask: Ask) -> None:
    """A handshake is a GET, and is refused all the same; a token needs no such proof."""
    assert 401 == ask("GET", None, "bob", "socket")[0]
    assert 200 == ask("GET", bearer("orders:list"), "bob", "socket")[0]


def test_observe_mode_lets_a_session_pass_too(host: Any, caplog: pytest.LogCaptureFixture) -> None:
    """A session that counts is not logged as a refusal; one that does not is."""
    with host(AUTHORITY.settings(OBSERVE_UNTIL=datetime.now(UTC).date())) as asking:
        assert 200 == asking("GET", None, "bob", "nowhere")[0]
        assert "jwt-lp observed" not in caplog.text
    with host(AUTHORITY.settings()) as asking:
        caplog.set_level("INFO", "jwt_lp")
        assert 401 == asking("POST", None, "bob", "elsewhere")[0]
    assert "no session stands in for it: " in caplog.text


@pytest.mark.parametrize("reason", ["", " ", 7, True])
def test_a_session_needs_a_reason(reason: Any) -> None:
    """`or_session` is a reason; without one it is an error where it is written."""
    with pytest.raises(ConfigurationError, match="or_session needs one reason"):
        all_of("orders:list", or_session=reason)


def test_it_is_of_the_whole_declaration() -> None:
    """A requirement with a session is no part of another, which would hide it."""
    with_session = all_of("orders:list", or_session=REASON)
    assert f"orders:list, or a session: {REASON}" == str(with_session)
    assert with_session == all_of(with_session)
    for combine in (
        lambda: all_of(with_session, "orders:read"),
        lambda: any_of("orders:read", with_session),
        lambda: with_session & AUTHENTICATED,
        lambda: "orders:read" | with_session,
        lambda: all_of(with_session, where={"user_id": "sub"}),
    ):
        with pytest.raises(ConfigurationError, match="cannot be part of another requirement"):
            combine()
    with pytest.raises(ConfigurationError, match="or_session needs one reason"):
        all_of(with_session, or_session=REASON)
