"""The guard's requirements and answers in the OpenAPI document of a FastAPI application."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

from jwt_lp import OpenAPIDescription, Settings
from jwt_lp_starlette.declarations import DECLARATION_ATTRIBUTE

if TYPE_CHECKING:
    from jwt_lp_starlette.route_table import RouteTable

SCHEME: Final = "jwt_lp"


def describe(table: Callable[[], RouteTable], settings: Callable[[], Settings], app: Any) -> None:
    """Have the FastAPI application's `openapi()` describe what each operation requires and answers."""
    original = app.openapi
    if getattr(original, DECLARATION_ATTRIBUTE, False):
        return

    def openapi() -> dict[str, Any]:
        schema: dict[str, Any] = original()
        _describe(schema, table(), settings(), app)
        return schema

    setattr(openapi, DECLARATION_ATTRIBUTE, True)
    app.openapi = openapi


def _describe(schema: dict[str, Any], table: RouteTable, settings: Settings, app: object) -> None:
    description = OpenAPIDescription(settings, schema.get("openapi", "3.1.0"))
    described: set[tuple[str, str]] = set()
    for entry, mount, route in table.routes():
        # The paths of a mounted application's document begin below its mount.
        for method in route.methods if mount.owner is app else ():
            operation = schema.get("paths", {}).get(entry.path, {}).get(method.lower())
            if operation is not None and (entry.path, method) not in described:
                described.add((entry.path, method))
                # FastAPI lists what several dependencies require as alternatives, although all are required.
                required = {name: scopes for each in operation.get("security", ()) for name, scopes in each.items()}
                operation["security"] = [required]
                description.describe(operation, route.requirement, method=method)
    description.add_components(schema)
