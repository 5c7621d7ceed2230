"""Permissions in FastAPI's OpenAPI schema."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

from jwt_lp import Cookies, Open, Requirement
from jwt_lp_starlette.declarations import DECLARATION_ATTRIBUTE

if TYPE_CHECKING:
    from jwt_lp_starlette.route_table import RouteTable

SCHEME: Final = "jwt_lp"
COOKIE_SCHEME: Final = "jwt_lp_cookie"
CSRF_SCHEME: Final = "jwt_lp_csrf"
# Methods that need no CSRF token (RFC 9110, section 9.2.1).
_SAFE: Final = frozenset({"GET", "HEAD", "OPTIONS", "TRACE"})
_BEARER: Final = {"type": "http", "scheme": "bearer", "bearerFormat": "JWT"}
_RESPONSES: Final = {
    "401": "The access token is missing, expired, revoked or not for this service",
    "403": "The access token does not carry what this needs",
}


def describe(table: Callable[[], RouteTable], app: Any, cookies: Callable[[], Cookies | None]) -> None:
    """Have the FastAPI application's `openapi()` show which permissions each operation requires.

    `cookies` returns the guard's setting, as `table` returns its routes: both when the schema is made.
    """
    original = app.openapi
    if getattr(original, DECLARATION_ATTRIBUTE, False):
        return

    def openapi() -> dict[str, Any]:
        schema: dict[str, Any] = original()
        _show(schema, table(), app, cookies())
        return schema

    setattr(openapi, DECLARATION_ATTRIBUTE, True)
    app.openapi = openapi


def _show(schema: dict[str, Any], table: RouteTable, app: object, cookies: Cookies | None) -> None:
    for entry, mount, route in table.routes():
        for method in route.methods if mount.owner is app else ():
            operation = schema.get("paths", {}).get(entry.path, {}).get(method.lower())
            if operation is not None and route.requirement is not None:
                _declare(operation, route.requirement)
                if cookies is not None and not isinstance(route.requirement, Open):
                    _add_cookie(operation, safe=method in _SAFE)
    schemes = schema.setdefault("components", {}).setdefault("securitySchemes", {})
    schemes[SCHEME] = dict(_BEARER)
    if cookies is not None:
        schemes[COOKIE_SCHEME] = {"type": "apiKey", "in": "cookie", "name": cookies.name}
        description = f"The value of the cookie {cookies.csrf_name}; for requests with the cookie {cookies.name}"
        schemes[CSRF_SCHEME] = {"type": "apiKey", "in": "header", "name": "X-CSRF-Token", "description": description}


def _add_cookie(operation: dict[str, Any], *, safe: bool) -> None:
    """Add the cookie, and for unsafe methods the CSRF token with it, as an alternative to the header."""
    extra: dict[str, list[str]] = {} if safe else {CSRF_SCHEME: []}
    with_header: list[dict[str, list[str]]] = operation["security"]
    with_cookie = [
        {**{name: scopes for name, scopes in each.items() if name != SCHEME}, COOKIE_SCHEME: each[SCHEME], **extra}
        for each in with_header
    ]
    operation["security"] = [*with_header, *with_cookie]


def _declare(operation: dict[str, Any], requirement: Requirement) -> None:
    """Replace FastAPI's entry for our scheme. Another scheme on the operation stays required, in addition to ours."""
    others = {name: scopes for alternative in operation.get("security", ()) for name, scopes in alternative.items()}
    others.pop(SCHEME, None)
    if isinstance(requirement, Open):
        operation["security"] = [others] if others else []
        return
    operation["security"] = [{**others, SCHEME: list(permissions)} for permissions in requirement.alternatives()]
    for status, description in _RESPONSES.items():
        operation.setdefault("responses", {}).setdefault(status, {"description": description})
