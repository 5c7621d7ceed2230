"""An orders API on FastAPI, for tokens of Auth0. `python main.py PORT` serves it."""

import os
import sys

import uvicorn
from fastapi import FastAPI
from jwt_lp import AUTHENTICATED, AccessToken
from jwt_lp_starlette import LeastPrivilege, public
from jwt_lp_starlette.fastapi import Requires

DOMAIN = os.environ["AUTH0_DOMAIN"]

app = FastAPI(openapi_url=None)
JWT_LP = {
    "ISSUER": f"https://{DOMAIN}/",
    "AUDIENCE": "https://orders.example.com",
    "ALGORITHMS": ["RS256"],
    "DISCOVERY": True,
    "PROFILE": "auth0",
}


@app.get("/health")
@public
async def health() -> dict[str, bool]:
    return {"ok": True}


@app.get("/me")
async def me(claims: AccessToken = Requires(AUTHENTICATED)) -> dict[str, object]:
    return {"me": claims.subject, "client": claims.claims.get("azp")}


@app.get("/orders")
async def orders(claims: AccessToken = Requires("orders:list")) -> dict[str, object]:
    return {"orders": [7, 8], "for": claims.subject}


@app.post("/orders", status_code=201, dependencies=[Requires("orders:list", "orders:create")])
async def create() -> dict[str, bool]:
    return {"created": True}


@app.get("/export")
async def export() -> dict[str, object]:
    # Nobody thought of the dependency here, so everybody may call it.
    return {"orders": [7, 8]}


LeastPrivilege(app, JWT_LP)


if __name__ == "__main__":
    uvicorn.run(app, port=int(sys.argv[1]), log_level="warning")
