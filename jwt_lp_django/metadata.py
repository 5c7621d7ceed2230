"""The metadata of the protected resource (RFC 9728) as URL patterns."""

from __future__ import annotations

from django.http import HttpRequest, HttpResponse
from django.urls import URLPattern, path
from django.views.decorators.http import require_safe

from jwt_lp import ResourceMetadata
from jwt_lp_django.decorators import public
from jwt_lp_django.guard_access import guard_from
from jwt_lp_django.routes import all_routes


def resource_metadata() -> list[URLPattern]:
    """The metadata, which is `public`, for `urlpatterns = [*resource_metadata()]`.

    It is at `/.well-known/oauth-protected-resource`, and below it at the path of the setting `RESOURCE`. The routes are
    read at the first request.
    """
    known: list[ResourceMetadata] = []

    @public
    @require_safe
    def metadata(request: HttpRequest, suffix: str = "") -> HttpResponse:
        answer = _current(known).get(suffix and f"/{suffix}")
        return HttpResponse(answer.body, status=answer.status, headers=dict(answer.headers))

    url = ResourceMetadata.path.removeprefix("/")
    return [
        path(url, metadata, name="jwt_lp_resource"),
        path(f"{url}/<path:suffix>", metadata, name="jwt_lp_resource_path"),
    ]


def _current(known: list[ResourceMetadata]) -> ResourceMetadata:
    guard = guard_from()
    if not known or known[0].settings is not guard.settings:
        known[:] = [ResourceMetadata(guard.settings, all_routes())]
    return known[0]
