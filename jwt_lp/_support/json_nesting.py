"""Is this JSON nested deeper than it may be, or into more pieces?

Asked before it is parsed: the parser recurses, and takes time for every piece, whoever wrote it.
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
    """Say what is wrong with the nesting of this UTF-8 text: deeper than `MAX_DEPTH`, or over `most` objects and lists.

    Brackets in strings are none. Of what is no JSON that part is measured which a parser would read before it stops.
    """
    # The beginning tells most of what is made to be deep, however long it is.
    return _fault(data[:_PREFIX], most) or (_fault(data, most) if len(data) > _PREFIX else None)


def _fault(data: bytes, most: int) -> str | None:
    if data.count(b"[") + data.count(b"{") <= MAX_DEPTH:
        return None
    # A backslash stands in strings only, so what it escapes can go before the quotes are looked for.
    bare = data.replace(b"\\\\", b"").replace(b'\\"', b"")
    brackets = b"".join(bare.split(b'"')[::2]).translate(None, _NOT_BRACKETS)
    if brackets.count(b"[") + brackets.count(b"{") > most:
        return f"has more than {most} objects and lists"
    deep = any(map(MAX_DEPTH.__lt__, accumulate(map(_DEPTH_CHANGE.__getitem__, brackets))))
    return f"is nested deeper than {MAX_DEPTH}" if deep else None
