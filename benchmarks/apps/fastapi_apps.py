"""FastAPI: bare, with jwt-lp, and with OAuth2PasswordBearer and PyJWT as in its tutorial."""
# No postponed annotations here: FastAPI evaluates those of the functions in these functions.

from collections.abc import Callable, Mapping
from typing import Annotated, Any

from fastapi import Depends, FastAPI, HTTPException, Security
from fastapi.requests import HTTPConnection
from fastapi.security import OAuth2PasswordBearer, SecurityScopes
from jwt import InvalidTokenError

from benchmarks.apps.handlers import PATH, PERMISSION
from jwt_lp_starlette import LeastPrivilege
from jwt_lp_starlette.fastapi import Requires

Handler = Callable[[], dict[str, Any]]


def bare(handler: Handler) -> FastAPI:
    """The application without a guard."""
    app = _app()

    @app.get(PATH)
    async def orders() -> dict[str, Any]:
        return handler()

    return app


def guarded(handler: Handler, settings: Mapping[str, object]) -> FastAPI:
    """The same with jwt-lp."""
    app = _app()

    @app.get(PATH, dependencies=[Requires(PERMISSION)])
    async def orders() -> dict[str, Any]:
        return handler()

    LeastPrivilege(app, settings)
    return app


def with_nothing(handler: Handler) -> FastAPI:
    """The same with a dependency that does nothing, which shows what FastAPI takes for one."""
    app = _app()

    async def nothing(connection: HTTPConnection) -> None:
        pass

    @app.get(PATH, dependencies=[Security(nothing)])
    async def orders() -> dict[str, Any]:
        return handler()

    return app


def with_pyjwt(handler: Handler, decode: Callable[[str], dict[str, Any]]) -> FastAPI:
    """The same with OAuth2PasswordBearer, PyJWT, and a look at the scope."""
    app, bearer = _app(), OAuth2PasswordBearer(tokenUrl="token")

    async def current_claims(token: Annotated[str, Depends(bearer)]) -> dict[str, Any]:
        try:
            claims = decode(token)
        except InvalidTokenError:
            raise HTTPException(401, "invalid token", {"WWW-Authenticate": "Bearer"}) from None
        if PERMISSION not in claims["scope"].split():
            raise HTTPException(403, "insufficient scope")
        return claims

    @app.get(PATH)
    async def orders(claims: Annotated[dict[str, Any], Depends(current_claims)]) -> dict[str, Any]:  # noqa: ARG001
        return handler()

    return app


def with_scopes(handler: Handler, decode: Callable[[str], dict[str, Any]]) -> FastAPI:
    """The same with `Security` and `SecurityScopes`, as in the tutorial's chapter on scopes."""
    app, bearer = _app(), OAuth2PasswordBearer(tokenUrl="token", scopes={PERMISSION: "read the orders"})

    async def current_claims(scopes: SecurityScopes, token: Annotated[str, Depends(bearer)]) -> dict[str, Any]:
        try:
            claims = decode(token)
        except InvalidTokenError:
            raise HTTPException(401, "invalid token", {"WWW-Authenticate": "Bearer"}) from None
        held = claims["scope"].split()
        if not all(scope in held for scope in scopes.scopes):
            raise HTTPException(403, "insufficient scope", {"WWW-Authenticate": f'Bearer scope="{scopes.scope_str}"'})
        return claims

    @app.get(PATH)
    async def orders(
        claims: Annotated[dict[str, Any], Security(current_claims, scopes=[PERMISSION])],  # noqa: ARG001
    ) -> dict[str, Any]:
        return handler()

    return app


def _app() -> FastAPI:
    return FastAPI(docs_url=None, redoc_url=None, openapi_url=None)
