"""Limits on the nesting of JSON text, checked before it is parsed.

The parser recurses, and it takes time for every object and list, so untrusted text is measured first.
"""

from __future__ import annotations

from typing import Final

MAX_DEPTH: Final = 32
MAX_CONTAINERS: Final = 1000

PREFIX: Final = 512
"""How many bytes are measured first. Text that is made to be deep mostly shows it there."""

_ROUNDS: Final = 3
# Objects and lists are nested alike. Of all other characters, only the quotes matter.
_SAME_BRACKETS: Final = bytes.maketrans(b"{}", b"[]")
_OTHERS: Final = bytes(set(range(256)) - set(b'{}[]"'))
_TOO_DEEP: Final = b"[" * (MAX_DEPTH + 1)


def nesting_fault(data: bytes, most: int = MAX_CONTAINERS) -> str | None:
    """The fault of this UTF-8 text: deeper than `MAX_DEPTH`, or more than `most` objects and lists. None if neither.

    Brackets in strings do not count. Of text that is not JSON, the part that a parser would read is measured.
    """
    return _fault(data[:PREFIX], most) or (_fault(data, most) if len(data) > PREFIX else None)


def _fault(data: bytes, most: int) -> str | None:
    if data.count(b"[") + data.count(b"{") <= MAX_DEPTH:
        return None
    brackets = _brackets(data)
    opened = brackets.count(b"[")
    if opened > most:
        return f"has more than {most} objects and lists"
    fault = f"is nested deeper than {MAX_DEPTH}"
    if brackets.startswith(_TOO_DEEP):
        return fault
    # Wide text has many innermost pairs, which are removed fast. Each round removes one level, because what is still
    # open is closed first.
    brackets += b"]" * opened
    for _ in range(_ROUNDS):
        brackets = brackets.replace(b"[]", b"")
    return fault if _depth_exceeds(brackets, MAX_DEPTH - _ROUNDS) else None


def _brackets(data: bytes) -> bytes:
    """The brackets outside strings, all written as `[` and `]`."""
    # A backslash occurs only in strings, so escaped characters can be removed before the quotes are found.
    if b"\\" in data:
        data = data.replace(b"\\\\", b"").replace(b'\\"', b"")
    # Two quotes side by side are an empty string, or end one string and begin another; both can be removed.
    skeleton = data.translate(_SAME_BRACKETS, _OTHERS).replace(b'""', b"")
    return b"".join(skeleton.split(b'"')[::2])


def _depth_exceeds(brackets: bytes, limit: int) -> bool:
    """Whether more than `limit` brackets are open at once."""
    depth = 0
    # Each slope goes up, and then down.
    for slope in brackets.replace(b"][", b"] [").split():
        opened = slope.count(b"[")
        if depth + opened > limit:
            return True
        depth += 2 * opened - len(slope)
    return False
