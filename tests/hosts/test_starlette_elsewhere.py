"""Middleware between the first decision and the endpoint cannot send a request past the guard."""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import pytest

pytest.importorskip("starlette")

from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.base import BaseHTTPMiddleware
from starlette.responses import PlainTextResponse
from starlette.routing import BaseRoute, Mount, Route, Router, WebSocketRoute

from hosts.asgi_calls import call, connect, statuses
from jwt_lp import ConfigurationError
from jwt_lp.testing.authority import Authority
from jwt_lp_starlette import LeastPrivilege, public, requires

pytestmark = [pytest.mark.host, pytest.mark.filterwarnings("ignore:Unclosed <MemoryObject:ResourceWarning")]


@pytest.fixture(autouse=True)
def older_base_middleware_leaves_streams_open() -> Iterator[None]:
    """Collect them here, where the warning is expected."""
    yield
    gc.collect()


class InPlace:
    """Removes `/v1` from the path, in the scope that it receives."""

    def __init__(self, app: Any) -> None:
        self.app = app

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        scope["path"] = scope["path"].replace("/v1", "")
        await self.app(scope, receive, send)


class Copied(InPlace):
    """Does the same in a copy of the scope."""

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        await super().__call__(dict(scope), receive, send)


class Based(BaseHTTPMiddleware):
    """Does the same with Starlette's `BaseHTTPMiddleware`."""

    async def dispatch(self, request: Any, call_next: Any) -> Any:
        request.scope["path"] = request.scope["path"].replace("/v1", "")
        return await call_next(request)


def opaque(app: Any) -> Any:
    async def wrapped(scope: Any, receive: Any, send: Any) -> None:
        await Copied(app)(scope, receive, send)

    return wrapped


@pytest.fixture
def authority() -> Authority:
    return Authority()


@pytest.fixture
def ran() -> list[str]:
    return []


def around_router(routes: Sequence[BaseRoute], middleware: Any) -> Any:
    return middleware(Router(routes))


def of_router(routes: Sequence[BaseRoute], middleware: Any) -> Any:
    return Router(routes, middleware=[Middleware(middleware)])


def of_application(routes: Sequence[BaseRoute], middleware: Any) -> Any:
    return Starlette(routes=routes, middleware=[Middleware(middleware)])


def deeper(routes: Sequence[BaseRoute], middleware: Any) -> Any:
    return Router([Mount("", app=of_application([Mount("", routes=routes)], middleware))])


SHAPES = [around_router, of_router, of_application, deeper]


@pytest.fixture(params=[InPlace, Copied, Based])
def middleware(request: pytest.FixtureRequest) -> Any:
    return request.param


@pytest.fixture(params=SHAPES)
def shape(request: pytest.FixtureRequest) -> Any:
    return request.param


def views(ran: list[str]) -> list[BaseRoute]:
    """Each view also exists under `/v1`, where it is public, or not at all."""

    def view(name: str, status: int = 200) -> Any:
        async def view(request: Any) -> PlainTextResponse:
            ran.append(name)
            return PlainTextResponse(name, status)

        return view

    return [
        Route("/v1/secret", public(view("public"))),
        Route("/v1/mine/{id}", public(view("public"))),
        Route("/secret", view("secret")),
        Route("/mine/{id}", requires("mine:{id}")(view("mine"))),
        Route("/gone", view("gone", 404)),
        Route("/open", public(view("open"))),
    ]


def guarded(authority: Authority, *routes: BaseRoute) -> Starlette:
    app = Starlette(routes=routes)
    LeastPrivilege(app, authority.settings())
    return app


def test_the_endpoint_of_a_rewritten_path_is_checked(
    authority: Authority, ran: list[str], middleware: Any, shape: Callable[..., Any]
) -> None:
    """If a mount's middleware rewrites the path, the guard decides about the new endpoint before it runs."""
    app = guarded(authority, Mount("/sub", app=shape(views(ran), middleware)))
    requests = ("GET /sub/v1/secret", "GET /sub/v1/gone", "GET /sub/v1/mine/7", "GET /sub/mine/v1/8")
    assert [401] * 4 == statuses(app, *requests)
    assert [403, 403, 200, 403] == statuses(app, *requests, headers=authority.headers("a", ["mine:7"]))
    assert ["mine"] == ran


def test_a_declared_route_of_a_rewritten_path_is_served(
    authority: Authority, ran: list[str], middleware: Any, shape: Callable[..., Any]
) -> None:
    """A route that only the rewritten path reaches is served by its own declaration. Other answers are the router's."""
    app = guarded(authority, Mount("/sub", app=shape(views(ran), middleware)))
    requests = ("GET /sub/open", "GET /sub/v1/open", "POST /sub/v1/open", "GET /sub/v1/none", "GET /sub/v1/open/")
    assert [200, 200, 405, 404, 307] == statuses(app, *requests)
    assert ["open", "open"] == ran


def test_a_mounts_declaration_holds_for_a_rewritten_path(authority: Authority, ran: list[str], middleware: Any) -> None:
    """A route that only its mount's declaration covers cannot be reached through a public path."""
    app = guarded(authority, Mount("/sub", app=requires("s:s")(middleware(Starlette(routes=views(ran))))))
    assert [401] == statuses(app, "GET /sub/v1/secret")
    assert [] == ran
    assert [200] == statuses(app, "GET /sub/v1/secret", headers=authority.headers("a", ["s:s"]))


def test_a_hidden_router_is_decided_as_one_application(authority: Authority, ran: list[str]) -> None:
    """If the guard cannot see the router of a mount, only the mount's declaration counts for all of it."""
    for hidden in (opaque(Router(views(ran))), of_router(views(ran), opaque)):
        app = guarded(authority, Mount("/sub", app=hidden), Mount("/s", app=requires("s")(hidden)))
        requests = ("GET /sub/v1/secret", "GET /sub/open", "GET /s/v1/secret", "GET /s/open")
        assert [401] * 4 == statuses(app, *requests)
        assert [403, 403, 200, 200] == statuses(app, *requests, headers=authority.headers("a", ["s"]))
        assert ["secret", "open"] == ran
        ran.clear()


def test_the_root_routers_own_middleware_runs_before_the_guard(
    authority: Authority, ran: list[str], middleware: Any
) -> None:
    """Middleware of the application's own router cannot rewrite the path after the guard's decision."""
    app = Starlette()
    app.router = of_router(views(ran), middleware)
    LeastPrivilege(app, authority.settings())
    assert [401, 200] == statuses(app, "GET /v1/secret", "GET /v1/open")
    assert ["open"] == ran


def test_a_root_router_that_cannot_be_wrapped_is_an_error(authority: Authority, ran: list[str]) -> None:
    """If the guard cannot wrap the application's router, nothing is served."""
    app = Starlette()
    app.router = of_router(views(ran), opaque)
    LeastPrivilege(app, authority.settings())
    with pytest.raises(ConfigurationError, match="hides what it wraps"):
        call(app, "GET", "/open")
    assert [] == ran


def test_a_replaced_router_is_refused(authority: Authority, ran: list[str]) -> None:
    """Starlette keeps calling the router that it started with; the guard does not know that router and refuses."""
    app = guarded(authority, *views(ran))
    assert [200] == statuses(app, "GET /open")
    app.router = Router([Route("/gone", public(lambda request: PlainTextResponse("new")))])
    assert [401, 401] == statuses(app, "GET /gone", "GET /open")
    assert ["open"] == ran


def test_an_answer_without_a_decision_is_withheld(authority: Authority, ran: list[str]) -> None:
    """Responses of a router with its own dispatch, and of middleware without a route, are withheld."""

    class Own(Router):
        async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
            scope["path"] = scope["path"].replace("/v1", "")
            await self.app(scope, receive, send)

    class Answers(InPlace):
        async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
            await PlainTextResponse("secret")(scope, receive, send)

    app = guarded(authority, Mount("/own", app=Own(views(ran))), Mount("/m", app=of_application([], Answers)))
    assert [401, 401, 401] == statuses(app, "GET /own/v1/secret", "GET /own/v1/gone", "GET /m/none")


def test_a_declared_application_that_a_view_calls_is_checked(authority: Authority, ran: list[str]) -> None:
    """The declaration on an ASGI application is enforced wherever the application is called."""

    async def view(request: Any) -> Any:
        return requires("b")(PlainTextResponse("b"))

    app = guarded(authority, Route("/x", requires("a")(view)))
    tokens = [authority.headers("alice", permissions) for permissions in (["a"], ["b"], ["a", "b"])]
    assert [403, 403, 200] == [call(app, "GET", "/x", headers).status for headers in tokens]


def test_middleware_that_tries_again_is_refused_again(authority: Authority, ran: list[str]) -> None:
    """A refusal that middleware catches is final, and the guard decides about each further attempt."""

    class Again(InPlace):
        async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
            for path in ("/sub/secret", "/sub/secret", "/sub/open"):
                try:
                    await self.app({**scope, "path": path}, receive, send)
                except Exception:  # noqa: BLE001 - what it is for
                    continue
                return

    app = guarded(authority, Mount("/sub", app=Again(Router(views(ran)))))
    assert [401] == statuses(app, "GET /sub/open")
    assert ["open"] == ran


def test_both_guards_decide_about_a_rewritten_path(authority: Authority, ran: list[str], middleware: Any) -> None:
    """If a mounted application has its own guard, both guards decide about a rewritten path."""
    other = Authority()
    inner = of_application(views(ran), middleware)
    LeastPrivilege(inner, other.settings())
    app = guarded(authority, Mount("/sub", app=inner))
    headers = other.headers("a", ["mine:7"])
    assert [401, 401] == statuses(app, "GET /sub/v1/mine/7", "GET /sub/v1/secret", headers=headers)
    assert [] == ran
    assert [200] == statuses(inner, "GET /v1/mine/7", headers=headers)


def test_sockets_are_checked_after_a_rewrite(authority: Authority, ran: list[str]) -> None:
    """A websocket that middleware redirects is refused in the handshake, and its endpoint does not run."""

    async def socket(websocket: Any) -> None:
        ran.append("socket")
        await websocket.accept()

    routes = [WebSocketRoute("/v1/chat", public(socket)), WebSocketRoute("/chat", socket)]
    for middleware in (InPlace, Copied):
        app = guarded(authority, Mount("/sub", app=of_application(routes, middleware)))
        assert 401 == connect(app, "/sub/v1/chat").answer("websocket.http.response").status
    assert [] == ran


@pytest.mark.parametrize(("path", "swapped"), [("/orders/7", "8"), ("/numbers/1", True), ("/numbers/1", "1")])
def test_a_decision_counts_for_its_parameters_only(authority: Authority, path: str, swapped: object) -> None:
    """If a route's middleware changes the parameters, the declaration is decided again; 1, True and "1" differ."""

    class Swap(InPlace):
        async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
            scope["path_params"] = {**scope["path_params"], "id": swapped}
            await self.app(scope, receive, send)

    async def view(request: Any) -> PlainTextResponse:
        return PlainTextResponse(repr(request.path_params["id"]))

    decided: list[object] = []
    with authority.guard() as guard:
        check = guard.authorize

        def counting(token: Any, requirement: Any, params: Any, *args: Any, **kwargs: Any) -> Any:
            decided.append(params["id"])
            return check(token, requirement, params, *args, **kwargs)

        guard.authorize = counting  # type: ignore[method-assign]
        declare = requires("orders:{id}:read")
        sync = declare(lambda request: PlainTextResponse(repr(request.path_params["id"])))
        for endpoint in (declare(view), sync):
            decided.clear()
            routes = [
                Route("/orders/{id}", endpoint, middleware=[Middleware(Swap)]),
                Route("/numbers/{id:int}", endpoint, middleware=[Middleware(Swap)]),
            ]
            app = Starlette(routes=routes)
            LeastPrivilege(app, guard)
            answer = call(app, "GET", path, authority.headers("a", ["orders:7:read", "orders:1:read"]))
            assert ([swapped], 200 if swapped == "1" else 403) == (decided, answer.status)
