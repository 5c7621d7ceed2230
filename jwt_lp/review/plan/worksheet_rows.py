"""Rows of worksheets: CSV as spreadsheets save it, in whatever order and with whatever delimiter."""

from __future__ import annotations

import csv
import io
from typing import TYPE_CHECKING, Final

from jwt_lp._support.validation import quote_text
from jwt_lp.errors import ConfigurationError
from jwt_lp.usage import row_reader

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

DECISION_COLUMNS: Final = ("decision", "until", "reviewer", "comment")

_NEEDED_COLUMNS: Final = ("id", "decision", "holder", "role", "grant")
_MOST_COLUMNS: Final = 256
_EARLIER_COLUMNS: Final = frozenset(("facts", "seal"))


def read_sheet_rows(text: str) -> Iterator[tuple[int, Mapping[str, str]]]:
    """The rows by their columns, each with its line; `ConfigurationError` for a text that is no worksheet."""
    head = text.partition("\n")[0]
    # Spreadsheets use the delimiter of their locale.
    delimiter = max(",;\t", key=head.count)
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter)
    names = [name.strip() for name in _header(reader)]
    if len(names) > _MOST_COLUMNS:
        raise ConfigurationError(f"line 1: not a worksheet of a review: more than {_MOST_COLUMNS} columns")
    if {*names} >= _EARLIER_COLUMNS:
        raise ConfigurationError(
            "line 1: an earlier release wrote this worksheet: write a new one with jwt-lp review --worksheet, and copy "
            "the decisions"
        )
    if lacking := [name for name in _NEEDED_COLUMNS if name not in names]:
        raise ConfigurationError(
            f"line 1: not a worksheet of a review: no column {', '.join(map(quote_text, lacking))}"
        )
    # Of two columns, nobody could tell which one has the decisions.
    if repeated := [name for name in (*_NEEDED_COLUMNS, *DECISION_COLUMNS) if names.count(name) > 1]:
        raise ConfigurationError(f"line 1: there are two columns {quote_text(repeated[0])}: delete one of them")
    line = reader.line_num + 1
    try:
        for row in reader:
            if any(row):
                cells = (*row, *[""] * (len(names) - len(row)))
                yield line, {name: row_reader.unescape_formulas(cell) for name, cell in zip(names, cells, strict=False)}
            line = reader.line_num + 1
    except csv.Error as error:
        raise ConfigurationError(f"line {line}: not CSV: {error}") from None


def _header(reader: Iterator[list[str]]) -> list[str]:
    try:
        return next(reader, [""])
    except csv.Error as error:
        raise ConfigurationError(f"line 1: not CSV: {error}") from None
