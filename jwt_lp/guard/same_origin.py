"""Where a request comes from: whether a page of another origin made a browser send it with the cookies of this one.

A browser says it (`Sec-Fetch-Site` of W3C Fetch Metadata, `Origin` of RFC 6454), and no page can change that.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from jwt_lp.guard.decisions import WEBSOCKET
from jwt_lp.tokens.claim_checks import quote_value

if TYPE_CHECKING:
    from collections.abc import Collection

    from jwt_lp.guard.decisions import Call

# RFC 9110, section 9.2.1.
_SAFE: Final = frozenset({"GET", "HEAD", "OPTIONS", "TRACE"})


def is_safe(call: Call) -> bool:
    """Whether the method is safe, and the call does not open a websocket, which any page may open with cookies."""
    return call.method in _SAFE and not is_handshake(call)


def is_handshake(call: Call) -> bool:
    """Whether the call opens a websocket; WSGI hosts see a GET with `Upgrade` (RFC 6455, section 4.1)."""
    return call.method == WEBSOCKET or (
        call.method in _SAFE and any("websocket" in line.lower() for line in call.field("upgrade"))
    )


def cross_origin_fault(call: Call) -> str | None:
    """Why a call that a session authenticates may come from a page of another origin; None if it is safe or ours.

    A call with neither `Sec-Fetch-Site` nor `Origin` does not come from a browser of today, and is not let in by a
    session. A websocket needs `Origin`.
    """
    if is_safe(call):
        return None
    schemes = ("https",) if call.url().startswith("https:") else ("https", "http")
    return origin_fault(call, schemes=schemes, needed="Origin" if is_handshake(call) else "any") or None


def origin_fault(call: Call, *, origins: Collection[str] = (), schemes: Collection[str], needed: str = "") -> str:
    """The fault of where the call comes from, "" if there is none.

    It may come from one of `origins`, or from the request's own host by one of `schemes`. `needed` is "Origin" if that
    header must be there, "any" if one of the two must be, and "" if both may be missing, as other clients than browsers
    send neither.
    """
    sites, sent = call.field("sec-fetch-site"), call.field("origin")
    if len(sites) > 1 or len(sent) > 1:
        return "Sec-Fetch-Site or Origin was sent more than once"
    if sent and sent[0] in origins:
        return ""
    if sites and sites[0] not in ("same-origin", "none"):
        return (
            f"Sec-Fetch-Site is {quote_value(sites[0])}: the request comes from another origin, which is not accepted"
        )
    if sites and needed != "Origin":
        return ""
    if sent:
        foreign = f"Origin is {quote_value(sent[0])}, which is neither this host's nor accepted"
        return "" if _is_own(sent[0], call, schemes) else foreign
    return f"there is no {'Origin' if needed == 'Origin' else 'Sec-Fetch-Site and no Origin'}" if needed else ""


def _is_own(origin: str, call: Call, schemes: Collection[str]) -> bool:
    # The Host header as the host passes it on: a page cannot change it. A proxy may have changed the scheme.
    hosts = call.field("host")
    return len(hosts) == 1 and any(origin == f"{scheme}://{_without_port(hosts[0], scheme)}" for scheme in schemes)


def _without_port(host: str, scheme: str) -> str:
    """The host as an origin of `scheme` has it: in lower case and without the scheme's own port."""
    default = ":443" if scheme == "https" else ":80"
    return host.lower().removesuffix(default)
