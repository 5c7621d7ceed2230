"""Queries that add up usage for reviews."""

from __future__ import annotations

from contextlib import closing
from datetime import date
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final, TypeAlias

import sqlalchemy as sa
from sqlalchemy import exc

from jwt_lp.stores.row_keys import fit_text
from jwt_lp.stores.rows import DayRow, RequestedPermission, UsageSummary
from jwt_lp.stores.schema import usage
from jwt_lp.stores.summation import chunk_subjects, max_days

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from jwt_lp.stores.database import SqlDatabase

_Query: TypeAlias = "sa.Select[*tuple[Any, ...]]"
_Row: TypeAlias = "Sequence[Any]"

_SUMMARY_COLUMNS: Final[list[Any]] = [usage.c[name] for name in UsageSummary._fields[:7]]
_REQUESTED_COLUMNS: Final[list[Any]] = [usage.c[name] for name in RequestedPermission._fields[:5]]
_PAGE: Final = 2000

# Set for this transaction only. By default the planner estimates one group for each row and sorts the table on disk,
# and its cost estimate prevents parallel workers. Each process may use twice this memory.
_PLANNER_SETTINGS: Final = (
    "SELECT set_config('enable_sort', 'off', true), set_config('enable_incremental_sort', 'off', true), "
    "set_config('parallel_tuple_cost', '0', true), "
    "set_config('work_mem', greatest(65536, setting::bigint)::text, true) FROM pg_settings WHERE name = 'work_mem'"
)


def select_summary(until: str, since: str | None, issuer: str | None) -> _Query:
    """The query for the uses of all subjects, added up."""
    table = usage.c
    query: _Query = sa.select(
        *_SUMMARY_COLUMNS,
        _sum_of(table["count"]).label("uses"),
        sa.func.count().label("rows"),
        sa.func.min(table.day).label("first_day"),
        sa.func.max(table.day).label("last_day"),
    ).where(table.day <= _sortable_day(until))
    if since is not None:
        query = query.where(table.day >= _sortable_day(since))
    if issuer is not None:
        query = query.where(table.issuer == fit_text(issuer))
    return _order_sums(query.group_by(*_SUMMARY_COLUMNS), len(_SUMMARY_COLUMNS))


def usage_summary(row: _Row) -> UsageSummary:
    """The summary in a row of `select_summary`."""
    *parts, uses, rows, first, last = row
    first, last = _iso_day(first), _iso_day(last)
    return UsageSummary._make((*parts, uses, max_days(rows, first, last), first, last))


def select_requested(until: str) -> _Query:
    """The query for the permissions that enforcement points asked for."""
    table = usage.c
    granted = sa.case((table.outcome == "granted", table["count"]), else_=0)
    refused = sa.case((table.outcome.in_(("denied", "revoked")), table["count"]), else_=0)
    query: _Query = sa.select(
        *_REQUESTED_COLUMNS,
        _sum_of(granted).label("uses"),
        _sum_of(refused).label("refused"),
        sa.func.max(table.day).label("last_day"),
    )
    return _order_sums(
        query.where(table.day <= _sortable_day(until)).group_by(*_REQUESTED_COLUMNS), len(_REQUESTED_COLUMNS)
    )


def requested_permission(row: _Row) -> RequestedPermission:
    """The permission in a row of `select_requested`."""
    *parts, last = row
    return RequestedPermission._make((*parts, _iso_day(last)))


def select_daily_totals(until: str) -> _Query:
    """The query for the number of uses of each day, by outcome."""
    table = usage.c
    columns: list[Any] = [table.day, table.outcome]
    query: _Query = sa.select(*columns, _sum_of(table["count"])).where(table.day <= _sortable_day(until))
    return _order_sums(query.group_by(*columns), len(columns))


def select_days(until: str, issuer: str | None, subjects: Iterable[tuple[str, str]] | None) -> Iterator[_Query]:
    """The queries for days of use: one, or several if there are many subjects."""
    table = usage.c
    grant = sa.case((table.grant == "", table.permission), else_=table.grant)
    columns: list[Any] = [table.issuer, table.subject, grant.label("credited"), table.day]
    query: _Query = (
        sa.select(*columns)
        .distinct()
        .where(table.day <= _sortable_day(until), table.outcome == "granted")
        .order_by(*columns)
    )
    if issuer is not None:
        query = query.where(table.issuer == fit_text(issuer))
    if subjects is None:
        yield query
        return
    for subjects_issuer, names in chunk_subjects(subjects):
        yield query.where(table.issuer == subjects_issuer, table.subject.in_(names))


def day_row(row: _Row) -> DayRow:
    """The day of use in a row of `select_days`."""
    issuer, subject, grant, day = row
    return DayRow(issuer, subject, grant, _iso_day(day))


def stream_rows(database: SqlDatabase, *queries: _Query) -> Iterator[_Row]:
    """The rows of several queries in turn, from one state of the database, with one page of rows in memory."""
    with database.read(unlimited=True) as connection:
        if connection.dialect.name == "postgresql":
            connection.exec_driver_sql(_PLANNER_SETTINGS)
        for query in queries:
            if connection.dialect.name == "postgresql":
                yield from _stream_parallel(connection, query)
            else:
                result = connection.execute(query, execution_options={"stream_results": True, "yield_per": _PAGE})
                with result:
                    yield from result


def _stream_parallel(connection: sa.Connection, query: _Query) -> Iterator[_Row]:
    """Stream rows without a server-side cursor, because PostgreSQL runs such cursors without parallel workers."""
    import psycopg

    compiled = query.compile(dialect=connection.dialect, compile_kwargs={"render_postcompile": True})
    raw: Any = connection.connection.driver_connection
    size = _PAGE if psycopg.capabilities.has_stream_chunked() else 1
    try:
        with (
            raw.cursor() as cursor,
            closing(cursor.stream(str(compiled), compiled.params, size=size, binary=True)) as rows,
        ):
            yield from rows
    except psycopg.Error as error:
        raise exc.DBAPIError(None, None, error) from None


def _order_sums(query: _Query, width: int) -> _Query:
    """The sums, ordered by their first columns.

    The sums stand in a query of their own: with ORDER BY in the same query PostgreSQL sorts before it adds up.
    """
    summed = query.cte("summed").prefix_with("MATERIALIZED", dialect="postgresql")
    return sa.select(summed).order_by(*list(summed.c)[:width])


def _sum_of(column: Any) -> Any:
    return sa.cast(sa.func.sum(column), sa.BigInteger)


def _sortable_day(day: str) -> str:
    """The day as an ISO date that sorts as text. `ValueError` if it is not one, such as PostgreSQL's `yesterday`."""
    return date.fromisoformat(day).isoformat()


@lru_cache(maxsize=65536)
def _iso_day(day: date | str) -> str:
    return day if isinstance(day, str) else day.isoformat()
