"""Queries for the sums over usage, and for days of use."""

from __future__ import annotations

from contextlib import closing
from datetime import date
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final, TypeAlias

import sqlalchemy as sa
from sqlalchemy import exc

from jwt_lp.stores.row_keys import ELEVATED_ROLE, fit_text, iso_day
from jwt_lp.stores.rows import DayRow, LaterUse, RequestedPermission
from jwt_lp.stores.schema import daily_sums, holder_sums, usage
from jwt_lp.stores.summation import HOLDER_PARTS, chunk_reviewed, chunk_subjects
from jwt_lp.stores.usage_sums import HOLDERS, select_sums

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from jwt_lp.stores.database import SqlDatabase
    from jwt_lp.stores.rows import ReviewedHolder

_Query: TypeAlias = "sa.Select[*tuple[Any, ...]]"
_Row: TypeAlias = "Sequence[Any]"

_SUM_COLUMNS: Final = (*HOLDER_PARTS, "uses", "rows", "first_day", "last_day")
_REQUESTED_COLUMNS: Final = [daily_sums.c[name] for name in RequestedPermission._fields[:5]]
_PAGE: Final = 2000

# Set for this transaction only. By default the planner's cost estimate prevents parallel workers. Each process may use
# twice this memory.
_PLANNER_SETTINGS: Final = (
    "SELECT set_config('parallel_tuple_cost', '0', true), "
    "set_config('work_mem', greatest(65536, setting::bigint)::text, true) FROM pg_settings WHERE name = 'work_mem'"
)


def stream_summary(database: SqlDatabase, until: str, issuer: str | None) -> Iterator[_Row]:
    """The uses of all holders up to a day, added up, in order, with the members of `UsageSummary`."""
    last = iso_day(until)
    later = sa.select(sa.exists().where(holder_sums.c.last_day > last))
    with database.read(unlimited=True) as connection:
        sums = _select_later(last, issuer) if connection.scalar(later) else _select_stored(issuer)
        yield from _stream(connection, _as_summaries(sums, connection.dialect.name).order_by(*HOLDER_PARTS))


def _select_stored(issuer: str | None) -> _Query:
    return _of_issuer(sa.select(*(holder_sums.c[name] for name in _SUM_COLUMNS)), holder_sums, issuer)


def _select_later(last: str, issuer: str | None) -> _Query:
    """The sums up to a day where some go beyond it: only these are made from their rows up to the day."""
    sums = holder_sums.c
    beyond = sa.exists().where(
        *(sums[name] == usage.c[name] for name in HOLDER_PARTS), sums.first_day <= last, sums.last_day > last
    )
    summed = select_sums(HOLDERS).where(usage.c.day <= last, beyond).subquery()
    stored = _select_stored(issuer).where(sums.last_day <= last)
    both = sa.union_all(stored, _of_issuer(sa.select(*(summed.c[name] for name in _SUM_COLUMNS)), summed, issuer))
    return sa.select(both.subquery())


def _as_summaries(sums: _Query, dialect: str) -> _Query:
    """The members of `UsageSummary`, made by the database, which is faster at it."""
    rows = sums.subquery().c
    days: Any
    first_and_last: list[Any] = [rows.first_day, rows.last_day]
    if dialect == "postgresql":
        # The difference of two dates is a number there.
        span = sa.type_coerce(rows.last_day, sa.Integer) - sa.type_coerce(rows.first_day, sa.Integer) + 1
        days = sa.func.least(rows.rows, span)
        first_and_last = [sa.func.to_char(day, "YYYY-MM-DD") for day in first_and_last]
    else:
        span = sa.cast(sa.func.julianday(rows.last_day) - sa.func.julianday(rows.first_day), sa.Integer) + 1
        days = sa.func.min(rows.rows, span)
    return sa.select(*(rows[name] for name in HOLDER_PARTS), rows.uses, days, *first_and_last)


def select_later_uses(holders: Iterable[ReviewedHolder], at: float) -> Iterator[_Query]:
    """The queries for what holders used since a review."""
    sums = holder_sums.c
    columns = [sums[name] for name in LaterUse._fields]
    for of, issuer, names, day in chunk_reviewed(holders):
        query = sa.select(*columns).where(sums.outcome == "granted", sums[of].in_(names))
        if issuer is not None:
            query = query.where(sums.issuer == issuer)
        # Of a grant that was never used, every use is later.
        yield query.where(sa.or_(sums.last_day > day, sums.last > at)) if day else query


def later_use(row: _Row) -> LaterUse:
    """The use in a row of `select_later_uses`."""
    *parts, day, last = row
    return LaterUse._make((*parts, _day_text(day), last))


def select_requested(until: str) -> _Query:
    """The query for the permissions that enforcement points asked for."""
    sums = daily_sums.c
    granted = sa.case((sums.outcome == "granted", sums.uses), else_=0)
    refused = sa.case((sums.outcome.in_(("denied", "revoked")), sums.uses), else_=0)
    totals = (_sum_of(granted), _sum_of(refused), sa.func.max(sums.day))
    query = sa.select(*_REQUESTED_COLUMNS, *totals).where(sums.day <= iso_day(until))
    return query.group_by(*_REQUESTED_COLUMNS).order_by(*_REQUESTED_COLUMNS)


def requested_permission(row: _Row) -> RequestedPermission:
    """The permission in a row of `select_requested`."""
    *parts, last = row
    return RequestedPermission._make((*parts, _day_text(last)))


def select_daily_totals(until: str) -> _Query:
    """The query for the number of uses of each day, by outcome."""
    columns = [daily_sums.c.day, daily_sums.c.outcome]
    query = sa.select(*columns, _sum_of(daily_sums.c.uses)).where(daily_sums.c.day <= iso_day(until))
    return query.group_by(*columns).order_by(*columns)


def select_days(until: str, issuer: str | None, subjects: Iterable[tuple[str, str]] | None) -> Iterator[_Query]:
    """The queries for days of use: one, or several if there are many subjects."""
    table = usage.c
    grant = sa.case((table.grant == "", table.permission), else_=table.grant)
    columns: list[Any] = [table.issuer, table.subject, grant.label("credited"), table.day]
    query: _Query = (
        sa.select(*columns)
        .distinct()
        # Not by LIKE, which ignores the case in SQLite.
        .where(sa.func.substr(table.role, 1, len(ELEVATED_ROLE)) != ELEVATED_ROLE)
        .where(table.day <= iso_day(until), table.outcome == "granted")
        .order_by(*columns)
    )
    query = _of_issuer(query, usage, issuer)
    if subjects is None:
        yield query
        return
    for subjects_issuer, names in chunk_subjects(subjects):
        yield query.where(table.issuer == subjects_issuer, table.subject.in_(names))


def day_row(row: _Row) -> DayRow:
    """The day of use in a row of `select_days`."""
    issuer, subject, grant, day = row
    return DayRow(issuer, subject, grant, _day_text(day))


def stream_rows(database: SqlDatabase, *queries: _Query) -> Iterator[_Row]:
    """The rows of several queries in turn, from one state of the database, with one page of rows in memory."""
    with database.read(unlimited=True) as connection:
        for query in queries:
            yield from _stream(connection, query)


def _stream(connection: sa.Connection, query: _Query) -> Iterator[_Row]:
    if connection.dialect.name == "postgresql":
        yield from _stream_parallel(connection, query)
        return
    with connection.execute(query, execution_options={"stream_results": True, "yield_per": _PAGE}) as result:
        yield from result


def _stream_parallel(connection: sa.Connection, query: _Query) -> Iterator[_Row]:
    """Stream rows without a server-side cursor, because PostgreSQL runs such cursors without parallel workers."""
    import psycopg

    connection.exec_driver_sql(_PLANNER_SETTINGS)
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


def _of_issuer(query: _Query, table: sa.FromClause, issuer: str | None) -> _Query:
    return query if issuer is None else query.where(table.c.issuer == fit_text(issuer))


def _sum_of(column: Any) -> Any:
    return sa.cast(sa.func.sum(column), sa.BigInteger)


@lru_cache(maxsize=65536)
def _day_text(day: date | str) -> str:
    return day if isinstance(day, str) else day.isoformat()
