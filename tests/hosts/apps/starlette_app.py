"""The conformance application in Starlette, with asynchronous and with synchronous endpoints."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, suppress
from functools import partial, wraps
from typing import Any, Literal

import anyio
from starlette.applications import Starlette
from starlette.background import BackgroundTask
from starlette.endpoints import HTTPEndpoint
from starlette.middleware import Middleware
from starlette.middleware.base import BaseHTTPMiddleware
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route

from hosts.apps import caught
from jwt_lp import all_of, any_of
from jwt_lp_starlette import (
    LeastPrivilege,
    Refused,
    authenticated,
    can,
    enforce,
    external,
    public,
    requires,
    token_from,
)

Mode = Callable[[Mapping[str, object]], AbstractContextManager[tuple[Literal["wsgi", "asgi"], Any]]]


def _ok(request: Request) -> dict[str, object]:
    return {"ok": True}


def _subject(request: Request) -> dict[str, object]:
    token = token_from(request)
    return {"subject": token.subject if token else None}


def _by_token(request: Request) -> dict[str, object]:
    token = request.auth.token
    return {
        "subject": token.subject,
        "anonymous": token.is_anonymous,
        "holds": "orders:list" in token.permissions or "orders:list" in request.auth.scopes,
    }


def _order(request: Request) -> dict[str, object]:
    return {**_subject(request), "order_id": str(request.path_params["order_id"])}


def _enforce(request: Request) -> dict[str, object]:
    enforce(request, "items:{item}:use", params={"item": request.query_params["item"]})
    return {"ok": True}


def _can(request: Request) -> dict[str, object]:
    return {"can": can(request, "orders:list")}


ENDPOINTS: list[tuple[str, str, Callable[[Any], Any] | None, Callable[[Request], dict[str, object]]]] = [
    ("GET", "/public", public, _ok),
    ("GET", "/identified", public(identify=True), _subject),
    ("GET", "/me", authenticated, _subject),
    ("GET", "/orders", requires("orders:list"), _subject),
    ("POST", "/orders", requires("orders:create"), _subject),
    ("GET", "/orders/{order_id:int}", requires("orders:{order_id}:read"), _order),
    ("DELETE", "/orders/{order_id:int}", requires("orders:delete"), _order),
    ("GET", "/either", requires(any_of("orders:audit", all_of("orders:list", "orders:export"))), _subject),
    ("GET", "/both", requires("orders:list", "orders:export"), _subject),
    ("GET", "/users/{user_id}", requires("users:read", where={"user_id": "sub"}), _subject),
    ("GET", "/files/{name}", requires("files:{name}:read"), _subject),
    ("GET", "/encoded/{name}", requires("files:{name!e}:read"), _subject),
    ("GET", "/undeclared", None, _ok),
    ("GET", "/external", external("guarded by a proxy"), _ok),
    ("GET", "/enforce", authenticated, _enforce),
    ("GET", "/can", authenticated, _can),
    ("GET", "/by-token", requires("orders:list"), _by_token),
    ("GET", "/open-by-token", public, _by_token),
]


def _sync(answer: Callable[[Request], dict[str, object]]) -> Callable[[Request], JSONResponse]:
    @wraps(answer)
    def view(request: Request) -> JSONResponse:
        return JSONResponse(answer(request))

    return view


def _async(answer: Callable[[Request], dict[str, object]]) -> Callable[..., Any]:
    @wraps(answer)
    async def view(request: Request) -> JSONResponse:
        return JSONResponse(answer(request))

    return view


class Before:
    """A middleware of a route or mount, inside the guard, that calls `enforce` and catches the refusal."""

    def __init__(self, app: Any) -> None:
        self.app = app

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        caught.view(partial(enforce, Request(scope)))
        await self.app(scope, receive, send)


async def after(request: Request, call_next: Callable[[Request], Any]) -> Response:
    """The dispatch of a middleware that calls `enforce` after the view, and catches the refusal."""
    response: Response = await call_next(request)
    caught.view(partial(enforce, request))
    return response


async def reworded(request: Request, error: Exception) -> Response:
    """An exception handler of the project that answers with a success on some routes."""
    assert isinstance(error, Refused)
    if request.url.path in {"/caught/raised", "/caught/reworded"}:
        return JSONResponse({"ok": True})
    return Response(error.refusal.body, error.refusal.status, dict(error.refusal.headers))


def _forbids(request: Request) -> Response:
    if caught.refused(partial(enforce, request)):
        return JSONResponse({"error": "insufficient_scope", "secret": 1}, 403)
    return JSONResponse({"ok": True})


def _raises(request: Request) -> Response:
    enforce(request, "caught:use")
    return JSONResponse({"ok": True})


def _streams(request: Request) -> Response:
    caught.view(partial(enforce, request))
    return StreamingResponse(iter([b'{"ok"', b": true}"]))


def _in_background(request: Request) -> Response:
    return JSONResponse({"ok": True}, background=BackgroundTask(caught.background, partial(enforce, request)))


def _fine(request: Request) -> Response:
    return JSONResponse({"ok": True})


@requires("caught:use")
def _part(request: Request) -> None:
    pass


@requires("caught:use")
async def _part_async(request: Request) -> None:
    pass


def _calls_marked(request: Request) -> Response:
    with suppress(Exception):
        _part(request)
    return _fine(request)


async def _calls_marked_async(request: Request) -> Response:
    with suppress(Exception):
        await _part_async(request)
    return _fine(request)


def _catching(way: Callable[[caught.Ask], None]) -> Callable[[Request], Response]:
    def view(request: Request) -> Response:
        way(partial(enforce, request))
        return _fine(request)

    return view


def _catching_async(way: Callable[[caught.Ask], Any]) -> Callable[[Request], Any]:
    async def view(request: Request) -> Response:
        await way(partial(enforce, request))
        return _fine(request)

    return view


class _Verbs(HTTPEndpoint):
    """Only `get` has a declaration; the other methods have none."""

    @public
    def get(self, request: Request) -> Response:
        return _fine(request)

    def head(self, request: Request) -> Response:
        return Response(headers={"X-Verb": "head"})

    def options(self, request: Request) -> Response:
        return _fine(request)

    post = put = patch = delete = options


class _AsyncVerbs(HTTPEndpoint):
    """The same with coroutine functions."""

    @public
    async def get(self, request: Request) -> Response:
        return _fine(request)

    async def head(self, request: Request) -> Response:
        return Response(headers={"X-Verb": "head"})

    async def options(self, request: Request) -> Response:
        return _fine(request)

    post = put = patch = delete = options


class _Listing(HTTPEndpoint):
    """The same if `get` requires a permission."""

    @requires("orders:list")
    def get(self, request: Request) -> Response:
        return _fine(request)

    head, options, delete = _Verbs.head, _Verbs.options, _Verbs.delete


class _AsyncListing(HTTPEndpoint):
    """The same with coroutine functions."""

    @requires("orders:list")
    async def get(self, request: Request) -> Response:
        return _fine(request)

    head, options, delete = _AsyncVerbs.head, _AsyncVerbs.options, _AsyncVerbs.delete


def _coloured(view: Callable[[Request], Response]) -> Callable[..., Any]:
    @wraps(view)
    async def awaited(request: Request) -> Response:
        return view(request)

    return awaited


def catchers(*, asynchronous: bool) -> list[Any]:
    """The routes on which code catches a refusal, and the endpoint classes."""
    own: Callable[..., Any] = _coloured if asynchronous else lambda view: view
    ways: dict[str, Any] = {
        **{name: own(view) for name, view in {"forbidden": _forbids, "raised": _raises, "stream": _streams}.items()},
        "background": own(_in_background),
        "marked": _calls_marked_async if asynchronous else _calls_marked,
    }
    if asynchronous:
        ways.update({name: _catching_async(way) for name, way in caught.AWAITABLE.items()})
    else:
        ways.update({name: _catching(way) for name, way in caught.PLAIN.items()})
    return [
        *(Route(f"/caught/{name}", authenticated(view)) for name, view in ways.items()),
        Route("/caught/before", authenticated(own(_fine)), middleware=[Middleware(Before)]),
        Route("/caught/after", authenticated(own(_fine)), middleware=[Middleware(BaseHTTPMiddleware, dispatch=after)]),
        Route("/caught/reworded", requires("caught:use")(own(_fine))),
        Route("/caught/public", public(own(_raises))),
        Route("/caught/open", public(own(_catching(caught.view)))),
        Route("/verbs", _AsyncVerbs if asynchronous else _Verbs),
        Route("/listing", _AsyncListing if asynchronous else _Listing),
    ]


@requires("orders:list")
def _slow_sync(request: Request) -> JSONResponse:
    time.sleep(0.05)
    return JSONResponse(_subject(request))


@requires("orders:list")
async def _slow_async(request: Request) -> JSONResponse:
    await anyio.sleep(0.05)
    return JSONResponse(_subject(request))


def _mode(kind: Callable[..., Any], slow: Callable[..., Any]) -> Mode:
    @contextmanager
    def serve(settings: Mapping[str, object]) -> Iterator[tuple[Literal["wsgi", "asgi"], Any]]:
        routes: list[Any] = [Route("/slow", slow)]
        for method, path, declare, answer in ENDPOINTS:
            view = kind(answer)
            routes.append(Route(path, declare(view) if declare else view, methods=[method]))
        routes += catchers(asynchronous=kind is _async)
        app = Starlette(routes=routes, exception_handlers={Refused: reworded})
        guarded = LeastPrivilege(app, settings)
        with guarded.guard:
            yield "asgi", app

    return serve


MODES: dict[str, Mode] = {
    "starlette-async": _mode(_async, _slow_async),
    "starlette-sync": _mode(_sync, _slow_sync),
}
