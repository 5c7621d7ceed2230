"""Requests of sign-in, refresh and sign-out: their bodies, as JSON or as a form, are read strictly."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from http import HTTPStatus
from typing import Final, NamedTuple
from urllib.parse import parse_qsl

from jwt_lp.errors import InvalidToken
from jwt_lp.jose.jws import read_json
from jwt_lp.signin.refusals import bad_request

MAX_BODY: Final = 8 * 1024
MAX_USERNAME: Final = 256
MAX_FIELDS: Final = 8

_JSON: Final = "application/json"
_FORM: Final = "application/x-www-form-urlencoded"
_MAX_CONTENT_TYPE: Final = 256
# A client of RFC 6749, section 4.3 or 6, says which it means.
_PASSWORD_GRANT: Final = "password"
_REFRESH_GRANT: Final = "refresh_token"


class Credentials(NamedTuple):
    """A username and a password."""

    username: str
    password: str

    def __repr__(self) -> str:
        return "Credentials(masked)"


def read_credentials(content_type: str | None, body: bytes) -> Credentials:
    """The username and the password of a body; `SignInRefused` for any other body."""
    fields = _read_fields(content_type, body, {"username", "password"}, _PASSWORD_GRANT)
    username, password = fields.get("username", ""), fields.get("password", "")
    if not username or not password:
        raise bad_request("username and password are needed, and are not empty.", "missing")
    if len(username) > MAX_USERNAME or not username.isprintable():
        raise bad_request(f"username has at most {MAX_USERNAME} characters, and no control characters.", "bad_username")
    # Some functions that verify passwords fail on it, and some end the password there.
    if "\0" in password:
        raise bad_request("password has a NUL character.", "bad_password")
    return Credentials(username, password)


def read_refresh_token(content_type: str | None, body: bytes, refresh_token: str | None) -> str:
    """The refresh token of a body, or the one that the host has read from a cookie; `SignInRefused` otherwise.

    With `refresh_token` the body is empty, or an empty object or form.
    """
    if refresh_token is not None and not body:
        return refresh_token
    sent = _read_fields(content_type, body, {"refresh_token"}, _REFRESH_GRANT).get("refresh_token", "")
    if refresh_token is None:
        if sent:
            return sent
        raise bad_request("refresh_token is needed.", "missing")
    # Which of them counts would be a guess.
    if sent:
        raise bad_request("The refresh token is sent twice, in a cookie and in the body.", "repeated")
    return refresh_token


def _read_fields(content_type: str | None, body: bytes, known: Collection[str], grant_type: str) -> Mapping[str, str]:
    """The text fields of a body; `grant_type` may be among them with this value, and is left out."""
    if len(body) > MAX_BODY:
        raise bad_request(
            f"The body is longer than {MAX_BODY} bytes.", "too_large", HTTPStatus.REQUEST_ENTITY_TOO_LARGE
        )
    media_type = _media_type(content_type or "")
    fields = _read_json(body) if media_type == _JSON else _read_form(body)
    if fields.get("grant_type", grant_type) != grant_type:
        raise bad_request(f"grant_type is {grant_type}, or is left out.", "grant_type")
    # The name is not repeated, because it may be a password that was sent as one.
    if fields.keys() - known - {"grant_type"}:
        raise bad_request(f"The body has other fields than {' and '.join(sorted(known))}.", "unknown_field")
    return fields


def _media_type(content_type: str) -> str:
    name, *parameters = content_type[:_MAX_CONTENT_TYPE].split(";")
    media_type = name.strip().lower()
    charsets = [parameter.strip().lower().replace('"', "") for parameter in parameters if parameter.strip()]
    if media_type in (_JSON, _FORM) and all(charset == "charset=utf-8" for charset in charsets):
        return media_type
    raise bad_request(f"The body is {_JSON} or {_FORM}, in UTF-8.", "content_type", HTTPStatus.UNSUPPORTED_MEDIA_TYPE)


def _read_json(body: bytes) -> dict[str, str]:
    try:
        members = read_json(body, "body")
    except InvalidToken as error:
        # Its detail says what is wrong, and shows nothing of the text.
        detail = error.detail
    else:
        fields = {name: value for name, value in members.items() if isinstance(value, str)}
        if len(fields) == len(members):
            return fields
        detail = "a field is not a string"
    raise bad_request(f"The body cannot be read: {detail}.", "malformed")


def _read_form(body: bytes) -> dict[str, str]:
    pairs: list[tuple[str, str]] | None = []
    try:
        text = body.decode("ascii")
        if text:
            pairs = parse_qsl(
                text, keep_blank_values=True, strict_parsing=True, errors="strict", max_num_fields=MAX_FIELDS
            )
    except ValueError:
        pairs = None
    if pairs is None:
        raise bad_request(f"The body cannot be read: it is not {_FORM} in UTF-8.", "malformed")
    if len(dict(pairs)) < len(pairs):
        raise bad_request("A field is sent more than once.", "repeated")
    # RFC 6749, section 3.2: a parameter without a value counts as left out.
    return {name: value for name, value in pairs if value}
