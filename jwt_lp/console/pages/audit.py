"""Audit: the trail of who did what, its chain verified, and its export."""

from __future__ import annotations

import tempfile
from datetime import UTC, date, datetime, timedelta
from http import HTTPStatus
from typing import IO, TYPE_CHECKING, Any, Final, NamedTuple, cast

from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.responses import StreamingResponse
from starlette.routing import Route

from jwt_lp.campaigns.audit_trail import export_audit, verify_audit
from jwt_lp.console.answers import page
from jwt_lp.console.navigation import READ
from jwt_lp.console.parameters import before_parameter
from jwt_lp.console.plan_views import one_at_a_time
from jwt_lp.console.state import console_of
from jwt_lp.stores import AuditFilter
from jwt_lp.stores.audit import canonical_json
from jwt_lp.usage.row_reader import write_csv
from jwt_lp_starlette import requires

if TYPE_CHECKING:
    from collections.abc import Iterator

    from starlette.requests import Request
    from starlette.responses import Response

    from jwt_lp.stores import Store
    from jwt_lp.stores.audit import AuditEntry

PAGE: Final = 60
COLUMNS: Final = (
    "sequence", "at", "issuer", "subject", "name", "action", "campaign", "object", "details", "previous", "hash",
)  # fmt: skip

_IN_MEMORY: Final = 1 << 20
_CHUNK: Final = 1 << 16
_MAX_DETAILS: Final = 20
_MAX_FILTER: Final = 1024
_LABELS: Final = {"campaign": "campaign", "object": "about", "actor": "who", "action": "action", "day": "day"}
_TIMES: Final = ("at", "deadline", "until")


class AuditQuery(NamedTuple):
    """The filters in the query of the page, as they were typed; "" for none. `day` is a day in UTC."""

    campaign: str = ""
    object: str = ""
    actor: str = ""
    action: str = ""
    day: str = ""


def routes() -> list[Route]:
    """The routes of this module."""
    return [
        Route("/audit", audit, name="audit"),
        Route("/audit/verify", audit_verify, name="audit_verify"),
        Route("/audit/export", audit_export, name="audit_export"),
    ]


@requires(READ)
async def audit(request: Request) -> Response:
    """Show the trail, the newest entry first."""
    return await run_in_threadpool(_show, request)


@requires(READ)
async def audit_verify(request: Request) -> Response:
    """Verify the chain of hashes, and show what was found."""
    return await run_in_threadpool(_verify, request)


@requires(READ)
async def audit_export(request: Request) -> Response:
    """Send the trail as JSON lines, which `jwt-lp campaign audit` verifies, or as CSV."""
    return await run_in_threadpool(_export, request)


def _show(request: Request) -> Response:
    query, fault = _read_query(request)
    store = console_of(request).store
    paging: dict[str, Any] = {"before": before_parameter(request), "limit": PAGE + 1, "newest_first": True}
    found = [] if fault else list(store.audit_entries(_filter(query, **paging)))
    names = {each.id: each.name for each in store.campaigns()} if found else {}
    context = {
        "entries": found[:PAGE],
        "details": {each.sequence: _details(each) for each in found[:PAGE]},
        "names": names,
        "next": found[PAGE - 1].sequence if len(found) > PAGE else None,
        "query": query,
        "fault": fault,
        "filtered": any(query),
        "labels": _LABELS,
        "head": store.audit_head(),
    }
    return page(request, "audit.html", context, HTTPStatus.BAD_REQUEST if fault else HTTPStatus.OK)


def _verify(request: Request) -> Response:
    store = console_of(request).store
    with one_at_a_time():
        trail = verify_audit(store)
    return page(request, "audit_verify.html", {"trail": trail, "at": console_of(request).clock()})


def _export(request: Request) -> Response:
    form, campaign = request.query_params.get("form", "jsonl"), request.query_params.get("campaign", "")
    if form not in ("jsonl", "csv"):
        raise HTTPException(HTTPStatus.BAD_REQUEST, "form is jsonl or csv.")
    store = console_of(request).store
    # It is written to a file first, because a trail may be large, and an error must not end a file in the middle.
    file = cast("IO[str]", tempfile.SpooledTemporaryFile(_IN_MEMORY, "w+", encoding="utf-8", newline=""))  # noqa: SIM115 - it is closed when it was sent
    try:
        with one_at_a_time():
            if form == "csv":
                write_csv(file, COLUMNS, _csv_rows(store, campaign), end="\r\n")
            else:
                export_audit(store, file, campaign=campaign or None)
        file.seek(0)
    except BaseException:
        file.close()
        raise
    kind = "text/csv; charset=utf-8" if form == "csv" else "application/jsonl"
    return StreamingResponse(
        _chunks(file), media_type=kind, headers={"Content-Disposition": f'attachment; filename="audit.{form}"'}
    )


def _chunks(file: IO[str]) -> Iterator[str]:
    with file:
        while chunk := file.read(_CHUNK):
            yield chunk


def _csv_rows(store: Store, campaign: str) -> Iterator[tuple[object, ...]]:
    for each in store.audit_entries(AuditFilter(campaign=campaign or None)):
        yield (
            each.sequence, _moment(each.at), each.actor.issuer, each.actor.subject, each.actor.name, each.action,
            each.campaign, each.object, canonical_json(each.details), each.previous, each.hash,
        )  # fmt: skip


def _read_query(request: Request) -> tuple[AuditQuery, str]:
    """The filters, and what is wrong with them."""
    given = {name: request.query_params.get(name, "").strip()[:_MAX_FILTER] for name in AuditQuery._fields}
    query = AuditQuery(**{name: value.replace("\0", "") for name, value in given.items()})
    if not query.day:
        return query, ""
    try:
        known = date.fromisoformat(query.day).isoformat() == query.day and date.fromisoformat(query.day) < date.max
    except ValueError:
        known = False
    return query, "" if known else "A day is written as 2027-01-31."


def _filter(query: AuditQuery, **more: Any) -> AuditFilter:
    values: dict[str, Any] = {name: value or None for name, value in query._asdict().items() if name != "day"}
    if query.day:
        start = datetime.combine(date.fromisoformat(query.day), datetime.min.time(), UTC)
        values |= {"since": start.timestamp(), "until": (start + timedelta(days=1)).timestamp()}
    return AuditFilter(**values, **more)


def _details(entry: AuditEntry) -> list[tuple[str, str]]:
    """The details of an entry in a few words each; the export has all of them."""
    shown = [(name, value) for name, value in entry.details.items() if value not in (None, "", [], {}, False)]
    # A decision that was taken back has none.
    first = [("decision", "taken back")] if entry.action == "decided" and not entry.details.get("decision") else []
    return [*first, *((name.replace("_", " "), _shown(name, value)) for name, value in shown[:_MAX_DETAILS])]


def _shown(name: str, value: object) -> str:
    if isinstance(value, float) and name in _TIMES:
        return _moment(value)
    return value if isinstance(value, str) else canonical_json(value)


def _moment(seconds: float) -> str:
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%dT%H:%M:%SZ}"
