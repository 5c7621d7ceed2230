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
from jwt_lp.usage.row_reader import MAX_LINE_BYTES, Row, bare, decode_lines, format_of, read_rows, shielded, write

if TYPE_CHECKING:
    from collections.abc import Sequence

FIELDS = ("subject", "day", "client")


def _read(data, form="csv", **columns):
    found, unread = read_rows(decode_lines(io.BytesIO(data).readline), form, FIELDS, columns, ("subject", "day"))
    return list(found), unread


def test_csv():
    """Values come in the order of the fields, whatever the order in the file; what is absent is empty."""
    found, unread = _read(b"\xef\xbb\xbfday, who ,more\r\n2026-01-01,alice,x\r\n\r\n2026-01-02,bob,y", subject="who")
    assert [Row(2, ["alice", "2026-01-01", ""]), Row(4, ["bob", "2026-01-02", ""])] == found
    assert ("more",) == unread


def test_a_cell_of_several_lines():
    """A row is named by the line that it begins on."""
    found, _ = _read(b'subject,day\n"a\nb",1\nc,2\n')
    assert [Row(2, ["a\nb", "1", ""]), Row(4, ["c", "2", ""])] == found


def test_json_lines():
    """Texts and numbers are values, null is an absent one, and an empty line is nothing."""
    found, unread = _read(
        b'{"subject": "a", "day": 7, "client": null}\n\n{"subject": 1.5, "day": "x", "z": {}}\n', "jsonl"
    )
    assert [Row(1, ["a", "7", ""]), Row(3, ["1.5", "x", ""])] == found
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
    """One bad line is one fault; those around it are read."""
    found, _ = _read(b"subject,day\na,1\n" + line + b"\nb,2\n")
    assert [Row(2, ["a", "1", ""]), Row(3, (), fault), Row(4, ["b", "2", ""])] == found


@pytest.mark.parametrize(
    ("line", "fault"),
    [
        (b"{", "it is not JSON"),
        (b"[" * 100_000, "it is not JSON"),
        (b'{"subject": ' + b"1" * 5000 + b"}", "it is not JSON"),
        (b"[]", "it is not a JSON object"),
        (b'{"subject": "a"}', "it lacks a required field"),
        (b'{"subject": true, "day": 1}', "a value is neither a text nor a number"),
        (b'{"subject": "a", "day": 1, "client": []}', "a value is neither a text nor a number"),
        (b" " * MAX_LINE_BYTES + b"y", "it is longer than a line may be"),
    ],
)
def test_a_bad_line_of_json(line, fault):
    """The same for JSON Lines."""
    found, _ = _read(b'{"subject": "a", "day": 1}\n' + line + b'\n{"subject": "b", "day": 2}\n', "jsonl")
    assert [Row(1, ["a", "1", ""]), Row(2, (), fault), Row(3, ["b", "2", ""])] == found


def test_bytes_that_are_no_text():
    """They are told from every text, and spoil no other line."""
    found, _ = _read(b"subject,day\n\xff,1\nb,2\n")
    assert ["\udcff", "b"] == [row.values[0] for row in found]


def test_a_last_line_that_is_too_long():
    """A line that never ends is not held in memory, and is no row."""
    asked = []

    def readline(most):
        asked.append(most)
        return b"subject,day\n" if len(asked) == 1 else b"x" * most if len(asked) < 9 else b""

    found, _ = read_rows(decode_lines(readline), "csv", FIELDS, {}, ())
    assert [Row(2, (), "it is longer than a line may be")] == list(found)
    assert {MAX_LINE_BYTES} == set(asked)


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
def test_a_header_that_will_not_do(data, fault):
    """Without its columns a file is not read at all."""
    with pytest.raises(ConfigurationError) as raised:
        _read(data)
    assert fault == raised.value.faults[0]


def test_the_form_of_a_file():
    """Its name's ending says it; where it says nothing, the error says how to."""
    assert ["csv", "jsonl", "jsonl"] == [format_of(name) for name in ("a.CSV", "b.jsonl", "c.ndjson")]
    with pytest.raises(ConfigurationError, match=r"'a.xlsx': is it CSV or JSON Lines\? pass --format"):
        format_of("a.xlsx")
    assert 1 << 20 == row_reader.MAX_LINE_BYTES


# Writing

_CHANCE = st.text(st.sampled_from("=+-@'\"\t\r\n,;| a1\x00\xa0\u200b\ufeff＝＋－＠"), max_size=12)
_ANY = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
TEXTS = _CHANCE | _ANY
FORMULA = re.compile(r"""[\s"\x00-\x1f\x7f-\xa0\u200b\ufeff]*[=+\-@＝＋－＠]""")


def _written(rows_of: Sequence[Sequence[object]], end: str = "\n") -> str:
    target = io.StringIO(newline="")
    write(target, [f"c{number}" for number in range(len(rows_of[0]))], rows_of, end=end)
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
def test_a_cell_that_a_spreadsheet_would_compute_is_neutralised(text: str, cell: str) -> None:
    """An apostrophe stands before each place where a formula could begin, and nowhere else; it is taken away again."""
    assert (cell, text) == (shielded(text), bare(cell))


@given(TEXTS)
def test_what_was_neutralised_is_restored_exactly(text: str) -> None:
    """Whatever a text holds, apostrophes too."""
    assert text == bare(shielded(text))


@given(st.lists(st.tuples(TEXTS, TEXTS, TEXTS), min_size=1, max_size=4), st.sampled_from(["\n", "\r\n"]))
def test_a_file_of_ours_is_read_back_exactly(said: list[tuple[str, str, str]], end: str) -> None:
    """Every cell as it was, with line ends, marks and characters that nobody sees."""
    opened = io.BytesIO(_written(said, end).encode())
    found, _ = read_rows(decode_lines(opened.readline), "csv", ("c0", "c1", "c2"), {}, ())
    assert [list(each) for each in said] == [list(row.values) for row in found]


@given(st.lists(st.tuples(TEXTS, TEXTS), min_size=1, max_size=3), st.sampled_from(",;\t|"))
def test_no_cell_is_a_formula_whatever_a_spreadsheet_separates_by(said: list[tuple[str, str]], delimiter: str) -> None:
    """Countries separate by other characters: a cell that is taken apart by them has no formula within either."""
    text = _written(said)
    found = [cell for row in csv.reader(io.StringIO(text, newline=""), delimiter=delimiter) for cell in row]
    assert [] == [cell for cell in found if FORMULA.match(cell)]


def test_every_cell_is_quoted() -> None:
    """Numbers too, and what is not there."""
    assert '"c0","c1","c2"\n"-1","","a;b"\n' == _written([(-1, None, "a;b")])
