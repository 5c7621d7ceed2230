"""Declarations on FastAPI routes by parameters, dependencies and decorators, all decided before user code."""

from __future__ import annotations

import inspect
from typing import Annotated, Any

import pytest

pytest.importorskip("fastapi")

from fastapi import APIRouter, Body, Depends, FastAPI, HTTPException, Request, WebSocket
from fastapi.staticfiles import StaticFiles
from starlette.responses import PlainTextResponse
from starlette.routing import Mount, Route

from hosts.asgi_calls import call, connect, statuses
from jwt_lp import AUTHENTICATED, AccessToken, ConfigurationError, Guard, any_of
from jwt_lp.testing.authority import Authority
from jwt_lp_starlette import LeastPrivilege, enforce, public, requires, token_from
from jwt_lp_starlette.fastapi import Requires

pytestmark = pytest.mark.host

Orders = Annotated[AccessToken, Requires("orders:read")]


@pytest.fixture
def authority() -> Authority:
    return Authority()


def guard(authority: Authority, app: FastAPI, **settings: Any) -> FastAPI:
    LeastPrivilege(app, authority.settings(**settings))
    return app


def current_user(token: Annotated[AccessToken, Requires("users:me")]) -> str:
    return token.subject


User = Annotated[str, Depends(current_user)]


def plain() -> str:
    return ""


@requires("dep:use")
def marked_dependency() -> int:
    return 1


@public
def shared() -> int:
    return 1


def test_requirements_of_every_level_add_up(authority: Authority) -> None:
    """A route requires what application, include, router, operation, parameter and sub-dependency declare."""
    app = FastAPI(dependencies=[Requires("app")])
    inner = APIRouter(prefix="/inner", dependencies=[Requires("inner")])
    outer = APIRouter(prefix="/outer", dependencies=[Requires("outer")])

    @inner.get("/{item}", dependencies=[Requires("operation")])
    async def item(item: str, token: Annotated[AccessToken, Requires("items:{item}")], user: User) -> Any:
        return [token.subject, user]

    outer.include_router(inner, dependencies=[Requires("include")])
    app.include_router(outer, prefix="/v1", dependencies=[Requires("top")])
    guard(authority, app)
    permissions = ["app", "inner", "outer", "operation", "include", "top", "items:7", "users:me"]
    path = "/v1/outer/inner/7"
    assert (200, ["alice", "alice"]) == (
        (answer := call(app, "GET", path, authority.headers("alice", permissions))).status,
        answer.json,
    )
    for missing in permissions:
        headers = authority.headers("alice", [permission for permission in permissions if permission != missing])
        assert 403 == call(app, "GET", path, headers).status
    assert 401 == call(app, "GET", path).status


def test_undeclared_routes_are_refused(authority: Authority) -> None:
    """Undeclared routes of every kind are refused: included, Starlette's, mounts, files, the schema and its pages."""
    ran: list[str] = []

    def view(request: Request) -> Any:
        ran.append(request.url.path)
        return PlainTextResponse("secret")

    app = FastAPI()
    router = APIRouter()
    for target in (app, router):
        target.get("/api")(view)
        target.add_route("/plain", view)
        target.mount("/files", StaticFiles(directory="."))
    sub = FastAPI()
    sub.get("/x")(view)
    app.mount("/sub", sub)
    app.include_router(router, prefix="/v1")
    app.router.routes.append(Mount("/inner", routes=[Route("/x", view)]))
    guard(authority, app)
    paths = [
        "/api",
        "/plain",
        "/files/x",
        "/v1/api",
        "/v1/plain",
        "/sub/x",
        "/sub/docs",
        "/sub/openapi.json",
        "/inner/x",
    ]
    paths += ["/docs", "/redoc", "/openapi.json", "/docs/oauth2-redirect"]
    # Older FastAPI ignores mounts of an included router.
    assert {401} == set(statuses(app, *(f"GET {path}" for path in paths)))
    assert call(app, "GET", "/v1/files/x").status in {401, 404}
    assert {403} == set(statuses(app, *(f"GET {path}" for path in paths), headers=authority.headers()))
    assert [] == ran


def test_the_decision_comes_before_the_body_and_user_code(authority: Authority) -> None:
    """A refused request runs no dependency and has its body neither read nor validated."""
    ran: list[str] = []

    def first() -> None:
        ran.append("dependency")

    app = FastAPI(dependencies=[Depends(first)])

    @app.post("/orders")
    async def create(token: Orders, order: Annotated[dict[str, int], Body()]) -> Any:
        ran.append("view")

    guard(authority, app)
    assert 401 == call(app, "POST", "/orders", {"content-type": "application/json"}, b"{broken").status
    assert [] == ran
    headers = {**authority.headers("a", ["orders:read"]), "content-type": "application/json"}
    assert 422 == call(app, "POST", "/orders", headers, b"{broken").status


def test_overrides_do_not_switch_the_guard_off(authority: Authority) -> None:
    """`dependency_overrides` may replace what a view gets, never the decision."""
    app = FastAPI()
    declared = Requires("orders:read")

    @app.get("/orders", dependencies=[declared])
    async def orders() -> Any:
        return "secret"

    app.dependency_overrides[declared.dependency] = lambda: None
    guard(authority, app)
    assert [401] == statuses(app, "GET /orders")


def test_a_requirement_that_only_an_override_adds_is_enforced(authority: Authority) -> None:
    """A dependency that only an override adds is enforced when it runs."""
    app = FastAPI()

    @app.get("/orders", dependencies=[Requires(AUTHENTICATED)])
    async def orders(user: Annotated[str, Depends(plain)]) -> Any:
        return user

    app.dependency_overrides[plain] = current_user
    guard(authority, app)
    assert [403] == statuses(app, "GET /orders", headers=authority.headers())
    answer = call(app, "GET", "/orders", authority.headers("alice", ["users:me"]))
    assert "alice" == answer.json


def test_one_decision_for_all_dependencies(authority: Authority) -> None:
    """However many dependencies a route has, the token is verified once and one decision is made."""
    decided: list[Any] = []

    class Counting(Guard):
        def check(self, *args: Any, **kwargs: Any) -> Any:
            decided.append(str(args[1]))
            return super().check(*args, **kwargs)

    app = FastAPI(dependencies=[Requires("app")])

    @app.get("/orders")
    @requires("view")
    async def orders(token: Orders, again: Orders, user: User) -> Any:
        return token is again

    with Counting(authority.settings()) as counting:
        LeastPrivilege(app, counting)
        answer = call(app, "GET", "/orders", authority.headers("a", ["app", "orders:read", "users:me", "view"]))
    assert (200, True) == (answer.status, answer.json)
    assert ["view & app & orders:read & users:me"] == decided


def test_a_dependency_without_the_guard_raises() -> None:
    """A dependency in an application without the guard raises an error that says what to install."""
    app = FastAPI()

    @app.get("/orders")
    async def orders(token: Orders) -> Any:
        return "secret"

    with pytest.raises(ConfigurationError, match="LeastPrivilege"):
        call(app, "GET", "/orders")


def test_an_access_token_parameter_without_requires_raises() -> None:
    """An `AccessToken` parameter without `Requires` raises: FastAPI would read it from the request."""
    app = FastAPI()
    with pytest.raises(ConfigurationError, match="Requires"):

        @app.get("/orders")
        async def orders(token: AccessToken) -> Any:
            return token


def test_public_together_with_a_requirement_is_an_error(authority: Authority) -> None:
    """`public` on a route whose router or parameter requires something is a fault, and nothing starts."""
    app = FastAPI(dependencies=[Requires("app")])

    @app.get("/x")
    @public
    async def view() -> Any:
        return "x"

    guard(authority, app)
    with pytest.raises(ConfigurationError, match="two declarations: public and app"):
        call(app, "GET", "/x", authority.headers("alice", ["app"]))


def test_a_template_of_unknown_name_is_an_error(authority: Authority) -> None:
    """A template name that the route's full path does not have is reported before the first answer."""
    app = FastAPI()
    router = APIRouter()

    @router.get("/o/{order_id}", dependencies=[Requires("{tenant}:o:{id}:read")])
    async def order(order_id: str) -> Any:
        return order_id

    app.include_router(router, prefix="/t/{tenant}")
    guard(authority, app)
    with pytest.raises(ConfigurationError, match="reads id"):
        call(app, "GET", "/none")


def test_templates_use_the_text_of_the_path(authority: Authority) -> None:
    """Templates use the text of the path, because FastAPI converts parameters after the guard."""
    app = FastAPI()

    @app.get("/o/{order_id}")
    async def order(order_id: int, token: Annotated[AccessToken, Requires("o:{order_id}:read")]) -> Any:
        return order_id

    guard(authority, app)
    assert [200, 403, 403] == statuses(
        app, "GET /o/7", "GET /o/007", "GET /o/8", headers=authority.headers("a", ["o:7:read"])
    )


@pytest.mark.parametrize("with_request", [False, True])
def test_decorators_work_on_any_signature(authority: Authority, with_request: bool) -> None:
    """A declared function keeps its parameters and defaults, sync or async, with or without a request parameter."""
    app = FastAPI()

    def sync(item: int, page: int = 1) -> Any:
        return [item, page]

    async def asynchronous(request: Request, item: int, page: int = 1) -> Any:
        return [item, page, request.path_params["item"]]

    view = asynchronous if with_request else sync
    app.get("/i/{item}")(requires("items:{item}")(requires("items:{item}")(view)))
    guard(authority, app)
    headers = authority.headers("a", ["items:7"])
    assert [401, 403] == [*statuses(app, "GET /i/7"), *statuses(app, "GET /i/8", headers=headers)]
    answer = call(app, "GET", "/i/7?page=3", headers)
    assert [7, 3, *(["7"] if with_request else [])] == answer.json
    assert 422 == call(app, "GET", "/i/7?page=x", headers).status


def test_a_declared_dependency_counts(authority: Authority) -> None:
    """A decorated dependency function is found like `Requires`, even if it has no parameters."""
    app = FastAPI()

    @app.get("/x")
    async def view(value: Annotated[int, Depends(marked_dependency)]) -> Any:
        return value

    guard(authority, app)
    assert [401] == statuses(app, "GET /x")
    assert [200] == statuses(app, "GET /x", headers=authority.headers("a", ["dep:use"]))


def test_a_public_dependency_does_not_open_its_route(authority: Authority) -> None:
    """A function that is declared public opens nothing if it is used as a dependency."""
    app = FastAPI()

    @app.get("/x")
    async def view(value: Annotated[int, Depends(shared)]) -> Any:
        return value

    app.get("/shared")(shared)
    guard(authority, app)
    assert [401, 200] == statuses(app, "GET /x", "GET /shared")


def test_fastapis_own_answers_need_no_token(authority: Authority) -> None:
    """404, 405, HEAD on a GET route and the slash redirect are FastAPI's own answers."""
    app = FastAPI(openapi_url=None)
    router = APIRouter(prefix="/v1")

    @router.get("/orders")
    async def orders(token: Orders) -> Any:
        return []

    app.include_router(router)
    guard(authority, app)
    assert [404, 405, 405, 307, 401] == statuses(
        app, "GET /v1", "POST /v1/orders", "HEAD /v1/orders", "GET /v1/orders/", "GET /v1/orders%0A"
    )


def test_late_routes_are_checked(authority: Authority) -> None:
    """Routes that are added after the first request are found, also in an included router if FastAPI serves them."""
    app = FastAPI()
    router = APIRouter(prefix="/v1")
    router.get("/open/{x}")(public(lambda x: x))
    app.include_router(router)
    guard(authority, app)
    assert [200] == statuses(app, "GET /v1/open/1")

    async def late() -> Any:
        return "late"

    router.get("/late")(late)
    app.get("/late")(late)
    app.router.routes.insert(0, Route("/v1/open/{x}", lambda request: PlainTextResponse("late")))
    assert [401, 401] == statuses(app, "GET /late", "GET /v1/open/1")
    assert call(app, "GET", "/v1/late").status in {401, 404}


def test_a_router_in_two_places_has_requirements_by_place(authority: Authority) -> None:
    """Requirements that an include adds count only there."""
    app = FastAPI()
    router = APIRouter()

    @router.get("/x")
    async def view(token: Annotated[AccessToken, Requires("x")]) -> Any:
        return "x"

    app.include_router(router, prefix="/a")
    app.include_router(router, prefix="/b", dependencies=[Requires("b")])
    guard(authority, app)
    assert [200, 403] == statuses(app, "GET /a/x", "GET /b/x", headers=authority.headers("a", ["x"]))
    assert [200, 200] == statuses(app, "GET /a/x", "GET /b/x", headers=authority.headers("a", ["x", "b"]))


def test_a_route_class_with_its_own_matcher_is_checked(authority: Authority) -> None:
    """Two routes with one path, chosen by the project's own matcher, each have their own declaration."""
    from fastapi.routing import APIRoute
    from starlette.routing import Match

    class Versioned(APIRoute):
        def matches(self, scope: Any) -> Any:
            match, child = super().matches(scope)
            wanted = (b"x-version", self.name.encode())
            return (match, child) if match is Match.NONE or wanted in scope["headers"] else (Match.NONE, {})

    router = APIRouter(route_class=Versioned)
    router.get("/x", name="one")(public(lambda: "one"))
    router.get("/x", name="two")(requires("two")(lambda: "two"))
    app = FastAPI()
    app.include_router(router, prefix="/v")
    guard(authority, app)
    assert [200, 401, 404] == [
        call(app, "GET", "/v/x", headers).status for headers in ({"x-version": "one"}, {"x-version": "two"}, {})
    ]


def test_websockets_are_checked(authority: Authority) -> None:
    """A websocket route may be declared by parameter, router or decorator, and gets its token."""
    app = FastAPI()
    router = APIRouter(prefix="/v1", dependencies=[Requires("v1")])

    @router.websocket("/chat/{room}")
    async def chat(websocket: WebSocket, room: str, token: Annotated[AccessToken, Requires("chat:{room}")]) -> None:
        await websocket.accept()
        await websocket.send_text(token.subject)

    @app.websocket("/marked")
    @requires("marked")
    async def marked(websocket: WebSocket) -> None:
        await websocket.accept()

    @app.websocket("/bare")
    async def bare(websocket: WebSocket) -> None:
        await websocket.accept()

    app.include_router(router)
    guard(authority, app)
    for path in ("/v1/chat/red", "/marked", "/bare"):
        assert 401 == connect(app, path).answer("websocket.http.response").status
        wire = connect(app, path, authority.headers("alice", ["chat:red"]))
        assert 403 == wire.answer("websocket.http.response").status
    wire = connect(app, "/v1/chat/red", authority.headers("alice", ["v1", "chat:red"]))
    assert "alice" == wire.sent[1]["text"]


def test_mounted_applications_are_checked(authority: Authority) -> None:
    """Routes of a mounted FastAPI application are found; a declaration on the mount covers undeclared ones."""
    app = FastAPI(openapi_url=None)
    sub = FastAPI()

    @sub.get("/orders/{order_id}")
    async def order(order_id: str, token: Annotated[AccessToken, Requires("{tenant}:orders:{order_id}")]) -> Any:
        return token.subject

    app.mount("/t/{tenant}", sub)
    app.mount("/docs-too", requires("docs")(FastAPI()))
    guard(authority, app)
    assert [401, 401, 401] == statuses(app, "GET /t/a/orders/1", "GET /t/a/docs", "GET /docs-too/docs")
    headers = authority.headers("alice", ["a:orders:1", "docs"])
    assert [200, 403, 200] == statuses(app, "GET /t/a/orders/1", "GET /t/a/docs", "GET /docs-too/docs", headers=headers)


def test_a_refusal_by_enforce_reaches_the_client_unchanged(authority: Authority) -> None:
    """A refusal inside a view keeps its body and headers, below a mount and after `except HTTPException`."""
    app, sub = FastAPI(), FastAPI()

    def view(request: Request, item: str) -> Any:
        try:
            enforce(request, "items:{item}:use", params={"item": item})
        except HTTPException as error:  # pragma: no cover - Starlette's exception is the base class of `Refused`
            raise AssertionError from error
        return token_from(request).subject  # type: ignore[union-attr]

    for target in (app, sub):
        target.get("/use", dependencies=[Requires(AUTHENTICATED)])(view)
    app.mount("/sub", sub)
    guard(authority, app)
    for path in ("/use", "/sub/use"):
        answer = call(app, "GET", f"{path}?item=2", authority.headers("alice", ["items:1:use"]))
        assert (403, "insufficient_scope") == (answer.status, answer.json["error"])
        assert "application/problem+json" == answer.headers["content-type"]
        assert "alice" == call(app, "GET", f"{path}?item=1", authority.headers("alice", ["items:1:use"])).json


def test_the_schema_and_its_pages_may_be_opened(authority: Authority) -> None:
    """Settings rules may open FastAPI's own routes; without a rule they are listed with a hint."""
    from jwt_lp_starlette.routes import host

    app = guard(authority, FastAPI())
    hints = {route.template: route.hint for route in host.routes(app) if not route.guarded}
    assert {"/openapi.json", "/docs", "/docs/oauth2-redirect", "/redoc"} == set(hints)
    assert all(hint.startswith('"PUBLIC"') for hint in hints.values())
    app = guard(authority, FastAPI(), PUBLIC=["/docs", "/openapi.json"], EXTERNAL={"/redoc": "the office network"})
    assert [200, 200, 200, 200] == statuses(
        app, "GET /docs", "GET /openapi.json", "GET /redoc", "GET /docs/oauth2-redirect"
    )


def test_alternatives_and_bindings(authority: Authority) -> None:
    """`Requires` accepts the same arguments as `requires`."""
    app = FastAPI()

    @app.get("/u/{user_id}", dependencies=[Requires(any_of("users:read", "users:admin"), where={"user_id": "sub"})])
    async def user(user_id: str) -> Any:
        return user_id

    guard(authority, app)
    requests = ("GET /u/alice", "GET /u/bob")
    assert [200, 403] == statuses(app, *requests, headers=authority.headers("alice", ["users:admin"]))
    assert [403, 403] == statuses(app, *requests, headers=authority.headers("alice"))


def test_limits_for_bodies_still_work(authority: Authority) -> None:
    """FastAPI's limit for the size of a body works with the guard, also in included routers."""
    if "max_body_size" not in inspect.signature(FastAPI).parameters:
        pytest.skip("this FastAPI has no limit for bodies")
    app = FastAPI(max_body_size=8)
    router = APIRouter(max_body_size=4)

    @public
    async def size(request: Request) -> Any:
        return len(await request.body())

    for target in (app, router):
        target.post("/")(size)
    app.include_router(router, prefix="/r")
    guard(authority, app)
    sent = [("/", 6), ("/", 9), ("/r/", 3), ("/r/", 6)]
    assert [200, 413, 200, 413] == [call(app, "POST", path, body=b"x" * length).status for path, length in sent]


def test_frontends_are_checked(authority: Authority, tmp_path: Any) -> None:
    """A FastAPI frontend needs a settings rule or a router's requirement; routes take precedence over it."""
    if not hasattr(FastAPI, "frontend"):
        pytest.skip("this FastAPI has no frontends")
    (tmp_path / "index.html").write_text("page")

    def build() -> FastAPI:
        app = FastAPI(openapi_url=None)
        router = APIRouter(prefix="/in", dependencies=[Requires("pages")])
        app.frontend("/app", directory=str(tmp_path))
        router.frontend("/app", directory=str(tmp_path))
        app.get("/app/api")(requires("api")(lambda: "api"))
        app.include_router(router)
        return app

    requests = ("GET /app/index.html", "GET /in/app/index.html", "GET /app/api")
    app = guard(authority, build())
    assert [401, 401, 401] == statuses(app, *requests)
    assert [403, 200, 403] == statuses(app, *requests, headers=authority.headers("a", ["pages"]))
    app = guard(authority, build(), PUBLIC=["/app"])
    assert [200, 401, 401] == statuses(app, *requests)
