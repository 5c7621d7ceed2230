"""What the guard keeps about routes lasts no longer than the routes, endpoints and parameters it was made from."""

from __future__ import annotations

import gc
from collections.abc import Callable
from typing import Any

import pytest

pytest.importorskip("starlette")

from starlette.applications import Starlette
from starlette.endpoints import HTTPEndpoint
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse
from starlette.routing import BaseRoute, Host, Match, Mount, Route, Router, request_response

from hosts.asgi_calls import call, statuses
from jwt_lp import ConfigurationError
from jwt_lp.testing.authority import Authority
from jwt_lp_starlette import LeastPrivilege, authenticated, public, requires

pytestmark = pytest.mark.host


@pytest.fixture
def authority() -> Authority:
    return Authority()


def view(name: str) -> Any:
    async def view(request: Request) -> PlainTextResponse:
        return PlainTextResponse(name)

    return view


def guarded(authority: Authority, *routes: BaseRoute, **more: Any) -> Starlette:
    app = Starlette(routes=routes, **more)
    LeastPrivilege(app, authority.settings())
    return app


class Marks:
    """Middleware that adds a header to responses."""

    def __init__(self, app: Any, name: str) -> None:
        self.app = app
        self.name = name

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        async def marked(message: Any) -> None:
            if message["type"] == "http.response.start":
                message["headers"].append((b"x-mark", self.name.encode()))
            await send(message)

        await self.app(scope, receive, marked)


def test_a_route_replaced_by_an_equal_one_is_the_one_that_is_called(authority: Authority) -> None:
    """Routes are equal by path, endpoint and methods; the guard tells them apart, because their middleware differs."""
    endpoint = public(view("a"))
    app = guarded(authority, Route("/a", endpoint))
    assert "x-mark" not in call(app, "GET", "/a").headers
    app.router.routes[0] = Route("/a", endpoint, middleware=[Middleware(Marks, name="new")])
    assert "new" == call(app, "GET", "/a").headers["x-mark"]
    app.router.routes[:] = [Route("/b", public(view("b"))), Route("/a", endpoint)]
    assert ["a", "b"] == [call(app, "GET", path).body.decode() for path in ("/a", "/b")]
    assert "x-mark" not in call(app, "GET", "/a").headers


def test_the_list_of_routes_may_be_replaced_and_reordered(authority: Authority) -> None:
    """The first match in the new order is what is decided about."""
    first, second = Route("/{name}", public(view("any"))), Route("/a", requires("a")(view("a")))
    app = guarded(authority, first, second)
    assert [200] == statuses(app, "GET /a")
    app.router.routes.reverse()
    assert [401, 200] == statuses(app, "GET /a", "GET /b")
    app.router.routes = [first]
    assert [200, 200] == statuses(app, "GET /a", "GET /b")
    app.router.routes.clear()
    assert [404] == statuses(app, "GET /a")


@pytest.mark.parametrize("kind", [Mount, Host])
def test_a_mounted_router_may_change(authority: Authority, kind: type[BaseRoute]) -> None:
    """Routes of a mounted router may be added, replaced and removed, and so may the mounted application."""
    inner = Router([Route("/a", public(view("a")))])
    mount: Any = Mount("/m", app=inner) if kind is Mount else Host("api.test", app=inner)
    prefix = "/m" if kind is Mount else ""
    app = guarded(authority, mount)
    assert [200] == statuses(app, f"GET {prefix}/a")
    inner.routes.insert(0, Route("/{name}", requires("a")(view("first"))))
    assert [401] == statuses(app, f"GET {prefix}/a")
    inner.routes[0] = Route("/{name}", view("undeclared"))
    assert [401] == statuses(app, f"GET {prefix}/a")
    assert [403] == statuses(app, f"GET {prefix}/a", headers=authority.headers("a", ["a"]))
    del inner.routes[0]
    assert [200] == statuses(app, f"GET {prefix}/a")
    mount.app = Router([Route("/a", view("undeclared"))])
    assert [401] == statuses(app, f"GET {prefix}/a")
    mount.app = public(Router([Route("/a", view("declared"))]))
    assert [200] == statuses(app, f"GET {prefix}/a")


def test_a_late_route_below_a_mount_is_logged(authority: Authority, caplog: pytest.LogCaptureFixture) -> None:
    """The request that finds a new route below a mount logs that it has no declaration."""
    inner = Router([Route("/a", public(view("a")))])
    app = guarded(authority, Mount("/m", app=inner))
    assert [200] == statuses(app, "GET /m/a")
    inner.routes.append(Route("/late", view("late")))
    assert [401] == statuses(app, "GET /m/late")
    assert [401] == statuses(app, "GET /m/late")
    assert 1 == sum("GET,HEAD /m/late" in record.getMessage() for record in caplog.records if "W001" in record.message)


def test_an_endpoint_may_be_replaced(authority: Authority) -> None:
    """If a route gets another endpoint, the declaration of that one counts."""
    route = Route("/a", public(view("public")))
    app = guarded(authority, route)
    assert [200] == statuses(app, "GET /a")
    for endpoint, status in ((view("undeclared"), 401), (requires("a")(view("a")), 401), (public(view("b")), 200)):
        route.endpoint, route.app = endpoint, request_response(endpoint)
        assert [status] == statuses(app, "GET /a")
    assert b"b" == call(app, "GET", "/a").body


def test_an_endpoint_that_differs_each_time_is_an_error(authority: Authority) -> None:
    """If a route makes its endpoint anew each time, no declaration can be read, so nothing runs."""
    ran: list[str] = []

    class Fresh(Route):
        @property
        def endpoint(self) -> Any:
            return public(lambda request: ran.append("ran"))

        @endpoint.setter
        def endpoint(self, value: Any) -> None:
            pass

    app = guarded(authority, Fresh("/a", view("a")))
    with pytest.raises(ConfigurationError, match="another endpoint each time"):
        call(app, "GET", "/a")
    assert [] == ran


def test_a_method_of_an_endpoint_class_may_be_replaced(authority: Authority) -> None:
    """If a class gets another method, the declaration of that one counts, not the earlier one."""

    async def answer(self: Any, request: Request) -> PlainTextResponse:
        return PlainTextResponse("answer")

    class Orders(HTTPEndpoint):
        get = public(answer)
        delete = requires("orders:delete")(answer)

    app = guarded(authority, Route("/orders", Orders))
    assert [200, 200, 401] == statuses(app, "GET /orders", "HEAD /orders", "DELETE /orders")
    Orders.get = answer
    Orders.delete = public(answer)
    assert [401, 401, 200] == statuses(app, "GET /orders", "HEAD /orders", "DELETE /orders")
    # A method that is added is not served before the routes are read again.
    setattr(Orders, "put", public(answer))  # noqa: B010 - a type checker knows no such method
    assert [405] == statuses(app, "PUT /orders")
    del Orders.delete
    assert [405, 200] == statuses(app, "DELETE /orders", "PUT /orders")


def test_a_route_object_is_not_taken_for_another_at_its_address(authority: Authority) -> None:
    """Routes that come and go, at the same place in the list and in memory, are told apart."""
    app = guarded(authority, Route("/a", public(view("a"))))
    for number in range(40):
        endpoint = public(view("a")) if number % 2 else view("a")
        app.router.routes[0] = Route("/a", endpoint)
        gc.collect()
        assert [200 if number % 2 else 401] == statuses(app, "GET /a")


def test_routes_of_a_router_that_makes_them_anew_are_decided_about(authority: Authority) -> None:
    """A router whose `routes` are new objects each time is read each time."""

    class Dynamic(Router):
        opened = True

        @property
        def routes(self) -> Any:
            return [Route("/a", public(view("a")) if self.opened else view("undeclared"))]

        @routes.setter
        def routes(self, value: Any) -> None:
            pass

    inner = Dynamic()
    app = guarded(authority, Mount("/m", app=inner))
    assert [200, 200] == statuses(app, "GET /m/a", "GET /m/a")
    inner.opened = False
    assert [401, 401] == statuses(app, "GET /m/a", "GET /m/a")


@pytest.mark.parametrize("change", [lambda params: params.update(id="8"), lambda params: params.clear()])
def test_parameters_that_change_in_place_are_decided_again(authority: Authority, change: Any) -> None:
    """A route's middleware that changes the parameters in place cannot use the decision about the earlier ones."""

    class Change:
        def __init__(self, app: Any) -> None:
            self.app = app

        async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
            change(scope["path_params"])
            await self.app(scope, receive, send)

    declared = requires("orders:{id}:read")(view("order"))
    app = guarded(authority, Route("/o/{id}", declared, middleware=[Middleware(Change)]))
    assert [403] == statuses(app, "GET /o/7", headers=authority.headers("a", ["orders:7:read"]))


def test_a_parameter_of_another_name_is_another_parameter(authority: Authority) -> None:
    """A value that is None is not taken for one that is missing."""

    class Rename:
        def __init__(self, app: Any) -> None:
            self.app = app

        async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
            scope["path_params"] = {"other": "x"}
            await self.app(scope, receive, send)

    class Nothing(Route):
        def matches(self, scope: Any) -> Any:
            match, child = super().matches(scope)
            return match, {**child, "path_params": {"id": None}} if child else child

    declared = requires("a", where={"other": "sub"})(view("a"))
    route = Nothing("/o/{other}", declared, middleware=[Middleware(Rename)])
    app = guarded(authority, route)
    assert [403] == statuses(app, "GET /o/x", headers=authority.headers("x", ["a"]))


def test_what_was_received_stays_as_it_was(authority: Authority) -> None:
    """A mount's middleware that puts another token into the header list changes nothing for the guard."""
    other = authority.headers("mallory", ["a"])["Authorization"].encode()

    class Swap:
        def __init__(self, app: Any) -> None:
            self.app = app

        async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
            scope["headers"] = [(b"authorization", other)]
            await self.app(scope, receive, send)

    app = guarded(authority, Mount("/m", app=Swap(Router([Route("/a", requires("a")(view("a")))]))))
    assert [401] == statuses(app, "GET /m/a")
    assert [403] == statuses(app, "GET /m/a", headers=authority.headers("alice", ["b"]))


@pytest.fixture
def tried(monkeypatch: pytest.MonkeyPatch) -> Callable[[Starlette, str], int]:
    """Counts how many routes are asked for a match during one request."""
    counts: list[BaseRoute] = []
    original = Route.matches

    def matches(self: Any, scope: Any) -> Any:
        counts.append(self)
        return original(self, scope)

    matches.__module__ = original.__module__
    monkeypatch.setattr(Route, "matches", matches)

    def count(app: Starlette, request: str) -> int:
        statuses(app, request)
        counts.clear()
        statuses(app, request)
        return len(counts)

    return count


def test_a_request_is_matched_once(authority: Authority, tried: Callable[[Starlette, str], int]) -> None:
    """With 300 routes one route is asked once, because the router gets the answer that the guard got."""
    app = guarded(authority, *(Route(f"/r{number}/{{id}}", public(view("r"))) for number in range(300)))
    assert [1, 1] == [tried(app, "GET /r0/1"), tried(app, "GET /r299/1")]


def test_the_routers_own_answers_need_no_more_matches(
    authority: Authority, tried: Callable[[Starlette, str], int]
) -> None:
    """Not found, not allowed and redirects ask no more routes than Starlette does alone."""
    routes = [Route(f"/r{number}/{{id}}", public(view("r")), methods=["POST"]) for number in range(50)]
    bare, app = Starlette(routes=routes), guarded(authority, *routes)
    for request, status in (("GET /none", 404), ("GET /r49/1", 405), ("POST /r49/1/", 307)):
        assert [status, status] == [*statuses(bare, request), *statuses(app, request)]
        assert tried(app, request) <= tried(bare, request) + 3


def test_the_scope_is_that_of_the_router(authority: Authority) -> None:
    """The endpoint sees the same router, route and parameters as without the guard, and can make URLs."""

    async def seen(request: Request) -> JSONResponse:
        scope = request.scope
        return JSONResponse(
            [
                type(scope["router"]).__name__,
                type(scope.get("route")).__name__,
                scope["path_params"],
                scope["root_path"],
                str(request.url_for("seen", id=2)) if "m" not in scope["path"] else None,
            ]
        )

    def routes(declare: Any) -> list[BaseRoute]:
        return [
            Route("/s/{id:int}", declare(seen), name="seen"),
            Mount("/m/{tenant}", routes=[Route("/s/{id:int}", declare(seen))]),
        ]

    bare, app = Starlette(routes=routes(lambda view: view)), guarded(authority, *routes(public))
    for path in ("/s/1", "/m/acme/s/1"):
        assert call(bare, "GET", path).json == call(app, "GET", path).json


def test_a_routers_own_dispatch_gets_its_own_router(authority: Authority) -> None:
    """A router class with its own `app` is called as it is, with all of its routes."""
    seen: list[int] = []

    class Own(Router):
        async def app(self, scope: Any, receive: Any, send: Any) -> None:
            seen.append(len(self.routes))
            await super().app(scope, receive, send)

    inner = Own([Route("/a", public(view("a"))), Route("/b", view("b"))])
    app = guarded(authority, Mount("/m", app=inner))
    assert [200, 401, 404] == statuses(app, "GET /m/a", "GET /m/b", "GET /m/c")
    assert [2, 2] == seen


def test_a_matcher_that_changes_its_mind_cannot_swap_the_endpoint(authority: Authority) -> None:
    """A route that matches only the first time it is asked is what is called: the router does not ask again."""

    class Once(Route):
        asked = 0

        def matches(self, scope: Any) -> Any:
            self.asked += 1
            return super().matches(scope) if self.asked == 1 else (Match.NONE, {})

    app = guarded(authority, Once("/a", authenticated(view("a"))), Route("/a", view("secret")))
    assert b"a" == call(app, "GET", "/a", authority.headers()).body
    app = guarded(authority, Once("/a", authenticated(view("a"))), Route("/a", view("secret")))
    assert [401] == statuses(app, "GET /a")
