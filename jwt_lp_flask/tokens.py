"""How is the token endpoint put into a Flask application?"""

from __future__ import annotations

from urllib.parse import urlencode

from flask import Blueprint, Response, current_app, request

from jwt_lp import PUBLIC, Answer, TokenExchange, external
from jwt_lp_flask.marks import ViewMark, mark_view


def token_endpoint(
    exchange: TokenExchange, url: str = "/oauth/token", keys_url: str | None = "/.well-known/jwks.json"
) -> Blueprint:
    """The endpoint at `url` and its key set at `keys_url`, declared: `app.register_blueprint(token_endpoint(exchange))`.

    The endpoint is `external`, as it authenticates its clients itself, and the key set `public`. With `keys_url=None`
    there is no key set. An application that does nothing else needs no guard.
    """
    blueprint = Blueprint("jwt_lp_tokens", __name__)

    def token() -> Response:
        # INVARIANT: what was sent is in no local, for whoever renders a traceback.
        return _response(exchange.post(request.content_type, _body(exchange.max_body), _lines("Authorization")))

    def keys() -> Response:
        return _response(exchange.jwks(_lines("If-None-Match")))

    guarded = mark_view(token, external("OAuth client authentication"), _no_check)
    blueprint.add_url_rule(url, "token", guarded, methods=["POST"])
    if keys_url is not None:
        blueprint.add_url_rule(keys_url, "keys", mark_view(keys, PUBLIC, _no_check))
    return blueprint


def _no_check(mark: ViewMark) -> None:
    """Neither declaration asks for a token, so there is nothing to enforce where no guard stands."""


def _body(most: int) -> bytes:
    if "form" in request.__dict__:
        # Somebody before us has parsed the body, and it cannot be read twice.
        return urlencode([*request.form.items(multi=True)]).encode()
    length = request.content_length
    return request.get_data() if length is not None and length <= most else request.stream.read(most + 1)


def _lines(name: str) -> list[str]:
    return request.headers.getlist(name)


def _response(answer: Answer) -> Response:
    return current_app.response_class(answer.body, answer.status, dict(answer.headers))
