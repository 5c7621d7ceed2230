"""What did the header say, and how do we say no?

RFC 6750, and RFC 9110, section 11.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from jwt_lp.jose.jws import MAX_TOKEN

NONE: Final = "none"
MALFORMED: Final = "malformed"
TOKEN: Final = "token"

_SCHEME: Final = "bearer "
_LONGEST_LINE: Final = len(_SCHEME) + MAX_TOKEN
# White space and the comma of a list: none belongs into a bearer credential.
_BLANKS: Final = frozenset(" \t,\r\n")


def parse_authorization(authorization: str | Sequence[str] | None) -> tuple[str, str]:
    """Return what was sent: `(TOKEN, the token)`, `(NONE, "")` or `(MALFORMED, why)`.

    `authorization` is the header's value, or every line of it. Another scheme, or an empty header, is no bearer
    credential. A second line, a comma, an empty token or white space where none belongs is malformed: which
    credential was meant cannot be told (RFC 6750, section 3.1). Of a token that is longer than `MAX_TOKEN` one character
    more is returned, and nothing else is looked at.
    """
    if authorization is None:
        return NONE, ""
    if not isinstance(authorization, str):
        if len(authorization) > 1:
            return MALFORMED, "the Authorization header was sent more than once"
        authorization = authorization[0] if authorization else ""
    if len(authorization) > _LONGEST_LINE:
        # Cut first: nothing of a megabyte is copied or searched but what tells which refusal it gets.
        if authorization[: len(_SCHEME)].lower() == _SCHEME:
            return TOKEN, authorization[len(_SCHEME) : _LONGEST_LINE + 1]
        authorization = authorization[: len(_SCHEME)]
    scheme, _, token = authorization.partition(" ")
    if scheme.lower() != "bearer":
        if scheme[:6].lower() == "bearer" and scheme[6] in _BLANKS:
            return MALFORMED, "no single space follows Bearer"
        return NONE, ""
    # Written out: this is on the way of every request, and each `in` is one pass in C.
    if token == "" or " " in token or "," in token or "\t" in token or "\r" in token or "\n" in token:
        return MALFORMED, "Bearer is followed by nothing, by white space or by a list"
    return TOKEN, token


def challenge(error: str | None = None, description: str | None = None, scope: str | None = None) -> str:
    """Build the `WWW-Authenticate` value (RFC 6750, section 3): bare `Bearer` where no credential was sent.

    The arguments come from constants and from requirements, whose alphabet needs no quoting.
    """
    parameters = {"error": error, "error_description": description, "scope": scope}
    written = ", ".join(f'{name}="{value}"' for name, value in parameters.items() if value is not None)
    return f"Bearer {written}" if written else "Bearer"
