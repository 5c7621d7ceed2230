"""CSV and JSON Lines files as input, and names of subjects and issuers in their rows."""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Callable, Generator, Iterable, Iterator
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
from jwt_lp.usage.row_reader import RowFormat, decode_lines, detect_format

if TYPE_CHECKING:
    from jwt_lp.guard.settings import Settings
    from jwt_lp.usage.usage_records import SubjectNaming

_BLOCK_SIZE: Final = 1 << 20

form_option: Final = click.option(
    "--format",
    "form",
    type=click.Choice(["csv", "jsonl"]),
    help="The format of the file. Default: by the ending of its name.",
)
map_option: Final = click.option(
    "--map",
    "pairs",
    multiple=True,
    metavar="FIELD=COLUMN,...",
    help="The column of each field, if it has another name.",
)
file_argument: Final = click.argument("file", metavar="FILE|-")


@dataclass(frozen=True, slots=True)
class InputFile:
    """An open file, its digest and its first `size` bytes; bytes that are appended later are not read."""

    name: str
    size: int
    digest: str
    opened: IO[bytes]

    def lines(self, seen: Callable[[int], object] = lambda _: None) -> Iterator[str]:
        """Every line; `seen` is called with the number of bytes of each."""
        self.opened.seek(0)
        remaining = self.size

        def readline(most: int) -> bytes:
            nonlocal remaining
            line = self.opened.readline(min(most, remaining)) if remaining else b""
            remaining -= len(line)
            seen(len(line))
            return line

        return decode_lines(readline)


@dataclass(frozen=True, slots=True)
class RowFile(InputFile):
    """An open file of rows."""

    form: RowFormat


@contextmanager
def open_input(file: str, form: RowFormat | None) -> Generator[RowFile]:
    """Open a file of rows, or standard input for `-`; `Failure` says why it cannot be read."""
    row_format = form if form is not None else None if file == "-" else detect_format(file)
    if row_format is None:
        raise click.UsageError("standard input has no file name: pass --format csv or jsonl")
    with open_file(file) as opened:
        yield RowFile(opened.name, opened.size, opened.digest, opened.opened, row_format)


@contextmanager
def open_file(file: str) -> Generator[InputFile]:
    """Open a file of lines, or standard input for `-`; `Failure` says why it cannot be read."""
    with _open_seekable(file) as opened:
        digest, size = sha256(), 0
        while block := opened.read(_BLOCK_SIZE):
            digest.update(block)
            size += len(block)
        yield InputFile("what was piped in" if file == "-" else file, size, digest.hexdigest(), opened)


@contextmanager
def _open_seekable(file: str) -> Generator[IO[bytes]]:
    if file == "-":
        # It is read twice, and may not fit into memory.
        with tempfile.TemporaryFile() as copy:
            while block := sys.stdin.buffer.read(_BLOCK_SIZE):
                copy.write(block)
            copy.seek(0)
            yield copy
        return
    try:
        opened = Path(file).open("rb")  # noqa: SIM115 - closed below; only errors of opening are caught here
    except OSError as error:
        raise Failure(f"{brief(file)} cannot be read: {error.strerror}") from None
    with opened:
        if not opened.seekable():
            raise Failure(f"{brief(file)} is not a regular file: pass - and pipe it in")
        yield opened


@contextmanager
def prefix_faults(name: str) -> Generator[None]:
    """Turn a `ConfigurationError` into a `Failure` that puts `name` before every fault."""
    try:
        yield
    except ConfigurationError as error:
        raise Failure(*(f"{name}: {fault}" for fault in error.faults)) from None


@contextmanager
def progress_bar(file: InputFile) -> Generator[Callable[[int], None]]:
    """A progress bar on standard error, if that is a terminal. The yielded function advances it by bytes."""
    target = console(err=True)
    if not target.is_terminal:
        yield lambda _: None
        return
    columns = (TextColumn("{task.description}", markup=False), BarColumn(), TaskProgressColumn(), TimeRemainingColumn())
    with Progress(*columns, console=target, transient=True) as bar:
        task = bar.add_task(brief(file.name), total=file.size)
        waiting = 0

        def advance(number: int) -> None:
            nonlocal waiting
            waiting += number
            if waiting >= _BLOCK_SIZE // 4 or number == 0:
                bar.advance(task, waiting)
                waiting = 0

        yield advance


def split_pairs(pairs: Iterable[str]) -> list[str]:
    """The pairs of `--map`, which may hold several, separated by commas."""
    return [pair for several in pairs for pair in several.split(",") if pair.strip()]


def subject_naming(settings: Settings | None) -> SubjectNaming:
    """The function that names subjects in the store, by `SUBJECTS` in the settings; without settings, plain names."""
    if settings is None:
        return plain_subject
    if settings.subjects is None:
        return omitted_subject
    return pseudonymizer(settings.subjects) if settings.subjects else plain_subject


def default_issuer(value: str | None, settings: Settings | None) -> str:
    """The `iss` of rows without one: `--issuer` (an `iss`, or a name in the settings), or the only configured one."""
    configured = settings.issuers if settings is not None else ()
    if value is not None:
        return next((issuer.issuer for issuer in configured if value in (issuer.issuer, issuer.name)), value)
    return configured[0].issuer if len(configured) == 1 else ""
