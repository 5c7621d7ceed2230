"""Reader of CSV (with a header) and JSON Lines, and the only writer of CSV.

A bad line is a fault of that line only, and the reader holds one line in memory. No written cell is a formula for a
spreadsheet, and reading gives back exactly what was written.
"""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from itertools import chain
from typing import IO, Any, Final, Literal, NamedTuple, TypeAlias, cast

from jwt_lp._support.json_types import unique_members
from jwt_lp._support.validation import did_you_mean, quote_text
from jwt_lp.errors import ConfigurationError

RowFormat: TypeAlias = Literal["csv", "jsonl"]

MAX_LINE_BYTES: Final = 1 << 20
"""Longest line, in bytes."""

_TOO_LONG: Final = "\ud800"
_FORMATS_BY_SUFFIX: Final[Mapping[str, RowFormat]] = {".csv": "csv", ".jsonl": "jsonl", ".ndjson": "jsonl"}
_MAX_LISTED: Final = 20

# Characters after which a spreadsheet may begin a cell. It may split a quoted text at the separator of its country.
_SEPARATORS: Final = r",;|\t\r\n"
# What it may skip before it looks for a formula: blanks, quotes, control characters and invisible characters.
_SKIPPED: Final = (
    rf"(?:(?![{_SEPARATORS}])[\s\"\x00-\x1f\x7f-\xa0\xad\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b-\u200f"
    r"\u202a-\u202e\u2060-\u206f\u2800\u3164\ufe00-\ufe0f\ufeff\uffa0\ufff9-\ufffb])*"
)
_FORMULA: Final = "[=+\\-@＝＋－＠]"
_FORMULA_START: Final = rf"(?:^(?='*[\t\r\n])|(?:^|(?<=[{_SEPARATORS}]))(?='*{_SKIPPED}{_FORMULA}))"
_UNESCAPED: Final = re.compile(_FORMULA_START)
_ESCAPED: Final = re.compile(f"{_FORMULA_START}'")


class Row(NamedTuple):
    """A row: the line it begins on and its values in the order of the fields ("" if absent), or its fault."""

    line: int
    values: Sequence[str]
    fault: str = ""


def escape_formulas(cell: str) -> str:
    """A cell in which no spreadsheet finds a formula; `unescape_formulas` restores it exactly.

    It inserts an apostrophe at the start, and after each `,` `;` `|`, tab and line end, if one of = + - @ follows, of
    either width, also after blanks, quotes, control characters and apostrophes. It also inserts one before a tab or a
    line end at the start.
    """
    return _UNESCAPED.sub("'", cell)


def unescape_formulas(cell: str) -> str:
    """A cell as it was before `escape_formulas`; a cell that was not escaped stays unchanged."""
    return _ESCAPED.sub("", cell) if "'" in cell else cell


def write_csv(target: IO[str], header: Iterable[str], rows: Iterable[Iterable[object]], *, end: str = "\n") -> None:
    """Write a table as CSV: every cell quoted, every text escaped, None as an empty cell, numbers unchanged."""
    writer = csv.writer(target, lineterminator=end, quoting=csv.QUOTE_ALL)
    for row in chain((header,), rows):
        writer.writerow([escape_formulas(cell) if isinstance(cell, str) else cell for cell in row])


def detect_format(name: str) -> RowFormat:
    """The format that a file's suffix names; `ConfigurationError` for any other suffix."""
    for suffix, form in _FORMATS_BY_SUFFIX.items():
        if name.lower().endswith(suffix):
            return form
    raise ConfigurationError(
        f"{quote_text(name)}: is it CSV or JSON Lines? pass --format csv or jsonl, or name it .csv or .jsonl"
    )


def decode_lines(readline: Callable[[int], bytes]) -> Iterator[str]:
    """Each line as text. A line that is too long becomes a marker; bytes that are not UTF-8 become surrogates."""
    byte_order_mark = b"\xef\xbb\xbf"
    while line := readline(MAX_LINE_BYTES):
        if line.endswith(b"\n") or len(line) < MAX_LINE_BYTES:
            yield line.removeprefix(byte_order_mark).decode("utf-8", "surrogateescape")
        else:
            while (rest := readline(MAX_LINE_BYTES)) and not rest.endswith(b"\n"):
                pass
            yield f"{_TOO_LONG}\n"
        byte_order_mark = b""


def read_rows(
    text: Iterable[str],
    form: RowFormat,
    fields: Sequence[str],
    columns: Mapping[str, str],
    required: Collection[str],
    *,
    flags: Collection[str] = (),
) -> tuple[Iterator[Row], tuple[str, ...]]:
    """The rows with the values of `fields`, and the names of the columns that are not read.

    `columns` maps a field to the name of its column, if that differs; the `required` fields must exist. In JSON Lines,
    `flags` may be true or false.
    Raises `ConfigurationError` for a header that lacks one of them or names a column twice.
    """
    names = [columns.get(field, field) for field in fields]
    required_names = [columns.get(field, field) for field in required]
    if form == "jsonl":
        return _json_rows(text, names, required_names, [columns.get(flag, flag) for flag in flags]), ()
    source = csv.reader(iter(text))
    header = _read_header(source)
    missing = [name for name in required_names if name not in header]
    if missing:
        listed = ", ".join(quote_text(name) for name in header[:_MAX_LISTED])
        raise ConfigurationError(*(_column_fault(name, header, listed) for name in missing))
    repeated = sorted({name for name in names if header.count(name) > 1})
    if repeated:
        raise ConfigurationError(*(f"line 1: there are two columns {quote_text(name)}" for name in repeated))
    # A field without a column is read from an empty cell that is appended to each row.
    places = [header.index(name) if name in header else len(header) for name in names]
    return _csv_rows(source, len(header), places), tuple(name for name in header if name not in names)


def _column_fault(name: str, header: Sequence[str], listed: str) -> str:
    if len(header) == 1 and any(mark in header[0] for mark in ";\t|"):
        return f"line 1: there is no column {quote_text(name)}: columns are separated by commas"
    return f"line 1: there is no column {quote_text(name)}{did_you_mean(name, header) or f'; there are {listed}'}"


def _read_header(source: Iterator[list[str]]) -> list[str]:
    try:
        return [name.strip() for name in next(source)]
    except StopIteration:
        raise ConfigurationError("the file is empty: its first line names the columns") from None
    except csv.Error:
        raise ConfigurationError("line 1: it is not CSV that begins with the names of the columns") from None


def _csv_rows(source: Any, width: int, places: Sequence[int]) -> Iterator[Row]:
    while True:
        line = source.line_num + 1
        try:
            cells = next(source)
        except StopIteration:
            return
        except csv.Error:
            yield Row(line, (), "it is not CSV, or a cell is too long")
            continue
        if len(cells) == width:
            cells.append("")
            yield Row(line, [unescape_formulas(cells[place]) for place in places])
        elif cells == [_TOO_LONG]:
            yield Row(line, (), "it is longer than a line may be")
        elif cells:
            yield Row(line, (), "it has more or fewer cells than the header")


def _json_rows(
    text: Iterable[str], names: Sequence[str], required: Sequence[str], flags: Collection[str]
) -> Iterator[Row]:
    for number, line in enumerate(text, 1):
        if line.startswith(_TOO_LONG):
            yield Row(number, (), "it is longer than a line may be")
            continue
        if line.isspace():
            continue
        try:
            document: Any = json.loads(line, object_pairs_hook=unique_members)
        # A number of thousands of digits raises ValueError, and arrays nested that deep raise RecursionError.
        except (ValueError, RecursionError):
            yield Row(number, (), "it is not JSON, or a member comes twice")
            continue
        if not isinstance(document, dict):
            yield Row(number, (), "it is not a JSON object")
            continue
        members = cast("dict[str, object]", document)
        values = [_cell_text(members.get(name), name in flags) for name in names]
        if None in values:
            yield Row(number, (), "a value is neither a text nor a number")
        elif any(name not in members for name in required):
            yield Row(number, (), "it lacks a required field")
        else:
            yield Row(number, [value or "" for value in values])


def _cell_text(value: object, is_flag: bool) -> str | None:  # noqa: FBT001 - private, and called in one place
    """The text of a value; None if it is neither a text, a number nor null, nor true or false in a flag."""
    if isinstance(value, str):
        return value
    if value is None:
        return ""
    if isinstance(value, bool):
        return str(value).lower() if is_flag else None
    return str(value) if isinstance(value, int | float) else None
