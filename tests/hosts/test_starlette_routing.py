"""The guard decides about the endpoint that Starlette's router chooses, for every kind of route."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Sequence
from typing import Any

import pytest

pytest.importorskip("starlette")

from starlette.applications import Starlette
from starlette.endpoints import HTTPEndpoint
from starlette.middleware import Middleware
from starlette.responses import PlainTextResponse, RedirectResponse
from starlette.routing import BaseRoute, Host, Mount, Route, Router
from starlette.staticfiles import StaticFiles

from hosts.asgi_calls import acall, call, statuses
from jwt_lp.testing.authority import Authority
from jwt_lp_starlette import LeastPrivilege, authenticated, external, public, requires, token_from

pytestmark = pytest.mark.host


class RanEndpoints(list[str]):
    """Records which endpoints ran."""

    def view(self, name: str) -> Any:
        async def view(request: Any) -> PlainTextResponse:
            self.append(name)
            return PlainTextResponse(name)

        view.__qualname__ = name
        return view


@pytest.fixture
def authority() -> Authority:
    return Authority()


@pytest.fixture
def ran() -> RanEndpoints:
    return RanEndpoints()


def guarded(
    authority: Authority, routes: Sequence[BaseRoute], settings: dict[str, Any] | None = None, **more: Any
) -> Any:
    app = Starlette(routes=routes, **more)
    LeastPrivilege(app, authority.settings(**(settings or {})))
    return app


def test_undeclared_routes_are_refused(authority: Authority, ran: RanEndpoints) -> None:
    """Undeclared routes, mounts, hosts and files are refused before any of their code runs."""
    app = guarded(
        authority,
        [
            Route("/view", ran.view("view")),
            Route("/any", ran.view("any"), methods=["OPTIONS", "TRACE"]),
            Mount("/inner", routes=[Route("/view", ran.view("inner"))]),
            Mount("/app", app=Starlette(routes=[Route("/view", ran.view("app"))])),
            Mount("/files", app=StaticFiles(directory=".")),
            Host("other.test", app=Router([Route("/view", ran.view("host"))])),
        ],
    )
    paths = (
        "GET /view",
        "HEAD /view",
        "OPTIONS /any",
        "TRACE /any",
        "GET /inner/view",
        "GET /app/view",
        "GET /files/x",
    )
    assert [401] * 7 == statuses(app, *paths)
    assert [403] * 7 == statuses(app, *paths, headers=authority.headers())
    assert 401 == call(app, "GET", "/view", [("host", "other.test")]).status
    assert [] == ran


def test_the_routers_own_answers_need_no_token(authority: Authority) -> None:
    """404, 405 and the slash redirect need no token and are Starlette's own answers."""
    app = guarded(
        authority,
        [
            Route("/view", requires("a")(lambda request: PlainTextResponse("")), methods=["GET"]),
            Route("/dir/", requires("a")(lambda request: PlainTextResponse(""))),
            Mount("/inner", routes=[Route("/view", requires("a")(lambda request: PlainTextResponse("")))]),
        ],
    )
    assert [404, 405, 307, 307, 404, 405] == statuses(
        app, "GET /none", "POST /view", "GET /view/", "GET /dir", "GET /inner/none", "PUT /inner/view"
    )
    assert {"GET", "HEAD"} == set(call(app, "POST", "/view").headers["allow"].split(", "))


def test_a_newline_at_the_end_does_not_avoid_the_guard(authority: Authority, ran: RanEndpoints) -> None:
    """Starlette's regex matches `/secret%0A` as `/secret`, and so does the guard, even before a catch-all route."""
    routes = [Route("/secret", requires("a")(ran.view("secret"))), Route("/{rest:path}", public(ran.view("rest")))]
    app = guarded(authority, routes)
    assert [401, 404, 200] == statuses(app, "GET /secret%0A", "GET /secret%0A%0A", "GET /other%0A")
    assert ["rest"] == ran


def test_the_first_match_in_order_is_checked(authority: Authority, ran: RanEndpoints) -> None:
    """If several routes match, the guard decides about the first in Starlette's order, whatever the index order is."""
    app = guarded(
        authority,
        [
            Route("/{any}/x", requires("first")(ran.view("first"))),
            Route("/a/x", public(ran.view("second"))),
            Mount("/m", routes=[Route("/x", requires("third")(ran.view("third")))]),
            Route("/m/x", public(ran.view("fourth"))),
            Route("/m/y", public(ran.view("fifth"))),
        ],
    )
    assert [401, 401, 404] == statuses(app, "GET /a/x", "GET /m/x", "GET /m/y")
    assert [] == ran


def test_a_partial_match_gives_way_to_a_full_one(authority: Authority, ran: RanEndpoints) -> None:
    """Two routes with one path and different methods each have their own declaration."""
    app = guarded(
        authority,
        [
            Route("/x", requires("x:read")(ran.view("get")), methods=["GET"]),
            Route("/x", public(ran.view("post")), methods=["POST"]),
        ],
    )
    assert [401, 401, 200, 405] == statuses(app, "GET /x", "HEAD /x", "POST /x", "PUT /x")


def test_a_route_with_its_own_regex_is_not_indexed(authority: Authority, ran: RanEndpoints) -> None:
    """A route with its own, case-insensitive regex is found as Starlette finds it, before a catch-all route."""
    secret = Route("/secret", requires("a")(ran.view("secret")))
    secret.path_regex = re.compile(secret.path_regex.pattern, re.IGNORECASE)
    app = guarded(authority, [secret, Route("/{rest:path}", public(ran.view("rest")))])
    assert [401, 401, 200] == statuses(app, "GET /secret", "GET /SECRET", "GET /other")


def test_a_routes_own_matcher_is_used(authority: Authority, ran: RanEndpoints) -> None:
    """A route class with its own `matches` is found with that method."""

    class Anywhere(Route):
        def matches(self, scope: Any) -> Any:
            return (
                super().matches({**scope, "path": "/secret"}) if "hidden" in scope["path"] else super().matches(scope)
            )

    routes = [Anywhere("/secret", requires("a")(ran.view("secret"))), Route("/{rest:path}", public(ran.view("rest")))]
    app = guarded(authority, routes)
    assert [401, 200] == statuses(app, "GET /very/hidden", "GET /other")


def test_routes_may_be_added_late(authority: Authority, ran: RanEndpoints) -> None:
    """A route that is added after the first request is found, also before others and below a mount."""
    inner = Router([Route("/old", public(ran.view("old")))])
    app = guarded(authority, [Route("/{name}", public(ran.view("open"))), Mount("/inner", app=inner)])
    assert [200, 200] == statuses(app, "GET /a", "GET /inner/old")
    app.router.routes.insert(0, Route("/a", ran.view("late")))
    inner.routes.append(Route("/new", ran.view("late")))
    app.router.routes.append(Route("/b/c", requires("b")(ran.view("late"))))
    assert [401, 200, 401, 401] == statuses(app, "GET /a", "GET /z", "GET /inner/new", "GET /b/c")
    assert "late" not in ran


def test_a_route_may_be_replaced_or_removed(authority: Authority, ran: RanEndpoints) -> None:
    """The table is updated if a route is replaced or removed."""
    app = guarded(authority, [Route("/a", public(ran.view("a"))), Route("/b", public(ran.view("b")))])
    assert [200, 200] == statuses(app, "GET /a", "GET /b")
    app.router.routes[0] = Route("/a", ran.view("undeclared"))
    assert [401, 200] == statuses(app, "GET /a", "GET /b")
    del app.router.routes[1]
    assert [401, 404] == statuses(app, "GET /a", "GET /b")


def test_a_default_application_needs_a_declaration(authority: Authority, ran: RanEndpoints) -> None:
    """An application that replaces Starlette's 404 needs a declaration."""

    async def page(scope: Any, receive: Any, send: Any) -> None:
        ran.append("default")
        await PlainTextResponse("page")(scope, receive, send)

    app = guarded(authority, [Route("/a", public(ran.view("a")))])
    app.router.default = page
    assert [401, 200] == statuses(app, "GET /none", "GET /a")
    app.router.default = public(page)
    assert [200] == statuses(app, "GET /none")
    app.router.default = requires("pages")(page)
    assert [401] == statuses(app, "GET /none")
    assert [200] == statuses(app, "GET /none", headers=authority.headers("alice", ["pages"]))


def test_a_declaration_on_a_mount_covers_its_routes(authority: Authority, ran: RanEndpoints) -> None:
    """A declaration on a mount covers the mounted application; a route's own declaration takes precedence."""
    inner = Starlette(
        routes=[
            Route("/view", ran.view("view")),
            Route("/open", public(ran.view("open"))),
        ]
    )
    app = guarded(
        authority,
        [
            Mount("/open", app=public(StaticFiles(directory="tests/hosts")), name="static"),
            Mount("/api", app=requires("api:use")(inner), name="api"),
        ],
    )
    assert [200, 401, 200, 401] == statuses(
        app, "GET /open/asgi_calls.py", "GET /api/view", "GET /api/open", "GET /api/none"
    )
    headers = authority.headers("alice", ["api:use"])
    assert [200, 404] == statuses(app, "GET /api/view", "GET /api/none", headers=headers)
    assert "/open/x.css" == app.url_path_for("static", path="x.css")


def test_settings_may_declare_mounts_and_routes(authority: Authority, ran: RanEndpoints) -> None:
    """A settings rule may be a path prefix, a mount's name or a route's name."""
    app = guarded(
        authority,
        [
            Mount("/static", app=StaticFiles(directory="tests/hosts")),
            Mount("/admin", app=Starlette(routes=[Route("/users/{id}", ran.view("users"))]), name="admin"),
            Route("/health", ran.view("health"), name="health"),
        ],
        {"PUBLIC": ["/static", "health"], "EXTERNAL": {"admin": "session login of the admin"}},
    )
    assert [200, 200, 200, 404] == statuses(
        app, "GET /static/asgi_calls.py", "GET /admin/users/1", "GET /health", "GET /admin/none"
    )


def test_a_rule_for_a_path_opens_it_on_no_other_host(authority: Authority, ran: RanEndpoints) -> None:
    """A route below a `Host` has the host in its template, so a rule for the same path does not open it."""
    routes = [
        Host("admin.test", app=Router([Route("/status", ran.view("admin"))])),
        Route("/status", ran.view("status")),
    ]
    app = guarded(authority, routes, {"PUBLIC": ["/status"]})
    assert [200, 401] == [call(app, "GET", "/status", [("host", host)]).status for host in ("api.test", "admin.test")]
    assert ["status"] == ran
    app = guarded(authority, routes, {"PUBLIC": ["//admin.test/status"]})
    assert [401, 200] == [call(app, "GET", "/status", [("host", host)]).status for host in ("api.test", "admin.test")]


def test_parameters_of_mounts_fill_templates(authority: Authority, ran: RanEndpoints) -> None:
    """Parameters of the mount, the host and the route fill templates, converted as the view gets them."""
    view = requires("{tenant}:orders:{order_id}:read")(ran.view("order"))
    app = guarded(authority, [Mount("/t/{tenant}", routes=[Route("/orders/{order_id:int}", view)])])
    headers = authority.headers("alice", ["acme:orders:7:read"])
    assert [200, 200, 403] == statuses(
        app, "GET /t/acme/orders/7", "GET /t/acme/orders/007", "GET /t/other/orders/7", headers=headers
    )


@pytest.mark.parametrize("value", ["a%3Ab", "*", "%00", "%0A", "a%20b", "%7Bx%7D", "%C3%A9", ".."])
def test_a_value_that_is_no_segment_is_refused(authority: Authority, ran: RanEndpoints, value: str) -> None:
    """A parameter value that would widen or change the permission is refused, never rewritten."""
    app = guarded(authority, [Route("/o/{name}", requires("o:{name}:read")(ran.view("order")))])
    expected = 200 if value == ".." else 403
    headers = authority.headers("alice", ["o:a:read", "o:*:read"])
    assert [expected] == statuses(app, f"GET /o/{value}", headers=headers)


def test_middleware_around_a_mount_cannot_swap_the_endpoint(authority: Authority, ran: RanEndpoints) -> None:
    """If a mount's middleware redirects a request after the decision, no response of the other endpoint is sent."""

    class Rewrite:
        def __init__(self, app: Any) -> None:
            self.app = app

        async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
            scope["path"] = scope["path"].replace("open", "secret")
            await self.app(scope, receive, send)

    routes = [
        Route("/open", public(ran.view("open"))),
        Route("/secret", ran.view("secret")),
        Route("/secret-marked", requires("s")(ran.view("marked"))),
        Route("/open-marked", public(ran.view("other"))),
    ]
    app = guarded(authority, [Mount("/m", app=Rewrite(Starlette(routes=routes)))])
    assert [401, 401] == statuses(app, "GET /m/open", "GET /m/open-marked")
    assert "marked" not in ran


def test_middleware_that_rewrites_paths_runs_before_the_guard(authority: Authority, ran: RanEndpoints) -> None:
    """The guard decides about the path that the router sees, wherever the middleware is in the list."""

    class Rewrite:
        def __init__(self, app: Any) -> None:
            self.app = app

        async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
            await self.app({**scope, "path": "/b"} if scope["type"] == "http" else scope, receive, send)

    routes = [Route("/a", public(ran.view("a"))), Route("/b", requires("b")(ran.view("b")))]
    before = Starlette(routes=routes, middleware=[Middleware(Rewrite)])
    LeastPrivilege(before, authority.settings())
    after = Starlette(routes=routes)
    LeastPrivilege(after, authority.settings())
    after.add_middleware(Rewrite)
    appended = Starlette(routes=routes)
    LeastPrivilege(appended, authority.settings())
    appended.user_middleware.append(Middleware(Rewrite))
    assert [401] * 3 == [call(app, "GET", "/a").status for app in (before, after, appended)]
    assert [] == ran


def test_endpoint_classes_are_checked_by_method(authority: Authority, ran: RanEndpoints) -> None:
    """A method's declaration precedes its class's, HEAD has the rule of GET, and an unknown method is 405."""

    @requires("orders:write")
    class Orders(HTTPEndpoint):
        @requires("orders:read")
        async def get(self, request: Any) -> PlainTextResponse:
            return PlainTextResponse("get")

        def post(self, request: Any) -> PlainTextResponse:
            return PlainTextResponse("post")

    app = guarded(authority, [Route("/orders", Orders)])
    requests = ("GET /orders", "HEAD /orders", "POST /orders", "DELETE /orders", "OPTIONS /orders")
    assert [401, 401, 401, 405, 405] == statuses(app, *requests)
    assert [200, 200, 403, 405, 405] == statuses(app, *requests, headers=authority.headers("a", ["orders:read"]))
    assert [403, 403, 200, 405, 405] == statuses(app, *requests, headers=authority.headers("a", ["orders:write"]))


def test_head_has_the_rule_of_get(authority: Authority, ran: RanEndpoints) -> None:
    """A class's own `head` has the rule of `get`, and its own declaration is enforced too."""

    class Own(HTTPEndpoint):
        @requires("a")
        async def get(self, request: Any) -> PlainTextResponse:
            return PlainTextResponse("get")

        async def head(self, request: Any) -> PlainTextResponse:
            return PlainTextResponse("", headers={"X-Head": "own"})

    class Marked(Own):
        head = requires("b")(Own.head)

    class Unmarked(HTTPEndpoint):
        async def get(self, request: Any) -> PlainTextResponse:
            return PlainTextResponse("get")

        head = requires("b")(Own.head)

    class Alone(HTTPEndpoint):
        head = requires("b")(Own.head)

    named = {"own": Own, "class": requires("c")(Own), "marked": Marked, "unmarked": Unmarked, "alone": Alone}
    app = guarded(authority, [Route(f"/{name}", endpoint) for name, endpoint in named.items()])
    requests = [f"HEAD /{name}" for name in named]
    assert [401] * 5 == statuses(app, *requests)
    assert [200, 200, 403, 403, 403] == statuses(app, *requests, headers=authority.headers("x", ["a"]))
    assert [403, 403, 403, 403, 200] == statuses(app, *requests, headers=authority.headers("x", ["b"]))
    assert [200, 200, 200, 403, 200] == statuses(app, *requests, headers=authority.headers("x", ["a", "b"]))
    assert "own" == call(app, "HEAD", "/own", authority.headers("x", ["a"])).headers["x-head"]


def test_helpers_of_an_endpoint_class_are_never_called_as_methods(authority: Authority, ran: RanEndpoints) -> None:
    """An unknown or lower-case method never calls an attribute of the endpoint class with that name."""

    class Orders(HTTPEndpoint):
        @requires("orders:read")
        async def get(self, request: Any) -> PlainTextResponse:
            return PlainTextResponse("get")

        async def purge(self, request: Any) -> PlainTextResponse:
            ran.append("purge")
            return PlainTextResponse("purged")

    app = guarded(
        authority,
        [
            Route("/orders", Orders),
            Route("/all", requires("orders:read")(Orders)),
            Mount("/m", Router([Route("/o", Orders)])),
        ],
    )
    requests = [
        f"{method} {path}" for method in ("PURGE", "get", "Purge", "DISPATCH") for path in ("/orders", "/all", "/m/o")
    ]
    assert [405] * 12 == statuses(app, *requests)
    assert [405] * 12 == statuses(app, *requests, headers=authority.headers("a", ["orders:read"]))
    assert ({"GET", "HEAD"}, []) == (set(call(app, "PURGE", "/orders").headers["allow"].split(", ")), ran)


def test_a_path_that_no_convertor_takes_is_not_found(authority: Authority, ran: RanEndpoints) -> None:
    """An int of thousands of digits in the path gives 404, not a server error, whatever route comes first."""
    view = requires("orders:{id}:read")(ran.view("order"))
    app = guarded(authority, [Route("/orders/{id:int}", view), Mount("/m", app=Router([Route("/{id:int}", view)]))])
    assert [404, 404] == statuses(app, f"GET /orders/{'9' * 5000}", f"GET /m/{'9' * 5000}")


def test_a_subclass_does_not_inherit_a_declaration(authority: Authority) -> None:
    """A subclass of a public endpoint class is not public."""

    @public
    class Open(HTTPEndpoint):
        async def get(self, request: Any) -> PlainTextResponse:
            return PlainTextResponse("open")

    class Closed(Open):
        async def delete(self, request: Any) -> PlainTextResponse:
            return PlainTextResponse("closed")

    app = guarded(authority, [Route("/open", Open), Route("/closed", Closed)])
    assert [200, 401, 401] == statuses(app, "GET /open", "GET /closed", "DELETE /closed")


def test_an_endpoint_class_with_its_own_dispatch_has_one_declaration(authority: Authority, ran: RanEndpoints) -> None:
    """If a class has its own `dispatch`, which may answer any method, only the class's declaration counts."""

    class Own(HTTPEndpoint):
        async def dispatch(self) -> None:
            ran.append("own")
            await PlainTextResponse("own")(self.scope, self.receive, self.send)

    app = guarded(authority, [Route("/own", Own), Route("/open", public(Own))])
    assert [401, 401, 200] == statuses(app, "GET /own", "PATCH /own", "PATCH /open")
    assert ["own"] == ran


def test_an_asgi_endpoint_can_be_declared(authority: Authority) -> None:
    """A declaration counts on any ASGI endpoint: an application, a function, an instance or a class."""

    async def function(scope: Any, receive: Any, send: Any) -> None:
        await PlainTextResponse("ok")(scope, receive, send)

    class Instance:
        async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
            await function(scope, receive, send)

    routes = [
        Mount("/function", app=requires("a")(function)),
        Route("/instance", requires("a")(Instance())),
        Route("/bare", Instance()),
        Mount("/open", app=public(function)),
    ]
    app = guarded(authority, routes)
    requests = ("GET /function/x", "GET /instance", "GET /bare", "GET /open/x")
    assert [401, 401, 401, 200] == statuses(app, *requests)
    assert [200, 200, 403, 200] == statuses(app, *requests, headers=authority.headers("a", ["a"]))


def test_declarations_are_put_on_wrappers(authority: Authority, ran: RanEndpoints) -> None:
    """If a function is public on one of two routes, the other route stays closed."""
    shared = ran.view("shared")
    app = guarded(authority, [Route("/open", public(shared)), Route("/closed", shared)])
    assert [200, 401] == statuses(app, "GET /open", "GET /closed")


def test_a_redirect_by_a_view_needs_a_decision(authority: Authority) -> None:
    """A view's own redirect is withheld like any response that was not authorised."""
    app = guarded(authority, [Route("/go", lambda request: RedirectResponse("/secret?token=1"))])
    assert [401] == statuses(app, "GET /go")


def test_concurrent_requests_keep_their_own_token(authority: Authority) -> None:
    """Concurrent requests in async and threaded views each see their own subject."""

    def names_of(request: Any) -> PlainTextResponse:
        token = token_from(request)
        assert token is not None
        return PlainTextResponse(f"{token.subject} {request.user.display_name}")

    @authenticated
    async def slow(request: Any) -> PlainTextResponse:
        await asyncio.sleep(0.01)
        return names_of(request)

    threaded = authenticated(names_of)

    app = guarded(authority, [Route("/slow", slow), Route("/threaded", threaded)])
    names = [f"user{number}" for number in range(60)]

    async def everybody(path: str) -> list[str]:
        calls = [acall(app, "GET", path, authority.headers(name)) for name in names]
        return [answer.body.decode() for answer in await asyncio.gather(*calls)]

    for path in ("/slow", "/threaded"):
        assert [f"{name} {name}" for name in names] == asyncio.run(everybody(path))


def test_external_passes_whatever_is_sent(authority: Authority) -> None:
    """Public and external routes never read the credential, even a malformed one."""
    view = external("guarded by a proxy")(lambda request: PlainTextResponse("ok"))
    app = guarded(authority, [Route("/x", view), Route("/y", public(lambda request: PlainTextResponse("ok")))])
    broken = [("authorization", "Bearer x"), ("authorization", "Bearer y")]
    assert [200, 200] == statuses(app, "GET /x", "GET /y", headers=broken)
