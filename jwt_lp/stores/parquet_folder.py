"""Folder with usage in Parquet files, one for each month: layout, metadata and checks.

The file of a month is `month=2026-11/part-0.parquet`. It has the columns of `Use`, `count` and `last`. Its metadata has
the version of this layout, the month, and the recording in that month. No month between the first and the last is
missing, so a lost file is noticed.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from jwt_lp._support.validation import join_names, quote_text
from jwt_lp.errors import ConfigurationError, StoreError
from jwt_lp.stores.month_recording import MonthRecording, months_between
from jwt_lp.stores.rows import Use

try:
    import duckdb
except ImportError:
    raise ConfigurationError('usage in Parquet files needs duckdb: pip install "jwt-lp[parquet]"') from None

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

VERSION: Final = 1
METADATA_KEY: Final = "jwt_lp_usage"
LOCK_NAME: Final = ".export.lock"
"""The file in the folder that an export locks."""
DEFAULT_MEMORY: Final = "1GB"
"""How much memory DuckDB may use, as it writes sizes. What needs more goes through the folder for temporary files."""

TYPES: Final[Mapping[str, str]] = {
    **dict.fromkeys(Use._fields, "VARCHAR"), "day": "DATE", "count": "BIGINT", "last": "DOUBLE",
}  # fmt: skip
"""The columns of a file, and their types in DuckDB."""

_MONTH_FOLDER: Final = re.compile(r"month=([0-9]{4}-(?:0[1-9]|1[0-2]))")
_PATTERN: Final = re.compile(r"[*?\[]")
_FILE_NAME: Final = "part-0.parquet"
_AGAIN: Final = "delete it, and export its month again with jwt-lp usage export --parquet"


class MonthFile(NamedTuple):
    """The file of a month: the name of the store that it was exported from, and the recording in that month."""

    month: str
    path: Path
    store: str
    recording: MonthRecording


def column_list(*names: str) -> str:
    """Names of columns in a statement."""
    return ", ".join(f'"{name}"' for name in names)


def month_path(folder: Path, month: str) -> Path:
    """The file of a month in a folder."""
    return folder / f"month={month}" / _FILE_NAME


@contextmanager
def open_duckdb(
    database: Path | None, temporary: Path, folder: Path, memory: str
) -> Generator[duckdb.DuckDBPyConnection]:
    """A connection that can read and write in the two folders only, and never uses the network."""
    if _PATTERN.search(str(folder)):
        raise StoreError(f"{folder}: DuckDB takes the characters * ? [ as a pattern: rename the folder")
    with duckdb.connect(
        database or ":memory:",
        config={
            "memory_limit": memory,
            "temp_directory": str(temporary),
            "autoinstall_known_extensions": "false",
            "autoload_known_extensions": "false",
        },
    ) as connection:
        connection.execute("SET allowed_directories = ?", [[str(temporary), str(folder)]])
        connection.execute("SET enable_external_access = false")
        connection.execute("SET lock_configuration = true")
        yield connection


@contextmanager
def translated_errors(what: Path) -> Generator[None]:
    """Translate errors of DuckDB and of the system to `StoreError`; `what` is the file or folder in its message."""
    # INVARIANT: no error of DuckDB is chained or shown, because its message may hold values of rows.
    try:
        yield
    except duckdb.OutOfMemoryException:
        raise StoreError(
            f"{what}: there is not enough memory, or not enough space for temporary files (TMPDIR says where)"
        ) from None
    except duckdb.IOException:
        raise StoreError(f"{what} cannot be used: DuckDB could not read or write (is the disk full?)") from None
    except duckdb.Error as error:
        raise StoreError(f"{what} cannot be used: {type(error).__name__} of DuckDB (is a file damaged?)") from None
    except OSError as error:
        raise StoreError(f"{what} cannot be used: {error.strerror}") from None


def list_months(connection: duckdb.DuckDBPyConnection, folder: Path) -> list[MonthFile]:
    """The checked files of a folder, by month. `StoreError` if there are none, if one is missing, or not an export."""
    with translated_errors(folder):
        names = {entry.name for entry in folder.iterdir() if entry.name.startswith("month=")}
    months = sorted(match[1] for match in map(_MONTH_FOLDER.fullmatch, names) if match is not None)
    if foreign := sorted(names - {f"month={month}" for month in months}):
        raise StoreError(f"{folder}: {join_names(map(quote_text, foreign))} is not from an export: move it away")
    if not months:
        raise StoreError(
            f"{folder} has no usage: it has no folder month=..., as jwt-lp usage export --parquet writes them"
        )
    if missing := [month for month in months_between(months[0], months[-1]) if month not in months]:
        raise StoreError(
            f"{folder} has usage from {months[0]} to {months[-1]}, but not of {join_names(missing)}: export them, too, "
            "because a review would take what was used then as unused"
        )
    return [read_month(connection, folder, month) for month in months]


def read_month(connection: duckdb.DuckDBPyConnection, folder: Path, month: str) -> MonthFile:
    """The file of a month. `StoreError` if it is damaged, not an export, of another version, or not alone."""
    path = month_path(folder, month)
    with translated_errors(path):
        others = sorted(
            entry.name for entry in path.parent.iterdir() if entry.name != path.name and entry.name[0] != "."
        )
    if others:
        raise StoreError(f"{path.parent}: {join_names(map(quote_text, others))} is not from an export: move it away")
    try:
        pairs = connection.execute("SELECT key, value FROM parquet_kv_metadata(?)", [str(path)]).fetchall()
        columns = connection.execute(
            "SELECT * FROM read_parquet([?], hive_partitioning = false) LIMIT 0", [str(path)]
        ).description
    except duckdb.OutOfMemoryException:
        raise
    except duckdb.Error:
        raise StoreError(f"{path} is missing or damaged: {_AGAIN}") from None
    written = {bytes(key): bytes(value) for key, value in pairs}.get(METADATA_KEY.encode())
    if written is None:
        raise StoreError(f"{path} was not written by jwt-lp usage export: move it away")
    metadata = _read_metadata(path, written)
    if metadata.get("month") != month:
        of = quote_text(str(metadata.get("month")))
        raise StoreError(f"{path} has the usage of {of}: move it back to the folder of that month")
    if faults := _column_faults({each[0]: str(each[1]) for each in columns}):
        raise StoreError(f"{path}: {'; '.join(faults)}: {_AGAIN}")
    return MonthFile(month, path, metadata["store"], metadata["recording"])


def encode_metadata(month: str, store: str, recording: MonthRecording) -> str:
    """The metadata of a month's file."""
    return json.dumps({"version": VERSION, "month": month, "store": store, "recording": recording.as_json()})


def _read_metadata(path: Path, written: bytes) -> dict[str, Any]:
    try:
        metadata: dict[str, Any] = json.loads(written)
        if metadata["version"] != VERSION:
            of = quote_text(str(metadata["version"]))
            raise StoreError(f"{path} has version {of} of the layout, and this release reads version {VERSION}")
        return {
            **metadata,
            "store": str(metadata["store"]),
            "recording": MonthRecording.from_json(metadata["recording"]),
        }
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError):
        raise StoreError(f"{path} is damaged: {_AGAIN}") from None


def _column_faults(columns: Mapping[str, str]) -> list[str]:
    faults = [f"the column {name} is missing" for name in TYPES if name not in columns]
    return faults + [
        f"the column {name} has the type {columns[name]} instead of {kind}"
        for name, kind in TYPES.items()
        if columns.get(name, kind) != kind
    ]


def refuse_while_exported(folder: Path) -> None:
    """`StoreError` while an export writes to the folder: its months would be of different moments."""
    try:
        import fcntl

        descriptor = os.open(folder / LOCK_NAME, os.O_RDONLY | os.O_NOFOLLOW)
    except (ImportError, FileNotFoundError):
        return
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        raise StoreError(f"{folder} is being written by an export: try again when it has ended") from None
    finally:
        os.close(descriptor)


def newest_change(files: Iterable[MonthFile]) -> tuple[tuple[int, int, int], ...]:
    """What changes if one of the files is replaced."""
    return tuple((status.st_ino, status.st_size, status.st_mtime_ns) for status in (each.path.stat() for each in files))
