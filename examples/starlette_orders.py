"""The orders API on Starlette. `python examples/starlette_orders.py PORT` serves it on loopback."""

from __future__ import annotations

import sys

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from jwt_lp import Settings
from jwt_lp_starlette import LeastPrivilege, elevation_endpoints, public, requires, token_from

ORDERS = {7: "seven roses", 8: "eight tulips"}


@public
async def health(request: Request) -> JSONResponse:
    return JSONResponse({"ok": True})


@requires("orders:list")
async def orders(request: Request) -> JSONResponse:
    token = token_from(request)
    return JSONResponse({"orders": ORDERS, "seen_by": token and token.subject})


@requires("orders:create")
async def create(request: Request) -> JSONResponse:
    return JSONResponse({"created": True}, 201)


@requires("orders:{order_id}:read")
async def order(request: Request) -> JSONResponse:
    return JSONResponse({"order": ORDERS.get(request.path_params["order_id"])})


async def report(request: Request) -> JSONResponse:
    return JSONResponse({"secret": "this route declares no requirement, so nobody can see this"})


app = Starlette(
    routes=[
        Route("/health", health),
        Route("/orders", orders),
        Route("/orders", create, methods=["POST"]),
        Route("/orders/{order_id:int}", order),
        Route("/report", report),
        *elevation_endpoints(),
    ]
)
LeastPrivilege(app, Settings.from_env())

if __name__ == "__main__":
    uvicorn.run(app, port=int(sys.argv[1]), log_level="warning")
