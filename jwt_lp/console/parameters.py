"""Parameters of pages: what the address of a page asks for, checked before anything is looked up."""

from __future__ import annotations

from http import HTTPStatus
from typing import TYPE_CHECKING, Final

from starlette.exceptions import HTTPException

if TYPE_CHECKING:
    from starlette.requests import Request

MAX_NAME: Final = 1024
"""The most characters of a name, as where names are revoked. The store keeps shorter ones."""

MAX_PAGE: Final = 10_000
"""The most pages that an address can name."""


def text_parameter(request: Request, name: str, *, required: bool = False) -> str:
    """The parameter `name` of the query, "" if it is not there.

    400 if it is there twice, has more than 1,024 characters or a NUL, or is missing although `required`.
    """
    values = request.query_params.getlist(name)
    if len(values) > 1:
        raise HTTPException(HTTPStatus.BAD_REQUEST, f"{name} is given more than once")
    value = values[0] if values else ""
    if required and not value:
        raise HTTPException(HTTPStatus.BAD_REQUEST, f"{name} is missing")
    if len(value) > MAX_NAME:
        raise HTTPException(HTTPStatus.BAD_REQUEST, f"{name} is too long: at most {MAX_NAME} characters")
    if "\0" in value:
        raise HTTPException(HTTPStatus.BAD_REQUEST, f"{name} has a NUL character")
    return value


def whole_number(text: str, *, digits: int = 18) -> int | None:
    """The number that a text writes in at most so many ASCII digits, of which a BIGINT holds 18; None for anything else."""
    return int(text) if text.isascii() and text.isdecimal() and len(text) <= digits else None


def before_parameter(request: Request) -> int | None:
    """The parameter `before`, the number that the rows of a page come before; None without it, 400 for anything else."""
    value = request.query_params.get("before", "")
    if not value:
        return None
    if (number := whole_number(value)) is None:
        raise HTTPException(HTTPStatus.BAD_REQUEST, "before is a number.")
    return number


def page_parameter(request: Request) -> int:
    """The parameter `page`, a number from 0 on; 400 for anything else."""
    number = whole_number(text_parameter(request, "page") or "0", digits=len(str(MAX_PAGE)))
    if number is None or number > MAX_PAGE:
        raise HTTPException(HTTPStatus.BAD_REQUEST, f"page is a number from 0 to {MAX_PAGE}")
    return number
