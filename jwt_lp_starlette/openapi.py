"""Permissions in FastAPI's OpenAPI schema."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

from jwt_lp import Open, Requirement
from jwt_lp_starlette.declarations import DECLARATION_ATTRIBUTE

if TYPE_CHECKING:
    from jwt_lp_starlette.route_table import RouteTable

SCHEME: Final = "jwt_lp"
_BEARER: Final = {"type": "http", "scheme": "bearer", "bearerFormat": "JWT"}
_RESPONSES: Final = {
    "401": "The access token is missing, expired, revoked or not for this service",
    "403": "The access token does not carry what this needs",
}


def describe(table: Callable[[], RouteTable], app: Any) -> None:
    """Have the FastAPI application's `openapi()` show which permissions each operation requires."""
    original = app.openapi
    if getattr(original, DECLARATION_ATTRIBUTE, False):
        return

    def openapi() -> dict[str, Any]:
        schema: dict[str, Any] = original()
        _show(schema, table(), app)
        return schema

    setattr(openapi, DECLARATION_ATTRIBUTE, True)
    app.openapi = openapi


def _show(schema: dict[str, Any], table: RouteTable, app: object) -> None:
    for entry, mount, route in table.routes():
        for method in route.methods if mount.owner is app else ():
            operation = schema.get("paths", {}).get(entry.path, {}).get(method.lower())
            if operation is not None and route.requirement is not None:
                _declare(operation, route.requirement)
    components = schema.setdefault("components", {})
    components.setdefault("securitySchemes", {})[SCHEME] = dict(_BEARER)


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
