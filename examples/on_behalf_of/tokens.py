"""The issuer, which signs users in and exchanges their tokens.

`python examples/on_behalf_of/tokens.py PORT` serves it on loopback.
"""

import os
import sys
from pathlib import Path

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Route

from jwt_lp import ClientSecrets, Issuer, Policy, SigningKey, TokenExchange
from jwt_lp_starlette import token_endpoint

policy = Policy.load(Path(__file__).with_name("least-privilege.toml"))
issuer = Issuer("https://tokens.example", SigningKey.generate(), policy=policy, audience="shop", client="browser")
exchange = TokenExchange(issuer, ClientSecrets({"shop": os.environ["SHOP_SECRET"]}))


async def login(request: Request) -> PlainTextResponse:
    """Placeholder for a real login: every user is alice."""
    return PlainTextResponse(issuer.issue("alice", permissions=["shop:browse", "stock:*:read", "stock:*:take"]))


app = Starlette(routes=[Route("/login", login, methods=["POST"]), *token_endpoint(exchange)])

if __name__ == "__main__":
    uvicorn.run(app, port=int(sys.argv[1]), log_level="warning")
