"""What do all the rows of usage add up to?"""

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

# For this transaction alone. The planner takes each row for a group of its own, and would sort the table on disk; and
# what it thinks of costs keeps processes idle that could share the work. Each may take twice this memory.
_PLANNER_SETTINGS: Final = (
    "SELECT set_config('enable_sort', 'off', true), set_config('enable_incremental_sort', 'off', true), "
    "set_config('parallel_tuple_cost', '0', true), "
    "set_config('work_mem', greatest(65536, setting::bigint)::text, true) FROM pg_settings WHERE name = 'work_mem'"
)


def select_summary(until: str, since: str | None, issuer: str | None) -> _Query:
    """The question for uses of everybody, added up."""
    table = usage.c
    asked: _Query = sa.select(
        *_SUMMARY_COLUMNS,
        _sum_of(table["count"]).label("uses"),
        sa.func.count().label("rows"),
        sa.func.min(table.day).label("first_day"),
        sa.func.max(table.day).label("last_day"),
    ).where(table.day <= _sortable_day(until))
    if since is not None:
        asked = asked.where(table.day >= _sortable_day(since))
    if issuer is not None:
        asked = asked.where(table.issuer == fit_text(issuer))
    return _order_sums(asked.group_by(*_SUMMARY_COLUMNS), len(_SUMMARY_COLUMNS))


def usage_summary(row: _Row) -> UsageSummary:
    """A row of it."""
    *parts, uses, rows, first, last = row
    first, last = _iso_day(first), _iso_day(last)
    return UsageSummary._make((*parts, uses, max_days(rows, first, last), first, last))


def select_requested(until: str) -> _Query:
    """The question for what enforcement points asked for."""
    table = usage.c
    granted = sa.case((table.outcome == "granted", table["count"]), else_=0)
    refused = sa.case((table.outcome.in_(("denied", "revoked")), table["count"]), else_=0)
    question: _Query = sa.select(
        *_REQUESTED_COLUMNS,
        _sum_of(granted).label("uses"),
        _sum_of(refused).label("refused"),
        sa.func.max(table.day).label("last_day"),
    )
    return _order_sums(
        question.where(table.day <= _sortable_day(until)).group_by(*_REQUESTED_COLUMNS), len(_REQUESTED_COLUMNS)
    )


def requested_permission(row: _Row) -> RequestedPermission:
    """A row of it."""
    *parts, last = row
    return RequestedPermission._make((*parts, _iso_day(last)))


def select_daily_totals(until: str) -> _Query:
    """The question for how much there was on each day, by outcome."""
    table = usage.c
    by: list[Any] = [table.day, table.outcome]
    question: _Query = sa.select(*by, _sum_of(table["count"])).where(table.day <= _sortable_day(until)).group_by(*by)
    return _order_sums(question, len(by))


def select_days(until: str, issuer: str | None, subjects: Iterable[tuple[str, str]] | None) -> Iterator[_Query]:
    """The questions for days of use, one after the other."""
    table = usage.c
    grant = sa.case((table.grant == "", table.permission), else_=table.grant)
    columns: list[Any] = [table.issuer, table.subject, grant.label("credited"), table.day]
    question: _Query = (
        sa.select(*columns)
        .distinct()
        .where(table.day <= _sortable_day(until), table.outcome == "granted")
        .order_by(*columns)
    )
    if issuer is not None:
        question = question.where(table.issuer == fit_text(issuer))
    if subjects is None:
        yield question
        return
    for theirs, some in chunk_subjects(subjects):
        yield question.where(table.issuer == theirs, table.subject.in_(some))


def day_row(row: _Row) -> DayRow:
    """A row of them."""
    issuer, subject, grant, on = row
    return DayRow(issuer, subject, grant, _iso_day(on))


def stream_rows(database: SqlDatabase, *questions: _Query) -> Iterator[_Row]:
    """The rows of questions one after the other, a page of them in memory, of one state of the database."""
    with database.read(unlimited=True) as connection:
        if connection.dialect.name == "postgresql":
            connection.exec_driver_sql(_PLANNER_SETTINGS)
        for question in questions:
            if connection.dialect.name == "postgresql":
                yield from _stream_parallel(connection, question)
            else:
                found = connection.execute(question, execution_options={"stream_results": True, "yield_per": _PAGE})
                with found:
                    yield from found


def _stream_parallel(connection: sa.Connection, question: _Query) -> Iterator[_Row]:
    """Rows as they come: PostgreSQL shares no work between processes for what a cursor of its own could suspend."""
    import psycopg

    compiled = question.compile(dialect=connection.dialect, compile_kwargs={"render_postcompile": True})
    raw: Any = connection.connection.driver_connection
    size = _PAGE if psycopg.capabilities.has_stream_chunked() else 1
    try:
        with (
            raw.cursor() as cursor,
            closing(cursor.stream(str(compiled), compiled.params, size=size, binary=True)) as found,
        ):
            yield from found
    except psycopg.Error as error:
        raise exc.DBAPIError(None, None, error) from None


def _order_sums(question: _Query, width: int) -> _Query:
    """The sums in the order of their first columns. What is asked for in order is sorted before it is added up."""
    summed = question.cte("summed").prefix_with("MATERIALIZED", dialect="postgresql")
    return sa.select(summed).order_by(*list(summed.c)[:width])


def _sum_of(counted: Any) -> Any:
    return sa.cast(sa.func.sum(counted), sa.BigInteger)


def _sortable_day(day: str) -> str:
    """As it sorts; `ValueError` for what is no date, of which PostgreSQL knows some."""
    return date.fromisoformat(day).isoformat()


@lru_cache(maxsize=65536)
def _iso_day(on: date | str) -> str:
    return on if isinstance(on, str) else on.isoformat()
