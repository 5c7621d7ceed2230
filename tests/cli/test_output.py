from __future__ import annotations

import io
import sys

import pytest

from jwt_lp.cli import output


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("orders:read", "orders:read"),
        ("\x1b[2J", "\\x1b[2J"),
        ("a\r\nb\tc", "a\\r\\nb\\tc"),
        ("\u202eevil\u2066", "\\u202eevil\\u2066"),
        ("\udc80", "\\udc80"),
        ("[red]x[/red]", "[red]x[/red]"),
        ("café", "café"),
    ],
)
def test_what_is_not_printable_is_escaped(text, expected):
    """No control character, line end, bidirectional override or surrogate reaches the terminal as it is."""
    assert expected == output.safe(text)


def test_long_text_is_cut():
    """A value that a client chose is cut."""
    assert 303 == len(output.brief("x" * 1000))


@pytest.mark.parametrize(("columns", "lines"), [(None, 1), ("40", 3)])
def test_a_paragraph_is_one_line_where_there_is_no_terminal(monkeypatch, capsys, columns, lines):
    """Without a terminal a paragraph is one line, unless COLUMNS is set."""
    monkeypatch.delenv("COLUMNS", raising=False)
    if columns:
        monkeypatch.setenv("COLUMNS", columns)
    output.say("word " * 20)
    assert lines == len(capsys.readouterr().out.splitlines())


def test_markup_is_never_read(capsys):
    """A text in rich's markup is printed as it is, nor is an emoji code replaced."""
    output.say("[bold red]no[/bold red] :smile:")
    assert "[bold red]no[/bold red] :smile:\n" == capsys.readouterr().out


def test_a_stream_that_knows_fewer_characters(monkeypatch):
    """Where the stream cannot show a character, it is escaped, and nothing fails."""
    stream = io.TextIOWrapper(io.BytesIO(), encoding="ascii")
    monkeypatch.setattr(sys, "stdout", stream)
    output.say("/café")
    stream.flush()
    assert b"/caf\\xe9\n" == stream.buffer.getvalue()


def test_no_rows_print_nothing(capsys):
    """A grid without rows is no blank line."""
    output.grid([])
    assert "" == capsys.readouterr().out


@pytest.mark.parametrize(
    ("seconds", "expected"),
    [(0, "1970-01-01T00:00:00Z"), (1e15, "no date"), ("x", "no date"), (None, "no date"), (float("nan"), "no date")],
)
def test_moments(seconds, expected):
    """A value that is not a time is shown as no date."""
    assert expected == output.moment(seconds)


@pytest.mark.parametrize(
    ("seconds", "expected"), [(5, "5 s"), (119, "119 s"), (120, "2 minutes"), (7200, "2 hours"), (-200000, "2 days")]
)
def test_spans(seconds, expected):
    """A length of time is shown in a readable unit."""
    assert expected == output.span(seconds)


@pytest.mark.parametrize(
    ("faults", "expected"),
    [(("one",), "one"), (("one", "two"), "\n  one\n  two"), (("one\ntwo",), "\n  one\n  two"), (("\x07",), "\\x07")],
)
def test_failures_have_a_line_for_each_fault(faults, expected):
    """Every fault of a failure stands on its own line, and none steers the terminal."""
    assert expected == output.Failure(*faults).message
