"""The token endpoint as routes of a Starlette or FastAPI application."""

from __future__ import annotations

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from jwt_lp import Answer, TokenExchange
from jwt_lp_starlette.body_reader import BodyReader
from jwt_lp_starlette.decorators import external, public


def token_endpoint(
    exchange: TokenExchange, url: str = "/oauth/token", keys_url: str | None = "/.well-known/jwks.json"
) -> list[BaseRoute]:
    """Routes for the endpoint at `url` and its key set at `keys_url`, with their declarations.

    Use them as `Starlette(routes=[*token_endpoint(exchange)])`, or for an existing application as
    `app.router.routes.extend(token_endpoint(exchange))`. The endpoint is `external`, because it authenticates its
    clients itself, and the key set is `public`. With `keys_url=None` there is no key set.
    """

    @external("OAuth client authentication")
    async def token(request: Request) -> Response:
        exchange_request = _ExchangeRequest(request)
        await exchange_request.read_body(exchange.max_body)
        # Fetching keys and signing take time, so they do not run on the event loop.
        return _response(await run_in_threadpool(exchange_request.post_to, exchange))

    @public
    def keys(request: Request) -> Response:
        return _response(exchange.jwks(request.headers.getlist("if-none-match")))

    routes: list[BaseRoute] = [Route(url, token, methods=["POST"], name="jwt_lp_token")]
    return routes if keys_url is None else [*routes, Route(keys_url, keys, name="jwt_lp_keys")]


class _ExchangeRequest(BodyReader):
    """A request to the endpoint."""

    def post_to(self, exchange: TokenExchange) -> Answer:
        """Have the endpoint answer this request."""
        return exchange.post(
            self.request.headers.get("content-type"), self.body, self.request.headers.getlist("authorization")
        )


def _response(answer: Answer) -> Response:
    return Response(answer.body, answer.status, dict(answer.headers))
