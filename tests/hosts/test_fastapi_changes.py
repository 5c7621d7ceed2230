"""What the guard keeps about FastAPI's routes lasts no longer than the routers and routes it was made from."""

from __future__ import annotations

from typing import Annotated, Any

import pytest

pytest.importorskip("fastapi")

import fastapi.routing
from fastapi import APIRouter, Depends, FastAPI, Request, WebSocket
from fastapi.routing import APIRoute
from starlette.responses import PlainTextResponse
from starlette.routing import BaseRoute, Match, Mount, Route

from hosts.asgi_calls import call, connect, statuses
from jwt_lp.testing.authority import Authority
from jwt_lp_starlette import LeastPrivilege, public, requires
from jwt_lp_starlette.dispatch import MatchedRoute
from jwt_lp_starlette.fastapi import Requires

pytestmark = pytest.mark.host

INCLUDES_LIVE = hasattr(fastapi.routing, "iter_route_contexts")


@pytest.fixture
def authority() -> Authority:
    return Authority()


async def read(item: str = "") -> str:
    return item


def plain() -> str:
    return "plain"


def text(request: Request) -> PlainTextResponse:
    return PlainTextResponse(str(request.path_params["id"]))


def guard(authority: Authority, app: FastAPI) -> FastAPI:
    LeastPrivilege(app, authority.settings())
    return app


def test_an_equal_route_with_other_requirements_is_told_apart(authority: Authority) -> None:
    """Routes are equal by path, endpoint and methods; a new one counts with its own dependencies."""
    app = FastAPI(openapi_url=None)
    app.get("/a", dependencies=[Requires("a")])(read)
    guard(authority, app)
    tokens = [authority.headers("x", permissions) for permissions in (["a"], ["b"])]
    assert [200, 403] == [call(app, "GET", "/a", headers).status for headers in tokens]
    app.router.routes[0] = APIRoute("/a", read, methods={"GET"}, dependencies=[Requires("b")])
    assert [403, 200] == [call(app, "GET", "/a", headers).status for headers in tokens]
    app.router.routes[0] = APIRoute("/a", read, methods={"GET"})
    assert [403, 403] == [call(app, "GET", "/a", headers).status for headers in tokens]


def test_routers_may_be_included_later(authority: Authority) -> None:
    """A router that is included after the first request is checked, and one that is removed is gone."""
    app = FastAPI(openapi_url=None)
    app.get("/{name}/a")(public(read))
    guard(authority, app)
    assert [200] == statuses(app, "GET /v1/a")
    router = APIRouter(dependencies=[Requires("v1")])
    router.get("/a")(read)
    app.include_router(router, prefix="/v1")
    app.router.routes.reverse()
    assert [401, 200] == statuses(app, "GET /v1/a", "GET /v2/a")
    assert [200] == statuses(app, "GET /v1/a", headers=authority.headers("x", ["v1"]))
    del app.router.routes[0]
    assert [200] == statuses(app, "GET /v1/a")


@pytest.mark.skipif(not INCLUDES_LIVE, reason="this FastAPI copies routes when it includes a router")
def test_an_included_router_may_change_at_any_depth(authority: Authority) -> None:
    """Routes added to a router that is included in another one are checked, and those removed are gone."""
    app, outer, inner = FastAPI(openapi_url=None), APIRouter(), APIRouter()
    inner.get("/{name}")(public(read))
    outer.include_router(inner, prefix="/inner")
    app.include_router(outer, prefix="/outer")
    guard(authority, app)
    assert [200] == statuses(app, "GET /outer/inner/a")
    inner.get("/b/c", dependencies=[Requires("late")])(read)
    assert [401, 200] == statuses(app, "GET /outer/inner/b/c", "GET /outer/inner/a")
    # FastAPI itself sees what is done to the list as soon as a route is added in its own way.
    inner.routes[:] = [Route("/{name}", read)]
    inner.get("/other")(public(read))
    assert [401, 404] == statuses(app, "GET /outer/inner/a", "GET /outer/inner/b/c")
    late = APIRouter()
    late.get("/x")(read)
    outer.include_router(late, prefix="/late")
    assert [401] == statuses(app, "GET /outer/late/x")


@pytest.mark.skipif(not hasattr(FastAPI, "frontend"), reason="this FastAPI has no frontends")
def test_a_late_frontend_is_checked(authority: Authority, tmp_path: Any) -> None:
    """A frontend changes no list of routes, and is found all the same."""
    (tmp_path / "index.html").write_text("page")
    app, router = FastAPI(openapi_url=None), APIRouter()
    app.get("/a")(public(read))
    app.include_router(router)
    guard(authority, app)
    assert [404] == statuses(app, "GET /app/index.html")
    app.frontend("/app", directory=str(tmp_path))
    assert [401] == statuses(app, "GET /app/index.html")
    router.frontend("/inner", directory=str(tmp_path))
    assert [401] == statuses(app, "GET /inner/index.html")
    assert "index" not in call(app, "GET", "/inner/", authority.headers()).body.decode()


@pytest.fixture
def tried(monkeypatch: pytest.MonkeyPatch) -> list[BaseRoute]:
    """The routes that were asked for a match."""
    asked: list[BaseRoute] = []
    for cls in {Route, getattr(fastapi.routing, "_EffectiveRouteContext", Route)}:
        original = cls.matches

        def matches(self: Any, scope: Any, original: Any = original) -> Any:
            asked.append(self)
            return original(self, scope)

        matches.__module__ = original.__module__
        monkeypatch.setattr(cls, "matches", matches)
    return asked


def test_a_request_is_matched_once(authority: Authority, tried: list[BaseRoute]) -> None:
    """FastAPI gets the answer that the guard got, so a route after FastAPI's own pages is asked once."""
    app = guard(authority, FastAPI())
    app.get("/a", dependencies=[Requires("a")])(read)
    assert [401] == statuses(app, "GET /a")
    tried.clear()
    assert [200] == statuses(app, "GET /a", headers=authority.headers("x", ["a"]))
    assert [app.router.routes[-1]] == tried


def test_an_included_router_is_searched_no_more_than_without_the_guard(
    authority: Authority, tried: list[BaseRoute]
) -> None:
    """FastAPI searches a router that it includes twice; with the guard, it does so once."""

    def build(declare: Any) -> FastAPI:
        app, router = FastAPI(), APIRouter()
        for number in range(30):
            router.get(f"/r{number}/{{item}}")(declare(read))
        app.include_router(router, prefix="/v1")
        return app

    bare, app = build(lambda view: view), guard(authority, build(public))
    counts: list[int] = []
    for each in (bare, app):
        statuses(each, "GET /v1/r29/x")
        tried.clear()
        assert [200] == statuses(each, "GET /v1/r29/x")
        counts.append(len(tried))
    assert counts[1] <= counts[0]


@pytest.mark.skipif(not INCLUDES_LIVE, reason="this FastAPI copies routes when it includes a router")
def test_a_router_with_its_own_matcher_is_asked(authority: Authority) -> None:
    """If a project's router decides itself whether it matches, the guard and FastAPI follow it."""

    class Versioned(APIRouter):
        version = b""

        def matches(self, scope: Any) -> Any:
            wanted = (b"x-version", self.version)
            return super().matches(scope) if wanted in scope["headers"] else (Match.NONE, {})

    app = FastAPI(openapi_url=None)
    for version, declare in (("1", public), ("2", requires("two"))):
        router = Versioned()
        router.version = version.encode()
        router.get("/x")(declare(read))
        app.include_router(router)
    guard(authority, app)
    answers = [call(app, "GET", "/x", headers) for headers in ({"x-version": "1"}, {"x-version": "2"}, {})]
    assert [200, 401, 404] == [answer.status for answer in answers]
    assert 405 == call(app, "POST", "/x", {"x-version": "1"}).status


def test_mounts_and_sockets_in_included_routers(authority: Authority) -> None:
    """Every kind of route works below an inclusion."""
    app, router = FastAPI(openapi_url=None), APIRouter()
    router.routes.append(Mount("/m", routes=[Route("/x/{id:int}", requires("x:{id}")(text))]))

    @router.websocket("/chat/{room}")
    @requires("chat:{room}")
    async def chat(websocket: WebSocket) -> None:
        await websocket.accept()

    app.include_router(router, prefix="/v1")
    guard(authority, app)
    headers = authority.headers("x", ["x:7", "chat:red"])
    # Older FastAPI ignores mounts of an included router.
    assert statuses(app, "GET /v1/m/x/7", "GET /v1/m/x/8", headers=headers) in ([200, 403], [404, 404])
    assert "websocket.accept" == connect(app, "/v1/chat/red", headers).sent[0]["type"]
    assert 403 == connect(app, "/v1/chat/blue", headers).answer("websocket.http.response").status


def test_overrides_may_change_at_run_time(authority: Authority) -> None:
    """`dependency_overrides` that change between two requests change what the view gets, never the decision."""
    app = FastAPI(openapi_url=None)
    declared = Requires("a")

    @app.get("/a", dependencies=[declared])
    async def view(value: Annotated[str, Depends(plain)]) -> str:
        return value

    guard(authority, app)
    headers = authority.headers("x", ["a"])
    assert "plain" == call(app, "GET", "/a", headers).json
    app.dependency_overrides[plain] = lambda: "other"
    app.dependency_overrides[declared.dependency] = lambda: None
    assert "other" == call(app, "GET", "/a", headers).json
    assert [401] == statuses(app, "GET /a")


def test_a_matched_route_has_the_attributes_of_its_route() -> None:
    """FastAPI's telemetry reads the template from the route that the router finds."""
    route = APIRoute("/a/{item}", read)
    assert ("/a/{item}", read) == (MatchedRoute(route, {}).path_format, MatchedRoute(route, {}).endpoint)
