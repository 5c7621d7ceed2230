"""The guard's requirements and answers in OpenAPI documents of a Django project, whatever generated them."""

from __future__ import annotations

from collections.abc import MutableMapping
from typing import Any

from jwt_lp import OpenAPIDescription
from jwt_lp_django.guard_access import guard_from
from jwt_lp_django.routes import all_routes


def describe_document(document: MutableMapping[str, Any]) -> None:
    """Describe what the guard requires and answers, in place, at each operation that a route of the project serves."""
    description = OpenAPIDescription(guard_from().settings, str(document.get("openapi", "3.1.0")))
    description.describe_document(document, all_routes())
