"""Unified patches of files, for `git apply` and `patch -p1`."""

from __future__ import annotations

import difflib
from typing import Final

_NO_NEWLINE: Final = b"\n\\ No newline at end of file\n"


def patch(name: str, before: bytes, after: bytes) -> bytes:
    """The unified patch of one file; empty if nothing changed. Bytes and line ends stay as they are in the file."""
    lines = difflib.diff_bytes(
        difflib.unified_diff, _lines(before), _lines(after), f"a/{name}".encode(), f"b/{name}".encode()
    )
    return b"".join(line if line.endswith(b"\n") else line + _NO_NEWLINE for line in lines)


def _lines(data: bytes) -> list[bytes]:
    # A patch knows no other line end than "\n"; `splitlines` would also cut at "\r".
    lines = [line + b"\n" for line in data.split(b"\n")]
    last = lines.pop()[:-1]
    return [*lines, last] if last else lines
