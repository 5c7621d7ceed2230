"""The host interface that commands and test fixtures use for Flask applications."""

from __future__ import annotations

from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from typing import cast

from flask import Flask, request
from flask.testing import FlaskClient
from werkzeug.exceptions import HTTPException

from jwt_lp import Guard, Route
from jwt_lp_flask.extension import app_guard_of
from jwt_lp_flask.urlmap import is_automatic_options, route_of, routes_of


class FlaskHost:
    """The adapter in the entry-point group `jwt_lp.hosts`."""

    name = "flask"

    def recognises(self, app: object) -> bool:
        """Whether `app` is a Flask application."""
        return isinstance(app, Flask)

    def routes(self, app: object) -> Sequence[Route]:
        """Every route of the application; `ConfigurationError` if it has no guard."""
        flask = cast(Flask, app)
        return routes_of(flask, app_guard_of(flask).guard.rules)

    def guard(self, app: object) -> Guard:
        """The application's guard; `ConfigurationError` if there is none."""
        return app_guard_of(cast(Flask, app)).guard

    def resolve(self, app: object, method: str, path: str) -> tuple[Route, Mapping[str, object]] | None:
        """The route and the view's parameters, after the project's URL value preprocessors; None if no view answers."""
        flask = cast(Flask, app)
        rules = app_guard_of(flask).guard.rules
        with flask.test_request_context(path, method=method):
            rule = request.url_rule
            if rule is None or request.routing_exception is not None or is_automatic_options(request):
                return None
            try:
                for name in (None, *reversed(request.blueprints)):
                    for preprocess in flask.url_value_preprocessors.get(name, ()):
                        preprocess(request.endpoint, request.view_args)
            except HTTPException:
                return None
            return route_of(flask, rules, rule, (request.method,)), dict(request.view_args or {})

    @contextmanager
    def swap_guard(self, app: object, guard: Guard) -> Generator[None]:
        """Have the application use `guard` while the context lasts."""
        app_guard = app_guard_of(cast(Flask, app))
        previous = app_guard.swap(guard)
        try:
            yield
        finally:
            app_guard.swap(previous)

    def login(self, client: object, authorization: str) -> bool:
        """Have Flask's test client send the header with every request that has none."""
        if not isinstance(client, FlaskClient):
            return False
        client.environ_base["HTTP_AUTHORIZATION"] = authorization
        return True


host = FlaskHost()
