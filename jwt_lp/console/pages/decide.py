"""Decide: the list of one part, the preview of what decisions would break, and their saving."""

from __future__ import annotations

from http import HTTPStatus
from typing import TYPE_CHECKING, Any, NamedTuple

from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.routing import Route

from jwt_lp.console.answers import page, see_other
from jwt_lp.console.campaign_words import RULE_WORDS
from jwt_lp.console.decide_data import SHOWS, DecidePage, Place, load_page, read_position
from jwt_lp.console.decision_form import read_answers
from jwt_lp.console.forms import Form, form_of
from jwt_lp.console.intentions import Intention, find_breakage, intend
from jwt_lp.console.navigation import DECIDE, READ
from jwt_lp.console.reader import Reader, reader_of
from jwt_lp.errors import CampaignRefused, InvalidDecision
from jwt_lp.permissions.requirements import any_of
from jwt_lp.review.quantities import count_noun
from jwt_lp.review.report.wording import VERDICTS
from jwt_lp_starlette import requires

if TYPE_CHECKING:
    from collections.abc import Mapping

    from starlette.requests import Request
    from starlette.responses import Response

    from jwt_lp.stores.campaigns import CampaignItem, DecideResult, WantedDecision


def routes() -> list[Route]:
    """The routes of this module."""
    return [
        Route("/campaigns/{id}/decide", decide, methods=["GET"], name="decide"),
        Route("/campaigns/{id}/decide", save, methods=["POST"], name="decide_save"),
        Route("/campaigns/{id}/preview", preview, methods=["POST"], name="preview"),
    ]


class Conflict(NamedTuple):
    """An item as it is now, and the decision that was not written because the item had changed."""

    item: CampaignItem
    wanted: WantedDecision

    @property
    def finding(self) -> Mapping[str, Any]:
        """The finding that is decided about."""
        return self.item.finding


@requires(any_of(READ, DECIDE))
async def decide(request: Request) -> Response:
    """Show the items of a part; without `part`, send a reviewer to their own one."""
    reader = reader_of(request)
    query = request.query_params
    campaign: str = request.path_params["id"]
    if "part" not in query:
        own = await run_in_threadpool(reader.parts_in, campaign)
        if len(own) != 1:
            return see_other(request, "campaign" if reader.may_read else "campaigns", id=campaign)
        return see_other(request, "decide", id=campaign, part=own[0].name)
    place = _place(campaign, query["part"], query.get("show"), query.get("group"), query.get("after"))
    shown = await run_in_threadpool(load_page, reader, place)
    return _decide_page(request, shown.with_all_ticked() if query.get("tick") == "all" else shown)


@requires(DECIDE)
async def preview(request: Request) -> Response:
    """Show what the decisions of the form would change; nothing is written. With `step=back`, the form again."""
    reader, form = reader_of(request), await form_of(request)
    place, answers = _place_of(request, form), read_answers(form.fields)
    shown = await run_in_threadpool(load_page, reader, place, answers)
    _check_may_decide(shown)
    if form.get("step") == "back":
        return _decide_page(request, shown)
    if answers.faults:
        return _decide_page(request, shown, HTTPStatus.UNPROCESSABLE_ENTITY)
    intention = await run_in_threadpool(_intend, reader, shown)
    return await _preview_page(request, shown, intention)


@requires(DECIDE)
async def save(request: Request) -> Response:
    """Write the decisions of the form; show those about items that somebody else decided about meanwhile."""
    reader, form = reader_of(request), await form_of(request)
    place, answers = _place_of(request, form), read_answers(form.fields)
    shown = await run_in_threadpool(load_page, reader, place, answers)
    _check_may_decide(shown)
    if answers.faults:
        return _decide_page(request, shown, HTTPStatus.UNPROCESSABLE_ENTITY)
    intention = await run_in_threadpool(_intend, reader, shown)
    if intention.changed:
        return await _preview_page(request, shown, intention, HTTPStatus.CONFLICT)
    try:
        result = await run_in_threadpool(reader.decide, place.campaign, intention.wanted, place.part)
    except InvalidDecision as error:
        refused = await run_in_threadpool(load_page, reader, place, answers.with_faults(error.faults))
        return _decide_page(request, refused, HTTPStatus.UNPROCESSABLE_ENTITY)
    conflicts = _real_conflicts(reader, result, intention.wanted)
    if conflicts:
        return _conflict_page(request, shown, conflicts, len(result.changed))
    saved = f"{count_noun(len(result.changed), 'decision')} saved."
    return see_other(request, "decide", notice=saved, **place.query())


def _intend(reader: Reader, shown: DecidePage) -> Intention:
    engine, place = reader.console.campaigns, shown.place
    return intend(engine, place.campaign, place.part, reader.actor, shown.answers)


def _check_may_decide(shown: DecidePage) -> None:
    if shown.refusal:
        raise CampaignRefused(shown.refusal, reason="part")


def _place_of(request: Request, form: Form) -> Place:
    return _place(request.path_params["id"], form.get("part"), form.get("show"), form.get("group"), form.get("after"))


def _place(campaign: str, part: str, show: str | None, group: str | None, after: str | None) -> Place:
    if (show or "open") not in SHOWS:
        raise HTTPException(HTTPStatus.BAD_REQUEST, f"show is one of {', '.join(SHOWS)}")
    return Place(campaign, part, show or "open", group or "", read_position(after))


def _decide_page(request: Request, shown: DecidePage, status: int = HTTPStatus.OK) -> Response:
    words = {"rules": RULE_WORDS, "verdicts": VERDICTS}
    return page(request, "decide.html", {"shown": shown, "answers": shown.answers, **words}, status)


async def _preview_page(
    request: Request, shown: DecidePage, intention: Intention, status: int = HTTPStatus.OK
) -> Response:
    engine = reader_of(request).console.campaigns
    breakage = await run_in_threadpool(find_breakage, engine, shown.campaign.id, intention.wanted)
    context = {"shown": shown, "intention": intention, "breakage": breakage}
    return page(request, "decide_preview.html", context, status)


def _real_conflicts(reader: Reader, result: DecideResult, wanted: tuple[WantedDecision, ...]) -> list[Conflict]:
    """The conflicts that are not one's own decision, sent twice."""
    by_id = {each.item: each for each in wanted}
    return [Conflict(item, by_id[item.id]) for item in result.conflicts if not reader.has_decided(item, by_id[item.id])]


def _conflict_page(request: Request, shown: DecidePage, conflicts: list[Conflict], saved: int) -> Response:
    context = {"shown": shown, "conflicts": conflicts, "saved": saved}
    return page(request, "decide_conflicts.html", context, HTTPStatus.CONFLICT)
