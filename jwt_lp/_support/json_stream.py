"""Members of a large JSON object, read piece by piece.

Of a list only one element is in memory at a time.
"""

from __future__ import annotations

import json
from typing import IO, TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

_CHUNK: Final = 1 << 16
_MAX_VALUE: Final = 1 << 26
"""Characters: no single value is longer."""
_SPACES: Final = " \t\r\n"
_AFTER_VALUE: Final = frozenset(f"{_SPACES},:]}}")


def iter_members(source: IO[str], listed: Collection[str]) -> Iterator[tuple[str, Any]]:
    """Each member of the object in `source` with its value, in order.

    A member whose name is in `listed` must be a list; it is yielded once for each element. `ValueError` where the text
    is not such an object, ends too early, or has a value of more than 64 million characters.
    """
    reader = _Reader(source)
    reader.expect("{")
    if reader.skip("}"):
        return
    while True:
        name = str(reader.value())
        reader.expect(":")
        if name in listed:
            yield from ((name, element) for element in _elements(reader))
        else:
            yield name, reader.value()
        if reader.skip("}"):
            return
        reader.expect(",")


def _elements(reader: _Reader) -> Iterator[Any]:
    reader.expect("[")
    if reader.skip("]"):
        return
    while True:
        yield reader.value()
        if reader.skip("]"):
            return
        reader.expect(",")


class _Reader:
    """The text of a document, as far as it is needed."""

    def __init__(self, source: IO[str]) -> None:
        self._source = source
        self._decode = json.JSONDecoder().raw_decode
        self._text = ""
        self._place = 0
        self._ended = False

    def _read(self, size: int) -> None:
        more = self._source.read(size)
        self._ended = not more
        self._text = self._text[self._place :] + more
        self._place = 0

    def _next(self) -> str:
        """The next character that is no space; "" at the end."""
        while True:
            while self._place < len(self._text) and self._text[self._place] in _SPACES:
                self._place += 1
            if self._place < len(self._text) or self._ended:
                return self._text[self._place : self._place + 1]
            self._read(_CHUNK)

    def skip(self, mark: str) -> bool:
        """Whether the next character is this mark, which is then read."""
        found = self._next() == mark
        self._place += found
        return found

    def expect(self, mark: str) -> None:
        """Read this mark; `ValueError` for any other character."""
        if not self.skip(mark):
            raise ValueError(f"there is no {mark!r} where one is expected" if self._next() else "it ends too early")

    def value(self) -> Any:
        """Read the next value."""
        self._next()
        size = _CHUNK
        while True:
            try:
                value, end = self._decode(self._text, self._place)
            except json.JSONDecodeError:
                if self._ended:
                    raise
            except RecursionError:
                raise ValueError("a value is nested too deeply") from None
            else:
                # A number at the end of what was read may go on, also after a point.
                if self._ended or self._text[end : end + 1] in _AFTER_VALUE:
                    self._place = end
                    return value
            if size > _MAX_VALUE:
                raise ValueError("a value is too long")
            self._read(size)
            size *= 2
