"""Under which key is a row with many parts kept?"""

from __future__ import annotations

from hashlib import blake2b
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Mapping

MAX_TEXT: Final = 255
"""Characters of one part. An index takes no more, and a client must not be able to make a whole batch fail."""

_HEAD: Final = MAX_TEXT - 34


def with_row_key(parts: Mapping[str, str]) -> dict[str, Any]:
    """The parts as they are kept, and under `id` 16 bytes that stand for all of them."""
    row: dict[str, Any] = {name: fit_text(part) for name, part in parts.items()}
    # No part has a NUL, so this is read one way only.
    row["id"] = blake2b("\0".join(row.values()).encode(), digest_size=16).digest()
    return row


def fit_text(part: str) -> str:
    """A text as every database takes it: no NUL, no half of a character, and cut where it is too long.

    What was cut ends in a digest of the whole, so two that begin alike stay apart.
    """
    if not part.isprintable():
        part = part.replace("\0", "\ufffd").encode("utf-8", "replace").decode()
    if len(part) <= MAX_TEXT:
        return part
    return f"{part[:_HEAD]}… {blake2b(part.encode(), digest_size=16).hexdigest()}"
