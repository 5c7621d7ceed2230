"""Checks against cross-site request forgery, for requests whose access token came from a cookie.

A browser says where a request comes from (`Sec-Fetch-Site`, `Origin`), which no page can change. Beside that, a
request has to repeat the CSRF token, which no page of another origin can read.
"""

from __future__ import annotations

import hmac
from typing import TYPE_CHECKING, Final

from jwt_lp.guard.cookies import CSRF_HEADER, csrf_token
from jwt_lp.guard.decisions import WEBSOCKET
from jwt_lp.tokens.claim_checks import quote_value

if TYPE_CHECKING:
    from jwt_lp.guard.cookies import Cookies
    from jwt_lp.guard.decisions import Call

# RFC 9110, section 9.2.1.
_SAFE: Final = frozenset({"GET", "HEAD", "OPTIONS", "TRACE"})


class CsrfCheck:
    """Checks calls under one `Cookies`. A fault is text for the operator's log; "" means that there is none."""

    def __init__(self, cookies: Cookies) -> None:
        self._origins = cookies.origins
        self._schemes = ("https",) if cookies.secure else ("https", "http")
        self._advice = (
            f"send the value of the cookie {cookies.csrf_name} in the header {CSRF_HEADER}, from a page of this origin"
        )

    def fault(self, call: Call, token: str, *, wait: bool) -> str | None:
        """The fault of a call that a cookie with `token` authenticates; None if the host has to wait to tell.

        Safe methods have none, except handshakes of websockets: those need an `Origin` that may send the cookie.
        """
        if call.method == WEBSOCKET or (call.method in _SAFE and self._is_handshake(call)):
            return self.origin_fault(call, needed="Origin")
        if call.method in _SAFE:
            return ""
        if call.csrf is not None:
            return call.csrf.fault(wait)
        return self.origin_fault(call) or _token_fault(call, token)

    def advice(self, call: Call) -> str:
        """What the client must send instead, in one public sentence."""
        if call.method == WEBSOCKET or call.method in _SAFE:
            advice = "open the websocket from a page of this origin"
        else:
            advice = self._advice if call.csrf is None else call.csrf.advice
        return f"A cookie carried the access token: {advice}."

    def origin_fault(self, call: Call, *, needed: str = "") -> str:
        """The fault of where the call comes from.

        `needed` is "Origin" if that header must be there, "any" if one of the two must be, and "" if both may be
        missing, as other clients than browsers send neither.
        """
        sites, origins = call.field("sec-fetch-site"), call.field("origin")
        if len(sites) > 1 or len(origins) > 1:
            return "Sec-Fetch-Site or Origin was sent more than once"
        if origins and origins[0] in self._origins:
            return ""
        if sites and sites[0] not in ("same-origin", "none"):
            return f"Sec-Fetch-Site is {quote_value(sites[0])}, and ORIGINS of COOKIE does not list the page's origin"
        if sites and needed != "Origin":
            return ""
        if origins:
            return "" if self._is_own(origins[0], call) else self._foreign(origins[0])
        return f"there is no {'Origin' if needed == 'Origin' else 'Sec-Fetch-Site and no Origin'}" if needed else ""

    def _is_own(self, origin: str, call: Call) -> bool:
        # The Host header as the host passes it on: a page cannot change it. The scheme is not compared with that of the
        # request, which a proxy may have changed.
        hosts = call.field("host")
        return len(hosts) == 1 and any(
            origin == f"{scheme}://{_without_port(hosts[0], scheme)}" for scheme in self._schemes
        )

    @staticmethod
    def _foreign(origin: str) -> str:
        return f"Origin is {quote_value(origin)}, which is neither this host's nor in ORIGINS of COOKIE"

    @staticmethod
    def _is_handshake(call: Call) -> bool:
        return any("websocket" in line.lower() for line in call.field("upgrade"))


def _token_fault(call: Call, token: str) -> str:
    lines = call.field(CSRF_HEADER)
    if len(lines) != 1:
        return f"the header {CSRF_HEADER} was {'sent more than once' if lines else 'not sent'}"
    if not hmac.compare_digest(lines[0].encode(), csrf_token(token).encode()):
        return f"the header {CSRF_HEADER} is not the CSRF token of this access token"
    return ""


def _without_port(host: str, scheme: str) -> str:
    """The host as an origin of `scheme` has it: in lower case and without the scheme's own port."""
    default = ":443" if scheme == "https" else ":80"
    return host.lower().removesuffix(default)
