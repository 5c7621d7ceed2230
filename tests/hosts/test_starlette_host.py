"""The host interface for commands and test fixtures, with Starlette applications."""

from __future__ import annotations

from typing import Any

import pytest

pytest.importorskip("starlette")

from starlette.applications import Starlette
from starlette.endpoints import HTTPEndpoint
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Host, Mount, Route, Router, WebSocketRoute
from starlette.staticfiles import StaticFiles

from hosts.asgi_calls import call
from jwt_lp import ConfigurationError
from jwt_lp.testing.authority import Authority, LeastPrivilegeTesting
from jwt_lp_starlette import LeastPrivilege, authenticated, external, public, requires
from jwt_lp_starlette.routes import host

pytestmark = pytest.mark.host


async def view(request: Any) -> PlainTextResponse:
    return PlainTextResponse("ok")


@public
class Orders(HTTPEndpoint):
    get = view
    delete = requires("orders:delete")(view)


@pytest.fixture
def app() -> Starlette:
    inner = Starlette(routes=[Route("/users/{id:int}", authenticated(view), name="user"), Route("/bare", view)])
    app = Starlette(
        routes=[
            Route("/orders", Orders),
            Route("/o/{name}", requires("o:{name}:read")(view), methods=["GET", "POST"]),
            WebSocketRoute("/ws", requires("ws")(view)),
            Mount("/files", app=StaticFiles(directory="."), name="files"),
            Mount("/api/{tenant}", app=requires("api:{tenant}")(inner), name="api"),
            Host("{sub}.test", app=external("the gateway")(Router([Route("/x", view)])), name="sub"),
        ]
    )
    LeastPrivilege(app, Authority().settings())
    return app


def test_every_route_is_listed(app: Starlette) -> None:
    """The list has methods, full templates and requirements, with the routes of mounted Starlette applications."""
    assert [
        ("GET,HEAD /orders", "public", "declaration"),
        ("DELETE /orders", "orders:delete", "declaration"),
        ("GET,HEAD,POST /o/{name}", "o:{name}:read", "declaration"),
        ("WEBSOCKET /ws", "ws", "declaration"),
        ("* /files/{path}", "None", ""),
        ("GET,HEAD /api/{tenant}/users/{id}", "authenticated", "declaration"),
        ("GET,HEAD /api/{tenant}/bare", "api:{tenant}", "mount /api/{tenant}"),
        ("GET,HEAD //{sub}.test/x", "external: the gateway", "mount //{sub}.test"),
    ] == [(route.label, str(route.requirement), route.origin) for route in host.routes(app)]


def test_a_route_knows_its_names_and_parameters(app: Starlette) -> None:
    """A route has Starlette's names, the groups of its mounts, and the declared function as its endpoint."""
    user = next(route for route in host.routes(app) if route.label.endswith("/users/{id}"))
    assert (("api:user",), ("api",)) == (user.names, user.groups)
    assert frozenset({"tenant", "id"}) == user.parameters
    assert f"{view.__module__}.view" == user.endpoint
    assert {frozenset({"sub"})} == {route.parameters for route in host.routes(app) if route.template.endswith("/x")}


def test_hints_name_the_line_to_add(app: Starlette) -> None:
    """An undeclared route has a hint: a line that would declare it."""
    assert ['Mount("/files", app=public(...))'] == [route.hint for route in host.routes(app) if not route.guarded]


def test_a_path_is_resolved_as_the_router_does(app: Starlette) -> None:
    """`resolve` returns the route and its parameters, or None if the router answers itself."""
    resolved = host.resolve(app, "POST", "/o/a")
    assert resolved is not None
    assert ("o:{name}:read", {"name": "a"}) == (str(resolved[0].requirement), resolved[1])
    resolved = host.resolve(app, "GET", "/api/acme/users/7")
    assert resolved is not None
    assert {"tenant": "acme", "id": 7} == resolved[1]
    assert host.resolve(app, "WEBSOCKET", "/ws") is not None
    assert [None, None] == [host.resolve(app, "PUT", "/o/a"), host.resolve(app, "GET", "/none")]


def test_the_host_recognises_starlette_only(app: Starlette) -> None:
    """The host recognises applications of Starlette and FastAPI, and no others."""
    assert [True, False, False] == [host.recognises(value) for value in (app, Router(), object())]
    with pytest.raises(ConfigurationError, match="there is no guard"):
        host.guard(Starlette())


def test_a_guard_may_be_swapped(app: Starlette) -> None:
    """Inside the context the other guard decides, by its own rules."""
    other = Authority()
    headers = other.headers("alice", ["o:a:read"])
    assert 401 == call(app, "GET", "/o/a", headers).status
    with other.guard(PUBLIC=["files"]) as guard, host.swap_guard(app, guard):
        assert guard is host.guard(app)
        assert [200, 404] == [call(app, "GET", "/o/a", headers).status, call(app, "GET", "/files/none").status]
    assert [401, 401] == [call(app, "GET", "/o/a", headers).status, call(app, "GET", "/files/none").status]


def test_the_fixture_logs_a_test_client_in(app: Starlette) -> None:
    """`lp.install` and `lp.login` work with Starlette's own test client."""
    from starlette.testclient import TestClient

    lp = LeastPrivilegeTesting()
    host_found = host
    client = TestClient(app)
    header = lp.headers("alice", ["o:a:read"])["Authorization"]
    with lp.authority.guard() as guard, host_found.swap_guard(app, guard):
        assert host.login(client, header)
        assert [200, 403] == [client.get(path).status_code for path in ("/o/a", "/o/b")]
        client.headers["Authorization"] = ""
        assert 401 == client.get("/o/a").status_code
    assert not host.login(Request({"type": "http"}), header)
