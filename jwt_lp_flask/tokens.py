"""The token endpoint as a blueprint of a Flask application."""

from __future__ import annotations

from urllib.parse import urlencode

from flask import Blueprint, Response, current_app, request

from jwt_lp import PUBLIC, Answer, TokenExchange, external
from jwt_lp_flask.declarations import ViewDeclaration, declare_view


def token_endpoint(
    exchange: TokenExchange, url: str = "/oauth/token", keys_url: str | None = "/.well-known/jwks.json"
) -> Blueprint:
    """A blueprint with the endpoint at `url` and its key set at `keys_url`, with their declarations.

    Use it as `app.register_blueprint(token_endpoint(exchange))`. The endpoint is `external`, because it authenticates
    its clients itself, and the key set is `public`. With `keys_url=None` there is no key set. An application that
    does nothing else needs no guard.
    """
    blueprint = Blueprint("jwt_lp_tokens", __name__)

    def token() -> Response:
        # INVARIANT: no local variable holds the body, so that no rendered traceback shows it.
        return _response(
            exchange.post(request.content_type, body_of(exchange.max_body), _header_lines("Authorization"))
        )

    def keys() -> Response:
        return _response(exchange.jwks(_header_lines("If-None-Match")))

    guarded = declare_view(token, external("OAuth client authentication"), _no_check)
    blueprint.add_url_rule(url, "token", guarded, methods=["POST"])
    if keys_url is not None:
        blueprint.add_url_rule(keys_url, "keys", declare_view(keys, PUBLIC, _no_check))
    return blueprint


def _no_check(declaration: ViewDeclaration) -> None:
    """Enforce nothing: neither declaration requires a token, and there may be no guard."""


def body_of(max_size: int) -> bytes:
    """The request's body, of which no more than `max_size` + 1 bytes are read."""
    if "form" in request.__dict__:
        # Other code has parsed the body, and it cannot be read twice.
        return urlencode([*request.form.items(multi=True)]).encode()
    length = request.content_length
    return request.get_data() if length is not None and length <= max_size else request.stream.read(max_size + 1)


def _header_lines(name: str) -> list[str]:
    return request.headers.getlist(name)


def _response(answer: Answer) -> Response:
    return current_app.response_class(answer.body, answer.status, dict(answer.headers))
