"""Websockets: the decision in the handshake, the token as a subprotocol, and later decisions."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import Any

import pytest

pytest.importorskip("starlette")

from starlette.applications import Starlette
from starlette.endpoints import WebSocketEndpoint
from starlette.routing import BaseRoute, Mount, Route, WebSocketRoute
from starlette.websockets import WebSocket

from hosts.asgi_calls import Wire, connect
from jwt_lp.testing import Authority, DpopKey
from jwt_lp_starlette import LeastPrivilege, RefusedSocket, authenticated, enforce, public, requires, token_from

pytestmark = pytest.mark.host


@pytest.fixture
def authority() -> Authority:
    return Authority()


async def chat(websocket: WebSocket) -> None:
    await websocket.accept()
    await websocket.send_text(token_from(websocket).subject)  # type: ignore[union-attr]
    async for text in websocket.iter_text():
        enforce(websocket, "chat:{room}:write", params={"room": text})
        await websocket.send_text(text)


@requires("chat:read")
class Echo(WebSocketEndpoint):
    encoding = "text"

    async def on_receive(self, websocket: WebSocket, data: Any) -> None:
        await websocket.send_text(data)


def guarded(authority: Authority, *routes: BaseRoute) -> Starlette:
    app = Starlette(routes=routes)
    LeastPrivilege(app, authority.settings())
    return app


def types(wire: Wire) -> list[str]:
    return [message["type"] for message in wire.sent]


def test_the_handshake_is_refused_with_the_challenge(authority: Authority) -> None:
    """The client sees status, challenge and body if the server can answer a handshake; otherwise a close."""
    declared, undeclared = WebSocketRoute("/chat", requires("chat:read")(chat)), WebSocketRoute("/bare", chat)
    app = guarded(authority, declared, undeclared, WebSocketRoute("/echo", Echo), Mount("/m", routes=[undeclared]))
    for path in ("/chat", "/bare", "/echo", "/m/bare"):
        answer = connect(app, path).answer("websocket.http.response")
        assert (401, "Bearer") == (answer.status, answer.headers["www-authenticate"])
        closed = connect(app, path, denial=False).sent
        assert [("websocket.close", 1008)] == [(message["type"], message["code"]) for message in closed]
        answer = connect(app, path, authority.headers()).answer("websocket.http.response")
        assert (403, "insufficient_scope") == (answer.status, answer.json["error"])


def test_a_socket_without_a_route_is_closed_by_starlette(authority: Authority) -> None:
    """A socket to no route, or to an HTTP route, gets the router's own close."""
    app = guarded(authority, Route("/http", public(chat)))
    assert [["websocket.close"], ["websocket.close"]] == [types(connect(app, path)) for path in ("/none", "/http")]


def test_a_socket_that_is_allowed_gets_its_token(authority: Authority) -> None:
    """The endpoint gets the token, also in a class with a declaration."""
    app = guarded(authority, WebSocketRoute("/chat", requires("chat:read")(chat)), WebSocketRoute("/echo", Echo))
    headers = authority.headers("alice", ["chat:read"])
    assert "alice" == connect(app, "/chat", headers).sent[1]["text"]
    assert "hello" == connect(app, "/echo", headers, texts=["hello"]).sent[1]["text"]


def test_a_token_may_come_as_a_subprotocol(authority: Authority) -> None:
    """For `bearer, <token>` the server chooses `bearer`, and the endpoint sees only other protocols."""
    offered: list[Any] = []

    @requires("chat:read")
    async def view(websocket: WebSocket) -> None:
        offered.append(websocket.scope["subprotocols"])
        await websocket.accept(subprotocol=next(iter(websocket.scope["subprotocols"]), None))

    app = guarded(authority, WebSocketRoute("/chat", view))
    token = authority.token("alice", ["chat:read"])
    assert "bearer" == connect(app, "/chat", protocols=["bearer", token]).sent[0]["subprotocol"]
    assert "chat.v1" == connect(app, "/chat", protocols=["chat.v1", "bearer", token]).sent[0]["subprotocol"]
    assert [[], ["chat.v1"]] == offered
    for protocols in (["bearer"], ["bearer", "x"], ["chat.v1"]):
        assert 401 == connect(app, "/chat", protocols=protocols).answer("websocket.http.response").status


def test_a_token_in_both_places_is_malformed(authority: Authority) -> None:
    """A header and a subprotocol are two credentials."""
    app = guarded(authority, WebSocketRoute("/chat", authenticated(chat)))
    wire = connect(app, "/chat", authority.headers(), protocols=["bearer", authority.token()])
    assert 400 == wire.answer("websocket.http.response").status


def test_enforce_closes_an_open_socket(authority: Authority) -> None:
    """A refusal on an open socket closes it with 1008, with the RFC 6750 error code as the reason."""
    app = guarded(authority, WebSocketRoute("/chat", requires("chat:read")(chat)))
    headers = authority.headers("alice", ["chat:read", "chat:red:write"])
    sent = connect(app, "/chat", headers, texts=["red", "blue", "red"]).sent
    assert ["alice", "red"] == [message["text"] for message in sent if message["type"] == "websocket.send"]
    assert ("websocket.close", 1008, "insufficient_scope") == tuple(sent[-1][key] for key in ("type", "code", "reason"))


def test_a_swallowed_refusal_closes_the_socket(authority: Authority) -> None:
    """A view that continues after a refusal can no longer accept or send."""

    def view(accept_first: bool) -> Any:
        async def view(websocket: WebSocket) -> None:
            if accept_first:
                await websocket.accept()
            with suppress(RefusedSocket):
                enforce(websocket, "chat:write")
            if not accept_first:
                await websocket.accept()
            await websocket.send_text("secret")
            await websocket.send_text("secret")

        return authenticated(view)

    app = guarded(authority, WebSocketRoute("/late", view(True)), WebSocketRoute("/early", view(False)))
    late = connect(app, "/late", authority.headers()).sent
    assert ["websocket.accept", "websocket.close"] == [message["type"] for message in late]
    assert (1008, "insufficient_scope") == (late[1]["code"], late[1]["reason"])
    assert 403 == connect(app, "/early", authority.headers()).answer("websocket.http.response").status
    assert ["websocket.close"] == types(connect(app, "/early", authority.headers(), denial=False))


def test_a_token_that_expires_on_an_open_socket_is_refused() -> None:
    """A token that expires while the socket is open is refused at the next `enforce`, with its own reason."""
    now = [1_900_000_000.0]
    authority = Authority(clock=lambda: now[0])

    @requires("chat:read")
    async def view(websocket: WebSocket) -> None:
        await websocket.accept()
        now[0] = token_from(websocket).expires_at  # type: ignore[union-attr]
        enforce(websocket, "chat:read")

    app = Starlette(routes=[WebSocketRoute("/chat", view)])
    with authority.guard() as guard:
        LeastPrivilege(app, guard)
        sent = connect(app, "/chat", authority.headers("alice", ["chat:read"])).sent
    assert ("websocket.close", 1008, "invalid_token") == tuple(sent[-1][key] for key in ("type", "code", "reason"))


def test_enforce_before_the_accept_answers_the_handshake(authority: Authority) -> None:
    """If `enforce` refuses before the accept, the handshake gets the guard's refusal."""

    @authenticated
    async def view(websocket: WebSocket) -> None:
        enforce(websocket, "chat:write")
        await websocket.accept()

    app = guarded(
        authority, WebSocketRoute("/chat", view), Mount("/m", app=Starlette(routes=[WebSocketRoute("/c", view)]))
    )
    for path in ("/chat", "/m/c"):
        assert 403 == connect(app, path, authority.headers()).answer("websocket.http.response").status
        assert ["websocket.close"] == types(connect(app, path, authority.headers(), denial=False))


def test_a_socket_without_a_decision_is_withheld(authority: Authority) -> None:
    """If a mount's middleware redirects a socket, neither its accept nor later messages are sent."""

    class Swap:
        def __init__(self, app: Any) -> None:
            self.app = app

        async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
            scope["path"] = scope["path"].replace("open", "secret")
            await self.app(scope, receive, send)

    async def secret(websocket: WebSocket) -> None:
        await websocket.accept()
        await websocket.send_text("secret")

    inner = Starlette(routes=[WebSocketRoute("/open", public(secret)), WebSocketRoute("/secret", secret)])
    app = guarded(authority, Mount("/m", app=Swap(inner)))
    assert 401 == connect(app, "/m/open").answer("websocket.http.response").status
    assert ["websocket.close"] == types(connect(app, "/m/open", denial=False))


def test_concurrent_sockets_keep_their_own_token(authority: Authority) -> None:
    """Concurrent sockets each see their own subject."""

    @authenticated
    async def view(websocket: WebSocket) -> None:
        await websocket.accept()
        await asyncio.sleep(0.01)
        await websocket.send_text(token_from(websocket).subject)  # type: ignore[union-attr]

    app = guarded(authority, WebSocketRoute("/chat", view))
    names = [f"user{number}" for number in range(20)]

    async def one(name: str) -> str:
        return await asyncio.to_thread(lambda: connect(app, "/chat", authority.headers(name)).sent[1]["text"])

    async def everybody() -> list[str]:
        return list(await asyncio.gather(*(one(name) for name in names)))

    assert names == asyncio.run(everybody())


def test_the_handshake_needs_a_proof_of_a_bound_token(authority: Authority) -> None:
    """A token that is bound to a key opens a socket with a proof for the handshake, once; later questions need none."""

    async def view(websocket: WebSocket) -> None:
        await websocket.accept()
        for _ in range(2):
            enforce(websocket, "chat:read")
        await websocket.send_text("in")
        await websocket.close()

    app = Starlette(
        routes=[WebSocketRoute("/chat", requires("chat:read")(view)), WebSocketRoute("/open", public(view))]
    )
    LeastPrivilege(app, authority.settings(DPOP=True))
    key = DpopKey()
    token = authority.token(permissions=["chat:read"], claims=key.claims)
    for path in ("/chat", "/open"):
        headers = {"Host": "api.test", **key.headers("GET", f"http://api.test{path}", token)}
        assert "in" == connect(app, path, headers).sent[1]["text"]
        again = connect(app, path, headers).sent
        assert "in" not in [message.get("text") for message in again]
    bearer = {"Host": "api.test", "Authorization": f"Bearer {token}"}
    assert 401 == connect(app, "/chat", bearer).answer("websocket.http.response").status
