"""Forms: bodies of POST requests, read once and bounded, before the guard decides.

A form carries the CSRF token in a hidden field, because a form without a script cannot send a header. The middleware
hands that value to the guard as the header it knows; the guard's own check decides.
"""

from __future__ import annotations

from dataclasses import dataclass
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import parse_qsl

from starlette.datastructures import FormData, Headers, UploadFile
from starlette.exceptions import HTTPException

from jwt_lp.console.parameters import whole_number

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Awaitable, Callable, Iterator, MutableMapping

    from starlette.requests import Request

CSRF_FIELD: Final = "csrf_token"
"""The hidden field that holds the CSRF token."""

MAX_FORM: Final = 1024 * 1024
MAX_UPLOAD: Final = 10 * 1024 * 1024
MAX_FIELDS: Final = 5000
MAX_PARTS: Final = 100
"""The most fields of a form that uploads a file, because each is a part with headers, which take long to read."""

FORM_KEY: Final = "jwt_lp.console.form"
_HEADER: Final = b"x-csrf-token"
_URLENCODED: Final = "application/x-www-form-urlencoded"
_MULTIPART: Final = "multipart/form-data"


@dataclass(frozen=True, slots=True)
class Form:
    """The fields of a form in their order, and the uploaded files as bytes."""

    fields: tuple[tuple[str, str], ...] = ()
    files: tuple[tuple[str, bytes], ...] = ()

    def get(self, name: str, default: str = "") -> str:
        """The value of a field, without spaces around it; `default` if it was not sent. 400 if it was sent twice."""
        values = self.all(name)
        if len(values) > 1:
            raise HTTPException(HTTPStatus.BAD_REQUEST, f"the field {name!a} was sent more than once")
        return values[0].strip() if values else default

    def all(self, name: str) -> tuple[str, ...]:
        """Every value of a field, unchanged, in the order of the form."""
        return tuple(value for key, value in self.fields if key == name)

    def names(self) -> Iterator[str]:
        """The names of the fields, each once, in the order of the form."""
        yield from dict.fromkeys(name for name, _ in self.fields)

    def file(self, name: str) -> bytes | None:
        """The content of an uploaded file; None if none was sent."""
        return next((content for key, content in self.files if key == name), None)


async def form_of(request: Request) -> Form:
    """The form of a POST request, parsed and bounded; its CSRF token was checked before the view was called."""
    form = request.scope.get(FORM_KEY)
    if not isinstance(form, Form):
        raise HTTPException(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, "this request carries no form")
    return form


class FormMiddleware:
    """Reads the form of each POST request, and hands its CSRF token to the guard as a header. Pure ASGI."""

    def __init__(self, app: Callable[..., Awaitable[None]], fail: Callable[..., Awaitable[None]]) -> None:
        self.app = app
        self._fail = fail

    async def __call__(self, scope: MutableMapping[str, Any], receive: Any, send: Any) -> None:
        """Read the form, then pass the call on."""
        if scope["type"] == "http" and scope["method"] == "POST":
            try:
                form, receive = await _read_form(Headers(scope=scope), receive)
            except HTTPException as error:
                await self._fail(scope, receive, send, error)
                return
            if form is not None:
                scope = {**scope, FORM_KEY: form}
                token = form.all(CSRF_FIELD)
                if len(token) == 1 and _HEADER not in (name for name, _ in scope["headers"]):
                    scope["headers"] = [*scope["headers"], (_HEADER, token[0].encode("latin-1", "replace"))]
        await self.app(scope, receive, send)


async def _read_form(headers: Headers, receive: Any) -> tuple[Form | None, Any]:
    """The form in the body, None if the body is something else; and what gives the body to who reads it once more."""
    kind = headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind not in (_URLENCODED, _MULTIPART):
        return None, receive
    # INVARIANT: only who sends some cookie may have so much read into memory before the guard has decided.
    limit = MAX_UPLOAD if kind == _MULTIPART and headers.get("cookie") else MAX_FORM
    body = await _read_body(headers, receive, limit)
    form = await _parse_multipart(headers, body) if kind == _MULTIPART else _parse_urlencoded(body)
    messages = [{"type": "http.request", "body": body, "more_body": False}]

    async def replay() -> Any:
        return messages.pop() if messages else await receive()

    return form, replay


async def _read_body(headers: Headers, receive: Any, limit: int) -> bytes:
    too_long = HTTPException(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, f"a form has at most {limit:,} bytes")
    if (whole_number(headers.get("content-length", "")) or 0) > limit:
        raise too_long
    parts: list[bytes] = []
    size = 0
    while True:
        message = await receive()
        if message["type"] != "http.request":
            raise HTTPException(HTTPStatus.BAD_REQUEST, "the body of the request ended early")
        parts.append(message.get("body", b""))
        size += len(parts[-1])
        if size > limit:
            raise too_long
        if not message.get("more_body"):
            return b"".join(parts)


def _parse_urlencoded(body: bytes) -> Form:
    try:
        pairs = parse_qsl(body.decode("ascii"), keep_blank_values=True, errors="strict", max_num_fields=MAX_FIELDS)
    except ValueError:
        raise HTTPException(HTTPStatus.BAD_REQUEST, "the form cannot be read") from None
    return Form(_checked(pairs))


async def _parse_multipart(headers: Headers, body: bytes) -> Form:
    from starlette.formparsers import MultiPartException, MultiPartParser

    async def stream() -> AsyncGenerator[bytes, None]:
        yield body

    # INVARIANT: who sends a form does not choose its encoding, because some of Python's take minutes for a megabyte.
    # No browser names one here.
    if "charset" in headers["content-type"].lower():
        raise HTTPException(HTTPStatus.BAD_REQUEST, "the form cannot be read: it is sent in UTF-8, without a charset")
    try:
        data: FormData = await MultiPartParser(headers, stream(), max_files=4, max_fields=MAX_PARTS).parse()
    except (MultiPartException, KeyError, UnicodeDecodeError):
        raise HTTPException(HTTPStatus.BAD_REQUEST, "the form cannot be read") from None
    fields: list[tuple[str, str]] = []
    files: list[tuple[str, bytes]] = []
    try:
        for name, value in data.multi_items():
            if isinstance(value, UploadFile):
                files.append((name, await value.read()))
            else:
                fields.append((name, value))
    finally:
        await data.close()
    return Form(_checked(fields), tuple(files))


def _checked(pairs: list[tuple[str, str]]) -> tuple[tuple[str, str], ...]:
    # No store keeps NUL, and no person types it.
    if any("\0" in name or "\0" in value for name, value in pairs):
        raise HTTPException(HTTPStatus.BAD_REQUEST, "the form holds a NUL character")
    return tuple(pairs)
