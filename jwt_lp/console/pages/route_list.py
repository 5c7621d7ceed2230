"""Routes: the enforcement points that services reported, and the routes of the applications that the console knows."""

from __future__ import annotations

from typing import TYPE_CHECKING

from starlette.concurrency import run_in_threadpool
from starlette.routing import Route

from jwt_lp.console.answers import page, url_of
from jwt_lp.console.navigation import READ
from jwt_lp.console.own_service import own_service
from jwt_lp.console.parameters import page_parameter, text_parameter
from jwt_lp.console.route_facts import ROUTE_ROWS, read_routes
from jwt_lp.console.state import console_of
from jwt_lp_starlette import requires

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.responses import Response


def routes() -> list[Route]:
    """The routes of this module."""
    return [Route("/routes", route_list, name="routes")]


@requires(READ)
async def route_list(request: Request) -> Response:
    """List the routes, those without a guard first."""
    text, number = text_parameter(request, "q").strip(), page_parameter(request)
    console = console_of(request)
    own = own_service(request)
    facts = await run_in_threadpool(read_routes, console, text=text, page=number, own=own)
    context = {
        "facts": facts,
        "text": text,
        "lists_applications": bool(console.applications),
        "next_url": url_of(request, "routes", q=text, page=number + 1)
        if (number + 1) * ROUTE_ROWS < facts.total
        else "",
        "previous_url": url_of(request, "routes", q=text, page=number - 1) if number else "",
    }
    return page(request, "routes.html", context)
