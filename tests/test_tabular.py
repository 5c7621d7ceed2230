from __future__ import annotations

import io

import pytest

from jwt_lp import tabular
from jwt_lp.errors import ConfigurationError
from jwt_lp.tabular import MOST, Row, form_of, lines, rows

FIELDS = ("subject", "day", "client")


def _read(data, form="csv", **columns):
    found, unread = rows(lines(io.BytesIO(data).readline), form, FIELDS, columns, ("subject", "day"))
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
        (b'"' + b"x" * 140_000 + b'",1', "it is no CSV, or a cell is too long"),
        (b"x" * MOST + b"y", "it is longer than a line may be"),
    ],
)
def test_a_bad_line_of_csv(line, fault):
    """One bad line is one fault; those around it are read."""
    found, _ = _read(b"subject,day\na,1\n" + line + b"\nb,2\n")
    assert [Row(2, ["a", "1", ""]), Row(3, (), fault), Row(4, ["b", "2", ""])] == found


@pytest.mark.parametrize(
    ("line", "fault"),
    [
        (b"{", "it is no JSON"),
        (b"[" * 100_000, "it is no JSON"),
        (b'{"subject": ' + b"1" * 5000 + b"}", "it is no JSON"),
        (b"[]", "it is no JSON object"),
        (b'{"subject": "a"}', "it lacks what every row needs"),
        (b'{"subject": true, "day": 1}', "a value is neither a text nor a number"),
        (b'{"subject": "a", "day": 1, "client": []}', "a value is neither a text nor a number"),
        (b" " * MOST + b"y", "it is longer than a line may be"),
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

    found, _ = rows(lines(readline), "csv", FIELDS, {}, ())
    assert [Row(2, (), "it is longer than a line may be")] == list(found)
    assert {MOST} == set(asked)


@pytest.mark.parametrize(
    ("data", "fault"),
    [
        (b"", "the file is empty: its first line names the columns"),
        (b"subjet,day\n", "line 1: there is no column 'subject'; did you mean 'subjet'?"),
        (b"x,day\n", "line 1: there is no column 'subject'; there are 'x', 'day'"),
        (b"subject;day\n", "line 1: there is no column 'subject': columns are separated by commas"),
        (b"subject,day,day\n", "line 1: there are two columns 'day'"),
        (b"x" * 140_000, "line 1: it is no CSV, which begins with the names of the columns"),
    ],
)
def test_a_header_that_will_not_do(data, fault):
    """Without its columns a file is not read at all."""
    with pytest.raises(ConfigurationError) as raised:
        _read(data)
    assert fault == raised.value.faults[0]


def test_the_form_of_a_file():
    """Its name's ending says it; where it says nothing, the error says how to."""
    assert ["csv", "jsonl", "jsonl"] == [form_of(name) for name in ("a.CSV", "b.jsonl", "c.ndjson")]
    with pytest.raises(ConfigurationError, match=r"'a.xlsx': is it CSV or JSON Lines\? pass --format"):
        form_of("a.xlsx")
    assert 1 << 20 == tabular.MOST
