"""Export of usage to a folder of Parquet files.

An export collects the rows in a temporary folder beside the months, writes the file of each month there, and then
renames it. So a crash leaves the file of every month as it was before or as it is after.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple

from jwt_lp._support.file_lock import hold_lock
from jwt_lp.errors import StoreError
from jwt_lp.stores.month_recording import NO_RECORDING, month_ends, months_between, recording_by_month
from jwt_lp.stores.parquet_folder import (
    DEFAULT_MEMORY,
    LOCK_NAME,
    METADATA_KEY,
    TYPES,
    MonthFile,
    column_list,
    encode_metadata,
    month_path,
    open_duckdb,
    read_month,
    translated_errors,
)
from jwt_lp.stores.rows import Use

if TYPE_CHECKING:
    from collections.abc import Generator

    import duckdb

    from jwt_lp.stores import Store
    from jwt_lp.stores.rows import UsageRow

_TEMPORARY_PREFIX: Final = ".export-"
_LOCK_WAIT: Final = 10.0
_CHUNK: Final = 20_000
"""Rows in memory at a time."""
_MAX_MONTHS: Final = 1200

_COLUMNS: Final = column_list(*TYPES)
_KEY: Final = column_list(*Use._fields)
_ORDER: Final = column_list("issuer", "subject", *(name for name in Use._fields if name not in ("issuer", "subject")))
# Statements are made of names of columns only; all values are parameters.
_CREATE: Final = "CREATE TABLE collected ({})".format(", ".join(f'"{name}" {TYPES[name]} NOT NULL' for name in TYPES))
_INSERT: Final = f"INSERT INTO collected SELECT {', '.join(f'unnest(${number + 1})' for number in range(len(TYPES)))}"
_OF_MONTH: Final = f"SELECT {_COLUMNS} FROM collected WHERE day BETWEEN $first AND $last"  # noqa: S608 - as above
# Counts only grow, and only a purge deletes rows. So the larger count is the newer one, and a missing row was purged.
_MERGED: Final = f"""
SELECT {_KEY}, max("count") AS "count", max("last") AS "last"
FROM ({_OF_MONTH} UNION ALL SELECT {_COLUMNS} FROM read_parquet([$before], hive_partitioning = false)) GROUP BY {_KEY} ORDER BY {_ORDER}
"""  # noqa: S608 - as above
_COUNT: Final = f"SELECT count(*) FROM ({_OF_MONTH})"  # noqa: S608 - as above


class ExportedMonth(NamedTuple):
    """A month that was written: its rows, and how many of them the folder has from before and the store no longer."""

    month: str
    rows: int
    kept: int


def export_parquet(
    store: Store,
    folder: Path,
    *,
    since: str | None = None,
    until: str | None = None,
    on_rows: Callable[[int], object] = lambda _number: None,
) -> list[ExportedMonth]:
    """Write the usage of a store to a folder, one file for each month from `since` to `until`, such as 2026-11.

    The rows are those of one moment, whatever is recorded meanwhile. Each file is replaced at once. Rows that the store
    no longer has, because they were purged, stay in the folder. Other months of the folder are not touched.
    `on_rows` is called with the number of rows that were read.

    Raises `StoreError` if a file of the folder is damaged or foreign, or if the folder cannot be written, and
    `PolicyError` while another export writes to it.
    """
    with translated_errors(folder):
        # It records what people do.
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    folder = folder.resolve()
    with (
        hold_lock(folder / LOCK_NAME, f"usage in {folder}", wait=_LOCK_WAIT),
        _temporary_folder(folder) as temporary,
        translated_errors(folder),
        open_duckdb(temporary / "rows.duckdb", temporary, folder, DEFAULT_MEMORY) as connection,
    ):
        # INVARIANT: the periods are read before the rows, so that all they promise is in the rows.
        recordings = {
            month: recording
            for month, recording in recording_by_month(store.recording_periods()).items()
            if (since or "") <= month <= (until or month)
        }
        _collect(connection, store, since, until, on_rows)
        months = _months(connection, recordings, folder)
        files = (
            MonthFile(month, month_path(folder, month), store.name, recordings.get(month, NO_RECORDING))
            for month in months
        )
        return [_write_month(connection, temporary, folder, file) for file in files]


def write_file(connection: duckdb.DuckDBPyConnection, file: MonthFile, query: str, values: Mapping[str, object]) -> int:
    """Write the rows of a query to the file of a month; return how many there are."""
    statement = f"COPY ({query}) TO $path (FORMAT parquet, COMPRESSION zstd, KV_METADATA {{{METADATA_KEY}: $metadata}})"
    metadata = encode_metadata(file.month, file.store, file.recording)
    (counted,) = connection.execute(statement, {**values, "path": str(file.path), "metadata": metadata}).fetchall()
    with file.path.open("rb") as written:
        os.fsync(written.fileno())
    return int(counted[0])


def _collect(
    connection: duckdb.DuckDBPyConnection,
    store: Store,
    since: str | None,
    until: str | None,
    on_rows: Callable[[int], object],
) -> None:
    connection.execute(_CREATE)
    first = month_ends(since)[0] if since is not None else None
    last = month_ends(until)[1] if until is not None else None
    number = 0
    for chunk in _chunks(store.usage(since=first, until=last)):
        connection.execute(_INSERT, [list(column) for column in zip(*chunk, strict=True)])
        number += len(chunk)
        on_rows(number)


def _chunks(rows: Iterable[UsageRow]) -> Iterator[Sequence[tuple[object, ...]]]:
    remaining = iter(rows)
    while chunk := [(*row.use, row.count, row.last) for row in islice(remaining, _CHUNK)]:
        yield chunk


def _months(connection: duckdb.DuckDBPyConnection, recordings: Iterable[str], folder: Path) -> list[str]:
    """Every month from the first with rows or recording to the last."""
    days = connection.execute("SELECT CAST(min(day) AS VARCHAR), CAST(max(day) AS VARCHAR) FROM collected").fetchall()
    ends = sorted([*(day[:7] for day in days[0] if day is not None), *recordings])
    if not ends:
        return []
    months = months_between(ends[0], ends[-1])
    if len(months) > _MAX_MONTHS:
        raise StoreError(
            f"{folder}: the store has usage from {ends[0]} to {ends[-1]}, and one of these months is a mistake: "
            "name the months to export with --since and --until"
        )
    return months


def _write_month(
    connection: duckdb.DuckDBPyConnection, temporary: Path, folder: Path, file: MonthFile
) -> ExportedMonth:
    """Write the file of a month beside the others; it gets its name when it is whole."""
    written = temporary / f"{file.month}.parquet"
    first, last = month_ends(file.month)
    values = {"first": first, "last": last}
    kept = 0
    if file.path.exists():
        before = read_month(connection, folder, file.month)
        if before.store != file.store:
            raise StoreError(
                f"{file.path} has the usage of {before.store}: export the usage of {file.store} to another folder"
            )
        file = file._replace(recording=file.recording.merge(before.recording))
        rows = write_file(connection, file._replace(path=written), _MERGED, {**values, "before": str(file.path)})
        counted = connection.execute(_COUNT, values).fetchall()
        kept = rows - int(counted[0][0])
    else:
        rows = write_file(connection, file._replace(path=written), _OF_MONTH, values)
    _rename(written, file.path)
    return ExportedMonth(file.month, rows, kept)


def _rename(written: Path, path: Path) -> None:
    path.parent.mkdir(exist_ok=True)
    written.replace(path)
    for changed in (path.parent, path.parent.parent):
        # A power cut must not undo the renaming either.
        descriptor = os.open(changed, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


@contextmanager
def _temporary_folder(folder: Path) -> Generator[Path]:
    """A folder that only its owner may read; those that a crash left behind are removed first, under the lock."""
    with translated_errors(folder):
        for left in folder.glob(f"{_TEMPORARY_PREFIX}*"):
            shutil.rmtree(left)
    with tempfile.TemporaryDirectory(prefix=_TEMPORARY_PREFIX, dir=folder) as name:
        yield Path(name)
