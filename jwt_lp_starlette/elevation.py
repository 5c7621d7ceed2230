"""The endpoints of elevation as routes of a Starlette application, and asking in code."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import partial

from starlette.concurrency import run_in_threadpool
from starlette.requests import HTTPConnection, Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from jwt_lp import (
    ANONYMOUS,
    Answer,
    Elevation,
    ElevationCall,
    ElevationEndpoints,
    Elevations,
    guard_elevations,
)
from jwt_lp import request_elevation as request_by_token
from jwt_lp_starlette.body_reader import BodyReader
from jwt_lp_starlette.decorators import authenticated
from jwt_lp_starlette.middleware import guard_from
from jwt_lp_starlette.request_context import token_from

View = Callable[[Request], Awaitable[Response]]


def elevation_endpoints(elevations: Elevations | None = None, url: str = "/elevations") -> list[BaseRoute]:
    """Routes for the endpoints at `url`, with their declarations: `Starlette(routes=[*elevation_endpoints()])`.

    Each requires a valid token, in observe mode too. Without `elevations`, those of the application's guard are used:
    by its `POLICY`, in its `STORE`. For FastAPI there is `jwt_lp_starlette.fastapi.elevation_router`.
    """
    return [
        Route(
            f"{url}{endpoint.path}",
            elevation_view(name, elevations),
            methods=[endpoint.method],
            name=f"jwt_lp_elevation_{name}",
        )
        for name, endpoint in ElevationEndpoints.endpoints.items()
    ]


def elevation_view(name: str, elevations: Elevations | None) -> View:
    """The view of one endpoint, with its declaration."""

    @authenticated(enforce=True)
    async def view(request: Request) -> Response:
        sent = _ElevationRequest(request)
        if request.method == "POST":
            await sent.read_body(ElevationEndpoints.max_body)
        # The store takes time, so it is not asked on the event loop.
        answer = await run_in_threadpool(sent.send_to, name, elevations)
        return Response(answer.body, answer.status, dict(answer.headers))

    return view


async def request_elevation(
    request: HTTPConnection,
    permission: str,
    *,
    reason: str = "",
    ticket: str = "",
    seconds: int | None = None,
    key: str = "",
    elevations: Elevations | None = None,
) -> Elevation:
    """Ask for `permission` in the name of the request's token; returns the elevation with its `id` and `state`.

    It is to be held for `seconds`, or as long as the policy allows. Asking again with the same `key` returns the same
    elevation. The store is asked in a worker thread. Raises `ElevationError` if the policy does not allow it or something
    is missing, `StoreError` if the store does not answer, and `ConfigurationError` if the route requires no token. In a
    function that is not asynchronous, use `anyio.from_thread.run` or `jwt_lp.request_elevation`.
    """
    ask = partial(request_by_token, reason=reason, ticket=ticket, seconds=seconds, key=key, elevations=elevations)
    return await run_in_threadpool(ask, guard_from(request), token_from(request), permission)


class _ElevationRequest(BodyReader):
    """A request to an endpoint."""

    def send_to(self, name: str, elevations: Elevations | None) -> Answer:
        """Have the endpoint answer this request."""
        request, guard = self.request, guard_from(self.request)
        endpoints = ElevationEndpoints(guard_elevations(guard) if elevations is None else elevations)
        call = ElevationCall(
            guard,
            token_from(request) or ANONYMOUS,
            request.url.path,
            request.headers.get("content-type"),
            self.body,
            request.headers.getlist("idempotency-key"),
            request.url.query,
        )
        return endpoints.answer(name, call, request.path_params.get("id", ""))
