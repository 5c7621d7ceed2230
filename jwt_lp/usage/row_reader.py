"""What stands in each line of a file of rows, and how is one written?

CSV with a header, or JSON Lines. One bad line spoils itself alone, and nothing is held of a file but one line. Whatever
is written as CSV is written here: no cell of it is a formula for a spreadsheet, and what is read is what was written.
"""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from itertools import chain
from typing import IO, Any, Final, Literal, NamedTuple, TypeAlias, cast

from jwt_lp._support.validation import did_you_mean, quote_text
from jwt_lp.errors import ConfigurationError

RowFormat: TypeAlias = Literal["csv", "jsonl"]

MAX_LINE_BYTES: Final = 1 << 20
"""Bytes of one line."""

_TOO_LONG: Final = "\ud800"
_FORMATS_BY_SUFFIX: Final[Mapping[str, RowFormat]] = {".csv": "csv", ".jsonl": "jsonl", ".ndjson": "jsonl"}
_MAX_LISTED: Final = 20

# Where a spreadsheet may begin a cell: whichever character its country separates by, it takes a quoted text apart there.
_SEPARATORS: Final = r",;|\t\r\n"
# What it may pass over before it looks for a formula: blanks, quotes, control characters, and what nobody sees.
_PASSED: Final = (
    rf"(?:(?![{_SEPARATORS}])[\s\"\x00-\x1f\x7f-\xa0\xad\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b-\u200f"
    r"\u202a-\u202e\u2060-\u206f\u2800\u3164\ufe00-\ufe0f\ufeff\uffa0\ufff9-\ufffb])*"
)
_FORMULA: Final = "[=+\\-@＝＋－＠]"
_BEGINS: Final = rf"(?:^(?='*[\t\r\n])|(?:^|(?<=[{_SEPARATORS}]))(?='*{_PASSED}{_FORMULA}))"
_SHIELD: Final = re.compile(_BEGINS)
_SHIELDED: Final = re.compile(f"{_BEGINS}'")


class Row(NamedTuple):
    """One row: the line it begins on, its values in the order of the fields, "" for what is absent; or its fault."""

    line: int
    values: Sequence[str]
    fault: str = ""


def shielded(cell: str) -> str:
    """A cell in which no spreadsheet finds a formula; `bare` gives back exactly what it was.

    An apostrophe is put at the beginning, and behind each `,` `;` `|`, tab and line end, where one of = + - @ follows, in
    either width, also behind blanks, quotes, control characters and apostrophes; and before a tab or a line end at the
    beginning.
    """
    return _SHIELD.sub("'", cell)


def bare(cell: str) -> str:
    """A cell as it was before it was shielded; one that was not, is as it is."""
    return _SHIELDED.sub("", cell) if "'" in cell else cell


def write(target: IO[str], header: Iterable[str], rows: Iterable[Iterable[object]], *, end: str = "\n") -> None:
    """Write a table as CSV: every cell quoted, every text shielded, None an empty cell; numbers are as they are."""
    writer = csv.writer(target, lineterminator=end, quoting=csv.QUOTE_ALL)
    for row in chain((header,), rows):
        writer.writerow([shielded(each) if isinstance(each, str) else each for each in row])


def format_of(name: str) -> RowFormat:
    """Which form a file's name says; `ConfigurationError` where it says none."""
    for ending, form in _FORMATS_BY_SUFFIX.items():
        if name.lower().endswith(ending):
            return form
    raise ConfigurationError(
        f"{quote_text(name)}: is it CSV or JSON Lines? pass --format csv or jsonl, or name it .csv or .jsonl"
    )


def decode_lines(readline: Callable[[int], bytes]) -> Iterator[str]:
    """Each line as text. One that is too long is a line that no row can be; bytes that are no UTF-8 stay apart."""
    start = b"\xef\xbb\xbf"
    while line := readline(MAX_LINE_BYTES):
        if line.endswith(b"\n") or len(line) < MAX_LINE_BYTES:
            yield line.removeprefix(start).decode("utf-8", "surrogateescape")
        else:
            while (rest := readline(MAX_LINE_BYTES)) and not rest.endswith(b"\n"):
                pass
            yield f"{_TOO_LONG}\n"
        start = b""


def read_rows(
    text: Iterable[str], form: RowFormat, fields: Sequence[str], columns: Mapping[str, str], required: Collection[str]
) -> tuple[Iterator[Row], tuple[str, ...]]:
    """The rows with the values of `fields`, and the names of a header that nobody asked for.

    `columns` says how a field is called in the file, where that is not its own name; the `required` have to be there.
    `ConfigurationError` for a header that lacks one.
    """
    names = [columns.get(field, field) for field in fields]
    if form == "jsonl":
        return _json_rows(text, names, [columns.get(field, field) for field in required]), ()
    source = csv.reader(iter(text))
    header = _read_header(source)
    lacking = [columns.get(field, field) for field in required if columns.get(field, field) not in header]
    if lacking:
        there = ", ".join(quote_text(name) for name in header[:_MAX_LISTED])
        raise ConfigurationError(*(_column_fault(name, header, there) for name in lacking))
    twice = sorted({name for name in names if header.count(name) > 1})
    if twice:
        raise ConfigurationError(*(f"line 1: there are two columns {quote_text(name)}" for name in twice))
    # What a row has no column for is read from behind its end.
    places = [header.index(name) if name in header else len(header) for name in names]
    return _csv_rows(source, len(header), places), tuple(name for name in header if name not in names)


def _column_fault(name: str, header: Sequence[str], there: str) -> str:
    if len(header) == 1 and any(mark in header[0] for mark in ";\t|"):
        return f"line 1: there is no column {quote_text(name)}: columns are separated by commas"
    return f"line 1: there is no column {quote_text(name)}{did_you_mean(name, header) or f'; there are {there}'}"


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
            yield Row(line, [bare(cells[place]) for place in places])
        elif cells == [_TOO_LONG]:
            yield Row(line, (), "it is longer than a line may be")
        elif cells:
            yield Row(line, (), "it has more or fewer cells than the header")


def _json_rows(text: Iterable[str], names: Sequence[str], required: Sequence[str]) -> Iterator[Row]:
    for line, said in enumerate(text, 1):
        if said.startswith(_TOO_LONG):
            yield Row(line, (), "it is longer than a line may be")
            continue
        if said.isspace():
            continue
        try:
            found: Any = json.loads(said)
        # A number of thousands of digits is a ValueError too, arrays nested as deep a RecursionError.
        except (ValueError, RecursionError):
            yield Row(line, (), "it is not JSON")
            continue
        if not isinstance(found, dict):
            yield Row(line, (), "it is not a JSON object")
            continue
        held = cast("dict[str, object]", found)
        values = [_cell_text(held.get(name)) for name in names]
        if None in values:
            yield Row(line, (), "a value is neither a text nor a number")
        elif any(name not in held for name in required):
            yield Row(line, (), "it lacks a required field")
        else:
            yield Row(line, [value or "" for value in values])


def _cell_text(value: object) -> str | None:
    """A value as a cell; None for what can be none."""
    if isinstance(value, str):
        return value
    if value is None:
        return ""
    return str(value) if isinstance(value, int | float) and not isinstance(value, bool) else None
