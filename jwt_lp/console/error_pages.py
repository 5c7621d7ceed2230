"""Pages for what the console refuses or cannot do."""

from __future__ import annotations

from http import HTTPStatus
from typing import TYPE_CHECKING, Any, cast

from starlette.exceptions import HTTPException

from jwt_lp.console.answers import page
from jwt_lp_starlette import Refused

if TYPE_CHECKING:
    from collections.abc import Mapping

    from starlette.requests import Request
    from starlette.responses import Response


def handlers() -> Mapping[Any, Any]:
    """The exception handlers of the application."""
    return {Refused: _refused, HTTPException: _http_error}


async def _refused(request: Request, error: Exception) -> Response:
    """A refusal of the guard, with its status, its challenge and its reference."""
    refusal = cast("Refused", error).refusal
    answer = error_page(request, refusal.status, refusal.advice or refusal.description, refusal.reference)
    for name, value in refusal.headers.items():
        if name.lower() != "content-type":
            answer.headers[name] = value
    return answer


async def _http_error(request: Request, error: Exception) -> Response:
    failed = cast("HTTPException", error)
    detail = "" if failed.detail == HTTPStatus(failed.status_code).phrase else failed.detail
    answer = error_page(request, failed.status_code, detail)
    for name, value in (failed.headers or {}).items():
        answer.headers[name] = value
    return answer


def error_page(request: Request, status: int, text: str = "", reference: str = "") -> Response:
    """A page that says what is wrong, in the look of the console."""
    heading = HTTPStatus(status).phrase
    return page(request, "error.html", {"heading": heading, "text": text, "reference": reference}, status)
