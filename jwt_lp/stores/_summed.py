"""What do all the rows of usage add up to?"""

from __future__ import annotations

from contextlib import closing
from datetime import date
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final, TypeAlias

import sqlalchemy as sa
from sqlalchemy import exc

from jwt_lp.stores._added import at_most, in_order
from jwt_lp.stores._keyed import fitted
from jwt_lp.stores._tables import usage
from jwt_lp.stores.values import Asking, DayRow, Summary

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from jwt_lp.stores._engine import Database

_Question: TypeAlias = "sa.Select[*tuple[Any, ...]]"
_Row: TypeAlias = "Sequence[Any]"

_SUMMED: Final[list[Any]] = [usage.c[name] for name in Summary._fields[:7]]
_ASKED: Final[list[Any]] = [usage.c[name] for name in Asking._fields[:5]]
_PAGE: Final = 2000

# For this transaction alone. The planner takes each row for a group of its own, and would sort the table on disk; and
# what it thinks of costs keeps processes idle that could share the work. Each may take twice this memory.
_TUNED: Final = (
    "SELECT set_config('enable_sort', 'off', true), set_config('enable_incremental_sort', 'off', true), "
    "set_config('parallel_tuple_cost', '0', true), "
    "set_config('work_mem', greatest(65536, setting::bigint)::text, true) FROM pg_settings WHERE name = 'work_mem'"
)


def summing(until: str, since: str | None, issuer: str | None) -> _Question:
    """The question for uses of everybody, added up."""
    table = usage.c
    asked: _Question = sa.select(
        *_SUMMED,
        _total(table["count"]).label("uses"),
        sa.func.count().label("rows"),
        sa.func.min(table.day).label("first_day"),
        sa.func.max(table.day).label("last_day"),
    ).where(table.day <= _valid(until))
    if since is not None:
        asked = asked.where(table.day >= _valid(since))
    if issuer is not None:
        asked = asked.where(table.issuer == fitted(issuer))
    return _ordered(asked.group_by(*_SUMMED), len(_SUMMED))


def summary(row: _Row) -> Summary:
    """A row of it."""
    *parts, uses, rows, first, last = row
    first, last = _iso(first), _iso(last)
    return Summary._make((*parts, uses, at_most(rows, first, last), first, last))


def asked(until: str) -> _Question:
    """The question for what enforcement points asked for."""
    table = usage.c
    granted = sa.case((table.outcome == "granted", table["count"]), else_=0)
    refused = sa.case((table.outcome.in_(("denied", "revoked")), table["count"]), else_=0)
    question: _Question = sa.select(
        *_ASKED,
        _total(granted).label("uses"),
        _total(refused).label("refused"),
        sa.func.max(table.day).label("last_day"),
    )
    return _ordered(question.where(table.day <= _valid(until)).group_by(*_ASKED), len(_ASKED))


def asking(row: _Row) -> Asking:
    """A row of it."""
    *parts, last = row
    return Asking._make((*parts, _iso(last)))


def daily(until: str) -> _Question:
    """The question for how much there was on each day, by outcome."""
    table = usage.c
    by: list[Any] = [table.day, table.outcome]
    question: _Question = sa.select(*by, _total(table["count"])).where(table.day <= _valid(until)).group_by(*by)
    return _ordered(question, len(by))


def days(until: str, issuer: str | None, subjects: Iterable[tuple[str, str]] | None) -> Iterator[_Question]:
    """The questions for days of use, one after the other."""
    table = usage.c
    grant = sa.case((table.grant == "", table.permission), else_=table.grant)
    columns: list[Any] = [table.issuer, table.subject, grant.label("credited"), table.day]
    question: _Question = (
        sa.select(*columns).distinct().where(table.day <= _valid(until), table.outcome == "granted").order_by(*columns)
    )
    if issuer is not None:
        question = question.where(table.issuer == fitted(issuer))
    if subjects is None:
        yield question
        return
    for theirs, some in in_order(subjects):
        yield question.where(table.issuer == theirs, table.subject.in_(some))


def day(row: _Row) -> DayRow:
    """A row of them."""
    issuer, subject, grant, on = row
    return DayRow(issuer, subject, grant, _iso(on))


def rows(database: Database, *questions: _Question) -> Iterator[_Row]:
    """The rows of questions one after the other, a page of them in memory, of one state of the database."""
    with database.read(patient=True) as connection:
        if connection.dialect.name == "postgresql":
            connection.exec_driver_sql(_TUNED)
        for question in questions:
            if connection.dialect.name == "postgresql":
                yield from _parallel(connection, question)
            else:
                found = connection.execute(question, execution_options={"stream_results": True, "yield_per": _PAGE})
                with found:
                    yield from found


def _parallel(connection: sa.Connection, question: _Question) -> Iterator[_Row]:
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


def _ordered(question: _Question, width: int) -> _Question:
    """The sums in the order of their first columns. What is asked for in order is sorted before it is added up."""
    summed = question.cte("summed").prefix_with("MATERIALIZED", dialect="postgresql")
    return sa.select(summed).order_by(*list(summed.c)[:width])


def _total(counted: Any) -> Any:
    return sa.cast(sa.func.sum(counted), sa.BigInteger)


def _valid(day: str) -> str:
    """As it sorts; `ValueError` for what is no date, of which PostgreSQL knows some."""
    return date.fromisoformat(day).isoformat()


@lru_cache(maxsize=65536)
def _iso(on: date | str) -> str:
    return on if isinstance(on, str) else on.isoformat()
