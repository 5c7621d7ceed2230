"""Credentials and challenges of the schemes `Bearer` and `DPoP` (RFC 6750; RFC 9449; RFC 9110, section 11)."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Final

from jwt_lp.jose.jwk import PROOF_ALGORITHMS
from jwt_lp.jose.jws import MAX_TOKEN

NONE: Final = "none"
MALFORMED: Final = "malformed"
TOKEN: Final = "token"

SCHEME: Final = "Bearer "
"""The scheme as nearly everybody writes it, with the space that follows it."""

DPOP: Final = "DPoP"
"""The scheme of a token that is bound to a key (RFC 9449, section 7.1)."""

MAX_LINE: Final = len(SCHEME) + MAX_TOKEN
"""How long a header with a token is at most."""

# White space and commas do not belong in a bearer credential.
_BLANKS: Final = frozenset(" \t,\r\n")


def parse_authorization(authorization: str | Sequence[str] | None) -> tuple[str, str]:
    """Parse the header: `(TOKEN, the token)`, `(NONE, "")` or `(MALFORMED, the reason)`.

    `authorization` is the header's value, or every line of it. Another scheme or an empty header is no bearer
    credential. A second line, a comma, an empty token or misplaced white space is malformed, because it is unclear
    which credential is meant (RFC 6750, section 3.1). Of a token longer than `MAX_TOKEN`, only its first
    `MAX_TOKEN + 1` characters are returned, unchecked.
    """
    if authorization is None:
        return NONE, ""
    if not isinstance(authorization, str):
        if len(authorization) > 1:
            return MALFORMED, "the Authorization header was sent more than once"
        authorization = authorization[0] if authorization else ""
    if len(authorization) > MAX_LINE:
        # Cut first, so that a header of a megabyte is neither copied nor searched.
        if authorization[: len(SCHEME)].lower() == SCHEME.lower():
            return TOKEN, authorization[len(SCHEME) : MAX_LINE + 1]
        authorization = authorization[: len(SCHEME)]
    scheme, _, token = authorization.partition(" ")
    if scheme.lower() != "bearer":
        if scheme[:6].lower() == "bearer" and scheme[6] in _BLANKS:
            return MALFORMED, "no single space follows Bearer"
        return NONE, ""
    # Written out for speed, because every request takes this path: each `in` is one pass in C.
    if token == "" or " " in token or "," in token or "\t" in token or "\r" in token or "\n" in token:
        return MALFORMED, "Bearer is followed by nothing, by white space or by a list"
    return TOKEN, token


def parse_dpop(authorization: str | Sequence[str] | None) -> tuple[str, str]:
    """Parse a header of the scheme `DPoP`, as `parse_authorization` does one of the scheme `Bearer`.

    Any other header is `(NONE, "")`, also one that was sent more than once: `parse_authorization` refuses that.
    """
    if authorization is not None and not isinstance(authorization, str):
        authorization = authorization[0] if len(authorization) == 1 else None
    if authorization is None or authorization[:4].lower() != "dpop" or authorization[4:5] not in {"", *_BLANKS}:
        return NONE, ""
    kind, text = parse_authorization(f"Bearer{authorization[4 : MAX_LINE + 1]}")
    return kind, text.replace("Bearer", DPOP) if kind is MALFORMED else text


def challenge(
    error: str | None = None,
    description: str | None = None,
    scope: str | None = None,
    resource_metadata: str | None = None,
    scheme: str = "Bearer",
    elevation_uri: str | None = None,
) -> str:
    """Build the `WWW-Authenticate` value (RFC 6750, section 3); without arguments it is a bare `Bearer`.

    With the scheme `DPoP` it names the algorithms of proofs (RFC 9449, section 7.1). `resource_metadata` is the address of the
    metadata (RFC 9728, section 5.1), `elevation_uri` the address where the missing permissions can be asked for. Values
    are not escaped: they must come from constants, settings and requirements, whose alphabets need no escaping.
    """
    start = _challenge_start(error, description, resource_metadata, scheme, elevation_uri)
    return start if scope is None else f'{start}{" " if start == scheme else ", "}scope="{scope}"'


@lru_cache(maxsize=64)
def _challenge_start(
    error: str | None, description: str | None, resource_metadata: str | None, scheme: str, elevation_uri: str | None
) -> str:
    """The challenge without the scope, the only part that a request may change."""
    parameters = {
        "error": error,
        "error_description": description,
        "resource_metadata": resource_metadata,
        "elevation_uri": elevation_uri,
    }
    if scheme == DPOP:
        parameters["algs"] = " ".join(PROOF_ALGORITHMS)
    text = ", ".join(f'{name}="{value}"' for name, value in parameters.items() if value is not None)
    return f"{scheme} {text}" if text else scheme
