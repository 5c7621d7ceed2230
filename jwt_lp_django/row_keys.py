"""Keys of rows with many parts."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any
from uuid import UUID

from jwt_lp.stores.row_keys import row_key, with_row_key


def row_values(parts: Mapping[str, str]) -> dict[str, Any]:
    """The values of a row, shortened to fit the columns, with their key."""
    row = with_row_key(parts)
    return {**row, "id": digest_id(row["id"])}


def row_id(stored: Iterable[str]) -> UUID:
    """The key of a row with these parts as they are stored."""
    return digest_id(row_key(stored))


def digest_id(digest: bytes) -> UUID:
    """A digest of 16 bytes as a key."""
    # Version 5 stands for a digest: MariaDB rejects 16 bytes that are no UUID of a known version.
    return UUID(bytes=digest, version=5)
