"""Upkeep of the sums over usage: what a batch adds, and sums made anew from the rows.

INVARIANT: in every committed state each sum is that of its rows. A transaction writes its rows first, and after them
the sums, in the order of their keys. So whoever holds the lock of a sum sees every row that the sum counts.
"""

from __future__ import annotations

from operator import itemgetter
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import sqlalchemy as sa

from jwt_lp.stores.row_keys import row_key
from jwt_lp.stores.schema import daily_sums, holder_sums, usage
from jwt_lp.stores.summation import DAILY_PARTS, HOLDER_PARTS, sum_by_day, sum_by_holder
from jwt_lp.stores.upserts import insert_missing, replace, upsert

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from jwt_lp.stores.summation import Sums
    from jwt_lp.stores.upserts import Merge, Row


class SumTable(NamedTuple):
    """A table of sums: the columns that identify a sum, and how each total merges with the stored one."""

    table: sa.Table
    parts: tuple[str, ...]
    totals: Mapping[str, Merge]


HOLDERS: Final = SumTable(
    holder_sums,
    HOLDER_PARTS,
    {"uses": "add", "rows": "add", "first_day": "least", "last_day": "greatest", "last": "greatest"},
)
DAYS: Final = SumTable(daily_sums, DAILY_PARTS, {"uses": "add", "rows": "add"})


class Selection(NamedTuple):
    """Some sums and the rows behind them: those of some subjects of an issuer, or those of a day."""

    sums: SumTable
    values: Mapping[str, str | Sequence[str]]

    def of(self, table: sa.Table) -> sa.ColumnElement[bool]:
        """The condition for the rows of a table."""
        return sa.and_(
            *(
                table.c[name] == value if isinstance(value, str) else table.c[name].in_(value)
                for name, value in self.values.items()
            )
        )


def add_to_sums(connection: sa.Connection, rows: Sequence[Row], new: Collection[bytes]) -> None:
    """Add rows of usage to the sums; `new` has the keys of those that were not stored before."""
    _merge(connection, HOLDERS, sum_by_holder(rows, new))
    # Every process changes the sums of today, so they come last: their locks are held for the shortest time.
    _merge(connection, DAYS, sum_by_day(rows, new))


def take_from_daily_sums(connection: sa.Connection, deleted: Sequence[Row]) -> None:
    """Take deleted rows of usage from the sums by day."""
    totals = sum_by_day(deleted, {row["id"] for row in deleted})
    _merge(connection, DAYS, {parts: {name: -totals[parts][name] for name in DAYS.totals} for parts in totals})
    _delete_sums(connection, DAYS.table, [row_key(parts) for parts in totals], DAYS.table.c.rows == 0)


def rebuild(connection: sa.Connection, selection: Selection) -> None:
    """Make the selected sums anew from their rows. Other writers of these sums wait until the transaction ends."""
    sums, table = selection.sums, selection.sums.table
    stored_keys = sa.select(table.c.id).where(selection.of(table)).order_by(table.c.id).with_for_update()
    query = select_sums(sums).where(selection.of(usage))
    while True:
        stored = set(connection.scalars(stored_keys))
        rows = _sum_rows(sums, _read_sums(connection, query, sums))
        missing = [row for row in rows if row["id"] not in stored]
        if insert_missing(connection, table, missing) == len(missing):
            break
        # Another transaction wrote one of them after the locks were taken: lock it, too, and read its rows.
    known = [row for row in rows if row["id"] in stored]
    replace(connection, table, known, sums.totals)
    _delete_sums(connection, table, stored - {row["id"] for row in rows})


def select_sums(sums: SumTable) -> sa.Select[Any]:
    """The query that adds up the rows of usage, whatever the sums say."""
    rows = usage.c
    totals = {
        "uses": sa.cast(sa.func.sum(rows["count"]), sa.BigInteger),
        "rows": sa.func.count(),
        "first_day": sa.func.min(rows.day),
        "last_day": sa.func.max(rows.day),
        "last": sa.func.max(rows.last),
    }
    parts = [rows[name] for name in sums.parts]
    return sa.select(*parts, *(totals[name].label(name) for name in sums.totals)).group_by(*parts)


def count_differences(connection: sa.Connection) -> int:
    """The number of sums that are not those of their rows."""
    return sum(_count_differences(connection, sums) for sums in (HOLDERS, DAYS))


def _count_differences(connection: sa.Connection, sums: SumTable) -> int:
    expected = select_sums(sums).cte("expected").prefix_with("MATERIALIZED", dialect="postgresql")
    stored = sa.select(*(sums.table.c[name] for name in (*sums.parts, *sums.totals)))
    missing, wrong = sa.select(expected).except_(stored).subquery(), stored.except_(sa.select(expected)).subquery()
    # A sum with a wrong total is in both.
    different = sa.union(*(sa.select(*(side.c[name] for name in sums.parts)) for side in (missing, wrong))).subquery()
    return connection.execute(sa.select(sa.func.count()).select_from(different)).scalar_one()


def _merge(connection: sa.Connection, sums: SumTable, totals: Sums) -> None:
    upsert(connection, sums.table, _sum_rows(sums, totals), **sums.totals)


def _read_sums(connection: sa.Connection, query: sa.Select[Any], sums: SumTable) -> Sums:
    width = len(sums.parts)
    return {tuple(row[:width]): dict(zip(sums.totals, row[width:], strict=True)) for row in connection.execute(query)}


def _sum_rows(sums: SumTable, totals: Sums) -> list[Row]:
    rows = [{"id": row_key(parts), **dict(zip(sums.parts, parts, strict=True)), **totals[parts]} for parts in totals]
    return sorted(rows, key=itemgetter("id"))


def _delete_sums(connection: sa.Connection, table: sa.Table, keys: Collection[bytes], *conditions: Any) -> None:
    if keys:
        statement = table.delete().where(table.c.id == sa.bindparam("key"), *conditions)
        connection.execute(statement, [{"key": key} for key in sorted(keys)])
