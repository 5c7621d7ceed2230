"""Limits on the nesting of JSON text, checked before it is parsed.

The parser recurses, and it takes time for every object and list, so untrusted text is measured first.
"""

from __future__ import annotations

from itertools import accumulate
from typing import Final

MAX_DEPTH: Final = 32
MAX_CONTAINERS: Final = 1000

_PREFIX: Final = 512
_DEPTH_CHANGE: Final = {ord("["): 1, ord("{"): 1, ord("]"): -1, ord("}"): -1}
_NOT_BRACKETS: Final = bytes(set(range(256)) - set(_DEPTH_CHANGE))


def nesting_fault(data: bytes, most: int = MAX_CONTAINERS) -> str | None:
    """The fault of this UTF-8 text: deeper than `MAX_DEPTH`, or more than `most` objects and lists. None if neither.

    Brackets in strings do not count. Of text that is not JSON, the part that a parser would read is measured.
    """
    # Most text that is made to be deep shows it at once, so long text is often refused cheaply.
    return _fault(data[:_PREFIX], most) or (_fault(data, most) if len(data) > _PREFIX else None)


def _fault(data: bytes, most: int) -> str | None:
    if data.count(b"[") + data.count(b"{") <= MAX_DEPTH:
        return None
    # A backslash occurs only in strings, so escaped characters can be removed before the quotes are found.
    bare = data.replace(b"\\\\", b"").replace(b'\\"', b"")
    brackets = b"".join(bare.split(b'"')[::2]).translate(None, _NOT_BRACKETS)
    if brackets.count(b"[") + brackets.count(b"{") > most:
        return f"has more than {most} objects and lists"
    deep = any(map(MAX_DEPTH.__lt__, accumulate(map(_DEPTH_CHANGE.__getitem__, brackets))))
    return f"is nested deeper than {MAX_DEPTH}" if deep else None
