"""Checks against cross-site request forgery, for requests whose access token came from a cookie.

A browser says where a request comes from (`Sec-Fetch-Site`, `Origin`), which no page can change. Beside that, a
request has to repeat the CSRF token, which no page of another origin can read.
"""

from __future__ import annotations

import hmac
from typing import TYPE_CHECKING

from jwt_lp.guard.cookies import CSRF_HEADER, csrf_token
from jwt_lp.guard.same_origin import is_handshake, is_safe, origin_fault

if TYPE_CHECKING:
    from jwt_lp.guard.cookies import Cookies
    from jwt_lp.guard.decisions import Call


class CsrfCheck:
    """Checks calls under one `Cookies`. A fault is text for the operator's log; "" means that there is none."""

    def __init__(self, cookies: Cookies) -> None:
        self._cookies = cookies
        self._advice = (
            f"send the value of the cookie {cookies.csrf_name} in the header {CSRF_HEADER}, from a page of this origin"
        )

    def fault(self, call: Call, token: str, *, wait: bool) -> str | None:
        """The fault of a call that a cookie with `token` authenticates; None if the host has to wait to tell.

        Safe methods have none, except handshakes of websockets: those need an `Origin` that may send the cookie.
        """
        origins, schemes = self._cookies.origins, self._cookies.schemes
        if is_handshake(call):
            return origin_fault(call, origins=origins, schemes=schemes, needed="Origin")
        if is_safe(call):
            return ""
        if call.csrf is not None:
            return call.csrf.fault(wait)
        return origin_fault(call, origins=origins, schemes=schemes) or _token_fault(call, token)

    def advice(self, call: Call) -> str:
        """What the client must send instead, in one public sentence."""
        if is_handshake(call):
            advice = "open the websocket from a page of this origin"
        else:
            advice = self._advice if call.csrf is None else call.csrf.advice
        return f"A cookie carried the access token: {advice}."


def _token_fault(call: Call, token: str) -> str:
    lines = call.field(CSRF_HEADER)
    if len(lines) != 1:
        return f"the header {CSRF_HEADER} was {'sent more than once' if lines else 'not sent'}"
    if not hmac.compare_digest(lines[0].encode(), csrf_token(token).encode()):
        return f"the header {CSRF_HEADER} is not the CSRF token of this access token"
    return ""
