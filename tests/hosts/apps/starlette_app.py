"""The conformance application in Starlette, with asynchronous and with synchronous endpoints."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from functools import wraps
from typing import Any, Literal

import anyio
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from jwt_lp import all_of, any_of
from jwt_lp_starlette import (
    LeastPrivilege,
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
    ("GET", "/unmarked", None, _ok),
    ("GET", "/external", external("guarded by a proxy"), _ok),
    ("GET", "/enforce", authenticated, _enforce),
    ("GET", "/can", authenticated, _can),
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
        routes = [Route("/slow", slow)]
        for method, path, mark, answer in ENDPOINTS:
            view = kind(answer)
            routes.append(Route(path, mark(view) if mark else view, methods=[method]))
        app = Starlette(routes=routes)
        guarded = LeastPrivilege(app, settings)
        with guarded.guard:
            yield "asgi", app

    return serve


MODES: dict[str, Mode] = {
    "starlette-async": _mode(_async, _slow_async),
    "starlette-sync": _mode(_sync, _slow_sync),
}
