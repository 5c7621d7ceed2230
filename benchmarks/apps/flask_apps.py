"""Flask: bare, with jwt-lp, and with Flask-JWT-Extended."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from flask import Flask

from benchmarks.apps.handlers import PATH, PERMISSION
from jwt_lp_flask import LeastPrivilege, requires

Handler = Callable[[], dict[str, Any]]


def bare(handler: Handler) -> Flask:
    """The application without a guard."""
    return _app(_view(handler))


def guarded(handler: Handler, settings: Mapping[str, object]) -> Flask:
    """The same with jwt-lp."""
    app = _app(requires(PERMISSION)(_view(handler)))
    LeastPrivilege(app, settings=settings)
    return app


def jwt_extended(handler: Handler, key: object, issuer: str, audience: str) -> Flask:
    """The same with Flask-JWT-Extended, and a look at the scope."""
    from flask_jwt_extended import JWTManager, get_jwt, jwt_required

    view = _view(handler)

    def checked() -> Any:
        if PERMISSION not in get_jwt()["scope"].split():
            return {"error": "insufficient_scope"}, 403
        return view()

    app = _app(jwt_required()(checked))
    app.config.update(JWT_ALGORITHM="RS256", JWT_PUBLIC_KEY=key, JWT_DECODE_ISSUER=issuer, JWT_DECODE_AUDIENCE=audience)
    JWTManager(app)
    return app


def _app(view: Callable[[], Any]) -> Flask:
    app = Flask("benchmarks.apps", static_folder=None)
    app.add_url_rule(PATH, "orders", view, methods=["GET"])
    return app


def _view(handler: Handler) -> Callable[[], Any]:
    def orders() -> Any:
        return handler()

    return orders
