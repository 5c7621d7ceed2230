"""The endpoints of elevation as a blueprint of a Flask application, and asking in code."""

from __future__ import annotations

from collections.abc import Callable

from flask import Blueprint, Request, Response, current_app, request

from jwt_lp import (
    ANONYMOUS,
    AUTHENTICATED,
    Elevation,
    ElevationCall,
    ElevationEndpoints,
    Elevations,
    all_of,
    guard_elevations,
)
from jwt_lp import request_elevation as request_by_token
from jwt_lp_flask.decisions import decisions_of
from jwt_lp_flask.declarations import declare_view
from jwt_lp_flask.extension import app_guard_of, enforce_declaration
from jwt_lp_flask.tokens import body_of


def elevation_endpoints(elevations: Elevations | None = None, url: str = "/elevations") -> Blueprint:
    """A blueprint with the endpoints at `url`, with their declarations: `app.register_blueprint(elevation_endpoints())`.

    Each requires a valid token, in observe mode too. Without `elevations`, those of the application's guard are used:
    by its `POLICY`, in its `STORE`.
    """
    blueprint = Blueprint("jwt_lp_elevation", __name__)
    for name, endpoint in ElevationEndpoints.endpoints.items():
        view = declare_view(_view(name, elevations), all_of(AUTHENTICATED, enforce=True), enforce_declaration)
        rule = f"{url}{endpoint.path}".replace("{id}", "<elevation_id>")
        blueprint.add_url_rule(rule, name, view, methods=[endpoint.method])
    return blueprint


def request_elevation(
    request: Request,
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
    does not answer, and `ConfigurationError` if the route requires no token.
    """
    return request_by_token(
        app_guard_of().guard,
        decisions_of(request).token,
        permission,
        reason=reason,
        ticket=ticket,
        seconds=seconds,
        key=key,
        elevations=elevations,
    )


def _view(name: str, elevations: Elevations | None) -> Callable[..., Response]:
    def view(elevation_id: str = "") -> Response:
        guard = app_guard_of().guard
        endpoints = ElevationEndpoints(guard_elevations(guard) if elevations is None else elevations)
        # INVARIANT: no local variable holds the body, so that no rendered traceback shows it.
        answer = endpoints.answer(
            name,
            ElevationCall(
                guard,
                decisions_of(request).token or ANONYMOUS,
                request.root_path.rstrip("/") + request.path,
                request.content_type,
                body_of(endpoints.max_body) if request.method == "POST" else b"",
                request.headers.getlist("Idempotency-Key"),
                request.query_string.decode("ascii", "replace"),
            ),
            elevation_id,
        )
        return current_app.response_class(answer.body, answer.status, dict(answer.headers))

    view.__name__ = f"jwt_lp_elevation_{name}"
    return view
