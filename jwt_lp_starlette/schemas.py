"""The guard's requirements and answers in the OpenAPI documents of Starlette's schema generator."""

from __future__ import annotations

from typing import Any

from starlette.applications import Starlette
from starlette.routing import BaseRoute
from starlette.schemas import SchemaGenerator

from jwt_lp import OpenAPIDescription
from jwt_lp_starlette.middleware import installed_guard


class GuardedSchemaGenerator(SchemaGenerator):
    """Starlette's `SchemaGenerator`, whose documents also describe what the guard of `app` requires and answers."""

    def __init__(self, app: Starlette, base_schema: dict[str, Any]) -> None:
        super().__init__(base_schema)
        self._app = app

    def get_schema(self, routes: list[BaseRoute] | None = None) -> dict[str, Any]:
        """The document of `routes`, by default of all routes of the application."""
        installed = installed_guard(self._app)
        schema: dict[str, Any] = super().get_schema(self._app.routes if routes is None else routes)
        description = OpenAPIDescription(installed.guard.settings, schema.get("openapi", "3.1.0"))
        description.describe_document(schema, [route for _, _, route in installed.table(self._app).routes()])
        return schema
