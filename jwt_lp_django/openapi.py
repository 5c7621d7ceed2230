"""The guard's requirements and answers in OpenAPI documents of a Django project, whatever generated them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, MutableMapping
from dataclasses import replace
from typing import Any

from jwt_lp import OpenAPIDescription, Route
from jwt_lp_django.csrf import csrf_header
from jwt_lp_django.guard_access import guard_from
from jwt_lp_django.routes import all_routes


def describe_document(document: MutableMapping[str, Any], document_path: Callable[[str], str] | None = None) -> None:
    """Describe what the guard requires and answers, in place, at each operation that a route of the project serves.

    `document_path` returns the path that the document has for a route's template, if it is not the template.
    """
    routes: Iterable[Route] = all_routes()
    if document_path is not None:
        routes = [replace(route, template=document_path(route.template)) for route in routes]
    description = OpenAPIDescription(guard_from().settings, str(document.get("openapi", "3.1.0")), csrf_header())
    description.describe_document(document, routes)
