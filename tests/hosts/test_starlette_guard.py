"""Installing the guard in Starlette, its check at the start, its refusals, and what it offers to views."""

from __future__ import annotations

import asyncio
import inspect
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Any

import pytest

pytest.importorskip("starlette")

from starlette.applications import Starlette
from starlette.authentication import requires as starlette_requires
from starlette.endpoints import HTTPEndpoint
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.middleware.authentication import AuthenticationMiddleware
from starlette.middleware.cors import CORSMiddleware
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, StreamingResponse
from starlette.routing import Mount, Route

from hosts.asgi_calls import Wire, call, live, request_scope
from jwt_lp import AUTHENTICATED, ConfigurationError, Decision, Guard
from jwt_lp.testing.authority import Authority
from jwt_lp_starlette import (
    LeastPrivilege,
    LeastPrivilegeMiddleware,
    Refused,
    authenticated,
    can,
    enforce,
    guard_from,
    public,
    requires,
    token_from,
)

pytestmark = pytest.mark.host


@pytest.fixture
def authority() -> Authority:
    return Authority()


async def ok(request: Request) -> PlainTextResponse:
    return PlainTextResponse("ok")


def listed(authority: Authority, routes: list[Any], *around: Middleware, **settings: Any) -> Starlette:
    listed_guard = Middleware(LeastPrivilegeMiddleware, settings=authority.settings(**settings))
    return Starlette(routes=routes, middleware=[*around, listed_guard])


@pytest.mark.parametrize(("expected", "path"), [(True, "/plain/7"), (True, "/mounted/7/x"), (False, "/inside/7")])
def test_a_403_names_no_value_of_the_application(authority: Authority, expected: bool, path: str) -> None:
    """`scope` names what the client sent, below a mount too, and not what `enforce` put in its place."""
    template = "orders:{order_id}:read"

    @authenticated
    async def inside(request: Request) -> PlainTextResponse:
        return PlainTextResponse(enforce(request, template, params={"order_id": "internal"}).subject)

    guarded = requires(template)(ok)
    routes = [
        Route("/plain/{order_id}", guarded),
        Mount("/mounted/{order_id}", routes=[Route("/x", guarded)]),
        Route("/inside/{order_id}", inside),
    ]
    answer = call(listed(authority, routes), "GET", path, authority.headers("alice", ["b"]))
    challenge = answer.headers["www-authenticate"]
    assert (403, expected) == (answer.status, 'scope="orders:7:read"' in challenge)
    assert "internal" not in f"{challenge}{answer.body!r}"


def test_a_refusal_reaches_the_client_unchanged(authority: Authority) -> None:
    """Status, challenge, cache header and problem body of a refusal reach the client."""
    app = listed(authority, [Route("/a", requires("a")(ok))])
    answer = call(app, "GET", "/a", authority.headers("alice", ["b"]))
    assert 403 == answer.status
    assert "application/problem+json" == answer.headers["content-type"]
    assert "no-store" == answer.headers["cache-control"]
    assert 'scope="a"' in answer.headers["www-authenticate"]
    assert ("insufficient_scope", "a") == (answer.json["error"], answer.json["requirement"])


def test_two_header_lines_are_refused(authority: Authority) -> None:
    """Every line of the Authorization header reaches the guard."""
    app = listed(authority, [Route("/a", authenticated(ok))])
    line = ("authorization", authority.headers()["Authorization"])
    assert [200, 400] == [call(app, "GET", "/a", [line] * number).status for number in (1, 2)]


def test_settings_faults_are_raised_at_the_installation() -> None:
    """`LeastPrivilege` raises the faults of the settings at once."""
    with pytest.raises(ConfigurationError, match="ISSUER"):
        LeastPrivilege(Starlette(), {})


def test_settings_faults_of_a_listed_guard_stop_the_start() -> None:
    """A listed middleware reports faults of the settings to the server and serves nothing."""
    app = Starlette(routes=[Route("/", public(ok))], middleware=[Middleware(LeastPrivilegeMiddleware, settings={})])
    with pytest.raises(ConfigurationError, match="ISSUER"):
        live(app)
    with pytest.raises(ConfigurationError, match="ISSUER"):
        call(app, "GET", "/")
    with pytest.raises(ConfigurationError, match="ISSUER"):
        guard_from(app)


def faulty(authority: Authority) -> Starlette:
    routes = [Route("/o/{name}", requires("o:{id}:read")(ok)), Route("/open", public(ok))]
    return listed(authority, routes, PUBLIC=["/nowhere"])


def test_route_faults_stop_the_start(authority: Authority) -> None:
    """The message to the server has all faults of declarations and rules, and they are raised."""
    sent: list[Any] = []

    async def send(message: Any) -> None:
        sent.append(message)

    async def receive() -> Any:
        return {"type": "lifespan.startup"}

    run = faulty(authority)({"type": "lifespan", "state": {}}, receive, send)
    with pytest.raises(ConfigurationError, match="reads id"):
        run.send(None)
    assert ["lifespan.startup.failed"] == [message["type"] for message in sent]
    assert "/nowhere" in sent[0]["message"]


def test_route_faults_are_found_without_a_start(authority: Authority, caplog: pytest.LogCaptureFixture) -> None:
    """If the server runs no lifespan, every request fails, even to public routes, and the log says why."""
    app = faulty(authority)
    for _ in range(2):
        with pytest.raises(ConfigurationError, match="reads id"):
            call(app, "GET", "/open")
    assert 1 == len([record for record in caplog.records if "reads id" in record.getMessage()])


def test_undeclared_routes_are_logged_once_with_a_hint(authority: Authority, caplog: pytest.LogCaptureFixture) -> None:
    """The start succeeds, and the log names each route that will be refused and a line that would declare it."""
    app = listed(authority, [Route("/orders", ok), Route("/orders", ok, methods=["POST"]), Route("/a", public(ok))])
    with caplog.at_level(logging.WARNING, logger="jwt_lp"):
        assert ["lifespan.startup.complete", "lifespan.shutdown.complete"] == [message["type"] for message in live(app)]
        assert 401 == call(app, "GET", "/orders").status
    warnings = [record.getMessage() for record in caplog.records if "W001" in record.getMessage()]
    assert 2 == len(warnings)
    hints = [
        record.jwt_lp["hint"] for record in caplog.records if hasattr(record, "jwt_lp") and "hint" in record.jwt_lp
    ]
    assert ['@requires("orders:read")', '@requires("orders:create")'] == hints


def test_a_route_added_after_the_start_is_logged(authority: Authority, caplog: pytest.LogCaptureFixture) -> None:
    """Routes that are added after the start are logged when they are first seen, with their faults."""
    app = listed(authority, [Route("/a", public(ok))])
    assert 200 == call(app, "GET", "/a").status
    app.router.routes.append(Route("/late", ok))
    app.router.routes.append(Route("/bad/{name}", requires("x:{id}")(ok)))
    assert 200 == call(app, "GET", "/a").status
    text = "\n".join(record.getMessage() for record in caplog.records)
    assert '"route": "GET,HEAD /late"' in text
    assert "E001 GET,HEAD /bad/{name}" in text
    assert 403 == call(app, "GET", "/bad/1", authority.headers("alice", ["x:1"])).status


def test_two_declarations_are_an_error() -> None:
    """Two different declarations on one endpoint, or on one mount, are an error."""
    with pytest.raises(ConfigurationError, match="two declarations"):
        requires("a")(public(ok))
    assert callable(requires("a")(requires("a")(ok)))


def test_two_declarations_on_a_mount_are_an_error(authority: Authority) -> None:
    """Two declarations on a mount with a middleware between them are found at the start."""

    class Wrapper:
        def __init__(self, app: Any) -> None:
            self.app = app

        async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
            await self.app(scope, receive, send)

    inner = requires("a")(Starlette(routes=[Route("/x", ok)]))
    with pytest.raises(ConfigurationError, match="has the declarations"):
        live(listed(authority, [Mount("/m", app=public(Wrapper(inner)))]))


def test_the_guard_is_closed_at_the_end(authority: Authority) -> None:
    """The end of the lifespan closes the guard, unless the project passed its own guard."""

    class Closing(Guard):
        closed = False

        def close(self) -> None:
            self.closed = True
            super().close()

    own = Closing(authority.settings())
    app = Starlette()
    LeastPrivilege(app, own)
    live(app)
    assert not own.closed
    own.close()


def test_the_projects_own_lifespan_runs(authority: Authority) -> None:
    """The project's own lifespan runs, and its failure is reported unchanged."""
    ran: list[str] = []

    @asynccontextmanager
    async def lifespan(app: Any) -> Any:
        ran.append("start")
        yield {"shared": 1}
        ran.append("stop")

    app = Starlette(routes=[Route("/", public(ok))], lifespan=lifespan)
    LeastPrivilege(app, authority.settings())
    live(app)
    assert ["start", "stop"] == ran


def test_declarations_without_a_guard_fail_closed(authority: Authority) -> None:
    """A declared endpoint in an application without the guard raises an error that says what to install."""

    @requires("a")
    class Endpoint(HTTPEndpoint):
        async def get(self, request: Request) -> PlainTextResponse:
            return PlainTextResponse("secret")

    def sync(request: Request) -> PlainTextResponse:
        return PlainTextResponse("secret")

    routes = [
        Route("/async", requires("a")(ok)),
        Route("/sync", requires("a")(sync)),
        Route("/class", Endpoint),
        Mount("/mount", app=requires("a")(Starlette(routes=[Route("/x", ok)]))),
        Route("/enforce", lambda request: PlainTextResponse(enforce(request, "a").subject)),
    ]
    app = Starlette(routes=routes)
    for path in ("/async", "/sync", "/class", "/mount/x", "/enforce"):
        with pytest.raises(ConfigurationError, match="LeastPrivilege"):
            call(app, "GET", path)


def test_the_guard_is_installed_once_and_early(authority: Authority) -> None:
    """A second guard, and a guard that is added after the first request, are errors."""
    app = Starlette()
    LeastPrivilege(app, authority.settings())
    with pytest.raises(ConfigurationError, match="already"):
        LeastPrivilege(app, authority.settings())
    twice = [Middleware(LeastPrivilegeMiddleware, settings=authority.settings()) for _ in range(2)]
    with pytest.raises(ConfigurationError, match="two guards"):
        call(Starlette(routes=[Route("/", public(ok))], middleware=twice), "GET", "/")
    served = Starlette(routes=[Route("/", ok)])
    call(served, "GET", "/")
    with pytest.raises(ConfigurationError, match="begun to serve"):
        LeastPrivilege(served, authority.settings())


def test_a_middleware_that_hides_what_it_wraps_is_an_error(authority: Authority) -> None:
    """If a middleware makes the installation impossible, nothing is served and the error says what to do."""

    def opaque(app: Any) -> Any:
        async def wrapped(scope: Any, receive: Any, send: Any) -> None:
            await app(scope, receive, send)

        return wrapped

    listed_guard = Middleware(LeastPrivilegeMiddleware, settings=authority.settings())
    app = Starlette(routes=[Route("/", public(ok))], middleware=[listed_guard, Middleware(opaque)])
    with pytest.raises(ConfigurationError, match="list Middleware"):
        call(app, "GET", "/")
    app = Starlette(routes=[Route("/", public(ok))], middleware=[Middleware(opaque), listed_guard])
    assert 200 == call(app, "GET", "/").status


def test_the_guard_may_be_added_last(authority: Authority) -> None:
    """`add_middleware` puts the middleware first in the list, but the guard is still the innermost layer."""
    app = Starlette(routes=[Route("/", public(ok)), Route("/a", requires("a")(ok))])
    app.add_middleware(CORSMiddleware, allow_origins=["*"])
    app.add_middleware(LeastPrivilegeMiddleware, settings=authority.settings())
    assert [200, 401] == [call(app, "GET", path).status for path in ("/", "/a")]


def test_limits_for_bodies_still_work(authority: Authority) -> None:
    """Starlette's limit for the size of a body works with the guard."""
    if "max_body_size" not in inspect.signature(Starlette).parameters:
        pytest.skip("this Starlette has no limit for bodies")

    async def size(request: Request) -> PlainTextResponse:
        return PlainTextResponse(str(len(await request.body())))

    route = Route("/", public(size), methods=["POST"])
    mounted = Mount("/m", routes=[Route("/", public(size), methods=["POST"])], max_body_size=4)
    app = Starlette(routes=[route, mounted], max_body_size=8)
    LeastPrivilege(app, authority.settings())
    sent = [("/", 6), ("/", 9), ("/m/", 3), ("/m/", 6)]
    assert [200, 413, 200, 413] == [call(app, "POST", path, body=b"x" * length).status for path, length in sent]


def test_cors_stays_around_the_guard(authority: Authority) -> None:
    """The CORS middleware answers a preflight without the endpoint, and adds its headers to a refusal."""
    cors = Middleware(CORSMiddleware, allow_origins=["https://app.test"], allow_methods=["GET"])
    ran: list[str] = []

    def view(request: Request) -> PlainTextResponse:
        ran.append(request.method)
        return PlainTextResponse("")

    routes = [Route("/a", requires("a")(view), methods=["GET", "OPTIONS"])]
    for app in (listed(authority, routes, cors), Starlette(routes=routes)):
        if not app.user_middleware:
            LeastPrivilege(app, authority.settings())
            app.add_middleware(CORSMiddleware, allow_origins=["https://app.test"], allow_methods=["GET"])
        origin = {"origin": "https://app.test"}
        assert 200 == call(app, "OPTIONS", "/a", {**origin, "access-control-request-method": "GET"}).status
        answer = call(app, "GET", "/a", origin)
        assert (401, "https://app.test") == (answer.status, answer.headers["access-control-allow-origin"])
        assert 401 == call(app, "OPTIONS", "/a").status
    assert [] == ran


def test_starlettes_own_requires_works(authority: Authority) -> None:
    """`request.auth.scopes` has the token's permissions, and `request.user` is its subject."""

    @authenticated
    @starlette_requires("orders:read")
    async def view(request: Request) -> JSONResponse:
        auth, user = request.auth, request.user
        return JSONResponse(
            [
                auth.token is token_from(request),
                list(auth.scopes),
                len(auth.scopes),
                "orders:create" in auth.scopes,
                "or ders" in auth.scopes,
                user.is_authenticated,
                user.display_name,
                user.identity,
            ]
        )

    app = listed(authority, [Route("/a", view)])
    assert [401, 403] == [call(app, "GET", "/a", headers).status for headers in ({}, authority.headers())]
    answer = call(app, "GET", "/a", authority.headers("alice", ["orders:read"]))
    expected = [True, ["orders:read"], 1, False, False, True, "alice", "https://authority.test|alice"]
    assert expected == answer.json


def test_a_users_own_authentication_is_kept_on_open_routes(authority: Authority) -> None:
    """On a route that requires no token, the user that another middleware set stays."""
    from starlette.authentication import AuthCredentials, AuthenticationBackend, SimpleUser

    class Session(AuthenticationBackend):
        async def authenticate(self, conn: Any) -> Any:
            return AuthCredentials(["session"]), SimpleUser("from-the-session")

    async def who(request: Request) -> PlainTextResponse:
        return PlainTextResponse(request.user.display_name)

    routes = [Route("/open", public(who)), Route("/mine", authenticated(who))]
    app = listed(authority, routes, Middleware(AuthenticationMiddleware, backend=Session()))
    assert b"from-the-session" == call(app, "GET", "/open").body
    assert b"alice" == call(app, "GET", "/mine", authority.headers("alice")).body


def test_an_open_route_has_no_user(authority: Authority) -> None:
    """A public view sees no token, no permissions and a user that is not authenticated."""

    def view(request: Request) -> JSONResponse:
        return JSONResponse(
            [token_from(request), list(request.auth.scopes), request.user.is_authenticated, can(request, "a")]
        )

    app = listed(authority, [Route("/", public(view))])
    assert [None, [], False, False] == call(app, "GET", "/", authority.headers("alice", ["a"])).json


def test_enforce_ends_the_request(authority: Authority) -> None:
    """A refusal inside a view keeps status, headers and body, in sync and async views and below a mount."""

    def sync(request: Request) -> PlainTextResponse:
        return PlainTextResponse(
            enforce(request, "item:{item}:use", params={"item": request.query_params["i"]}).subject
        )

    async def asynchronous(request: Request) -> PlainTextResponse:
        return sync(request)

    inner = Starlette(routes=[Route("/x", authenticated(asynchronous))])
    routes = [Route("/sync", authenticated(sync)), Route("/async", authenticated(asynchronous)), Mount("/m", app=inner)]
    app = listed(authority, routes)
    headers = authority.headers("alice", ["item:1:use"])
    for path in ("/sync", "/async", "/m/x"):
        assert (200, b"alice") == (
            call(app, "GET", f"{path}?i=1", headers).status,
            call(app, "GET", f"{path}?i=1", headers).body,
        )
        answer = call(app, "GET", f"{path}?i=2", headers)
        assert (403, "insufficient_scope") == (answer.status, answer.json["error"])
        assert "application/problem+json" == answer.headers["content-type"]
        assert answer.headers["www-authenticate"].startswith('Bearer error="insufficient_scope"')


def test_enforce_reads_the_routes_parameters_and_the_credential_of_an_open_route(authority: Authority) -> None:
    """`enforce` fills templates from the route's parameters, and a public view may require a token with it."""

    def view(request: Request) -> PlainTextResponse:
        return PlainTextResponse(enforce(request, "o:{name}:read").subject)

    app = listed(authority, [Route("/o/{name}", public(view))])
    tokens = [{}, authority.headers("alice", ["o:b:read"]), authority.headers("alice", ["o:a:read"])]
    assert [401, 403, 200] == [call(app, "GET", "/o/a", headers).status for headers in tokens]


def test_a_swallowed_refusal_is_final(authority: Authority) -> None:
    """If a view catches a refusal and answers, the client gets the refusal, whichever function refused."""

    @requires("a")
    def declared(request: Request) -> PlainTextResponse:
        return PlainTextResponse("")

    def sync(request: Request) -> PlainTextResponse:
        try:
            enforce(request, "a") if request.query_params else declared(request)
        except Refused:
            return PlainTextResponse("secret")
        return PlainTextResponse("fine")

    async def asynchronous(request: Request) -> PlainTextResponse:
        return sync(request)

    inner = Starlette(routes=[Route("/x", authenticated(asynchronous))])
    app = listed(
        authority, [Route("/s", authenticated(sync)), Route("/a", public(asynchronous)), Mount("/m", app=inner)]
    )
    for path in ("/s", "/s?e=1", "/a", "/a?e=1", "/m/x?e=1"):
        answer = call(app, "GET", path, authority.headers())
        assert (403, "insufficient_scope") == (answer.status, answer.json["error"])
        assert 'scope="a"' in answer.headers["www-authenticate"]
        assert b"fine" == call(app, "GET", path, authority.headers("alice", ["a"])).body


def test_a_refusal_ends_a_response_that_has_begun(authority: Authority) -> None:
    """If the status was sent before a refusal, the rest of the body is not sent and the connection is broken."""

    async def rows(request: Request) -> AsyncIterator[str]:
        for number in range(3):
            with suppress(Refused):
                enforce(request, "o:{n}:read", params={"n": number})
            yield f"row {number};"

    async def view(request: Request) -> StreamingResponse:
        return StreamingResponse(rows(request))

    app = listed(authority, [Route("/x", authenticated(view))])
    assert b"row 0;row 1;row 2;" == call(app, "GET", "/x", authority.headers("a", ["o:*:read"])).body
    wire = Wire([{"type": "http.request", "body": b""}])
    with pytest.raises((RuntimeError, ExceptionGroup)):
        asyncio.run(app(request_scope("/x", authority.headers("a", ["o:0:read"])), wire.receive, wire.send))
    assert [200, b"row 0;"] == [wire.sent[0]["status"], wire.answer().body]
    assert not [message for message in wire.sent[1:] if not message.get("more_body")]


def test_an_error_after_a_refusal_is_raised_and_the_refusal_sent(authority: Authority) -> None:
    """If a view raises another error after a refusal, the client gets the refusal, and the error is still raised."""

    async def application(scope: Any, receive: Any, send: Any) -> None:
        with suppress(Refused):
            enforce(Request(scope), "a")
        raise LookupError("the application failed")

    def view(request: Request) -> PlainTextResponse:
        with suppress(Refused):
            enforce(request, "a")
        raise LookupError("the view failed")

    app = listed(authority, [Route("/view", authenticated(view)), Mount("/app", app=authenticated(application))])
    for path in ("/view", "/app/x"):
        wire = Wire([{"type": "http.request", "body": b""}])
        with pytest.raises(LookupError):
            asyncio.run(app(request_scope(path, authority.headers()), wire.receive, wire.send))
        assert (403, "insufficient_scope") == (wire.answer().status, wire.answer().json["error"])


@pytest.mark.parametrize("error", [HTTPException(404), LookupError()])
def test_no_handler_replaces_a_refusal_in_a_mounted_application(authority: Authority, error: Exception) -> None:
    """If a mounted application raises an error after a refusal, only the refusal is sent."""

    async def application(scope: Any, receive: Any, send: Any) -> None:
        with suppress(Refused):
            enforce(Request(scope), "a")
        raise error

    def welcome(request: Request, error: Exception) -> PlainTextResponse:
        return PlainTextResponse("welcome")

    app = Starlette(
        routes=[Mount("/app", app=authenticated(application))],
        exception_handlers={404: welcome, LookupError: welcome},
    )
    LeastPrivilege(app, authority.settings())
    answer = call(app, "GET", "/app/x", authority.headers())
    assert (403, "insufficient_scope") == (answer.status, answer.json["error"])


def test_a_refusal_of_an_inner_guard_holds_for_the_outer_guard(authority: Authority) -> None:
    """If both applications have a guard, no middleware between them can replace the inner guard's refusal."""

    class Welcome:
        def __init__(self, app: Any) -> None:
            self.app = app

        async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
            async def nothing(message: Any) -> None:
                pass

            await self.app(scope, receive, nothing)
            await PlainTextResponse("welcome")(scope, receive, send)

    def view(request: Request) -> PlainTextResponse:
        with suppress(Refused):
            enforce(request, "a")
        return PlainTextResponse("secret")

    inner = Starlette(
        routes=[Route("/view", authenticated(view)), Route("/declared", requires("a")(ok))],
        middleware=[Middleware(Welcome)],
    )
    LeastPrivilege(inner, authority.settings())
    app = listed(authority, [Mount("/sub", app=inner)])
    for path in ("/sub/view", "/sub/declared"):
        answer = call(app, "GET", path, authority.headers())
        assert (403, "insufficient_scope") == (answer.status, answer.json["error"])
        assert b"welcome" == call(app, "GET", path, authority.headers("a", ["a"])).body


@pytest.mark.parametrize(("status", "with_headers"), [(200, True), (302, True), (403, False)])
def test_a_handler_keeps_status_and_challenge(authority: Authority, status: int, with_headers: bool) -> None:
    """A handler's response to a refusal is replaced if it has another status or no challenge."""

    def render(request: Request, error: Any) -> PlainTextResponse:
        return PlainTextResponse("mine", status, error.headers if with_headers else None)

    def view(request: Request) -> PlainTextResponse:
        return PlainTextResponse(enforce(request, "a").subject)

    app = Starlette(routes=[Route("/a", authenticated(view))], exception_handlers={403: render})
    LeastPrivilege(app, authority.settings())
    answer = call(app, "GET", "/a", authority.headers())
    assert (403, "insufficient_scope") == (answer.status, answer.json["error"])


def test_a_view_on_the_event_loop_waits_for_no_keys(authority: Authority) -> None:
    """If keys must be fetched, `enforce` refuses at once in an async view, and waits in a sync view."""
    waited: list[bool] = []

    class Waiting(Guard):
        def check(self, authorization: Any, requirement: Any, *args: Any, wait: bool = True, **kwargs: Any) -> Any:
            if requirement is not None and requirement.requires_token:
                waited.append(wait)
                if not wait:
                    return Decision(requirement=requirement, pending=True)
            return super().check(authorization, requirement, *args, wait=wait, **kwargs)

    @requires("a")
    def helper(request: Request) -> PlainTextResponse:
        return PlainTextResponse("helped")

    def sync(request: Request) -> PlainTextResponse:
        return PlainTextResponse(enforce(request, "a").subject)

    async def asynchronous(request: Request) -> PlainTextResponse:
        return sync(request)

    async def helped(request: Request) -> PlainTextResponse:
        return helper(request)

    routes = [Route("/sync", public(sync)), Route("/async", public(asynchronous)), Route("/helped", public(helped))]
    with Waiting(authority.settings()) as guard:
        app = Starlette(routes=[*routes, Route("/declared", requires("a")(ok))])
        LeastPrivilege(app, guard)
        headers = authority.headers("alice", ["a"])
        answers = [call(app, "GET", path, headers) for path in ("/sync", "/async", "/helped", "/declared")]
    assert [200, 503, 503, 200] == [answer.status for answer in answers]
    assert ["5", "5"] == [answer.headers["retry-after"] for answer in answers[1:3]]
    assert [True, False, False, False, True] == waited


def test_an_applications_own_handler_may_render_refusals(authority: Authority) -> None:
    """A handler for `Refused`, or for a status, may render refusals, including those of the guard."""

    def render(request: Request, error: Exception) -> JSONResponse:
        assert isinstance(error, Refused)
        return JSONResponse({"mine": error.refusal.error}, error.status_code, dict(error.headers or {}))

    app = Starlette(routes=[Route("/a", requires("a")(ok))], exception_handlers={Refused: render})
    LeastPrivilege(app, authority.settings())
    answer = call(app, "GET", "/a", authority.headers())
    assert (403, {"mine": "insufficient_scope"}) == (answer.status, answer.json)


def test_a_handler_that_hides_the_status_is_withheld(authority: Authority) -> None:
    """A handler may change the text of a refusal but cannot make it a success, even if no view was called."""
    app = Starlette(
        routes=[Route("/a", requires("a")(ok))],
        exception_handlers={401: lambda request, error: PlainTextResponse("please log in")},
    )
    LeastPrivilege(app, authority.settings())
    answer = call(app, "GET", "/a")
    assert (401, "Bearer") == (answer.status, answer.headers["www-authenticate"])
    assert b"please log in" not in answer.body


def test_guard_and_view_share_one_decision(authority: Authority) -> None:
    """The guard and the declaration on the view share one decision."""
    decided: list[Any] = []

    class Counting(Guard):
        def check(self, *args: Any, **kwargs: Any) -> Any:
            decided.append(args[1])
            return super().check(*args, **kwargs)

    with Counting(authority.settings()) as guard:
        app = Starlette(routes=[Route("/a", authenticated(ok))])
        LeastPrivilege(app, guard)
        assert 200 == call(app, "GET", "/a", authority.headers()).status
        assert [AUTHENTICATED] == decided


def test_a_declared_function_that_another_view_calls_is_checked(authority: Authority) -> None:
    """A declaration is enforced wherever its function is called, not only if the router calls it."""
    inner = requires("b")(ok)

    async def outer(request: Request) -> PlainTextResponse:
        return await inner(request)

    app = listed(authority, [Route("/a", requires("a")(outer))])
    tokens = [authority.headers("alice", permissions) for permissions in (["a"], ["b"], ["a", "b"])]
    assert [403, 403, 200] == [call(app, "GET", "/a", headers).status for headers in tokens]


def test_a_mounts_replaced_declaration_is_still_decided_separately(authority: Authority) -> None:
    """A route's declaration replaces its mount's, whose requirement still holds if it is enforced later."""
    inner = requires("api:use")(ok)

    async def view(request: Request) -> PlainTextResponse:
        return await inner(request)

    sub = Starlette(routes=[Route("/mine", authenticated(view))])
    app = listed(authority, [Mount("/api", app=requires("api:use")(sub))])
    tokens = [authority.headers(), authority.headers("alice", ["api:use"])]
    assert [403, 200] == [call(app, "GET", "/api/mine", headers).status for headers in tokens]


def test_observe_mode_passes_and_logs(authority: Authority) -> None:
    """In observe mode, undeclared routes and missing permissions pass."""
    from datetime import UTC, datetime, timedelta

    until = (datetime.now(UTC) + timedelta(days=2)).date()
    app = listed(authority, [Route("/a", ok), Route("/b", requires("b")(ok))], OBSERVE_UNTIL=until)
    assert [200, 200] == [call(app, "GET", path, authority.headers()).status for path in ("/a", "/b")]


def test_a_guard_of_a_mounted_application_decides_too(authority: Authority) -> None:
    """A mounted application with its own guard keeps it, inside an application with another guard."""
    other = Authority()
    inner = Starlette(routes=[Route("/x", requires("x")(ok))])
    LeastPrivilege(inner, other.settings())
    app = listed(authority, [Mount("/in", app=public(inner)), Mount("/both", app=inner)])
    line = other.headers("alice", ["x"])
    assert [401, 401] == [call(app, "GET", path, authority.headers("a", ["x"])).status for path in ("/in/x", "/both/x")]
    assert [401, 200] == [call(inner, "GET", "/x", headers).status for headers in (authority.headers("a", ["x"]), line)]


def test_guard_from_finds_the_guard(authority: Authority) -> None:
    """`guard_from` finds the guard from the application, however it was installed, and from a request."""
    app = Starlette()
    installed = LeastPrivilege(app, authority.settings())
    assert installed.guard is guard_from(app)
    guards: list[Guard] = []

    def view(request: Request) -> PlainTextResponse:
        guards.append(guard_from(request))
        return PlainTextResponse("")

    by_hand = listed(authority, [Route("/", public(view))])
    guard = guard_from(by_hand)
    call(by_hand, "GET", "/")
    assert guards == [guard]
    for without in (None, Starlette(), Request({"type": "http", "headers": []})):
        with pytest.raises(ConfigurationError, match="there is no guard"):
            guard_from(without)
