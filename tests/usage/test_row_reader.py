"""Rows of CSV and JSON Lines, read and written."""

from __future__ import annotations

import csv
import io
import re
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jwt_lp.errors import ConfigurationError
from jwt_lp.usage import row_reader
from jwt_lp.usage.row_reader import (
    MAX_LINE_BYTES,
    Row,
    decode_lines,
    detect_format,
    escape_formulas,
    read_rows,
    unescape_formulas,
    write_csv,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

FIELDS = ("subject", "day", "client")


def _read(data, form="csv", **columns):
    rows, unread = read_rows(decode_lines(io.BytesIO(data).readline), form, FIELDS, columns, ("subject", "day"))
    return list(rows), unread


def test_csv_values_come_in_the_order_of_the_fields():
    """Values come in the order of the fields, whatever the order in the file; an absent value is empty."""
    rows, unread = _read(b"\xef\xbb\xbfday, who ,more\r\n2026-01-01,alice,x\r\n\r\n2026-01-02,bob,y", subject="who")
    assert [Row(2, ["alice", "2026-01-01", ""]), Row(4, ["bob", "2026-01-02", ""])] == rows
    assert ("more",) == unread


def test_a_cell_of_several_lines():
    """A row has the number of the line that it begins on."""
    rows, _ = _read(b'subject,day\n"a\nb",1\nc,2\n')
    assert [Row(2, ["a\nb", "1", ""]), Row(4, ["c", "2", ""])] == rows


def test_json_lines():
    """Texts and numbers are values, null is an absent value, and an empty line is skipped."""
    rows, unread = _read(
        b'{"subject": "a", "day": 7, "client": null}\n\n{"subject": 1.5, "day": "x", "z": {}}\n', "jsonl"
    )
    assert [Row(1, ["a", "7", ""]), Row(3, ["1.5", "x", ""])] == rows
    assert () == unread


@pytest.mark.parametrize(
    ("line", "fault"),
    [
        (b"a,b,c", "it has more or fewer cells than the header"),
        (b"a", "it has more or fewer cells than the header"),
        (b'"' + b"x" * 140_000 + b'",1', "it is not CSV, or a cell is too long"),
        (b"x" * MAX_LINE_BYTES + b"y", "it is longer than a line may be"),
    ],
)
def test_a_bad_line_of_csv(line, fault):
    """A bad line of CSV is one fault; the lines around it are read."""
    rows, _ = _read(b"subject,day\na,1\n" + line + b"\nb,2\n")
    assert [Row(2, ["a", "1", ""]), Row(3, (), fault), Row(4, ["b", "2", ""])] == rows


@pytest.mark.parametrize(
    ("line", "fault"),
    [
        (b"{", "it is not JSON, or a member comes twice"),
        (b"[" * 100_000, "it is not JSON, or a member comes twice"),
        (b'{"subject": ' + b"1" * 5000 + b"}", "it is not JSON, or a member comes twice"),
        (b"[]", "it is not a JSON object"),
        (b'{"subject": "a"}', "it lacks a required field"),
        (b'{"subject": true, "day": 1}', "a value is neither a text nor a number"),
        (b'{"subject": "a", "day": 1, "client": []}', "a value is neither a text nor a number"),
        (b" " * MAX_LINE_BYTES + b"y", "it is longer than a line may be"),
    ],
)
def test_a_bad_line_of_json(line, fault):
    """A bad line of JSON is one fault; the lines around it are read."""
    rows, _ = _read(b'{"subject": "a", "day": 1}\n' + line + b'\n{"subject": "b", "day": 2}\n', "jsonl")
    assert [Row(1, ["a", "1", ""]), Row(2, (), fault), Row(3, ["b", "2", ""])] == rows


def test_bytes_that_are_not_utf8():
    """They become surrogates, which no text has, and no other line is affected."""
    rows, _ = _read(b"subject,day\n\xff,1\nb,2\n")
    assert ["\udcff", "b"] == [row.values[0] for row in rows]


def test_a_last_line_that_is_too_long():
    """A line that never ends is read in bounded pieces, and is a fault."""
    sizes = []

    def readline(size):
        sizes.append(size)
        return b"subject,day\n" if len(sizes) == 1 else b"x" * size if len(sizes) < 9 else b""

    rows, _ = read_rows(decode_lines(readline), "csv", FIELDS, {}, ())
    assert [Row(2, (), "it is longer than a line may be")] == list(rows)
    assert {MAX_LINE_BYTES} == set(sizes)


@pytest.mark.parametrize(
    ("data", "fault"),
    [
        (b"", "the file is empty: its first line names the columns"),
        (b"subjet,day\n", "line 1: there is no column 'subject'; did you mean 'subjet'?"),
        (b"x,day\n", "line 1: there is no column 'subject'; there are 'x', 'day'"),
        (b"subject;day\n", "line 1: there is no column 'subject': columns are separated by commas"),
        (b"subject,day,day\n", "line 1: there are two columns 'day'"),
        (b"x" * 140_000, "line 1: it is not CSV that begins with the names of the columns"),
    ],
)
def test_a_faulty_header_is_refused(data, fault):
    """A file without the required columns is not read at all."""
    with pytest.raises(ConfigurationError) as raised:
        _read(data)
    assert fault == raised.value.faults[0]


def test_the_format_of_a_file():
    """The suffix names the format; for any other suffix the error says how to pass it."""
    assert ["csv", "jsonl", "jsonl"] == [detect_format(name) for name in ("a.CSV", "b.jsonl", "c.ndjson")]
    with pytest.raises(ConfigurationError, match=r"'a.xlsx': is it CSV or JSON Lines\? pass --format"):
        detect_format("a.xlsx")
    assert 1 << 20 == row_reader.MAX_LINE_BYTES


# Writing

_LIKELY = st.text(st.sampled_from("=+-@'\"\t\r\n,;| a1\x00\xa0\u200b\ufeff＝＋－＠"), max_size=12)
_ANY = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
TEXTS = _LIKELY | _ANY
FORMULA = re.compile(r"""[\s"\x00-\x1f\x7f-\xa0\u200b\ufeff]*[=+\-@＝＋－＠]""")


def _written(rows: Sequence[Sequence[object]], end: str = "\n") -> str:
    target = io.StringIO(newline="")
    write_csv(target, [f"c{number}" for number in range(len(rows[0]))], rows, end=end)
    return target.getvalue()


@pytest.mark.parametrize(
    ("text", "cell"),
    [
        ("plain", "plain"),
        ("a=b+c-d@e", "a=b+c-d@e"),
        ("-", "'-"),
        ("=1+1", "'=1+1"),
        ("  @x", "'  @x"),
        ("\u200b\ufeff\x00=x", "'\u200b\ufeff\x00=x"),
        ('"=x', "'\"=x"),
        ("＝x", "'＝x"),
        ("\tx", "'\tx"),
        ("\rx", "'\rx"),
        ("\nx", "'\nx"),
        ("x\ty", "x\ty"),
        ("a;=x", "a;'=x"),
        ("a, -x|+y\n@z", "a,' -x|'+y\n'@z"),
        ("'plain", "'plain"),
        ("'=x", "''=x"),
        ("''=x", "'''=x"),
        ("'", "'"),
        ("", ""),
    ],
)
def test_formulas_are_escaped_and_unescaped(text: str, cell: str) -> None:
    """Escaping inserts an apostrophe only where a formula could begin, and unescaping removes it."""
    assert (cell, text) == (escape_formulas(text), unescape_formulas(cell))


@given(TEXTS)
def test_an_escaped_text_is_restored_exactly(text: str) -> None:
    """Every text survives escaping and unescaping, also one with apostrophes."""
    assert text == unescape_formulas(escape_formulas(text))


@given(st.lists(st.tuples(TEXTS, TEXTS, TEXTS), min_size=1, max_size=4), st.sampled_from(["\n", "\r\n"]))
def test_a_written_file_is_read_back_exactly(written: list[tuple[str, str, str]], end: str) -> None:
    """Every cell is read as it was written, also one with line ends, marks and invisible characters."""
    opened = io.BytesIO(_written(written, end).encode())
    rows, _ = read_rows(decode_lines(opened.readline), "csv", ("c0", "c1", "c2"), {}, ())
    assert [list(cells) for cells in written] == [list(row.values) for row in rows]


@given(st.lists(st.tuples(TEXTS, TEXTS), min_size=1, max_size=3), st.sampled_from(",;\t|"))
def test_no_cell_is_a_formula_whatever_a_spreadsheet_separates_by(
    written: list[tuple[str, str]], delimiter: str
) -> None:
    """A cell has no formula even if a spreadsheet splits it at the separator of another country."""
    text = _written(written)
    cells = [cell for row in csv.reader(io.StringIO(text, newline=""), delimiter=delimiter) for cell in row]
    assert [] == [cell for cell in cells if FORMULA.match(cell)]


def test_every_cell_is_quoted() -> None:
    """Numbers and empty cells are quoted, too."""
    assert '"c0","c1","c2"\n"-1","","a;b"\n' == _written([(-1, None, "a;b")])
