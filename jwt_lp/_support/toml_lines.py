"""TOML files: their values, and the line of each key.

`tomllib` keeps no line numbers. `locate_keys` finds them again, for messages only: no decision depends on them, and
text that is not TOML gives inexact lines, never an exception.
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

# Comments and blanks are in no named group, so the scanner ignores them. A multi-line string may end with up to two
# quotes of its own before the three that close it.
_TOKEN: Final = re.compile(
    r"""\#[^\n]* | [ \t\r]+ | (?P<end>\n) | (?P<mark>[\[\]{},=]) | (?P<name>
    \"{3}(?:\\.|[^\\])*?\"{3,5} | '{3}.*?'{3,5} | "(?:\\.|[^"\\\n])*" | '[^'\n]*' | [^\s\[\]{},=.\#"']+)""",
    re.VERBOSE | re.DOTALL,
)
_AT_LINE: Final = re.compile(r"\(at line ([0-9]+), column [0-9]+\)")


def read_toml(name: str, limit: int) -> tuple[dict[str, object], str]:
    """The values of the file called `name`, and its text.

    Raises `ConfigurationError`, which begins with `name:line: `, if the file cannot be read, has more than `limit`
    bytes or is not TOML 1.0 in UTF-8.
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
    # A number of thousands of digits raises ValueError, and deeply nested arrays raise RecursionError.
    except (ValueError, RecursionError) as error:
        raise ConfigurationError(f"{name}:{_fault_line(error, text)}: not TOML: {error}") from None


def locate_keys(text: str) -> dict[KeyPath, int]:
    """The line, from 1, of each key and each array element in `text`; for a table, the line of its header."""
    scanner = _Scanner()
    line = 1
    for token in _TOKEN.finditer(text):
        scanner.feed(token.lastgroup, token[0], line)
        line += token[0].count("\n")
    return scanner.lines


def line_of(lines: Mapping[KeyPath, int], path: KeyPath) -> int:
    """The line of `path`, or of the nearest enclosing table that has one; otherwise 1."""
    return next((lines[path[:size]] for size in range(len(path), 0, -1) if path[:size] in lines), 1)


def _fault_line(error: Exception, text: str) -> int:
    match = _AT_LINE.search(str(error))
    if match is not None:
        return int(match[1])
    # A TOML error without a line is at the end of the document; other errors know no line.
    return text.count("\n") + 1 if isinstance(error, tomllib.TOMLDecodeError) else 1


class _Frame:
    """An array or inline table that is not closed yet. `index` is the position in an array; None in a table."""

    __slots__ = ("base", "index")

    def __init__(self, base: KeyPath, index: int | None) -> None:
        self.base = base
        self.index = index


class _Scanner:
    """Follows the structure of a document token by token; of a value it notes only where it starts."""

    __slots__ = ("frames", "header", "key", "lines", "path", "table", "value")

    def __init__(self) -> None:
        self.lines: dict[KeyPath, int] = {}
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
            self.lines.setdefault(path[:size], line)


def _unquote(text: str) -> str:
    if text[0] not in "\"'":
        return text
    try:
        return str(tomllib.loads(f"key = {text}")["key"])
    except tomllib.TOMLDecodeError:
        return text
