"""What is in the file that was given?"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import IO, TYPE_CHECKING, Final

import click
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

from jwt_lp.cli.output import Failure, brief, console
from jwt_lp.errors import ConfigurationError
from jwt_lp.usage.recorder import omitted_subject, plain_subject, pseudonymizer
from jwt_lp.usage.row_reader import RowFormat, decode_lines, format_of

if TYPE_CHECKING:
    from jwt_lp.guard.settings import Settings
    from jwt_lp.usage.usage_records import SubjectNaming

_BLOCK_SIZE: Final = 1 << 20

form_option: Final = click.option(
    "--format", "form", type=click.Choice(["csv", "jsonl"]), help="How the file is written. Default: its name's ending."
)
file_argument: Final = click.argument("file", metavar="FILE|-")


@dataclass(frozen=True, slots=True)
class InputFile:
    """A file as it was when it was opened: its digest, and its first `size` bytes, whatever is added meanwhile."""

    name: str
    form: RowFormat
    size: int
    digest: str
    opened: IO[bytes]

    def lines(self, seen: Callable[[int], object] = lambda _: None) -> Iterator[str]:
        """Every line; `seen` hears how many bytes were read."""
        self.opened.seek(0)
        left = self.size

        def readline(most: int) -> bytes:
            nonlocal left
            line = self.opened.readline(min(most, left)) if left else b""
            left -= len(line)
            seen(len(line))
            return line

        return decode_lines(readline)


@contextmanager
def open_input(file: str, form: RowFormat | None) -> Generator[InputFile]:
    """Open a file, or standard input for `-`; `Failure` says why it cannot be read."""
    kind = form if form is not None else None if file == "-" else format_of(file)
    if kind is None:
        raise click.UsageError("what is piped in has no name: pass --format csv or jsonl")
    with _open_seekable(file) as opened:
        digest, size = sha256(), 0
        while block := opened.read(_BLOCK_SIZE):
            digest.update(block)
            size += len(block)
        yield InputFile("what was piped in" if file == "-" else file, kind, size, digest.hexdigest(), opened)


@contextmanager
def _open_seekable(file: str) -> Generator[IO[bytes]]:
    if file == "-":
        # It is read twice, and may be longer than memory.
        with tempfile.TemporaryFile() as kept:
            while block := sys.stdin.buffer.read(_BLOCK_SIZE):
                kept.write(block)
            kept.seek(0)
            yield kept
        return
    try:
        opened = Path(file).open("rb")  # noqa: SIM115 - closed below; only what opening raises is said like that
    except OSError as error:
        raise Failure(f"{brief(file)} cannot be read: {error.strerror}") from None
    with opened:
        if not opened.seekable():
            raise Failure(f"{brief(file)} is no file: pipe it in, and pass -")
        yield opened


@contextmanager
def prefix_faults(name: str) -> Generator[None]:
    """Say of every fault in which file it is."""
    try:
        yield
    except ConfigurationError as error:
        raise Failure(*(f"{name}: {fault}" for fault in error.faults)) from None


@contextmanager
def progress_bar(found: InputFile) -> Generator[Callable[[int], None]]:
    """A bar on standard error where that is a terminal, moved on by so many bytes."""
    target = console(err=True)
    if not target.is_terminal:
        yield lambda _: None
        return
    columns = (TextColumn("{task.description}", markup=False), BarColumn(), TaskProgressColumn(), TimeRemainingColumn())
    with Progress(*columns, console=target, transient=True) as bar:
        task = bar.add_task(brief(found.name), total=found.size)
        waiting = 0

        def seen(number: int) -> None:
            nonlocal waiting
            waiting += number
            if waiting >= _BLOCK_SIZE // 4 or number == 0:
                bar.advance(task, waiting)
                waiting = 0

        yield seen


def subject_naming(found: Settings | None) -> SubjectNaming:
    """How subjects stand in the store: as `SUBJECTS` of the settings says, plainly without settings."""
    if found is None:
        return plain_subject
    if found.subjects is None:
        return omitted_subject
    return pseudonymizer(found.subjects) if found.subjects else plain_subject


def default_issuer(said: str | None, found: Settings | None) -> str:
    """The `iss` of what names none: `--issuer`, by its name in the settings too, or the settings' only one."""
    listed = found.issuers if found is not None else ()
    if said is not None:
        return next((each.issuer for each in listed if said in (each.issuer, each.name)), said)
    return listed[0].issuer if len(listed) == 1 else ""
