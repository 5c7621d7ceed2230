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
        sent = _Sent(request)
        await sent.read(exchange.max_body)
        # Keys may have to be fetched, and signing takes its time: neither on the event loop.
        return _response(await run_in_threadpool(sent.posted, exchange))

    @public
    def keys(request: Request) -> Response:
        return _response(exchange.jwks(request.headers.getlist("if-none-match")))

    found: list[BaseRoute] = [Route(url, token, methods=["POST"], name="jwt_lp_token")]
    return found if keys_url is None else [*found, Route(keys_url, keys, name="jwt_lp_keys")]


class _Sent:
    """A request to the endpoint as it comes in. It is no local of any function, for whoever renders a traceback."""

    def __init__(self, request: Request) -> None:
        self._request = request
        self._body = b""

    async def read(self, most: int) -> None:
        """Take the body, of one that is longer than `most` only so much that this can be told."""
        async for chunk in self._request.stream():
            self._body += chunk
            del chunk
            if len(self._body) > most:
                break

    def posted(self, exchange: TokenExchange) -> Answer:
        """What the endpoint answers."""
        return exchange.post(
            self._request.headers.get("content-type"), self._body, self._request.headers.getlist("authorization")
        )


def _response(answer: Answer) -> Response:
    return Response(answer.body, answer.status, dict(answer.headers))
