"""Pages for what the console refuses or cannot do."""

from __future__ import annotations

import logging
import secrets
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Final, cast

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import PlainTextResponse

from jwt_lp.console.answers import page
from jwt_lp.console.forms import CSRF_FIELD, FORM_KEY, Form
from jwt_lp.console.origins import is_foreign
from jwt_lp.console.state import console_of
from jwt_lp.errors import (
    CampaignClosed,
    CampaignError,
    CampaignRefused,
    CampaignUnknown,
    ConfigurationError,
    ElevationError,
    ElevationInvalid,
    ElevationNotAllowed,
    ElevationTooMany,
    ElevationUnknown,
    GrammarError,
    InvalidDecision,
    JwtLpError,
    PolicyError,
    StoreError,
)
from jwt_lp_starlette import Refused

if TYPE_CHECKING:
    from collections.abc import Mapping

    from starlette.responses import Response

_LOG: Final = logging.getLogger("jwt_lp")

# An error has the status of its own class, or of the nearest one above it.
_STATUSES: Final[Mapping[type[JwtLpError], HTTPStatus]] = {
    CampaignUnknown: HTTPStatus.NOT_FOUND,
    CampaignRefused: HTTPStatus.FORBIDDEN,
    CampaignClosed: HTTPStatus.CONFLICT,
    InvalidDecision: HTTPStatus.BAD_REQUEST,
    CampaignError: HTTPStatus.CONFLICT,
    ElevationInvalid: HTTPStatus.BAD_REQUEST,
    ElevationNotAllowed: HTTPStatus.FORBIDDEN,
    ElevationUnknown: HTTPStatus.NOT_FOUND,
    ElevationTooMany: HTTPStatus.TOO_MANY_REQUESTS,
    ElevationError: HTTPStatus.CONFLICT,
    PolicyError: HTTPStatus.CONFLICT,
    GrammarError: HTTPStatus.BAD_REQUEST,
}

_TEXTS: Final[Mapping[int, str]] = {
    HTTPStatus.NOT_FOUND: "There is no such page, or what it was about does not exist.",
    HTTPStatus.METHOD_NOT_ALLOWED: "This address does not answer such a request.",
    HTTPStatus.CONFLICT: "Somebody else was faster. Open the page again to see how it is now.",
}


def handlers() -> Mapping[Any, Any]:
    """The exception handlers of the application."""
    return {
        Refused: _refused,
        HTTPException: _http_error,
        StoreError: _store_error,
        ConfigurationError: _store_error,
        JwtLpError: _unknown_error,
        **dict.fromkeys(_STATUSES, _known_error),
        Exception: _unknown_error,
    }


async def fail(scope: Any, receive: Any, send: Any, error: HTTPException) -> None:
    """Answer a request with the page of an error that happened before the guard."""
    await (await _http_error(Request(scope), error))(scope, receive, send)


def error_page(request: Request, status: int, text: str = "", reference: str = "") -> Response:
    """A page that says what is wrong, in the look of the console."""
    context = {"heading": HTTPStatus(status).phrase, "text": text or _TEXTS.get(status, ""), "reference": reference}
    return page(request, "error.html", context, status)


async def _refused(request: Request, error: Exception) -> Response:
    """A refusal of the guard, with its status, its challenge and its reference.

    A form of this origin whose session has ended, or has another CSRF token by now, is shown again, to be sent again.
    """
    refusal = cast("Refused", error).refusal
    over = refusal.status == HTTPStatus.UNAUTHORIZED
    form = request.scope.get(FORM_KEY)
    if isinstance(form, Form) and (over or refusal.error == "csrf") and not is_foreign(request):
        answer: Response = _form_again(request, form, refusal.status, refusal.reference)
    elif over:
        answer = page(request, "signed_out.html", {"reference": refusal.reference}, refusal.status)
    else:
        answer = error_page(request, refusal.status, _refusal_text(refusal.error), refusal.reference)
    for name, value in refusal.headers.items():
        if name.lower() != "content-type":
            answer.headers[name] = value
    return answer


def _refusal_text(error: str | None) -> str:
    if error == "csrf":
        return "This request did not come from a page of the console, so nothing was changed."
    if error == "insufficient_scope":
        return "Your access does not include this page."
    return "Your access could not be checked."


def _form_again(request: Request, form: Form, status: int, reference: str) -> Response:
    """The form with everything that was typed; nothing of it was accepted."""
    fields = [(name, value) for name, value in form.fields if name != CSRF_FIELD]
    context = {"fields": fields, "files": bool(form.files), "over": status == HTTPStatus.UNAUTHORIZED}
    return page(request, "form_again.html", {**context, "reference": reference}, status)


async def _http_error(request: Request, error: Exception) -> Response:
    failed = cast("HTTPException", error)
    usual = failed.detail == HTTPStatus(failed.status_code).phrase
    answer = error_page(request, failed.status_code, "" if usual else failed.detail)
    for name, value in (failed.headers or {}).items():
        answer.headers[name] = value
    return answer


async def _known_error(request: Request, error: Exception) -> Response:
    """An error of the engine whose message may be shown."""
    status = next(_STATUSES[kind] for kind in type(error).__mro__ if kind in _STATUSES)
    return error_page(request, status, str(error))


async def _store_error(request: Request, error: Exception) -> Response:
    """The store or the configuration; only who runs the console alone is told more than the log's reference."""
    reference = secrets.token_hex(5)
    _LOG.error("the console cannot answer, reference %s: %s", reference, error)
    text = "The store of the console does not answer. Try again; nothing was changed."
    if isinstance(error, ConfigurationError):
        text = "A setting of the console, or a file that it names, cannot be used. Nothing was changed."
    if console_of(request).local_operator:
        text = str(error)
    return error_page(request, HTTPStatus.SERVICE_UNAVAILABLE, text, reference)


async def _unknown_error(request: Request, error: Exception) -> Response:
    reference = secrets.token_hex(5)
    _LOG.error("the console failed, reference %s", reference, exc_info=error)
    text = "Something went wrong in the console. What you sent may have been accepted: look before you send it again."
    try:
        return error_page(request, HTTPStatus.INTERNAL_SERVER_ERROR, text, reference)
    except Exception:  # noqa: BLE001 - the layout itself may be what failed
        _LOG.exception("the page of the error %s failed too", reference)
        return PlainTextResponse(f"{text} Reference {reference}.", HTTPStatus.INTERNAL_SERVER_ERROR)
