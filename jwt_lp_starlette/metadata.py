"""The metadata of the protected resource (RFC 9728) as routes of a Starlette or FastAPI application."""

from __future__ import annotations

from typing import TYPE_CHECKING

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from jwt_lp import ResourceMetadata
from jwt_lp_starlette.decorators import public
from jwt_lp_starlette.request_context import context_of

if TYPE_CHECKING:
    from jwt_lp_starlette.route_table import RouteTable


def resource_metadata() -> list[BaseRoute]:
    """Routes for the metadata, which are `public`: `app.router.routes.extend(resource_metadata())`.

    They are at `/.well-known/oauth-protected-resource`, and below it at the path of the setting `RESOURCE`. The
    application's routes are read at the first request.
    """
    known: list[tuple[RouteTable, ResourceMetadata]] = []

    @public
    def metadata(request: Request) -> Response:
        suffix: str = request.path_params.get("suffix", "")
        answer = _current(known, request).get(suffix and f"/{suffix}")
        return Response(answer.body, answer.status, dict(answer.headers))

    return [
        Route(ResourceMetadata.path, metadata, name="jwt_lp_resource"),
        Route(f"{ResourceMetadata.path}/{{suffix:path}}", metadata, name="jwt_lp_resource_path"),
    ]


def _current(known: list[tuple[RouteTable, ResourceMetadata]], request: Request) -> ResourceMetadata:
    context = context_of(request.scope)
    # The last table is that of the application that has the guard.
    table, settings = context.tables[-1], context.guard.settings
    # INVARIANT: routes of several applications show none the permissions of another.
    if not known or known[0][0] is not table or known[0][1].settings is not settings:
        known[:] = [(table, ResourceMetadata(settings, [route for _, _, route in table.routes()]))]
    return known[0][1]
