"""The guard's requirements and answers in OpenAPI documents of apispec and Flask-Smorest."""

from __future__ import annotations

from typing import Any, Final, cast

from apispec import APISpec, BasePlugin
from flask import Flask

from jwt_lp import ConfigurationError, OpenAPIDescription, RoutesByPath
from jwt_lp_flask.extension import app_guard_of
from jwt_lp_flask.urlmap import routes_of

_OPENAPI: Final = 3


class LeastPrivilegePlugin(BasePlugin):
    """A plugin of apispec that describes what the guard of `app` requires and answers.

    Write `APISpec(..., plugins=[LeastPrivilegePlugin(app)])`, or for Flask-Smorest
    `Api(app, spec_kwargs={"extra_plugins": [LeastPrivilegePlugin(app)]})`. A path must be registered in `app` before it
    is added to the document. `ConfigurationError` if the application has no guard, or for Swagger 2.
    """

    def __init__(self, app: Flask) -> None:
        self._app = app
        self._guard = app_guard_of(app).guard
        self._description = OpenAPIDescription(self._guard.settings)
        self._served = RoutesByPath(())
        self._size = -1

    def init_spec(self, spec: APISpec) -> None:
        """Add the security schemes, the schema of a problem and the answers; the document must be OpenAPI 3."""
        if spec.openapi_version.major < _OPENAPI:
            raise ConfigurationError(f"OpenAPI {spec.openapi_version} cannot say what is required: use 3.1.0")
        self._description = OpenAPIDescription(self._guard.settings, str(spec.openapi_version))
        ours = self._description.components()
        # Not by the methods of `spec`: they call plugins that may not be initialised yet.
        components = cast(Any, spec.components)
        components.security_schemes.update(ours["securitySchemes"])
        components.schemas.update(ours["schemas"])
        components.responses.update(ours["responses"])

    def operation_helper(self, path: str | None = None, operations: dict[str, Any] | None = None, **_: Any) -> None:
        """Describe the operations of one path."""
        size = sum(1 for _ in self._app.url_map.iter_rules())
        if size != self._size:
            self._served, self._size = RoutesByPath(routes_of(self._app, self._guard.rules)), size
        if path is not None and operations:
            self._description.describe_path(path, operations, self._served)
