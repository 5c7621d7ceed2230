"""The guard's requirements and answers in the OpenAPI document that drf-spectacular writes."""

from __future__ import annotations

import re
from collections.abc import MutableMapping
from typing import Any

from drf_spectacular.extensions import OpenApiAuthenticationExtension
from drf_spectacular.settings import spectacular_settings

from jwt_lp_django.drf import view_declaration
from jwt_lp_django.openapi import describe_document


class LeastPrivilegeScheme(OpenApiAuthenticationExtension):  # type: ignore[no-untyped-call] # its hook has no types
    """The bearer scheme of `JWTAuthentication`, with the permissions of each operation that its view declares."""

    target_class = "jwt_lp_django.drf.JWTAuthentication"
    name = "jwt_lp"

    def get_security_definition(self, auto_schema: Any) -> dict[str, str]:
        """The scheme (OpenAPI 3.1, section 4.8.27)."""
        return {"type": "http", "scheme": "bearer", "bearerFormat": "JWT"}

    def get_security_requirement(self, auto_schema: Any) -> Any:
        """The permissions of each alternative, with the parameter names of the path; `{}` if no token is needed."""
        requirement = view_declaration(auto_schema.view, auto_schema.method).requirement
        if requirement is None:
            return {str(self.name): []}
        if not requirement.requires_token:
            return {}
        return [
            {str(self.name): [_with_path_parameters(permission, auto_schema.path) for permission in permissions]}
            for permissions in requirement.alternatives()
        ]


def describe_guard(result: MutableMapping[str, Any], **_: Any) -> MutableMapping[str, Any]:
    """A hook for `POSTPROCESSING_HOOKS`, which describes what the guard requires and answers at each operation.

    Paths into which URL versioning puts a version, and paths without a prefix that drf-spectacular guessed, are not
    found: there only the security is described.
    """
    describe_document(result, _document_path)
    return result


def _document_path(template: str) -> str:
    """The path that drf-spectacular writes for a route, by its settings for prefixes."""
    prefix: str | None = spectacular_settings.SCHEMA_PATH_PREFIX
    if spectacular_settings.SCHEMA_PATH_PREFIX_TRIM and prefix:
        template = re.sub(f"^{prefix.removeprefix('^')}", "", template, flags=re.IGNORECASE)
    path = f"{spectacular_settings.SCHEMA_PATH_PREFIX_INSERT or ''}{template}"
    return path if path.startswith("/") else f"/{path}"


def _with_path_parameters(permission: str, path: str) -> str:
    # drf-spectacular writes `{id}` in the path of a route that has `{pk}`.
    return permission if "{pk}" in path or "{id}" not in path else permission.replace("{pk}", "{id}")
