"""Whether a page of another origin may have made a browser send a request with the cookies of this one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from jwt_lp.guard.decisions import Call

_SAFE_METHODS: Final = frozenset({"GET", "HEAD", "OPTIONS", "TRACE"})
_OWN_SITES: Final = frozenset({"same-origin", "none"})


def cross_origin_fault(call: Call) -> str | None:
    """Why a call that is authenticated by a cookie may come from another origin; None for a safe method and our own.

    `Sec-Fetch-Site` decides (W3C Fetch Metadata), otherwise the host in `Origin` (RFC 6454). A call with neither does
    not come from a browser of today, and is not let in by a cookie.
    """
    if call.method in _SAFE_METHODS:
        return None
    sites, origins = call.field("Sec-Fetch-Site"), call.field("Origin")
    if sites:
        return None if len(sites) == 1 and sites[0] in _OWN_SITES else "the request comes from another origin"
    if len(origins) == 1:
        try:
            origin, own = urlsplit(origins[0]), urlsplit(call.url())
        except ValueError:
            return "the Origin is malformed"
        if origin.netloc and origin.netloc.lower() == own.netloc.lower():
            return None
        return "the request comes from another origin"
    return "an unsafe method needs Sec-Fetch-Site or Origin, which browsers send"
