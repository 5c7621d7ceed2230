"""Worksheets of campaigns: downloaded to decide in a spreadsheet, and sent back."""

from __future__ import annotations

import io
import zipfile
from http import HTTPStatus
from typing import TYPE_CHECKING

from starlette.concurrency import run_in_threadpool
from starlette.responses import Response
from starlette.routing import Route

from jwt_lp.console.answers import page, see_other
from jwt_lp.console.decide_data import find_part
from jwt_lp.console.forms import form_of
from jwt_lp.console.navigation import DECIDE, READ
from jwt_lp.console.reader import Reader, reader_of
from jwt_lp.errors import CampaignRefused, ConfigurationError, InvalidDecision
from jwt_lp.permissions.requirements import any_of
from jwt_lp.review.quantities import count_noun
from jwt_lp_starlette import requires

if TYPE_CHECKING:
    from starlette.requests import Request

    from jwt_lp.campaigns import CampaignWorksheet
    from jwt_lp.stores.campaigns import Campaign


def routes() -> list[Route]:
    """The routes of this module."""
    return [
        Route("/campaigns/{id}/worksheet", download, methods=["GET"], name="worksheet"),
        Route("/campaigns/{id}/worksheet/upload", ask, methods=["GET"], name="worksheet_upload"),
        Route("/campaigns/{id}/worksheet/upload", upload, methods=["POST"], name="worksheet_read"),
    ]


@requires(any_of(READ, DECIDE))
async def download(request: Request) -> Response:
    """Send the worksheet of a part, or of the whole campaign, with its sheet file, as one archive.

    With `file=csv` it is the worksheet alone.
    """
    reader, part = reader_of(request), request.query_params.get("part")
    sheet = await run_in_threadpool(_load_worksheet, reader, request.path_params["id"], part)
    if request.query_params.get("file") == "csv":
        return _attachment(sheet.text.encode(), "decide.csv", "text/csv; charset=utf-8")
    return _attachment(_archive(sheet), "decide.zip", "application/zip")


@requires(DECIDE)
async def ask(request: Request) -> Response:
    """Show the form for a worksheet that was filled in."""
    reader, part = reader_of(request), request.query_params.get("part", "")
    return await _upload_page(request, reader, part)


@requires(DECIDE)
async def upload(request: Request) -> Response:
    """Take the decisions of a worksheet."""
    reader, form = reader_of(request), await form_of(request)
    campaign_id, part = request.path_params["id"], form.get("part")
    content = form.file("worksheet") or b""
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError:
        fault = "The file is not UTF-8 text: save it as CSV in UTF-8."
        return await _upload_page(request, reader, part, (fault,))
    try:
        result = await run_in_threadpool(
            reader.console.campaigns.read_worksheet, reader.actor, campaign_id, text, part=part
        )
    except InvalidDecision as error:
        return await _upload_page(request, reader, part, error.faults)
    except ConfigurationError as error:
        return await _upload_page(request, reader, part, tuple(str(error).splitlines()))
    told = f"{count_noun(len(result.changed), 'decision')} saved."
    if result.conflicts:
        told += f" {count_noun(len(result.conflicts), 'item')} changed meanwhile and stayed as they are."
    return see_other(request, "decide", id=campaign_id, part=part, notice=told)


async def _upload_page(request: Request, reader: Reader, part: str, faults: tuple[str, ...] = ()) -> Response:
    campaign = await run_in_threadpool(_check_part, reader, request.path_params["id"], part)
    context = {"campaign": campaign, "part": part, "faults": faults}
    status = HTTPStatus.UNPROCESSABLE_ENTITY if faults else HTTPStatus.OK
    return page(request, "worksheet_upload.html", context, status)


def _check_part(reader: Reader, campaign_id: str, part: str) -> Campaign:
    campaign = reader.console.campaigns.get(campaign_id)
    find_part(reader, campaign, part)
    return campaign


def _load_worksheet(reader: Reader, campaign_id: str, part: str | None) -> CampaignWorksheet:
    if part is not None:
        _check_part(reader, campaign_id, part)
    elif not reader.may_read:
        raise CampaignRefused("name the part that you decide about", reason="part")
    return reader.console.campaigns.worksheet(campaign_id, part)


def _archive(sheet: CampaignWorksheet) -> bytes:
    """Both files: a plan is made of the two together."""
    output = io.BytesIO()
    with zipfile.ZipFile(output, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("decide.csv", sheet.text)
        archive.writestr("decide.sheet.json", sheet.sheet)
    return output.getvalue()


def _attachment(content: bytes, name: str, kind: str) -> Response:
    return Response(content, media_type=kind, headers={"Content-Disposition": f'attachment; filename="{name}"'})
