"""Keys of rows with many parts, and texts that every database accepts."""

from __future__ import annotations

from datetime import date
from functools import lru_cache
from hashlib import blake2b
from typing import TYPE_CHECKING, Any, Final

from jwt_lp.permissions.patterns import ELEVATION_PREFIX

ELEVATED_ROLE: Final = ELEVATION_PREFIX
"""What the role of each use by an elevation begins with."""

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

MAX_TEXT: Final = 255
"""Longest text of one part, in characters. An index takes no more, and no client may make a whole batch fail."""

_HEAD: Final = MAX_TEXT - 34


def with_row_key(parts: Mapping[str, str]) -> dict[str, Any]:
    """The parts as they are stored, and `id`: a 16-byte digest of all of them."""
    row: dict[str, Any] = dict(parts)
    joined = "".join(row.values())
    # One test of all parts is much faster than one of each, and almost every row passes it.
    if not (joined.isprintable() and max(map(len, row.values())) <= MAX_TEXT):
        row = {name: fit_text(part) for name, part in parts.items()}
    row["id"] = row_key(row.values())
    return row


def row_key(stored: Iterable[str]) -> bytes:
    """A 16-byte digest of parts as they are stored."""
    # No part contains a NUL, so the joined text is unambiguous.
    return blake2b("\0".join(stored).encode(), digest_size=16).digest()


@lru_cache(maxsize=4096)
def iso_day(text: str) -> str:
    """The day as YYYY-MM-DD, which sorts as text; `ValueError` for a text that is not an ISO date."""
    return date.fromisoformat(text).isoformat()


def fit_text(part: str) -> str:
    """A text that every database accepts: without NUL or lone surrogates, and cut if it is too long.

    A cut text ends in a digest of the whole, so that two long texts with the same beginning stay different.
    """
    part = storable_text(part)
    if len(part) <= MAX_TEXT:
        return part
    return f"{part[:_HEAD]}… {blake2b(part.encode(), digest_size=16).hexdigest()}"


def storable_text(text: str) -> str:
    """A text that every database accepts, of any length: without NUL or lone surrogates."""
    if text.isprintable():
        return text
    return text.replace("\0", "\ufffd").encode("utf-8", "replace").decode()
