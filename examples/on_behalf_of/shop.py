"""The shop, on FastAPI, which calls the stock on behalf of its users.

`python examples/on_behalf_of/shop.py PORT` serves it on loopback.
"""

import os
import sys
from typing import Annotated

import httpx2
import uvicorn
from fastapi import FastAPI, Request

from jwt_lp import AccessToken, Permission, Settings
from jwt_lp.oauth.httpx_auth import ExchangeClient, OnBehalfOf
from jwt_lp_starlette import LeastPrivilege
from jwt_lp_starlette.fastapi import Requires

app = FastAPI(docs_url=None, redoc_url=None, openapi_url=None)
stock = httpx2.Client(base_url=os.environ["STOCK"])
exchange_client = ExchangeClient(os.environ["TOKEN_ENDPOINT"], "shop", secret=os.environ["SHOP_SECRET"])


@app.get("/offers/{item}")
def offer(item: str, request: Request, token: Annotated[AccessToken, Requires("shop:browse")]) -> dict[str, object]:
    permission = f"stock:{Permission.segment(item)}:read"
    auth = OnBehalfOf(request.headers["Authorization"], [permission], audience="stock", via=exchange_client)
    return {"for": token.subject, "stock": stock.get(f"/items/{item}", auth=auth).raise_for_status().json()}


LeastPrivilege(app, Settings.from_env())

if __name__ == "__main__":
    uvicorn.run(app, port=int(sys.argv[1]), log_level="warning")
