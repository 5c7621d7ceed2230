"""An orders API on FastAPI, whose tokens are its own. `python main.py PORT` serves it."""

import json
import os
import sys
from typing import Annotated

import uvicorn
from fastapi import Depends, FastAPI, HTTPException
from fastapi.security import OAuth2PasswordRequestForm
from base64 import urlsafe_b64encode
from jwt_lp import AUTHENTICATED, AccessToken, Issuer, SigningKey
from jwt_lp_starlette import LeastPrivilege, public
from jwt_lp_starlette.fastapi import Requires

SECRET_KEY = os.environ["SECRET_KEY"]
ALGORITHM = "HS256"
SIGNING_KEY = SigningKey.from_jwk(json.loads(os.environ["SIGNING_KEY"]))
USERS = {"alice": ("wonderland", "orders:list orders:create"), "bob": ("builder", "orders:list")}

app = FastAPI(openapi_url=None)
issuer = Issuer("https://shop.example.com", SIGNING_KEY, audience="orders-api", client="shop")


async def get_current_user(token: Annotated[AccessToken, Requires(AUTHENTICATED)]) -> str:
    if token.subject not in USERS:
        raise HTTPException(401, "Could not validate credentials", {"WWW-Authenticate": "Bearer"})
    return token.subject


@app.post("/token")
@public
async def login(form: Annotated[OAuth2PasswordRequestForm, Depends()]) -> dict[str, str]:
    password, scope = USERS.get(form.username, ("", ""))
    if not password or form.password != password:
        raise HTTPException(400, "Incorrect username or password")
    token = issuer.issue(form.username, permissions=scope.split(), lifetime=1800)
    return {"access_token": token, "token_type": "bearer"}


@app.get("/health")
@public
async def health() -> dict[str, bool]:
    return {"ok": True}


@app.get("/me", dependencies=[Requires(AUTHENTICATED)])
async def me(user: Annotated[str, Depends(get_current_user)]) -> dict[str, str]:
    return {"me": user}


@app.get("/orders", dependencies=[Requires("orders:list")])
async def orders(user: Annotated[str, Depends(get_current_user)]) -> dict[str, object]:
    return {"orders": [7, 8], "for": user}


@app.post("/orders", status_code=201, dependencies=[Requires("orders:create"), Depends(get_current_user)])
async def create() -> dict[str, bool]:
    return {"created": True}


@app.get("/export")
async def export() -> dict[str, object]:
    # Nobody thought of the dependency here, so everybody may call it.
    return {"orders": [7, 8]}


JWT_LP = {
    "ISSUERS": {
        # our own tokens, from now on
        "shop": {
            "ISSUER": "https://shop.example.com",
            "AUDIENCE": "orders-api",
            "ALGORITHMS": ["ES256"],
            "JWKS": {"keys": [SIGNING_KEY.public_jwk()]},
            "OWN": True,
            "CEILING": ["orders:**"],
        },
        # tokens from before, until the last one has expired
        "before": {
            "ISSUER": "before",
            "AUDIENCE": "before",
            "ALGORITHMS": [ALGORITHM],
            "JWKS": {"kty": "oct", "k": urlsafe_b64encode(SECRET_KEY.encode()).rstrip(b"=").decode()},
            "PROFILE": {"CEILING": [], "TYPES": ["JWT"], "REQUIRED": ["scope"]},
            "ABSENT_CLAIMS": ["iss", "aud"],
            "CEILING": ["orders:**"],
        },
    },
    # counts who uses which grant of which issuer
    "STORE": os.environ["STORE"],
}
LeastPrivilege(app, JWT_LP)


if __name__ == "__main__":
    uvicorn.run(app, port=int(sys.argv[1]), log_level="warning")
