"""Steps of a campaign: assigning and delegating parts, reminding reviewers, closing and cancelling."""

from __future__ import annotations

from http import HTTPStatus
from typing import TYPE_CHECKING, Final

from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.routing import Route

from jwt_lp.console.answers import page, see_other
from jwt_lp.console.campaign_forms import read_reviewer, read_version
from jwt_lp.console.decide_data import policy_moved
from jwt_lp.console.forms import Form, form_of
from jwt_lp.console.navigation import APPLY, DECIDE
from jwt_lp.console.reader import Reader, reader_of
from jwt_lp.review.quantities import count_noun
from jwt_lp_starlette import requires

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.responses import Response

    from jwt_lp.campaigns import Campaigns
    from jwt_lp.stores.audit import Actor

MAX_REASON: Final = 500


def routes() -> list[Route]:
    """The routes of this module."""
    return [
        Route("/campaigns/{id}/assign", assign, methods=["POST"], name="campaign_assign"),
        Route("/campaigns/{id}/delegate", delegate, methods=["POST"], name="campaign_delegate"),
        Route("/campaigns/{id}/remind", remind, methods=["POST"], name="campaign_remind"),
        Route("/campaigns/{id}/close", confirm_close, methods=["GET"], name="campaign_close"),
        Route("/campaigns/{id}/close", close, methods=["POST"], name="campaign_closed"),
        Route("/campaigns/{id}/cancel", cancel, methods=["POST"], name="campaign_cancel"),
    ]


@requires(APPLY)
async def assign(request: Request) -> Response:
    """Give a part to a reviewer, or to nobody."""
    form = await form_of(request)
    part, reviewer = form.get("part"), _reviewer(form)
    await run_in_threadpool(
        _engine(request).assign, _actor(request), _id(request), part, reviewer, version=read_version(form)
    )
    told = f"{_named(part)} is assigned to {reviewer.subject if reviewer is not None else 'nobody'}."
    return see_other(request, "campaign", id=_id(request), notice=told)


@requires(DECIDE)
async def delegate(request: Request) -> Response:
    """Give one's own part to another reviewer."""
    form = await form_of(request)
    part, reviewer = form.get("part"), _reviewer(form)
    if reviewer is None:
        raise HTTPException(HTTPStatus.UNPROCESSABLE_ENTITY, "name whom the part is given to: issuer and subject")
    await run_in_threadpool(
        _engine(request).delegate, _actor(request), _id(request), part, reviewer, version=read_version(form)
    )
    return see_other(request, "campaigns", notice=f"{_named(part)} is given to {reviewer.subject}.")


@requires(APPLY)
async def remind(request: Request) -> Response:
    """Remind the reviewers with open items, or the one of `part`."""
    form = await form_of(request)
    if not reader_of(request).console.webhooks:
        raise HTTPException(HTTPStatus.CONFLICT, "Reviewers are reminded by a webhook, and this console has none.")
    part = form.get("part") if form.all("part") else None
    result = await run_in_threadpool(_engine(request).remind, _actor(request), _id(request), part=part)
    told = f"{count_noun(len(result.sent), 'reviewer')} reminded."
    if result.skipped:
        told += f" {count_noun(len(result.skipped), 'part')} left out: reminded within a day, nothing open, or nobody."
    if result.failed:
        failed, why = result.failed[0]
        told += f" {count_noun(len(result.failed), 'reminder')} failed; the first one, of {_named(failed)}: {why}"
    return see_other(request, "campaign", id=_id(request), notice=told)


@requires(APPLY)
async def confirm_close(request: Request) -> Response:
    """Ask before closing: show what the rule of the deadline decides."""
    reader, campaign_id = reader_of(request), _id(request)
    return page(request, "campaign_close.html", await run_in_threadpool(_load_close, reader, campaign_id))


def _load_close(reader: Reader, campaign_id: str) -> dict[str, object]:
    console = reader.console
    progress = console.campaigns.progress(campaign_id)
    campaign = progress.campaign
    return {
        "campaign": campaign,
        "open": progress.open,
        "open_parts": [part for part in progress.parts if part.decided < part.items][:60],
        "state": campaign.state(console.clock()),
        "policy_moved": policy_moved(console, campaign),
    }


@requires(APPLY)
async def close(request: Request) -> Response:
    """Close the campaign; what is open is decided by the rule of the deadline."""
    form = await form_of(request)
    early = form.get("early") == "yes"
    await run_in_threadpool(_engine(request).close, _actor(request), _id(request), early=early)
    return see_other(request, "campaign", id=_id(request), notice="The campaign is closed. Its plan can be made now.")


@requires(APPLY)
async def cancel(request: Request) -> Response:
    """Give the campaign up."""
    form = await form_of(request)
    reason = form.get("reason")
    if not reason or len(reason) > MAX_REASON:
        raise HTTPException(
            HTTPStatus.UNPROCESSABLE_ENTITY, f"say why the campaign is cancelled, in at most {MAX_REASON} characters"
        )
    await run_in_threadpool(_engine(request).cancel, _actor(request), _id(request), reason=reason)
    return see_other(request, "campaign", id=_id(request), notice="The campaign is cancelled.")


def _engine(request: Request) -> Campaigns:
    return reader_of(request).console.campaigns


def _actor(request: Request) -> Actor:
    return reader_of(request).actor


def _id(request: Request) -> str:
    found: str = request.path_params["id"]
    return found


def _named(part: str) -> str:
    return f"The part {part}" if part else "The part with nobody in charge"


def _reviewer(form: Form) -> Actor | None:
    try:
        return read_reviewer(form)
    except ValueError as error:
        raise HTTPException(HTTPStatus.UNPROCESSABLE_ENTITY, str(error)) from None
