"""The orders API on FastAPI. `python examples/fastapi_orders.py PORT` serves it on loopback."""

import sys
from typing import Annotated

import uvicorn
from fastapi import FastAPI

from jwt_lp import AccessToken, Settings
from jwt_lp_starlette import LeastPrivilege, public
from jwt_lp_starlette.fastapi import Requires, elevation_router

ORDERS = {7: "seven roses", 8: "eight tulips"}

app = FastAPI(docs_url=None, redoc_url=None, openapi_url=None)


@app.get("/health")
@public
async def health() -> dict[str, object]:
    return {"ok": True}


@app.get("/orders")
async def orders(token: Annotated[AccessToken, Requires("orders:list")]) -> dict[str, object]:
    return {"orders": ORDERS, "seen_by": token.subject}


@app.post("/orders", status_code=201, dependencies=[Requires("orders:create")])
async def create() -> dict[str, object]:
    return {"created": True}


@app.get("/orders/{order_id}", dependencies=[Requires("orders:{order_id}:read")])
async def order(order_id: int) -> dict[str, object]:
    return {"order": ORDERS.get(order_id)}


@app.get("/report")
async def report() -> dict[str, object]:
    return {"secret": "this route declares no requirement, so nobody can see this"}


app.include_router(elevation_router())
LeastPrivilege(app, Settings.from_env())

if __name__ == "__main__":
    uvicorn.run(app, port=int(sys.argv[1]), log_level="warning")
