"""Permissions in FastAPI's OpenAPI schema, in every supported release."""

from __future__ import annotations

from typing import Annotated, Any

import pytest

pytest.importorskip("fastapi")

from fastapi import APIRouter, FastAPI, Security
from fastapi.security import APIKeyHeader
from starlette.applications import Starlette
from starlette.routing import Mount

from hosts.asgi_calls import call
from jwt_lp import AUTHENTICATED, AccessToken, all_of, any_of
from jwt_lp.testing.authority import Authority
from jwt_lp_starlette import LeastPrivilege, external, public, requires
from jwt_lp_starlette.fastapi import Requires

pytestmark = pytest.mark.host


def application() -> FastAPI:
    app = FastAPI()
    router = APIRouter(prefix="/orders", dependencies=[Requires("api:use")])

    @router.get("/{order_id}")
    async def order(order_id: str, token: Annotated[AccessToken, Requires("orders:{order_id}:read")]) -> Any:
        return None

    def view() -> Any:
        return None

    app.include_router(router, prefix="/v1")
    app.get("/any")(requires(any_of("a", all_of("b", "c")))(view))
    app.get("/both")(requires(any_of("a", "b"), any_of("c", "d"))(view))
    app.get("/me", dependencies=[Requires(AUTHENTICATED)])(view)
    app.get("/public")(public(view))
    app.get("/external")(external("the gateway")(view))
    app.get("/undeclared")(view)
    app.get("/key", dependencies=[Security(APIKeyHeader(name="x-key"))])(requires("k")(view))
    return app


def security(schema: dict[str, Any]) -> dict[str, Any]:
    return {path: item["get"].get("security") for path, item in schema["paths"].items()}


WANTED = {
    "/v1/orders/{order_id}": [{"jwt_lp": ["api:use", "orders:{order_id}:read"]}],
    "/any": [{"jwt_lp": ["a"]}, {"jwt_lp": ["b", "c"]}],
    "/both": [{"jwt_lp": ["a", "c"]}, {"jwt_lp": ["a", "d"]}, {"jwt_lp": ["b", "c"]}, {"jwt_lp": ["b", "d"]}],
    "/me": [{"jwt_lp": []}],
    "/public": [],
    "/external": [],
    "/undeclared": [{"jwt_lp": []}],
    "/key": [{"APIKeyHeader": [], "jwt_lp": ["k"]}],
}


def test_each_operation_shows_its_permissions() -> None:
    """Each operation shows its permissions, with one entry for each alternative; public routes show none."""
    app = application()
    LeastPrivilege(app, Authority().settings())
    assert WANTED == security(app.openapi())
    assert WANTED == security(app.openapi())
    schema = app.openapi()
    assert {"type": "http", "scheme": "bearer", "bearerFormat": "JWT"} == schema["components"]["securitySchemes"][
        "jwt_lp"
    ]
    assert {"200", "401", "403"} <= schema["paths"]["/me"]["get"]["responses"].keys()
    assert "401" not in schema["paths"]["/public"]["get"]["responses"]


def test_the_application_serves_the_same_schema() -> None:
    """The application serves the same schema, without a lifespan, and after an override of `openapi`."""
    app = application()
    settings = Authority().settings(PUBLIC=["/openapi.json"])
    LeastPrivilege(app, settings)
    original = app.openapi
    app.openapi = lambda: {**original(), "x-mine": 1}  # type: ignore[method-assign]
    schema = call(app, "GET", "/openapi.json").json
    assert (WANTED, 1) == (security(schema), schema["x-mine"])


def test_a_mounted_applications_schema_shows_its_permissions() -> None:
    """The schema of a mounted application shows its permissions, including those declared on the mount."""
    sub = FastAPI()
    sub.get("/x")(lambda: None)
    app = Starlette(routes=[Mount("/api", app=requires("api:use")(sub))])
    authority = Authority()
    LeastPrivilege(app, authority.settings())
    schema = call(app, "GET", "/api/openapi.json", authority.headers("a", ["api:use"])).json
    assert {"/x": [{"jwt_lp": ["api:use"]}]} == security(schema)


def test_cookies_are_an_alternative_to_the_header() -> None:
    """With `COOKIE` the schema has the cookie, and for unsafe methods the CSRF token, beside the header."""
    app = FastAPI()
    authority = Authority()
    app.get("/orders", dependencies=[Requires("orders:list")])(lambda: None)
    app.post("/orders", dependencies=[Requires("orders:create")])(lambda: None)
    LeastPrivilege(app, authority.settings(COOKIE=True, PUBLIC=["/docs", "/redoc", "/openapi.json"]))
    schema = app.openapi()
    assert [{"jwt_lp": ["orders:list"]}, {"jwt_lp_cookie": ["orders:list"]}] == schema["paths"]["/orders"]["get"][
        "security"
    ]
    assert [{"jwt_lp": ["orders:create"]}, {"jwt_lp_cookie": ["orders:create"], "jwt_lp_csrf": []}] == schema["paths"][
        "/orders"
    ]["post"]["security"]
    schemes = schema["components"]["securitySchemes"]
    assert ("cookie", "__Host-access") == (schemes["jwt_lp_cookie"]["in"], schemes["jwt_lp_cookie"]["name"])
    assert ("header", "X-CSRF-Token") == (schemes["jwt_lp_csrf"]["in"], schemes["jwt_lp_csrf"]["name"])
