"""The conformance application in FastAPI: declared by parameters, dependencies and decorators alike."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from typing import Annotated, Any, Literal

from fastapi import APIRouter, FastAPI, Request

from jwt_lp import AUTHENTICATED, AccessToken, all_of, any_of
from jwt_lp_starlette import LeastPrivilege, can, enforce, external, public, requires, token_from
from jwt_lp_starlette.fastapi import Requires

Mode = Callable[[Mapping[str, object]], AbstractContextManager[tuple[Literal["wsgi", "asgi"], Any]]]
Listing = Annotated[AccessToken, Requires("orders:list")]
Valid = Annotated[AccessToken, Requires(AUTHENTICATED)]


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

    # FastAPI adds no HEAD to a GET route: it answers 405 unless the route names it.
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
    @api.get("/unmarked")
    def unmarked() -> dict[str, bool]:
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


@contextmanager
def _serve(settings: Mapping[str, object]) -> Iterator[tuple[Literal["wsgi", "asgi"], Any]]:
    app = FastAPI(openapi_url=None)
    app.include_router(_api())
    with LeastPrivilege(app, settings).guard:
        yield "asgi", app


MODES: dict[str, Mode] = {"fastapi": _serve}
