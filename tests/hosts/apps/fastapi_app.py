"""The conformance application in FastAPI, declared by parameters, dependencies and decorators."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, suppress
from functools import partial
from typing import Annotated, Any, Literal

from fastapi import APIRouter, BackgroundTasks, Depends, FastAPI, Request
from fastapi.responses import JSONResponse, Response, StreamingResponse
from starlette.endpoints import HTTPEndpoint
from starlette.middleware import Middleware
from starlette.middleware.base import BaseHTTPMiddleware
from starlette.routing import Route

from hosts.apps import caught
from jwt_lp import AUTHENTICATED, AccessToken, all_of, any_of
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
from jwt_lp_starlette.fastapi import Requires

Mode = Callable[[Mapping[str, object]], AbstractContextManager[tuple[Literal["wsgi", "asgi"], Any]]]
Listing = Annotated[AccessToken, Requires("orders:list")]
Valid = Annotated[AccessToken, Requires(AUTHENTICATED)]


def described(token: AccessToken) -> dict[str, Any]:
    holds = "orders:list" in token.permissions
    return {"subject": token.subject, "anonymous": token.is_anonymous, "holds": holds}


def _api() -> APIRouter:
    api = APIRouter()

    @api.get("/public")
    @public
    async def open_to_all() -> dict[str, bool]:
        return {"ok": True}

    @api.get("/identified")
    @public(identify=True)
    async def identified(request: Request) -> dict[str, str | None]:
        token = token_from(request)
        return {"subject": token.subject if token else None}

    @api.get("/me")
    async def me(token: Valid) -> dict[str, str]:
        return {"subject": token.subject}

    # FastAPI adds no HEAD to a GET route: it answers 405 unless the route lists HEAD.
    @api.api_route("/orders", methods=["GET", "HEAD"])
    async def orders(token: Listing) -> dict[str, str]:
        return {"subject": token.subject}

    @api.post("/orders")
    def create(token: Annotated[AccessToken, Requires("orders:create")]) -> dict[str, str]:
        return {"subject": token.subject}

    @api.get("/orders/{order_id:int}")
    async def order(order_id: int, token: Annotated[AccessToken, Requires("orders:{order_id}:read")]) -> dict[str, str]:
        return {"subject": token.subject, "order_id": str(order_id)}

    @api.delete("/orders/{order_id:int}", dependencies=[Requires("orders:delete")])
    def delete(order_id: int, request: Request) -> dict[str, str]:
        return {"subject": request.auth.token.subject, "order_id": str(order_id)}

    _combined(api)
    _filled(api)
    _asking(api)
    return api


def _combined(api: APIRouter) -> None:
    @api.get("/either")
    @requires(any_of("orders:audit", all_of("orders:list", "orders:export")))
    async def either(request: Request) -> dict[str, str]:
        return {"subject": request.auth.token.subject}

    @api.get("/both", dependencies=[Requires("orders:list")])
    async def both(token: Annotated[AccessToken, Requires("orders:export")]) -> dict[str, str]:
        return {"subject": token.subject}

    @api.get("/by-token")
    async def by_token(token: Listing) -> dict[str, Any]:
        return described(token)

    @api.get("/open-by-token")
    @public
    async def open_by_token(request: Request) -> dict[str, Any]:
        return described(request.auth.token)

    @api.get("/slow")
    async def slow(token: Listing) -> dict[str, str]:
        await asyncio.sleep(0.05)
        return {"subject": token.subject}


def _filled(api: APIRouter) -> None:
    @api.get("/users/{user_id}")
    def user(
        user_id: str, token: Annotated[AccessToken, Requires("users:read", where={"user_id": "sub"})]
    ) -> dict[str, str]:
        return {"subject": token.subject}

    @api.get("/files/{name}")
    @requires("files:{name}:read")
    def file(name: str, request: Request) -> dict[str, str]:
        return {"subject": request.auth.token.subject}

    @api.get("/encoded/{name}")
    async def encoded(name: str, token: Annotated[AccessToken, Requires("files:{name!e}:read")]) -> dict[str, str]:
        return {"subject": token.subject}


def _asking(api: APIRouter) -> None:
    @api.get("/undeclared")
    def undeclared() -> dict[str, bool]:
        return {"ok": True}

    @api.get("/external")
    @external("guarded by a proxy")
    def elsewhere() -> dict[str, bool]:
        return {"ok": True}

    @api.get("/enforce", dependencies=[Requires(AUTHENTICATED)])
    async def enforcing(request: Request, item: str) -> dict[str, bool]:
        enforce(request, "items:{item}:use", params={"item": item})
        return {"ok": True}

    @api.get("/can")
    async def able(request: Request, token: Valid) -> dict[str, bool]:
        return {"can": can(request, "orders:list")}


def _asks_before(request: Request) -> None:
    caught.view(partial(enforce, request))


async def _after(request: Request, call_next: Callable[[Request], Any]) -> Response:
    response: Response = await call_next(request)
    caught.view(partial(enforce, request))
    return response


async def _reworded(request: Request, error: Exception) -> Response:
    assert isinstance(error, Refused)
    if request.url.path in {"/caught/raised", "/caught/reworded"}:
        return JSONResponse({"ok": True})
    return Response(error.refusal.body, error.refusal.status, dict(error.refusal.headers))


@authenticated
async def _fine(request: Request) -> Response:
    return JSONResponse({"ok": True})


@requires("caught:use")
async def _part(request: Request) -> None:
    pass


class _Verbs(HTTPEndpoint):
    """Only `get` has a declaration; the other methods have none."""

    @public
    async def get(self, request: Request) -> Response:
        return JSONResponse({"ok": True})

    def head(self, request: Request) -> Response:
        return Response(headers={"X-Verb": "head"})

    async def options(self, request: Request) -> Response:
        return JSONResponse({"ok": True})

    post = put = patch = delete = options


class _Listing(HTTPEndpoint):
    """The same if `get` requires a permission."""

    @requires("orders:list")
    def get(self, request: Request) -> Response:
        return JSONResponse({"ok": True})

    head, options, delete = _Verbs.head, _Verbs.options, _Verbs.delete


def _awaiting(way: Callable[[caught.Ask], Any]) -> Callable[..., Any]:
    async def view(request: Request) -> dict[str, bool]:
        await way(partial(enforce, request))
        return {"ok": True}

    return view


def _threaded(way: Callable[[caught.Ask], None]) -> Callable[..., Any]:
    def view(request: Request) -> dict[str, bool]:
        way(partial(enforce, request))
        return {"ok": True}

    return view


def _catching() -> APIRouter:
    """The routes on which code catches a refusal; all are coroutine functions except `pool`."""
    api = APIRouter(prefix="/caught", dependencies=[Requires(AUTHENTICATED)])
    for name, way in caught.AWAITABLE.items():
        api.add_api_route(f"/{name}", _threaded(caught.PLAIN[name]) if name == "pool" else _awaiting(way))

    @api.get("/forbidden")
    def forbids(request: Request) -> Response:
        refused = caught.refused(partial(enforce, request))
        return JSONResponse({"error": "insufficient_scope"}, 403) if refused else JSONResponse({"ok": True})

    @api.get("/raised")
    async def raises(request: Request) -> dict[str, bool]:
        enforce(request, "caught:use")
        return {"ok": True}

    @api.get("/stream")
    async def streams(request: Request) -> Response:
        caught.view(partial(enforce, request))
        return StreamingResponse(iter([b'{"ok"', b": true}"]))

    @api.get("/marked")
    async def marked(request: Request) -> dict[str, bool]:
        with suppress(Exception):
            await _part(request)
        return {"ok": True}

    @api.get("/before", dependencies=[Depends(_asks_before)])
    async def before() -> dict[str, bool]:
        return {"ok": True}

    @api.get("/background")
    async def background(request: Request, tasks: BackgroundTasks) -> dict[str, bool]:
        tasks.add_task(caught.background, partial(enforce, request))
        return {"ok": True}

    return api


def _open() -> APIRouter:
    api = APIRouter(prefix="/caught")

    @api.get("/reworded")
    async def reworded(token: Annotated[AccessToken, Requires("caught:use")]) -> dict[str, bool]:
        return {"ok": True}

    @api.get("/public")
    @public
    async def raises(request: Request) -> dict[str, bool]:
        enforce(request, "caught:use")
        return {"ok": True}

    @api.get("/open")
    @public
    async def catches(request: Request) -> dict[str, bool]:
        caught.view(partial(enforce, request))
        return {"ok": True}

    return api


@contextmanager
def _serve(settings: Mapping[str, object]) -> Iterator[tuple[Literal["wsgi", "asgi"], Any]]:
    app = FastAPI(openapi_url=None)
    app.include_router(_api())
    app.include_router(_catching())
    app.include_router(_open())
    after = [Middleware(BaseHTTPMiddleware, dispatch=_after)]
    app.router.routes += [
        Route("/caught/after", _fine, middleware=after),
        Route("/verbs", _Verbs),
        Route("/listing", _Listing),
    ]
    app.add_exception_handler(Refused, _reworded)
    with LeastPrivilege(app, settings).guard:
        yield "asgi", app


MODES: dict[str, Mode] = {"fastapi": _serve}
