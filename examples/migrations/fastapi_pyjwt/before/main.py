"""An orders API on FastAPI, whose tokens are its own. `python main.py PORT` serves it."""

import os
import sys
import time
from typing import Annotated

import jwt
import uvicorn
from fastapi import Depends, FastAPI, HTTPException, Security
from fastapi.security import OAuth2PasswordBearer, OAuth2PasswordRequestForm, SecurityScopes

SECRET_KEY = os.environ["SECRET_KEY"]
ALGORITHM = "HS256"
USERS = {"alice": ("wonderland", "orders:list orders:create"), "bob": ("builder", "orders:list")}

app = FastAPI(openapi_url=None)
oauth2_scheme = OAuth2PasswordBearer(tokenUrl="token")


async def get_current_user(security_scopes: SecurityScopes, token: Annotated[str, Depends(oauth2_scheme)]) -> str:
    try:
        payload = jwt.decode(token, SECRET_KEY, algorithms=[ALGORITHM])
    except jwt.InvalidTokenError:
        raise HTTPException(401, "Could not validate credentials", {"WWW-Authenticate": "Bearer"}) from None
    held = payload.get("scope", "").split()
    if payload.get("sub") not in USERS or any(scope not in held for scope in security_scopes.scopes):
        raise HTTPException(401, "Not enough permissions", {"WWW-Authenticate": "Bearer"})
    return payload["sub"]


@app.post("/token")
async def login(form: Annotated[OAuth2PasswordRequestForm, Depends()]) -> dict[str, str]:
    password, scope = USERS.get(form.username, ("", ""))
    if not password or form.password != password:
        raise HTTPException(400, "Incorrect username or password")
    now = int(time.time())
    claims = {"sub": form.username, "scope": scope, "iat": now, "exp": now + 1800}
    return {"access_token": jwt.encode(claims, SECRET_KEY, algorithm=ALGORITHM), "token_type": "bearer"}


@app.get("/health")
async def health() -> dict[str, bool]:
    return {"ok": True}


@app.get("/me")
async def me(user: Annotated[str, Depends(get_current_user)]) -> dict[str, str]:
    return {"me": user}


@app.get("/orders")
async def orders(user: Annotated[str, Security(get_current_user, scopes=["orders:list"])]) -> dict[str, object]:
    return {"orders": [7, 8], "for": user}


@app.post("/orders", status_code=201, dependencies=[Security(get_current_user, scopes=["orders:create"])])
async def create() -> dict[str, bool]:
    return {"created": True}


@app.get("/export")
async def export() -> dict[str, object]:
    # Nobody thought of the dependency here, so everybody may call it.
    return {"orders": [7, 8]}


if __name__ == "__main__":
    uvicorn.run(app, port=int(sys.argv[1]), log_level="warning")
