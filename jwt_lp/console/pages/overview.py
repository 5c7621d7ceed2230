"""Overview: the first page, with what waits for whoever opens it and how access and its use stand."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from starlette.concurrency import run_in_threadpool
from starlette.routing import Route

from jwt_lp.console.answers import page
from jwt_lp.console.navigation import APPROVE, DECIDE, READ
from jwt_lp.console.overview_facts import MOST_SHOWN, read_overview, read_own_parts
from jwt_lp.console.own_service import own_service
from jwt_lp.console.pictures.scales import day_of
from jwt_lp.console.state import actor_of, console_of
from jwt_lp.permissions.requirements import any_of
from jwt_lp_starlette import can, requires, token_from

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.responses import Response

    from jwt_lp.console.state import ConsoleState
    from jwt_lp.stores import Elevation
    from jwt_lp.stores.audit import Actor


def routes() -> list[Route]:
    """The routes of this module."""
    return [Route("/", overview, name="overview")]


@requires(any_of(READ, DECIDE, APPROVE))
async def overview(request: Request) -> Response:
    """Show what waits for somebody, and to whoever may read it what is granted and what is used."""
    console, actor = console_of(request), actor_of(request)
    waiting: tuple[Elevation, ...] = ()
    token = token_from(request)
    if token is not None and can(request, APPROVE):
        waiting = await run_in_threadpool(console.elevations.waiting_for, token, limit=MOST_SHOWN)
    now = console.clock()
    context: dict[str, Any] = {"waiting": waiting, "now": now, "today": day_of(now), "facts": None}
    if can(request, READ):
        facts = await run_in_threadpool(read_overview, console, actor, own_service(request))
        context |= {"facts": facts, "mine": facts.mine}
    else:
        context |= {"mine": await run_in_threadpool(_own_parts, console, actor)}
    return page(request, "overview.html", context)


def _own_parts(console: ConsoleState, actor: Actor) -> object:
    return read_own_parts(console.store, console.store.campaigns(), actor)
