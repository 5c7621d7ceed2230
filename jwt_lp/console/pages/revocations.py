"""Revocations: what is refused before tokens expire, new ones, and lifting them."""

from __future__ import annotations

from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Final

from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.routing import Route

from jwt_lp import any_of
from jwt_lp.console.answers import page, see_other
from jwt_lp.console.audit_notes import note_done, text_of
from jwt_lp.console.forms import form_of
from jwt_lp.console.navigation import READ, REVOKE
from jwt_lp.console.parameters import before_parameter
from jwt_lp.console.propagation import announce
from jwt_lp.console.revocation_form import OPTIONS, RevocationForm, hits_of
from jwt_lp.console.state import actor_of, console_of
from jwt_lp.errors import StoreError
from jwt_lp.review.plan.deny_entries import ENTRY_ID_PREFIX
from jwt_lp.review.report.wording import shorten
from jwt_lp.revocation.wanted import MAX_REASON, describe_entry
from jwt_lp.stores import RevocationFilter
from jwt_lp_starlette import can, requires

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from starlette.requests import Request
    from starlette.responses import Response

    from jwt_lp.console.forms import Form
    from jwt_lp.console.state import ConsoleState
    from jwt_lp.stores import StoredRevocation

PAGE: Final = 60


def routes() -> list[Route]:
    """The routes of this module."""
    return [
        Route("/revocations", revocations, name="revocations"),
        Route("/revocations/new", revocation_new, name="revocation_new"),
        Route("/revocations/new", revocation_write, name="revocation_write", methods=["POST"]),
        Route("/revocations/{number:int}", revocation, name="revocation"),
        Route("/revocations/{number:int}/lift", revocation_lift, name="revocation_lift", methods=["POST"]),
    ]


@requires(any_of(READ, REVOKE))
async def revocations(request: Request) -> Response:
    """List the entries in force, or all, the newest first; with a holder in the query, those about it."""
    return await run_in_threadpool(_list, request)


@requires(any_of(READ, REVOKE))
async def revocation(request: Request) -> Response:
    """Show one entry, and lift it."""
    return await run_in_threadpool(_show, request)


@requires(REVOKE)
async def revocation_new(request: Request) -> Response:
    """Show the form of a new revocation; the query fills it."""
    return await run_in_threadpool(_show_form, request, RevocationForm.from_values(request.query_params))


@requires(REVOKE)
async def revocation_write(request: Request) -> Response:
    """Show what a new revocation refuses, and write it once that is confirmed."""
    form = await form_of(request)
    return await run_in_threadpool(_write, request, form)


@requires(REVOKE)
async def revocation_lift(request: Request) -> Response:
    """Lift one entry."""
    form = await form_of(request)
    return await run_in_threadpool(_lift, request, form)


def _list(request: Request) -> Response:
    console, query = console_of(request), request.query_params
    lifted, before = query.get("lifted") == "yes", before_parameter(request)
    of, issuer, name = (query.get(key, "") or None for key in ("of", "issuer", "name"))
    which = RevocationFilter(
        lifted=None if lifted else False,
        of=of if name else None,
        issuer=issuer,
        name=name,
        before=before,
        limit=PAGE + 1,
    )
    found = console.store.revocation_page(which)
    shown = found[:PAGE]
    context = {
        "rows": _rows(console, shown),
        "lifted": lifted,
        "next": shown[-1].sequence if len(found) > PAGE else None,
        "holder": name or "",
        "of": of or "subject",
        "issuer": issuer or "",
        "may_write": can(request, REVOKE),
    }
    return page(request, "revocations.html", context)


def _rows(console: ConsoleState, found: Iterable[StoredRevocation]) -> list[Mapping[str, Any]]:
    return [{"row": row, "text": describe_entry(row.entry, shorten), "state": _state(console, row)} for row in found]


def _state(console: ConsoleState, row: StoredRevocation) -> str:
    if row.lifted_at is not None:
        return "lifted"
    until = row.entry.until
    return "over" if row.entry.kind == "deny" and until is not None and until <= console.clock() else "in force"


def _show(request: Request, *, fault: str = "", status: int = HTTPStatus.OK) -> Response:
    console = console_of(request)
    row = _find(request, console)
    context = {
        **_rows(console, [row])[0],
        "fault": fault,
        "of_plan": row.entry.id.startswith(ENTRY_ID_PREFIX),
        "may_write": can(request, REVOKE),
    }
    return page(request, "revocation.html", context, status)


def _show_form(
    request: Request, wanted: RevocationForm, faults: Mapping[str, str] | None = None, status: int = HTTPStatus.OK
) -> Response:
    issuers = [issuer for issuer in console_of(request).store.issuers() if issuer][:PAGE]
    if not wanted.issuer and len(issuers) == 1:
        wanted = wanted._replace(issuer=issuers[0])
    context = {"wanted": wanted, "faults": faults or {}, "options": OPTIONS, "issuers": issuers}
    return page(request, "revocation_new.html", context, status)


def _write(request: Request, form: Form) -> Response:
    console, actor = console_of(request), actor_of(request)
    wanted = RevocationForm.from_values({name: form.get(name) for name in RevocationForm._fields})
    entry, faults = wanted.check(console.clock())
    if entry is None:
        return _show_form(request, wanted, faults, HTTPStatus.BAD_REQUEST)
    # The id of the entry comes from the preview, so nothing is written that was not shown.
    if form.get("step") != "write" or not wanted.entry:
        context = {"wanted": wanted.with_id(), "text": describe_entry(entry, shorten), "hits": hits_of(console, entry)}
        return page(request, "revocation_preview.html", context)
    try:
        sequence = console.store.revoke([entry], at=console.clock(), by=text_of(actor))
    except StoreError:
        if not _is_written(console, entry.id):
            raise
        return see_other(request, "revocations", notice="This was revoked already.")
    details = {"entry": entry.id, "of": entry.of, "issuer": entry.issuer, "name": entry.name, "pattern": entry.pattern}
    note_done(
        console, actor, "revoked", entry.id, **details, keep=list(entry.keep), until=entry.until, reason=entry.reason
    )
    return see_other(request, "revocation", number=sequence, notice=f"Revoked. {announce(console, sequence)}")


def _is_written(console: ConsoleState, entry_id: str) -> bool:
    """Whether the same form was sent before, so that its entry is there."""
    return bool(console.store.revocation_page(RevocationFilter(id=entry_id, limit=1)))


def _lift(request: Request, form: Form) -> Response:
    console, actor = console_of(request), actor_of(request)
    row = _find(request, console)
    if form.get("sure") != "yes":
        return _show(request, fault="Nothing was lifted: tick the box first.", status=HTTPStatus.BAD_REQUEST)
    if len(form.get("reason")) > MAX_REASON:
        fault = f"Nothing was lifted: the reason has at most {MAX_REASON:,} characters."
        return _show(request, fault=fault, status=HTTPStatus.BAD_REQUEST)
    if row.lifted_at is not None:
        return _show(request, fault="It was lifted already.", status=HTTPStatus.CONFLICT)
    try:
        sequence = console.store.lift([row.entry.id], at=console.clock())
    except StoreError:
        # Somebody may have been faster, or the store does not answer: then this raises, too.
        if _find(request, console).lifted_at is None:
            raise
        return _show(request, fault="It was lifted already.", status=HTTPStatus.CONFLICT)
    entry = row.entry
    details = {"of": entry.of, "issuer": entry.issuer, "name": entry.name, "pattern": entry.pattern}
    note_done(console, actor, "lifted", entry.id, **details, reason=form.get("reason"))
    return see_other(request, "revocation", number=row.sequence, notice=f"Lifted. {announce(console, sequence)}")


def _find(request: Request, console: ConsoleState) -> StoredRevocation:
    number: int = request.path_params["number"]
    if 0 < number < 1 << 62:
        for row in console.store.revocation_page(RevocationFilter(before=number + 1, limit=1)):
            if row.sequence == number:
                return row
    raise HTTPException(HTTPStatus.NOT_FOUND, "There is no such revocation.")
