"""An orders API on FastAPI, for tokens of Auth0. `python main.py PORT` serves it."""

import os
import sys

import uvicorn
from fastapi import Depends, FastAPI
from fastapi_plugin import Auth0FastAPI

DOMAIN = os.environ["AUTH0_DOMAIN"]

app = FastAPI(openapi_url=None)
auth0 = Auth0FastAPI(domain=DOMAIN, audience="https://orders.example.com")


@app.get("/health")
async def health() -> dict[str, bool]:
    return {"ok": True}


@app.get("/me")
async def me(claims: dict = Depends(auth0.require_auth())) -> dict[str, object]:
    return {"me": claims["sub"], "client": claims.get("azp")}


@app.get("/orders")
async def orders(claims: dict = Depends(auth0.require_auth(scopes="orders:list"))) -> dict[str, object]:
    return {"orders": [7, 8], "for": claims["sub"]}


@app.post("/orders", status_code=201, dependencies=[Depends(auth0.require_auth(scopes=["orders:list", "orders:create"]))])
async def create() -> dict[str, bool]:
    return {"created": True}


@app.get("/export")
async def export() -> dict[str, object]:
    # Nobody thought of the dependency here, so everybody may call it.
    return {"orders": [7, 8]}


if __name__ == "__main__":
    uvicorn.run(app, port=int(sys.argv[1]), log_level="warning")
