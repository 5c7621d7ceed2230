"""New campaigns: the form, and the page that shows how far the review is."""

from __future__ import annotations

import asyncio
from functools import partial
from http import HTTPStatus
from typing import TYPE_CHECKING

from starlette.routing import Route

from jwt_lp.console.answers import page, see_other
from jwt_lp.console.campaign_forms import RULES, SPLITS, NewCampaign, read_new_campaign
from jwt_lp.console.forms import form_of
from jwt_lp.console.freezing import Freezes, run_freeze
from jwt_lp.console.navigation import APPLY
from jwt_lp.console.reader import Reader, reader_of
from jwt_lp_starlette import requires

if TYPE_CHECKING:
    from collections.abc import Callable

    from starlette.requests import Request
    from starlette.responses import Response

    from jwt_lp.stores.campaigns import Campaign


def routes() -> list[Route]:
    """The routes of this module."""
    return [
        Route("/campaigns/new", new, methods=["GET"], name="campaign_new"),
        Route("/campaigns/new", make, methods=["POST"], name="campaign_make"),
        Route("/campaigns/new/{freeze}", progress, methods=["GET"], name="campaign_progress"),
    ]


@requires(APPLY)
async def new(request: Request) -> Response:
    """Show the form of a new campaign."""
    return _form_page(request, NewCampaign())


@requires(APPLY)
async def make(request: Request) -> Response:
    """Begin the review that the campaign is made of, and show its progress."""
    reader = reader_of(request)
    wanted = read_new_campaign(await form_of(request), reader.console.clock())
    if wanted.faults:
        return _form_page(request, wanted, HTTPStatus.UNPROCESSABLE_ENTITY)
    freeze = _freezes(request).begin(wanted.name)
    if freeze is None:
        wanted.faults[""] = "Another campaign is being made. Wait until it is done."
        return _form_page(request, wanted, HTTPStatus.CONFLICT)
    # A review may take a minute, so no request waits for it.
    asyncio.get_running_loop().run_in_executor(None, run_freeze, freeze, partial(_freeze, reader, wanted))
    return see_other(request, "campaign_progress", freeze=freeze.id)


@requires(APPLY)
async def progress(request: Request) -> Response:
    """Show how far a review is; the page asks again by itself, and leads to the campaign at the end."""
    freeze = _freezes(request).find(request.path_params["freeze"])
    if freeze is not None and freeze.campaign:
        return see_other(request, "campaign", id=freeze.campaign, notice=f"The campaign {freeze.name} is frozen.")
    return page(request, "campaign_progress.html", {"freeze": freeze})


def _form_page(request: Request, wanted: NewCampaign, status: int = HTTPStatus.OK) -> Response:
    reader = reader_of(request)
    context = {"wanted": wanted, "splits": SPLITS, "rules": RULES, "people": len(reader.console.people)}
    return page(request, "campaign_new.html", context, status)


def _freeze(reader: Reader, wanted: NewCampaign, on_step: Callable[[str, int], object]) -> Campaign:
    return reader.console.campaigns.freeze(
        reader.actor,
        name=wanted.name,
        deadline=wanted.deadline_time,
        undecided=wanted.rule,
        split=wanted.split_by,
        stages=wanted.stages,
        reviewer_issuer=wanted.reviewer_issuer,
        on_step=on_step,
    )


def _freezes(request: Request) -> Freezes:
    state = request.app.state
    # No other task runs between the two lines.
    if not hasattr(state, "freezes"):
        state.freezes = Freezes()
    found: Freezes = state.freezes
    return found
