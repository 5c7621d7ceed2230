"""Safe output on a terminal: escaped text, tables, notices and JSON.

Much of the output comes from others, such as the sender of a token. It is escaped, so that it cannot control the
terminal. Markup in it is not interpreted, and colour is never the only sign of anything.
"""

from __future__ import annotations

import json
import os
import sys
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

import click
from rich.console import Console
from rich.progress import Progress, SpinnerColumn, TextColumn
from rich.table import Table
from rich.text import Text

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterable, Sequence

WARNING: Final = "bold yellow"
ERROR: Final = "bold red"
OK: Final = "green"
DIM: Final = "dim"

_MAX_LENGTH: Final = 300


class Failure(click.ClickException):
    """Wrong usage or configuration: one line per fault, exit code 2."""

    exit_code = 2

    def __init__(self, *faults: str) -> None:
        lines = [safe(line) for fault in faults for line in fault.split("\n")]
        super().__init__(lines[0] if len(lines) == 1 else "".join(f"\n  {line}" for line in lines))


class CheckFailed(Failure):
    """The request is not allowed: exit code 1."""

    exit_code = 1


def safe(value: object) -> str:
    """`value` as text, with every non-printable character escaped, line ends included."""
    return "".join(char if char.isprintable() else _escape(char) for char in str(value))


def brief(value: object) -> str:
    """`safe`, cut to 300 characters: for values that a client or a token chose."""
    escaped = safe(value)
    return escaped if len(escaped) <= _MAX_LENGTH else f"{escaped[:_MAX_LENGTH]}..."


def _escape(char: str) -> str:
    return char.encode("unicode_escape").decode()


def console(*, err: bool = False) -> Console:
    """A console without markup. It uses colour only on a terminal, and never if NO_COLOR is set."""
    return Console(stderr=err, markup=False, highlight=False, emoji=False, legacy_windows=False)


def text(value: object, style: str = "") -> Text:
    """`value`, escaped, in one style."""
    return Text(safe(value), style=style, overflow="fold")


def say(*parts: Text | str, err: bool = False) -> None:
    """Print one paragraph, wrapped to the terminal; on one line without a terminal, so that it can be searched."""
    paragraph = Text(overflow="fold")
    for part in parts:
        paragraph.append_text(part if isinstance(part, Text) else text(part))
    _print(paragraph, err=err)


def notices(lines: Iterable[str], *, err: bool = False) -> None:
    """Print warnings, each line marked with "!!"."""
    for line in lines:
        say(text("!! ", WARNING), text(line, WARNING), err=err)


def grid(rows: Iterable[Sequence[Text]], headers: Sequence[str] = (), *, fixed: int = 0) -> None:
    """Print rows in columns, folded if the terminal is too narrow. The first `fixed` columns never fold."""
    table = Table(box=None, show_header=bool(headers), padding=(0, 2, 0, 0), pad_edge=False, header_style="bold")
    lines = list(rows)
    if not lines:
        return
    for index in range(max(map(len, lines), default=0)):
        header = headers[index] if index < len(headers) else ""
        table.add_column(header, no_wrap=index < fixed, overflow="fold")
    for row in lines:
        table.add_row(*row)
    _print(table)


def _print(content: Text | Table, *, err: bool = False) -> None:
    target = console(err=err)
    with target.capture() as captured:
        # COLUMNS sets the width if there is no terminal.
        target.print(
            content, soft_wrap=isinstance(content, Text) and not target.is_terminal and "COLUMNS" not in os.environ
        )
    output = "".join(f"{line.rstrip()}\n" for line in captured.get().splitlines())
    # The stream's encoding may lack a character of a route's template: escape it instead of failing.
    encoding = (sys.stderr if err else sys.stdout).encoding or "utf-8"
    click.echo(output.encode(encoding, "backslashreplace").decode(encoding), nl=False, err=err, color=True)


@contextmanager
def show_steps() -> Generator[Callable[[str, int], None]]:
    """Show the current step, and a count, on a terminal; print nothing without one."""
    target = console(err=True)
    columns = SpinnerColumn(), TextColumn("{task.description}", markup=False)
    with Progress(*columns, console=target, transient=True, disable=not target.is_terminal) as progress:
        task = progress.add_task("", total=None)

        def step(step_name: str, number: int) -> None:
            progress.update(task, description=f"{step_name}: {number:,}" if number else step_name)

        yield step


def emit(value: object) -> None:
    """Print `value` as ASCII-only JSON on standard output."""
    click.echo(json.dumps(value, indent=2))


def count(number: int, noun: str) -> str:
    """`number` with thousands separators, and `noun` with a plural s."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def moment(seconds: Any) -> str:
    """Seconds since the epoch as a date and time in UTC, to the second."""
    try:
        at = datetime.fromtimestamp(float(seconds), UTC)
    except (TypeError, ValueError, OverflowError, OSError):
        return "no date"
    return f"{at:%Y-%m-%dT%H:%M:%SZ}"


def span(seconds: float) -> str:
    """A length of time in days, hours, minutes or seconds: the largest unit of which there are two or more."""
    for unit, size in (("days", 86400), ("hours", 3600), ("minutes", 60)):
        if abs(seconds) >= 2 * size:
            return f"{abs(seconds) / size:.0f} {unit}"
    return f"{abs(seconds):.0f} s"
