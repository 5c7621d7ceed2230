"""Target URIs of requests in one normal form, so that they can be compared (RFC 3986, section 6.2)."""

from __future__ import annotations

import re
from typing import Final
from urllib.parse import quote_from_bytes, unquote_to_bytes

# A path may have any character but blanks and controls: hosts give it as a URI or as an IRI.
_URI: Final = re.compile(
    r"(?P<scheme>[A-Za-z]+)://"
    r"(?P<host>\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._~!$&'()*+,;=-]+)"
    r"(?::(?P<port>[0-9]{0,5}))?"
    r"(?P<path>/[^?#\x00-\x20\x7f]*)?"
    r"(?:\?[^#]*)?(?:#.*)?",
    re.DOTALL,
)
_PORTS: Final = {"http": "80", "https": "443"}
# A websocket is opened by an HTTP request (RFC 6455, section 4.1).
_HANDSHAKES: Final = {"ws": "http", "wss": "https"}
# The characters of a path segment that need no encoding (RFC 3986, section 3.3), and the separator.
_PATH: Final = "/:@!$&'()*+,;="


def normal_uri(uri: str) -> str | None:
    """Return `uri` in its normal form, without query and fragment; None if it is no http or https URI with a host.

    Scheme and host are in lower case, the scheme's own port and dot segments are left out, an empty path is `/`, `ws`
    is `http`, and `wss` is `https`. All that can stand in a path unencoded is unencoded there. That is more than RFC
    3986 allows (`%2F` equals `/`), but hosts pass on paths that they have decoded, and route by these.
    """
    match = _URI.fullmatch(uri)
    if match is None:
        return None
    scheme = match["scheme"].lower()
    scheme = _HANDSHAKES.get(scheme, scheme)
    default = _PORTS.get(scheme)
    if default is None:
        return None
    port = (match["port"] or "").lstrip("0")
    authority = match["host"].lower() + ("" if port in ("", default) else f":{port}")
    path = quote_from_bytes(unquote_to_bytes(match["path"] or "/"), safe=_PATH)
    return f"{scheme}://{authority}{_without_dot_segments(path)}"


def _without_dot_segments(path: str) -> str:
    """Remove `.` and `..` (RFC 3986, section 5.2.4) from a path that begins with a slash."""
    if "/." not in path:
        return path
    kept: list[str] = []
    segments = path.split("/")[1:]
    for segment in segments:
        if segment == "..":
            del kept[-1:]
        elif segment != ".":
            kept.append(segment)
    if segments[-1] in (".", ".."):
        kept.append("")
    return "/" + "/".join(kept)
