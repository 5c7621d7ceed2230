"""How do the permissions show in the OpenAPI description that drf-spectacular writes?"""

from __future__ import annotations

from typing import Any

from drf_spectacular.extensions import OpenApiAuthenticationExtension

from jwt_lp_django.drf import view_declaration
from jwt_lp_django.views import MethodDeclaration


class LeastPrivilegeScheme(OpenApiAuthenticationExtension):  # type: ignore[no-untyped-call] # its hook has no types
    """One bearer scheme, and the permissions of each operation beside it; `{}` for what needs no token."""

    target_class = "jwt_lp_django.drf.JWTAuthentication"
    name = "jwt_lp"

    def get_security_definition(self, auto_schema: Any) -> dict[str, str]:
        """The scheme (OpenAPI 3.1, section 4.8.27)."""
        return {"type": "http", "scheme": "bearer", "bearerFormat": "JWT"}

    def get_security_requirement(self, auto_schema: Any) -> Any:
        """The permissions of each alternative, templates as the path has them."""
        found: MethodDeclaration = view_declaration(auto_schema.view, auto_schema.method)
        if found.requirement is None or not found.requirement.requires_token:
            return {} if found.requirement is not None else {str(self.name): []}
        return [
            {str(self.name): [_named(each, auto_schema.path) for each in permissions]}
            for permissions in found.requirement.alternatives()
        ]


def _named(permission: str, path: str) -> str:
    # It writes `{id}` in the path where the route has `{pk}`.
    return permission if "{pk}" in path or "{id}" not in path else permission.replace("{pk}", "{id}")
