"""The endpoints of sign-in as routes of a Starlette application."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from jwt_lp import Call, SignIn, SignInAnswer, SignInEndpoints
from jwt_lp_starlette.body_reader import BodyReader
from jwt_lp_starlette.cookies import add_cookies
from jwt_lp_starlette.decorators import external
from jwt_lp_starlette.middleware import guard_from

View = Callable[[Request], Awaitable[Response]]


def sign_in_endpoints(sign_in: SignIn, *, cookies: bool = False) -> list[BaseRoute]:
    """Routes for `token`, `refresh`, `sign-out` and `sign-out-everywhere`, with their declarations.

    Use them as `Mount("/auth", routes=sign_in_endpoints(sign_in))`. Each endpoint is `external`, because it checks a
    password or a refresh token itself. With `cookies` the tokens are in cookies, and the guard needs the setting
    `COOKIE`. For FastAPI there is `jwt_lp_starlette.fastapi.sign_in_router`.
    """
    endpoints = SignInEndpoints(sign_in, cookies=cookies)
    return [
        Route(f"/{name}", sign_in_view(endpoints, name), methods=["POST"], name=f"jwt_lp_{name}")
        for name in endpoints.reasons
    ]


def sign_in_view(endpoints: SignInEndpoints, name: str) -> View:
    """The view of one endpoint, with its declaration."""

    @external(endpoints.reasons[name])
    async def view(request: Request) -> Response:
        sent = _SignInRequest(request)
        await sent.read_body(endpoints.max_body)
        # The store and the function that hashes passwords take time, so they do not run on the event loop.
        answer, added = await run_in_threadpool(sent.post_to, endpoints, name)
        return add_cookies(Response(answer.body, answer.status, dict(answer.headers)), added)

    return view


class _SignInRequest(BodyReader):
    """A request to an endpoint."""

    def post_to(self, endpoints: SignInEndpoints, name: str) -> SignInAnswer:
        """Have the endpoint answer this request."""
        request = self.request
        return endpoints.post(
            name,
            request.headers.get("content-type"),
            self.body,
            path=request.url.path,
            call=self._call(),
            cookies=guard_from(request).settings.cookies if endpoints.cookies else None,
        )

    def _call(self) -> Call:
        request = self.request
        # The address that the server gives, which may have taken it from a proxy that it trusts.
        peer = request.client.host if request.client is not None else None
        return Call(request.method, lambda: str(request.url), self._field, "jwt_lp_sign_in", peer)

    def _field(self, name: str) -> tuple[str, ...]:
        return tuple(self.request.headers.getlist(name))
