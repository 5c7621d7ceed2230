"""How is anything shown?

What is printed was often written by somebody else: a token's sender, a log's writer. Here it becomes text that
cannot steer a terminal. Markup is never read from a text, and nothing is said by colour alone.
"""

from __future__ import annotations

import json
import os
import sys
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

import click
from rich.console import Console
from rich.table import Table
from rich.text import Text

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

WARNING: Final = "bold yellow"
ERROR: Final = "bold red"
OK: Final = "green"
DIM: Final = "dim"

_MAX_LENGTH: Final = 300


class Failure(click.ClickException):
    """Wrong usage or configuration: every fault on a line of its own, exit code 2."""

    exit_code = 2

    def __init__(self, *faults: str) -> None:
        lines = [safe(line) for fault in faults for line in fault.split("\n")]
        super().__init__(lines[0] if len(lines) == 1 else "".join(f"\n  {line}" for line in lines))


class CheckFailed(Failure):
    """What was asked for is not allowed: exit code 1."""

    exit_code = 1


def safe(value: object) -> str:
    """`value` as text with every character escaped that is not printable, line ends included."""
    return "".join(each if each.isprintable() else _escape(each) for each in str(value))


def brief(value: object) -> str:
    """`safe`, and never long: for what a client or a token chose."""
    written = safe(value)
    return written if len(written) <= _MAX_LENGTH else f"{written[:_MAX_LENGTH]}..."


def _escape(char: str) -> str:
    return char.encode("unicode_escape").decode()


def console(*, err: bool = False) -> Console:
    """A console that takes text as it is. Colour only on a terminal, and never where NO_COLOR is set."""
    return Console(stderr=err, markup=False, highlight=False, emoji=False, legacy_windows=False)


def text(value: object, style: str = "") -> Text:
    """`value`, safe, in one style."""
    return Text(safe(value), style=style, overflow="fold")


def say(*parts: Text | str, err: bool = False) -> None:
    """Print one paragraph, wrapped to the terminal; one line where there is none, for whoever searches it."""
    written = Text(overflow="fold")
    for part in parts:
        written.append_text(part if isinstance(part, Text) else text(part))
    _print(written, err=err)


def notices(lines: Iterable[str], *, err: bool = False) -> None:
    """Print what nobody may overlook, each line with a mark of its own."""
    for line in lines:
        say(text("!! ", WARNING), text(line, WARNING), err=err)


def grid(rows: Iterable[Sequence[Text]], headers: Sequence[str] = (), *, fixed: int = 0) -> None:
    """Print rows in columns, folded where the terminal is too narrow. The first `fixed` columns never fold."""
    table = Table(box=None, show_header=bool(headers), padding=(0, 2, 0, 0), pad_edge=False, header_style="bold")
    kept = list(rows)
    if not kept:
        return
    for index in range(max(map(len, kept), default=0)):
        header = headers[index] if index < len(headers) else ""
        table.add_column(header, no_wrap=index < fixed, overflow="fold")
    for row in kept:
        table.add_row(*row)
    _print(table)


def _print(what: Text | Table, *, err: bool = False) -> None:
    target = console(err=err)
    with target.capture() as captured:
        # COLUMNS says how wide it is where nobody looks.
        target.print(what, soft_wrap=isinstance(what, Text) and not target.is_terminal and "COLUMNS" not in os.environ)
    said = "".join(f"{line.rstrip()}\n" for line in captured.get().splitlines())
    # A stream may know fewer characters than a route's template has: an escape is better than a traceback.
    encoding = (sys.stderr if err else sys.stdout).encoding or "utf-8"
    click.echo(said.encode(encoding, "backslashreplace").decode(encoding), nl=False, err=err, color=True)


def emit(value: object) -> None:
    """Print `value` as JSON, and nothing else, on standard output; its escapes keep it ASCII."""
    click.echo(json.dumps(value, indent=2))


def count(number: int, noun: str) -> str:
    """`number` of `noun`, which takes an s."""
    return f"{number} {noun}{'' if number == 1 else 's'}"


def moment(seconds: Any) -> str:
    """Seconds since the epoch as a date and time in UTC, to the second."""
    try:
        found = datetime.fromtimestamp(float(seconds), UTC)
    except (TypeError, ValueError, OverflowError, OSError):
        return "no date"
    return f"{found:%Y-%m-%dT%H:%M:%SZ}"


def span(seconds: float) -> str:
    """A length of time, in the largest unit that keeps it readable."""
    for unit, size in (("days", 86400), ("hours", 3600), ("minutes", 60)):
        if abs(seconds) >= 2 * size:
            return f"{abs(seconds) / size:.0f} {unit}"
    return f"{abs(seconds):.0f} s"
