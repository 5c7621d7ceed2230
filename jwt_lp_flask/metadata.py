"""The metadata of the protected resource (RFC 9728) as a blueprint of a Flask application."""

from __future__ import annotations

from weakref import WeakKeyDictionary

from flask import Blueprint, Flask, Response, current_app

from jwt_lp import PUBLIC, ResourceMetadata
from jwt_lp_flask.decisions import unproxied_app
from jwt_lp_flask.declarations import declare_view
from jwt_lp_flask.extension import app_guard_of, enforce_declaration
from jwt_lp_flask.urlmap import routes_of


def resource_metadata() -> Blueprint:
    """A blueprint with the metadata, which is `public`: `app.register_blueprint(resource_metadata())`.

    It is at `/.well-known/oauth-protected-resource`, and below it at the path of the setting `RESOURCE`. The routes are
    read at the first request.
    """
    blueprint = Blueprint("jwt_lp_resource", __name__)
    # INVARIANT: a blueprint of several applications shows none the permissions of another.
    known: WeakKeyDictionary[Flask, ResourceMetadata] = WeakKeyDictionary()

    def metadata(suffix: str = "") -> Response:
        answer = _current(known).get(suffix and f"/{suffix}")
        return current_app.response_class(answer.body, answer.status, dict(answer.headers))

    view = declare_view(metadata, PUBLIC, enforce_declaration)
    blueprint.add_url_rule(ResourceMetadata.path, "metadata", view)
    blueprint.add_url_rule(f"{ResourceMetadata.path}/<path:suffix>", "metadata", view)
    return blueprint


def _current(known: WeakKeyDictionary[Flask, ResourceMetadata]) -> ResourceMetadata:
    app, guard = unproxied_app(), app_guard_of().guard
    metadata = known.get(app)
    if metadata is None or metadata.settings is not guard.settings:
        metadata = known[app] = ResourceMetadata(guard.settings, routes_of(app, guard.rules))
    return metadata
