"""The endpoints of elevation as URL patterns, and asking in code."""

from __future__ import annotations

from typing import Any

from asgiref.sync import sync_to_async
from django.http import HttpRequest, HttpResponse
from django.urls import URLPattern, path
from django.views.decorators.csrf import csrf_exempt

from jwt_lp import (
    ANONYMOUS,
    Elevation,
    ElevationCall,
    ElevationEndpoints,
    Elevations,
    guard_elevations,
)
from jwt_lp import request_elevation as request_by_token
from jwt_lp_django.decisions import header_lines, token_from
from jwt_lp_django.decorators import authenticated
from jwt_lp_django.guard_access import guard_from
from jwt_lp_django.transactions import without_atomic_requests


def elevation_endpoints(elevations: Elevations | None = None, url: str = "/elevations") -> list[URLPattern]:
    """URL patterns for the endpoints at `url`, with their declarations: `urlpatterns = [*elevation_endpoints()]`.

    Each requires a valid token, in observe mode too. Without `elevations`, those of the guard are used: by its `POLICY`,
    in its `STORE`. They are exempt from Django's CSRF check, which the guard makes where the token comes from a cookie.
    """
    paths: dict[str, dict[str, str]] = {}
    for name, endpoint in ElevationEndpoints.endpoints.items():
        paths.setdefault(f"{url}{endpoint.path}", {})[endpoint.method] = name
    return [
        path(each.removeprefix("/").replace("{id}", "<str:elevation_id>"), _view(names, elevations), name=_name(names))
        for each, names in paths.items()
    ]


def request_elevation(
    request: Any,
    permission: str,
    *,
    reason: str = "",
    ticket: str = "",
    seconds: int | None = None,
    key: str = "",
    elevations: Elevations | None = None,
) -> Elevation:
    """Ask for `permission` in the name of the request's token; returns the elevation with its `id` and `state`.

    It is to be held for `seconds`, or as long as the policy allows. Asking again with the same `key` returns the same
    elevation. Raises `ElevationError` if the policy does not allow it or something is missing, `StoreError` if the store
    does not answer, and `ConfigurationError` if the route requires no token. It asks the store: in an async view use
    `arequest_elevation`.
    """
    return request_by_token(
        guard_from(),
        token_from(request),
        permission,
        reason=reason,
        ticket=ticket,
        seconds=seconds,
        key=key,
        elevations=elevations,
    )


async def arequest_elevation(request: Any, permission: str, **more: Any) -> Elevation:
    """`request_elevation` for an async view; the store is asked in a thread."""
    return await sync_to_async(request_elevation)(request, permission, **more)


def _name(names: dict[str, str]) -> str:
    return f"jwt_lp_elevation_{next(iter(names.values()))}"


def _view(names: dict[str, str], elevations: Elevations | None) -> Any:
    """The view of one path: an endpoint for each method."""

    @csrf_exempt
    @authenticated(enforce=True, methods=tuple(names))
    def view(request: HttpRequest, elevation_id: str = "") -> HttpResponse:
        guard = guard_from()
        endpoints = ElevationEndpoints(guard_elevations(guard) if elevations is None else elevations)
        # INVARIANT: no local variable holds the request's content, because tools render tracebacks with locals.
        answer = endpoints.answer(
            names["GET" if request.method == "HEAD" else request.method or ""],
            ElevationCall(
                guard,
                token_from(request) or ANONYMOUS,
                request.path,
                request.META.get("CONTENT_TYPE"),
                request.read(endpoints.max_body + 1) if request.method == "POST" else b"",
                header_lines(request, "idempotency-key"),
                request.META.get("QUERY_STRING", ""),
            ),
            elevation_id,
        )
        return HttpResponse(answer.body, status=answer.status, headers=dict(answer.headers))

    return without_atomic_requests(view)
