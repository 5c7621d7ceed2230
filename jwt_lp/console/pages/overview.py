"""Overview: the first page of the console."""

from __future__ import annotations

from typing import TYPE_CHECKING

from starlette.routing import Route

from jwt_lp.console.answers import page
from jwt_lp_starlette import requires

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.responses import Response


def routes() -> list[Route]:
    """The routes of this module."""
    return [Route("/", overview, name="overview")]


@requires("jwt-lp:review:read")
async def overview(request: Request) -> Response:
    """Show what is granted and what is used."""
    return page(request, "overview.html", {})
