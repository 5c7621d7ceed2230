"""How is the token endpoint put into a Starlette or FastAPI application?"""

from __future__ import annotations

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from jwt_lp import Answer, TokenExchange
from jwt_lp_starlette.marks import external, public


def token_endpoint(
    exchange: TokenExchange, url: str = "/oauth/token", keys_url: str | None = "/.well-known/jwks.json"
) -> list[BaseRoute]:
    """The endpoint at `url` and its key set at `keys_url`, declared: `Starlette(routes=[*token_endpoint(exchange)])`.

    For an application that is there already, `app.router.routes.extend(token_endpoint(exchange))`. The endpoint is
    `external`, as it authenticates its clients itself, and the key set `public`; with `keys_url=None` there is none.
    """

    @external("OAuth client authentication")
    async def token(request: Request) -> Response:
        body = await _body(request, exchange.max_body)
        headers = request.headers
        # Keys may have to be fetched, and signing takes its time: neither on the event loop.
        answer = await run_in_threadpool(
            exchange.post, headers.get("content-type"), body, headers.getlist("authorization")
        )
        return _response(answer)

    @public
    def keys(request: Request) -> Response:
        return _response(exchange.jwks(request.headers.getlist("if-none-match")))

    found: list[BaseRoute] = [Route(url, token, methods=["POST"], name="jwt_lp_token")]
    return found if keys_url is None else [*found, Route(keys_url, keys, name="jwt_lp_keys")]


async def _body(request: Request, most: int) -> bytes:
    body = b""
    async for chunk in request.stream():
        body += chunk
        if len(body) > most:
            break
    return body


def _response(answer: Answer) -> Response:
    return Response(answer.body, answer.status, dict(answer.headers))
