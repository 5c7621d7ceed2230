"""Items: one item of a campaign, with every use, all ways to it and who else holds it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from starlette.concurrency import run_in_threadpool
from starlette.routing import Route

from jwt_lp.console.answers import page
from jwt_lp.console.decide_data import find_item
from jwt_lp.console.item_facts import read_item_facts
from jwt_lp.console.navigation import DECIDE, READ
from jwt_lp.console.reader import Reader, reader_of
from jwt_lp.permissions.requirements import any_of
from jwt_lp_starlette import requires

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.responses import Response


def routes() -> list[Route]:
    """The routes of this module."""
    return [Route("/campaigns/{id}/items/{item}", item, name="item")]


@requires(any_of(READ, DECIDE))
async def item(request: Request) -> Response:
    """Show one item; its reviewer can decide about it here."""
    context = await run_in_threadpool(_load, reader_of(request), request.path_params["id"], request.path_params["item"])
    return page(request, "item.html", context)


def _load(reader: Reader, campaign_id: str, item_id: str) -> dict[str, Any]:
    shown = find_item(reader, campaign_id, item_id)
    return {"each": shown.items[0], "shown": shown, "facts": read_item_facts(reader.console, shown.items[0].finding)}
