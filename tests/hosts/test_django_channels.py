"""Django Channels: consumers that declare what they require, and those that do not."""

# ruff: noqa: E402 - Django reads its settings first

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Awaitable, Callable
from types import ModuleType
from typing import Any, TypeVar

import pytest

pytest.importorskip("django")

from hosts.django_setup import AUTHORITY, configure, project

configure()
pytest.importorskip("channels")

from asgiref.testing import ApplicationCommunicator
from channels.generic.websocket import AsyncJsonWebsocketConsumer, JsonWebsocketConsumer
from channels.routing import ProtocolTypeRouter, URLRouter
from channels.security.websocket import AllowedHostsOriginValidator
from django.apps import apps
from django.test import override_settings
from django.urls import path as django_path
from django.urls import re_path as django_re_path

from jwt_lp import ConfigurationError, all_of
from jwt_lp_django import authenticated, public
from jwt_lp_django.channels import GuardedURLRouter
from jwt_lp_django.routes import host

pytestmark = pytest.mark.host

T = TypeVar("T")
# Django's types know views alone.
path: Any = django_path
re_path: Any = django_re_path
CALLED: list[str] = []
DENIAL: dict[str, Any] = {"extensions": {"websocket.http.response": {}}}


class Chat(AsyncJsonWebsocketConsumer):
    required_permissions = "chat:{room}:join"

    async def connect(self) -> None:
        CALLED.append("chat")
        scope: Any = self.scope
        await self.accept(scope["subprotocols"][0] if scope["subprotocols"] else None)
        await self.send_json({"subject": scope["user"].pk, "room": scope["url_route"]["kwargs"]["room"]})


class Undeclared(JsonWebsocketConsumer):
    def connect(self) -> None:
        CALLED.append("undeclared")
        self.accept()


class Open(Undeclared):
    required_permissions = public


class Known(Undeclared):
    required_permissions = authenticated


def router() -> GuardedURLRouter:
    CALLED.clear()
    inner = URLRouter([path("<room>", Chat.as_asgi()), path("undeclared/socket", Undeclared.as_asgi())])
    return GuardedURLRouter(
        [
            path("ws/chat/<str:room>", Chat.as_asgi()),
            path("ws/undeclared", Undeclared.as_asgi()),
            path("ws/open", Open.as_asgi()),
            re_path(r"^ws/known$", Known.as_asgi()),
            path("inner/", inner),
        ]
    )


def bearer(*permissions: str) -> list[tuple[bytes, bytes]]:
    # The tokens of a table are made when it is collected, long before its last test runs.
    headers = AUTHORITY.headers("alice", permissions, lifetime=3000)
    return [(b"authorization", headers["Authorization"].encode())]


async def answer(application: Any, url: str, headers: Any = (), protocols: Any = None, **scope: Any) -> Any:
    """True and the first message of a connection that was accepted; otherwise what the server was sent instead."""
    connection = {"type": "websocket", "path": url, "headers": list(headers), "subprotocols": protocols or []}
    communicator = ApplicationCommunicator(application, {**connection, "client": ["192.0.2.7", 1], **scope})
    await communicator.send_input({"type": "websocket.connect"})
    first = await communicator.receive_output(2)
    if first["type"] == "websocket.accept":
        message = json.loads((await communicator.receive_output(2))["text"]) if "chat" in CALLED else None
        await communicator.send_input({"type": "websocket.disconnect", "code": 1000})
        await communicator.wait(2)
        return True, message, first.get("subprotocol")
    if first["type"] == "websocket.close":
        return "closed", first["code"], first["reason"]
    body = await communicator.receive_output(2)
    return first["status"], dict(first["headers"]).get(b"www-authenticate", b"")[:40], b"reference" in body["body"]


def run(make: Callable[[], Awaitable[T]], **more: Any) -> T:
    async def main() -> T:
        return await make()

    with project(**more):
        return asyncio.run(main())


@pytest.mark.parametrize(
    ("url", "headers", "more", "expected"),
    [
        ("/ws/chat/tea", bearer("chat:tea:join"), {}, (True, {"subject": "alice", "room": "tea"}, None)),
        ("/ws/chat/tea", bearer("chat:milk:join"), {}, ("closed", 1008, "insufficient_scope")),
        (
            "/ws/chat/tea",
            bearer("chat:milk:join"),
            DENIAL,
            (403, b'Bearer error="insufficient_scope", error_'[:40], True),
        ),
        ("/ws/chat/tea", [], {}, ("closed", 1008, "")),
        # Without a credential the log has no line at its usual level, so there is no reference.
        ("/ws/chat/tea", [], DENIAL, (401, b"Bearer", False)),
        ("/ws/chat/tea", [(b"authorization", b"Bearer x")], {}, ("closed", 1008, "invalid_token")),
        ("/ws/chat/tea", bearer("chat:*:join") * 2, {}, ("closed", 1008, "invalid_request")),
        ("/ws/undeclared", bearer("**"), {}, ("closed", 1008, "insufficient_scope")),
        ("/ws/open", [], {}, (True, None, None)),
        ("/ws/known", bearer("x"), {}, (True, None, None)),
        ("/ws/known", [], {}, ("closed", 1008, "")),
        ("/inner/tea", bearer("chat:tea:join"), {}, (True, {"subject": "alice", "room": "tea"}, None)),
        ("/inner/tea", bearer("x"), {}, ("closed", 1008, "insufficient_scope")),
        ("/inner/undeclared/socket", bearer("**"), {}, ("closed", 1008, "insufficient_scope")),
    ],
)
def test_consumers(url: str, headers: Any, more: Any, expected: Any) -> None:
    """A consumer is called only if its requirement is met; one without a declaration never is, nested or not."""
    assert expected == run(lambda: answer(router(), url, headers, **more))
    assert bool(CALLED) is (expected[0] is True)


def test_a_browser_offers_its_token_as_a_subprotocol() -> None:
    """The token is taken from the subprotocols, so the consumer can only accept the others."""
    token = AUTHORITY.token(permissions=["chat:tea:join"])
    offered = ["bearer", token, "json"]
    found = run(lambda: answer(router(), "/ws/chat/tea", protocols=offered))
    assert (True, {"subject": "alice", "room": "tea"}, "json") == found
    twice = run(lambda: answer(router(), "/ws/chat/tea", bearer("chat:tea:join"), protocols=offered))
    assert ("closed", 1008, "invalid_request") == twice


def test_rules_of_the_settings_apply() -> None:
    """A rule opens a consumer without a declaration, and none that has one."""
    rules = AUTHORITY.settings(PUBLIC=["/ws"])
    assert True is run(lambda: answer(router(), "/ws/undeclared"), lp=rules)[0]
    assert "closed" == run(lambda: answer(router(), "/ws/known"), lp=rules)[0]


def test_an_http_application_is_refused_without_a_rule() -> None:
    """What is no consumer has no declaration."""

    async def application(scope: Any, receive: Any, send: Any) -> None:
        CALLED.append("application")

    async def ask() -> Any:
        guarded = GuardedURLRouter([path("events", application)])
        scope = {"type": "http", "method": "GET", "path": "/events", "headers": bearer("**"), "client": None}
        communicator = ApplicationCommunicator(guarded, scope)
        return await communicator.receive_output(2), await communicator.receive_output(2)

    CALLED.clear()
    start, body = run(ask)
    assert (403, []) == (start["status"], CALLED)
    assert b"insufficient_scope" in body["body"]


@pytest.mark.parametrize("declared", [7, "not a permission", ["a"]])
def test_a_declaration_that_is_none_is_a_fault(declared: object) -> None:
    """It is found when the router is made."""
    consumer: Any = type("Wrong", (Undeclared,), {"required_permissions": declared})
    with project(), pytest.raises(ConfigurationError):
        GuardedURLRouter([path("ws", consumer.as_asgi())])


def test_the_routes_are_listed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Also those of a router that asks nobody, as routes without a declaration."""
    module: Any = ModuleType("shop_asgi")
    monkeypatch.setitem(sys.modules, "shop_asgi", module)
    monkeypatch.setattr(apps, "is_installed", lambda name: True)
    plain = URLRouter([path("plain/<int:pk>", Undeclared.as_asgi())])
    with project(), override_settings(ASGI_APPLICATION="shop_asgi.application"):
        module.application = ProtocolTypeRouter({"websocket": AllowedHostsOriginValidator(router()), "x": plain})
        found = {
            route.template: str(route.requirement) for route in host.routes(None) if route.methods == ("WEBSOCKET",)
        }
    assert {
        "/ws/chat/{room}": "chat:{room}:join",
        "/ws/undeclared": "None",
        "/ws/open": "public",
        "/ws/known": "authenticated",
        "/inner/{room}": "chat:{room}:join",
        "/inner/undeclared/socket": "None",
        "/plain/{pk}": "None",
    } == found
    with project():
        assert [] == [route for route in host.routes(None) if route.methods == ("WEBSOCKET",)]


def test_a_requirement_is_a_declaration_too() -> None:
    """As in views."""
    consumer: Any = type("Both", (Undeclared,), {"required_permissions": all_of("a", "b")})

    async def ask(*permissions: str) -> Any:
        return await answer(GuardedURLRouter([path("ws", consumer.as_asgi())]), "/ws", bearer(*permissions))

    CALLED.clear()
    assert (True, "closed") == (run(lambda: ask("a", "b"))[0], run(lambda: ask("a"))[0])


@pytest.mark.parametrize(
    ("origin", "passes"), [(b"https://chat.test", True), (b"https://evil.test", False), (None, False)]
)
def test_a_cookie_opens_a_socket_from_its_own_origin_only(origin: bytes | None, passes: bool) -> None:
    """A handshake with a cookie needs an Origin that may send it, also without the headers of an upgrade (RFC 8441)."""
    token = AUTHORITY.token("alice", ["chat:1:join"])
    headers = [(b"host", b"chat.test"), (b"cookie", f"__Host-access={token}".encode())]
    headers += [] if origin is None else [(b"origin", origin)]
    got = run(lambda: answer(router(), "ws/chat/1", headers, **DENIAL), lp=AUTHORITY.settings(COOKIE=True))
    assert passes is (got[0] is True)
