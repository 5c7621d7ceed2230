"""The endpoints of sign-in as a blueprint of a Flask application."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from flask import Blueprint, Request, Response, current_app, request

from jwt_lp import Call, SignIn, SignInEndpoints, external
from jwt_lp_flask.cookies import add_cookies
from jwt_lp_flask.declarations import ViewDeclaration, declare_view
from jwt_lp_flask.extension import app_guard_of
from jwt_lp_flask.tokens import body_of


def sign_in_endpoints(sign_in: SignIn, *, cookies: bool = False) -> Blueprint:
    """A blueprint with `token`, `refresh`, `sign-out` and `sign-out-everywhere`, with their declarations.

    Use it as `app.register_blueprint(sign_in_endpoints(sign_in), url_prefix="/auth")`. Each endpoint is `external`,
    because it checks a password or a refresh token itself. With `cookies` the tokens are in cookies, and the guard needs
    the setting `COOKIE`.
    """
    endpoints = SignInEndpoints(sign_in, cookies=cookies)
    blueprint = Blueprint("jwt_lp_sign_in", __name__)
    for name, reason in endpoints.reasons.items():
        view = declare_view(_view(endpoints, name), external(reason), _no_check)
        blueprint.add_url_rule(f"/{name}", name, view, methods=["POST"])
    return blueprint


def _view(endpoints: SignInEndpoints, name: str) -> Callable[[], Response]:
    def view() -> Response:
        cookies = app_guard_of().guard.settings.cookies if endpoints.cookies else None
        # INVARIANT: no local variable holds the body, so that no rendered traceback shows it.
        answer, added = endpoints.post(
            name,
            request.content_type,
            body_of(endpoints.max_body),
            path=request.root_path.rstrip("/") + request.path,
            call=_call(request),
            cookies=cookies,
        )
        return add_cookies(current_app.response_class(answer.body, answer.status, dict(answer.headers)), added)

    view.__name__ = f"jwt_lp_{name}"
    return view


def _no_check(declaration: ViewDeclaration) -> None:
    """Enforce nothing: the endpoints require no access token."""


def _call(sent: Request) -> Call:
    # The address that Flask and its ProxyFix trust.
    field = partial(_field, sent)
    return Call(sent.method, lambda: sent.url, field, "jwt_lp_sign_in", sent.remote_addr)


def _field(sent: Request, name: str) -> tuple[str, ...]:
    return tuple(sent.headers.getlist(name))
