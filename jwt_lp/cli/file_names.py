"""Parts of file names for managers and teams."""

from __future__ import annotations

import unicodedata
from itertools import count
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

_MAX_LENGTH: Final = 60


def name_parts(groups: Iterable[str]) -> Iterator[tuple[str, str]]:
    """Each group with a part of a file name: its letters and digits of any script, `nobody` for a group without any.

    No two groups get the same part, also where a file system ignores case: the second `ann-lee` is `ann-lee-2`.
    """
    taken: set[str] = set()
    for group in groups:
        part = unused = _part(group)
        numbers = count(2)
        while unused.casefold() in taken:
            unused = f"{part}-{next(numbers)}"
        taken.add(unused.casefold())
        yield group, unused


def _part(group: str) -> str:
    letters = (char if char.isalnum() else "-" for char in unicodedata.normalize("NFC", group))
    return "".join(letters).strip("-")[:_MAX_LENGTH] or "nobody"
