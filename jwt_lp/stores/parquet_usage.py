"""Usage in a folder of Parquet files, as a review reads it: with DuckDB, in bounded memory."""

from __future__ import annotations

import tempfile
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from jwt_lp.errors import StoreError
from jwt_lp.stores.parquet_folder import (
    DEFAULT_MEMORY,
    column_list,
    list_months,
    newest_change,
    open_duckdb,
    refuse_while_exported,
    translated_errors,
)
from jwt_lp.stores.row_keys import ELEVATED_ROLE, fit_text, iso_day
from jwt_lp.stores.rows import DayRow, RequestedPermission, UsageSummary
from jwt_lp.stores.summation import HOLDER_PARTS, sum_by_month

if TYPE_CHECKING:
    import os
    from collections.abc import Iterable, Iterator

    import duckdb

    from jwt_lp.stores.rows import MonthRow, RecordingPeriod

_PAGE: Final = 2000

_HOLDERS: Final = column_list(*HOLDER_PARTS)
_POINTS: Final = column_list(*RequestedPermission._fields[:5])
_USED: Final = "FROM read_parquet($files, hive_partitioning = false) WHERE day <= $until"
_OF_ISSUER: Final = "AND issuer = $issuer"

# Statements are made of names of columns only; all values are parameters.
_SUMMARY: Final = f"""
SELECT {_HOLDERS}, CAST(sum("count") AS BIGINT), least(count(*), max(day) - min(day) + 1),
    CAST(min(day) AS VARCHAR), CAST(max(day) AS VARCHAR)
{_USED} {{issuer}} GROUP BY {_HOLDERS} ORDER BY {_HOLDERS}
"""
_REQUESTED: Final = f"""
SELECT {_POINTS}, CAST(coalesce(sum("count") FILTER (outcome = 'granted'), 0) AS BIGINT),
    CAST(coalesce(sum("count") FILTER (outcome IN ('denied', 'revoked')), 0) AS BIGINT), CAST(max(day) AS VARCHAR)
{_USED} GROUP BY {_POINTS} ORDER BY {_POINTS}
"""
_DAILY: Final = f"""
SELECT CAST(day AS VARCHAR), outcome, CAST(sum("count") AS BIGINT)
{_USED} GROUP BY day, outcome ORDER BY day, outcome
"""
_DAYS: Final = f"""
SELECT DISTINCT issuer, subject, CASE WHEN "grant" = '' THEN permission ELSE "grant" END AS credited,
    CAST(day AS VARCHAR) AS used
{_USED} AND outcome = 'granted' AND NOT starts_with(role, '{ELEVATED_ROLE}') {{issuer}} {{subjects}} ORDER BY issuer, subject, credited, used
"""
_OF_SUBJECTS: Final = "AND (issuer, subject) IN (SELECT (unnest($issuers), unnest($subjects)))"


class ParquetUsage:
    """The usage in a folder that `export_parquet` wrote, as `UsageAggregates` promises.

    The recording periods are those that the store had at the export. `StoreError` if the folder has no usage, if a
    month is missing, if a file is damaged or foreign, while an export writes to the folder, and if the files change
    before everything was read.
    """

    def __init__(self, folder: str | os.PathLike[str], *, memory: str = DEFAULT_MEMORY) -> None:
        self._folder = Path(folder).resolve()
        with translated_errors(self._folder), ExitStack() as stack:
            temporary = stack.enter_context(tempfile.TemporaryDirectory(prefix="jwt-lp-"))
            self._connection = stack.enter_context(open_duckdb(None, Path(temporary), self._folder, memory))
            refuse_while_exported(self._folder)
            self._months = list_months(self._connection, self._folder)
            self._state = newest_change(self._months)
            self._resources = stack.pop_all()

    def __repr__(self) -> str:
        return f"<ParquetUsage {self.name}>"

    @property
    def name(self) -> str:
        """The path of the folder."""
        return str(self._folder)

    @property
    def stores(self) -> tuple[str, ...]:
        """The names of the stores that the files were exported from."""
        return tuple(sorted({month.store for month in self._months}))

    def summary(self, *, until: str, issuer: str | None = None) -> Iterator[UsageSummary]:
        """Uses up to a day, added up over days, services, endpoints and requirements."""
        return map(UsageSummary._make, self._read(_SUMMARY, until, issuer))

    def requested_permissions(self, *, until: str) -> Iterator[RequestedPermission]:
        """The permissions that enforcement points asked for up to a day."""
        return map(RequestedPermission._make, self._read(_REQUESTED, until))

    def months(self, *, until: str) -> Iterator[MonthRow]:
        """The number of uses by month and outcome, up to a day."""
        return sum_by_month(self._read(_DAILY, until))

    def days(
        self, *, until: str, issuer: str | None = None, subjects: Iterable[tuple[str, str]] | None = None
    ) -> Iterator[DayRow]:
        """The days up to a day on which grants were used, each once."""
        return map(DayRow._make, self._read(_DAYS, until, issuer, subjects))

    def recording_periods(self) -> Iterator[RecordingPeriod]:
        """When usage was recorded in these months, as days; not by process."""
        for month in self._months:
            yield from month.recording.periods()

    def close(self) -> None:
        """Close the connection, and delete its temporary files; may be called repeatedly."""
        self._resources.close()

    def _read(
        self, query: str, until: str, issuer: str | None = None, subjects: Iterable[tuple[str, str]] | None = None
    ) -> Iterator[tuple[Any, ...]]:
        values: dict[str, Any] = {"files": [str(each.path) for each in self._months], "until": iso_day(until)}
        if issuer is not None:
            values["issuer"] = fit_text(issuer)
        if subjects is not None:
            pairs = list(subjects)
            values["issuers"] = [fit_text(each) for each, _ in pairs]
            values["subjects"] = [fit_text(each) for _, each in pairs]
        statement = query.format(
            issuer=_OF_ISSUER if issuer is not None else "", subjects=_OF_SUBJECTS if subjects is not None else ""
        )
        with translated_errors(self._folder), self._connection.cursor() as cursor:
            yield from self._rows(cursor, statement, values)

    def _rows(
        self, cursor: duckdb.DuckDBPyConnection, statement: str, values: dict[str, Any]
    ) -> Iterator[tuple[Any, ...]]:
        cursor.execute(statement, values)
        while rows := cursor.fetchmany(_PAGE):
            yield from rows
        self._refuse_changed()

    def _refuse_changed(self) -> None:
        if newest_change(self._months) != self._state:
            raise StoreError(f"{self._folder} was changed while it was read: run the command again")
