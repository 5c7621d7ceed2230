"""What does this file say, and on which line?

`tomllib` keeps no lines for what it has read. `locate_keys` finds them again, for messages only: nothing is
decided by what it finds, and text that is not TOML gives poor lines, never an exception.
"""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import TYPE_CHECKING, Final, TypeAlias

from jwt_lp.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Mapping

KeyPath: TypeAlias = "tuple[str | int, ...]"
"""Keys, and positions in arrays: `("roles", "clerk", "grants", 1)`."""

# Comments and blanks have no name, so that they say nothing. The quotes that end a multi-line string may be
# preceded by up to two of its own.
_TOKEN: Final = re.compile(
    r"""\#[^\n]* | [ \t\r]+ | (?P<end>\n) | (?P<mark>[\[\]{},=]) | (?P<name>
    \"{3}(?:\\.|[^\\])*?\"{3,5} | '{3}.*?'{3,5} | "(?:\\.|[^"\\\n])*" | '[^'\n]*' | [^\s\[\]{},=.\#"']+)""",
    re.VERBOSE | re.DOTALL,
)
_AT_LINE: Final = re.compile(r"\(at line ([0-9]+), column [0-9]+\)")


def read_toml(name: str, limit: int) -> tuple[dict[str, object], str]:
    """What the file called `name` says, and its text; `ConfigurationError` begins with `name:line: `.

    Refused are a file that cannot be read or has more than `limit` bytes, and what is not TOML 1.0 in UTF-8.
    """
    try:
        with Path(name).open("rb") as file:
            data = file.read(limit + 1)
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        raise ConfigurationError(f"{name}:1: cannot be read: {reason}") from None
    if len(data) > limit:
        raise ConfigurationError(f"{name}:1: is longer than {limit} bytes")
    try:
        text = data.decode()
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise ConfigurationError(f"{name}:{line}: not TOML: not UTF-8") from None
    try:
        return tomllib.loads(text), text
    # A number of thousands of digits is a ValueError, arrays nested as deep a RecursionError.
    except (ValueError, RecursionError) as error:
        raise ConfigurationError(f"{name}:{_fault_line(error, text)}: not TOML: {error}") from None


def locate_keys(text: str) -> dict[KeyPath, int]:
    """The line, from 1, of each key and each element of an array in `text`; a table's is its header's."""
    scanner = _Scanner()
    line = 1
    for token in _TOKEN.finditer(text):
        scanner.feed(token.lastgroup, token[0], line)
        line += token[0].count("\n")
    return scanner.found


def line_of(found: Mapping[KeyPath, int], path: KeyPath) -> int:
    """The line of `path`, or of the nearest table around it; 1 where nothing around it was found either."""
    return next((found[path[:size]] for size in range(len(path), 0, -1) if path[:size] in found), 1)


def _fault_line(error: Exception, text: str) -> int:
    found = _AT_LINE.search(str(error))
    if found is not None:
        return int(found[1])
    # What names no line is the end of the document, unless it is one of the two that know nothing of lines.
    return text.count("\n") + 1 if isinstance(error, tomllib.TOMLDecodeError) else 1


class _Frame:
    """An array or inline table that is still open. `index` is the position in an array, None in a table."""

    __slots__ = ("base", "index")

    def __init__(self, base: KeyPath, index: int | None) -> None:
        self.base = base
        self.index = index


class _Scanner:
    """Follows the structure of a document, token by token; knows nothing of values but where they start."""

    __slots__ = ("found", "frames", "header", "key", "path", "table", "value")

    def __init__(self) -> None:
        self.found: dict[KeyPath, int] = {}
        self.frames: list[_Frame] = []
        self.table: KeyPath = ()
        self.key: list[str] = []
        self.path: KeyPath = ()
        self.header = self.value = False

    def feed(self, kind: str | None, text: str, line: int) -> None:
        if kind == "end":
            self._end()
        elif kind == "name":
            self._name(text, line)
        elif kind == "mark":
            self._mark(text, line)

    def _end(self) -> None:
        if not self.frames:
            self.table = tuple(self.key) if self.header else self.table
            self.key = []
            self.header = self.value = False

    def _name(self, text: str, line: int) -> None:
        if not self.value:
            self.key.append(_unquote(text))
            base = () if self.header else self.frames[-1].base if self.frames else self.table
            self.path = (*base, *self.key)
            self._note(self.path, line)
        elif self.frames:
            self._note(self._here(), line)

    def _mark(self, text: str, line: int) -> None:
        if text == "=":
            self.value = True
        elif text == ",":
            self._next()
        elif text in "]}":
            self.value = not self.header
            del self.frames[-1:]
        elif self.value:
            here = self._here()
            self._note(here, line)
            self.frames.append(_Frame(here, 0 if text == "[" else None))
            self.value, self.key = text == "[", []
        else:
            self.header = True

    def _next(self) -> None:
        frame = self.frames[-1] if self.frames else None
        if frame is not None and frame.index is not None:
            frame.index += 1
        else:
            self.value, self.key = False, []

    def _here(self) -> KeyPath:
        frame = self.frames[-1] if self.frames else None
        return self.path if frame is None or frame.index is None else (*frame.base, frame.index)

    def _note(self, path: KeyPath, line: int) -> None:
        for size in range(1, len(path) + 1):
            self.found.setdefault(path[:size], line)


def _unquote(text: str) -> str:
    if text[0] not in "\"'":
        return text
    try:
        return str(tomllib.loads(f"key = {text}")["key"])
    except tomllib.TOMLDecodeError:
        return text
