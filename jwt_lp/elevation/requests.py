"""Requests to the endpoints of elevation: bodies in JSON, query strings and idempotency keys, all read strictly."""

from __future__ import annotations

import re
from http import HTTPStatus
from typing import TYPE_CHECKING, Final, NamedTuple
from urllib.parse import parse_qsl

from jwt_lp.elevation.refusals import bad_request
from jwt_lp.errors import InvalidToken
from jwt_lp.jose.jws import read_json

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from jwt_lp.guard.guard import Guard
    from jwt_lp.tokens.claims import AccessToken

MAX_BODY: Final = 8 * 1024
MAX_QUERY: Final = 1024
MAX_PAGE: Final = 100
DEFAULT_PAGE: Final = 50

_JSON: Final = "application/json"
_MAX_CONTENT_TYPE: Final = 256
# A String of RFC 9651, section 3.3.3, without escapes; many clients leave the quotes out.
_KEY: Final = re.compile(r'"([\x21\x23-\x5b\x5d-\x7e]{1,128})"|([A-Za-z0-9._~:/+=-]{1,128})')
_ID: Final = re.compile(r"[A-Za-z0-9_-]{1,64}")


class ElevationCall(NamedTuple):
    """One request to an endpoint, as a host passes it in.

    `token` is what `guard` has verified, and `path` the whole path of the URL. `content_type` and `query` are as sent,
    `idempotency_key` is every line of that header. A host need not read more than `MAX_BODY` + 1 bytes of the body.
    """

    guard: Guard
    token: AccessToken
    path: str
    content_type: str | None = None
    body: bytes = b""
    idempotency_key: Sequence[str] = ()
    query: str = ""

    def __repr__(self) -> str:
        return "ElevationCall(masked)"


class WantedElevation(NamedTuple):
    """What a request asks for; `seconds` is None for the longest time that the policy allows."""

    permission: str
    reason: str
    ticket: str
    seconds: int | None
    break_glass: bool


class Answered(NamedTuple):
    """What somebody answers: a reason, and for an approval the digest of what was seen."""

    reason: str
    digest: str


class WantedPage(NamedTuple):
    """Which elevations a list has: those that wait for the caller's decision, or the caller's own."""

    waiting: bool
    after: str
    limit: int


def read_wanted(content_type: str | None, body: bytes) -> WantedElevation:
    """What the body asks for; `RequestRefused` for any other body."""
    members = _read_members(content_type, body, {"permission", "reason", "ticket", "seconds", "break_glass"})
    permission = _text(members, "permission")
    if not permission:
        raise bad_request("permission is needed, and is not empty.", "missing")
    seconds, break_glass = members.get("seconds"), members.get("break_glass", False)
    if seconds is not None and type(seconds) is not int:
        raise bad_request("seconds is a whole number.", "seconds")
    # INVARIANT: nothing but true takes a permission without an approval.
    if not isinstance(break_glass, bool):
        raise bad_request("break_glass is true or false.", "break_glass")
    return WantedElevation(permission, _text(members, "reason"), _text(members, "ticket"), seconds, break_glass)


def read_answer(content_type: str | None, body: bytes, *, approval: bool) -> Answered:
    """The body of a decision: a reason, which may be left out, and for an approval the digest of what was seen."""
    if not body and not approval:
        return Answered("", "")
    members = _read_members(content_type, body, {"reason", "digest"} if approval else {"reason"})
    digest = _text(members, "digest")
    if approval and not digest:
        raise bad_request("digest is needed: that of the elevation which you have seen.", "missing")
    return Answered(_text(members, "reason"), digest)


def read_key(lines: Sequence[str]) -> str:
    """The key of the header `Idempotency-Key`, "" without one."""
    if not lines:
        return ""
    match = _KEY.fullmatch(lines[0].strip(" \t")) if len(lines) == 1 else None
    if match is None:
        raise bad_request(
            'Idempotency-Key is sent once, as a string of 1 to 128 characters, such as "9b1deb4d-3b7d".',
            "idempotency_key",
        )
    return match[1] or match[2]


def read_page(query: str) -> WantedPage:
    """Which page the query string asks for: `waiting`, `after` and `limit`, each at most once."""
    pairs: list[tuple[str, str]] | None = []
    try:
        if query:
            pairs = parse_qsl(query, keep_blank_values=True, strict_parsing=True, errors="strict", max_num_fields=3)
    except ValueError:
        pairs = None
    if pairs is None or len(query) > MAX_QUERY or len(dict(pairs)) < len(pairs):
        raise bad_request("The query string cannot be read: it has waiting, after and limit, each once.", "query")
    values = dict(pairs)
    waiting, after, limit = values.pop("waiting", "false"), values.pop("after", ""), values.pop("limit", "")
    if values or waiting not in ("true", "false") or (after and not is_id(after)):
        raise bad_request("The query string has waiting=true or false, after=ID and limit=NUMBER only.", "query")
    if limit and not (limit.isascii() and limit.isdigit() and len(limit) <= 3 and 1 <= int(limit) <= MAX_PAGE):  # noqa: PLR2004 - digits of MAX_PAGE
        raise bad_request(f"limit is a number from 1 to {MAX_PAGE}.", "query")
    return WantedPage(waiting == "true", after, int(limit or DEFAULT_PAGE))


def is_id(text: str) -> bool:
    """Whether an elevation may have this id; any other text names none."""
    return _ID.fullmatch(text) is not None


def _read_members(content_type: str | None, body: bytes, known: Collection[str]) -> Mapping[str, object]:
    if len(body) > MAX_BODY:
        raise bad_request(
            f"The body is longer than {MAX_BODY} bytes.", "too_large", HTTPStatus.REQUEST_ENTITY_TOO_LARGE
        )
    if not _is_json(content_type or ""):
        raise bad_request(f"The body is {_JSON}, in UTF-8.", "content_type", HTTPStatus.UNSUPPORTED_MEDIA_TYPE)
    try:
        members = read_json(body, "body")
    except InvalidToken as error:
        # Its detail says what is wrong, and shows nothing of the text.
        raise bad_request(f"The body cannot be read: {error.detail}.", "malformed") from None
    if members.keys() - known:
        raise bad_request(f"The body has other members than {', '.join(sorted(known))}.", "unknown_member")
    return members


def _is_json(content_type: str) -> bool:
    name, *parameters = content_type[:_MAX_CONTENT_TYPE].split(";")
    charsets = [each.strip().lower().replace('"', "") for each in parameters if each.strip()]
    return name.strip().lower() == _JSON and all(each == "charset=utf-8" for each in charsets)


def _text(members: Mapping[str, object], name: str) -> str:
    value = members.get(name, "")
    if isinstance(value, str):
        return value
    raise bad_request(f"{name} is a string.", "not_a_string")
