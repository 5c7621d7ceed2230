"""Inserts and upserts of many rows, in SQLite and PostgreSQL.

The rows are locked in their order. Callers sort them by key, so that their transactions never deadlock.
"""

from __future__ import annotations

import operator
from functools import lru_cache
from operator import itemgetter
from typing import TYPE_CHECKING, Any, Final, Literal, TypeAlias

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

Merge: TypeAlias = Literal["add", "least", "greatest", "new"]
"""The new value of a column: the sum of the stored and the inserted value, the smaller, the larger, or the inserted."""
Row: TypeAlias = dict[str, Any]
"""The value of each column. Days are dates as YYYY-MM-DD."""

_Merges: TypeAlias = tuple[tuple[str, Merge], ...]

_KEYS: Final = 500
"""Keys in one statement of SQLite."""
_ROWS: Final = 2000
"""Rows in one statement of PostgreSQL, so that no statement takes as long as the timeout."""


def insert_missing(connection: sa.Connection, table: sa.Table, rows: Sequence[Row]) -> int:
    """Insert the rows whose keys are not in the table yet; return how many these were."""
    if connection.dialect.name == "sqlite":
        return _insert_sqlite(connection, table, rows, ())
    statement = _postgresql_insert(table, ()).returning(*table.primary_key)
    return sum(len(connection.execute(statement, _as_arrays(table, part)).all()) for part in _split(rows, _ROWS))


def upsert(connection: sa.Connection, table: sa.Table, rows: Sequence[Row], /, **how: Merge) -> None:
    """Insert rows, and update the columns in `how` of each row whose key is in the table already."""
    merges = tuple(how.items())
    if connection.dialect.name == "sqlite":
        _insert_sqlite(connection, table, rows, merges)
        return
    statement = _postgresql_insert(table, merges)
    for part in _split(rows, _ROWS):
        connection.execute(statement, _as_arrays(table, part))


def replace(connection: sa.Connection, table: sa.Table, rows: Sequence[Row], columns: Iterable[str]) -> None:
    """Insert rows, and overwrite these columns of each row whose key is in the table already."""
    how: dict[str, Merge] = dict.fromkeys(columns, "new")
    upsert(connection, table, rows, **how)


def upsert_counts(connection: sa.Connection, table: sa.Table, rows: Sequence[Row], /, **how: Merge) -> set[bytes]:
    """Add the `count` of each row to the stored one, and merge others as `upsert` does; return the new keys.

    Every count is 1 or more, in the rows and in the table.
    """
    merges: _Merges = (("count", "add"), *how.items())
    if connection.dialect.name == "sqlite":
        # The transaction holds SQLite's only write lock, so nobody else inserts these rows in between.
        new = {row["id"] for row in rows}
        for part in _split(rows, _KEYS):
            keys = [row["id"] for row in part]
            new.difference_update(connection.scalars(sa.select(table.c.id).where(table.c.id.in_(keys))))
        _insert_sqlite(connection, table, rows, merges)
        return new
    statement = _postgresql_insert(table, merges).returning(table.c.id, table.c["count"])
    totals: dict[bytes, int] = {}
    for part in _split(rows, _ROWS):
        written: Sequence[Any] = connection.execute(statement, _as_arrays(table, part)).all()
        totals.update((row.id, row[1]) for row in written)
    # A total that is no more than the row's own count began at nothing.
    return {row["id"] for row in rows if totals[row["id"]] == row["count"]}


def _insert_sqlite(connection: sa.Connection, table: sa.Table, rows: Sequence[Row], merges: _Merges) -> int:
    """Insert rows, and merge them with those of the same keys; return how many were written."""
    if not rows:
        return 0
    # Without SQLAlchemy's processing of each value, which takes as long as SQLite itself.
    values = list(map(itemgetter(*table.c.keys()), rows))
    return connection.exec_driver_sql(_sqlite_insert(table, merges), values).rowcount


@lru_cache(maxsize=64)
def _sqlite_insert(table: sa.Table, merges: _Merges) -> str:
    statement = sqlite.insert(table).values({column.name: sa.literal_column("?") for column in table.c}).inline()
    merged = _merge(table, statement.excluded, merges, sa.func.min, sa.func.max)
    return str(_on_conflict(statement, table, merged).compile(dialect=sqlite.dialect()))


@lru_cache(maxsize=64)
def _postgresql_insert(table: sa.Table, merges: _Merges) -> Any:
    """A statement for many rows, which takes an array for each column."""
    names = table.c.keys()
    arrays = [sa.bindparam(name, type_=postgresql.ARRAY(table.c[name].type)) for name in names]
    source = sa.func.unnest(*arrays).table_valued(*names).render_derived()
    statement = postgresql.insert(table).from_select(names, sa.select(source))
    return _on_conflict(statement, table, _merge(table, statement.excluded, merges, sa.func.least, sa.func.greatest))


def _on_conflict(statement: Any, table: sa.Table, merged: Row) -> Any:
    keys = [*table.primary_key]
    if not merged:
        return statement.on_conflict_do_nothing(index_elements=keys)
    return statement.on_conflict_do_update(index_elements=keys, set_=merged)


def _merge(
    table: sa.Table, inserted: Any, merges: _Merges, least: Callable[..., Any], greatest: Callable[..., Any]
) -> Row:
    functions: dict[Merge, Callable[[Any, Any], Any]] = {
        "add": operator.add,
        "least": least,
        "greatest": greatest,
        "new": lambda _old, new: new,
    }
    return {name: functions[merge](table.c[name], inserted[name]) for name, merge in merges}


def _as_arrays(table: sa.Table, rows: Sequence[Row]) -> Row:
    return {name: [row[name] for row in rows] for name in table.c.keys()}  # noqa: SIM118 - not a mapping


def _split(rows: Sequence[Any], size: int) -> Iterator[Sequence[Any]]:
    return (rows[start : start + size] for start in range(0, len(rows), size))
