"""The metadata of the protected resource (RFC 9728) as routes of a Starlette or FastAPI application."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from jwt_lp import ResourceMetadata
from jwt_lp_starlette.decorators import public
from jwt_lp_starlette.request_context import context_of


def resource_metadata() -> list[BaseRoute]:
    """Routes for the metadata, which are `public`: `app.router.routes.extend(resource_metadata())`.

    They are at `/.well-known/oauth-protected-resource`, and below it at the path of the setting `RESOURCE`. The
    application's routes are read at the first request.
    """
    known: list[ResourceMetadata] = []

    @public
    def metadata(request: Request) -> Response:
        suffix: str = request.path_params.get("suffix", "")
        answer = _current(known, request).get(suffix and f"/{suffix}")
        return Response(answer.body, answer.status, dict(answer.headers))

    return [
        Route(ResourceMetadata.path, metadata, name="jwt_lp_resource"),
        Route(f"{ResourceMetadata.path}/{{suffix:path}}", metadata, name="jwt_lp_resource_path"),
    ]


def _current(known: list[ResourceMetadata], request: Request) -> ResourceMetadata:
    context = context_of(request.scope)
    if not known or known[0].settings is not context.guard.settings:
        # The last table is that of the application that has the guard.
        routes = [route for _, _, route in context.tables[-1].routes()]
        known[:] = [ResourceMetadata(context.guard.settings, routes)]
    return known[0]
