"""What do the tables look like, and are they this release's?"""

from __future__ import annotations

from datetime import date
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final

import sqlalchemy as sa
from sqlalchemy import event

from jwt_lp.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sqlalchemy.dialects.postgresql import Insert

VERSION: Final = 1
"""Of the tables. A change to them is a new number and a step in `bring`."""

_LOCK: Final = 0x6A77746C70  # any number, the same in every process


class IsoDate(sa.types.TypeDecorator[str]):
    """An ISO date: a `date` where the database has them, text elsewhere."""

    impl = sa.String(10)
    cache_ok = True

    def load_dialect_impl(self, dialect: sa.Dialect) -> sa.types.TypeEngine[Any]:
        """Four bytes in PostgreSQL."""
        return dialect.type_descriptor(sa.Date() if dialect.name == "postgresql" else sa.String(10))

    def process_bind_param(self, value: str | None, dialect: sa.Dialect) -> date | str | None:
        """Of the shape that sorts; `ValueError` for what is no date."""
        return None if value is None else _date(value) if dialect.name == "postgresql" else _date(value).isoformat()

    def process_result_value(self, value: date | str | None, dialect: sa.Dialect) -> str | None:  # noqa: ARG002
        """As it was written."""
        return value.isoformat() if isinstance(value, date) else value


@lru_cache(maxsize=4096)
def _date(text: str) -> date:
    return date.fromisoformat(text)


# Compared by code point in every database: that is the fastest, and all of them give the same order.
_TEXT: Final = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")


def _texts(*names: str) -> list[sa.Column[str]]:
    return [sa.Column(name, _TEXT, nullable=False) for name in names]


def _number(name: str) -> sa.Column[int]:
    return sa.Column(name, sa.BigInteger, nullable=False, autoincrement=False)


def _time(name: str, *, nullable: bool = False) -> sa.Column[float]:
    return sa.Column(name, sa.Double, nullable=nullable)


def _day(name: str) -> sa.Column[str]:
    return sa.Column(name, IsoDate, nullable=False)


def _digest(name: str = "id", *, primary: bool = True) -> sa.Column[bytes]:
    return sa.Column(name, sa.LargeBinary(16), primary_key=primary, nullable=False)


def _single_row_key() -> sa.Column[int]:
    """The key of a table that has one row."""
    return sa.Column("id", sa.SmallInteger, sa.CheckConstraint("id = 1"), primary_key=True, autoincrement=False)


metadata: Final = sa.MetaData()

schema: Final = sa.Table("jwt_lp_schema", metadata, _single_row_key(), _number("version"))

# How far the numbers of changes have come. Whoever writes revocations locks this row first.
counter: Final = sa.Table("jwt_lp_counter", metadata, _single_row_key(), _number("sequence"))

# `changed` is the number of the last change to the row: that of its writing, or of its lifting.
revocations: Final = sa.Table(
    "jwt_lp_revocation",
    metadata,
    sa.Column("sequence", sa.BigInteger, primary_key=True, autoincrement=False),
    _number("changed"),
    _time("at"),
    _time("before", nullable=True),
    _time("until", nullable=True),
    _time("lifted_at", nullable=True),
    _digest("key", primary=False),
    *_texts("id", "of", "issuer", "name", "pattern", "keep", "reason", "by"),
    sa.Index("jwt_lp_revocation_changed", "changed", unique=True),
    sa.Index("jwt_lp_revocation_id", "id", unique=True),
    sa.Index("jwt_lp_revocation_key", "key"),
)

# Wide before narrow, so that nothing is lost to alignment.
usage: Final = sa.Table(
    "jwt_lp_usage",
    metadata,
    _number("count"),
    _time("last"),
    _day("day"),
    _digest(),
    *_texts("service", "issuer", "subject", "client", "role", "endpoint", "method", "requirement", "permission"),
    *_texts("grant", "outcome"),
    sa.Index("jwt_lp_usage_who", "issuer", "subject"),
    sa.Index("jwt_lp_usage_permission", "permission"),
    sa.Index("jwt_lp_usage_day", "day"),
)

observed_grants: Final = sa.Table(
    "jwt_lp_sighting",
    metadata,
    _day("first_day"),
    _day("last_day"),
    _digest(),
    *_texts("issuer", "subject", "client", "role", "grant"),
    sa.Index("jwt_lp_sighting_who", "issuer", "subject"),
)

enforcement_points: Final = sa.Table(
    "jwt_lp_point",
    metadata,
    _day("first_day"),
    _day("last_day"),
    _digest(),
    *_texts("service", "endpoint", "method", "requirement"),
)

recording_periods: Final = sa.Table(
    "jwt_lp_run",
    metadata,
    sa.Column("id", _TEXT, primary_key=True),
    _time("started"),
    _time("until"),
    _number("recorded"),
    _number("dropped"),
    *_texts("service", "source"),
)

# `kept` are ids of imported files, asked for as long as there may be such a file.
batches: Final = sa.Table(
    "jwt_lp_batch",
    metadata,
    sa.Column("id", _TEXT, primary_key=True),
    _time("at"),
    sa.Column("kept", sa.Boolean, nullable=False),
)

grant_imports: Final = sa.Table(
    "jwt_lp_import",
    metadata,
    sa.Column("as_of", IsoDate, primary_key=True),
    sa.Column("complete", sa.Boolean, nullable=False),
)

held_grants: Final = sa.Table(
    "jwt_lp_held",
    metadata,
    sa.Column("as_of", IsoDate, primary_key=True),
    _digest(),
    *_texts("issuer", "subject", "client", "role", "grant", "since"),
    sa.Index("jwt_lp_held_who", "issuer", "subject"),
)

heartbeats: Final = sa.Table(
    "jwt_lp_beat",
    metadata,
    sa.Column("process", _TEXT, primary_key=True),
    _time("at"),
    _time("age"),
    _number("sequence"),
    _number("pid"),
    *_texts("service", "host", "policy"),
)


# Room in each page of what counts up, so that doing so touches no index.
for _table in (usage, observed_grants):
    _fillfactor: Any = sa.DDL(f"ALTER TABLE {_table.name} SET (fillfactor = 90)")  # type: ignore[no-untyped-call]
    event.listen(_table, "after_create", _fillfactor.execute_if(dialect="postgresql"))


def version(connection: sa.Connection) -> int:
    """Of the tables that are there; 0 for none."""
    if not sa.inspect(connection).has_table(schema.name):
        return 0
    return connection.execute(sa.select(schema.c.version)).scalar() or 0


def check_version(connection: sa.Connection, name: str) -> None:
    """`ConfigurationError` where the tables are not this release's."""
    there = version(connection)
    if there < VERSION:
        raise tables_missing(name, "its tables are of an older release" if there else "it has no tables yet")
    _check_not_newer(there, name)


def tables_missing(name: str, what: str) -> ConfigurationError:
    """What to say where `migrate` has to run."""
    return ConfigurationError(f"{name}: {what}; run jwt-lp store migrate --store {name}")


def _check_not_newer(there: int, name: str) -> None:
    if there > VERSION:
        raise ConfigurationError(
            f"{name}: its tables have version {there}, made by a newer release; this one knows {VERSION}: upgrade jwt-lp"
        )


def migrate(connection: sa.Connection, name: str) -> int:
    """Create the tables, or bring them to this release's; gives the version before. One transaction."""
    if connection.dialect.name == "postgresql":
        # One at a time: there is no row to lock yet.
        connection.execute(sa.select(sa.func.pg_advisory_xact_lock(_LOCK)))
    there = version(connection)
    _check_not_newer(there, name)
    if there < VERSION:
        metadata.create_all(connection)
        connection.execute(schema.delete())
        connection.execute(schema.insert(), {"id": 1, "version": VERSION})
        insert_missing(connection, counter, [{"id": 1, "sequence": 0}])
    return there


def insert(connection: sa.Connection, table: sa.Table) -> Insert:
    """An insert that knows ON CONFLICT; SQLite's and PostgreSQL's are written alike."""
    if connection.dialect.name == "sqlite":
        from sqlalchemy.dialects import sqlite

        return sqlite.insert(table)  # type: ignore[return-value]
    from sqlalchemy.dialects import postgresql

    return postgresql.insert(table)


def insert_missing(connection: sa.Connection, table: sa.Table, rows: Sequence[dict[str, object]]) -> None:
    """Insert rows that are not there yet."""
    connection.execute(insert(connection, table).on_conflict_do_nothing(index_elements=[*table.primary_key]), rows)


def insert_new(connection: sa.Connection, table: sa.Table, row: dict[str, object]) -> bool:
    """Insert one row, and whether it was not there yet."""
    statement = insert(connection, table).on_conflict_do_nothing(index_elements=[*table.primary_key])
    # Drivers do not agree on what they count; a row that comes back was written.
    return connection.execute(statement.returning(*table.primary_key), row).first() is not None


def upsert(connection: sa.Connection, table: sa.Table, rows: Sequence[dict[str, object]], **how: str) -> None:
    """Insert rows, and where there is one with the same key, bring its columns up to date.

    `how` says of each such column whether they `add` up, the `least` or the `greatest` stays, or the `new` one.
    """
    if not rows:
        return
    lite = connection.dialect.name == "sqlite"
    functions = {"least": sa.func.min if lite else sa.func.least, "greatest": sa.func.max if lite else sa.func.greatest}
    statement = insert(connection, table)
    fresh = statement.excluded
    changed: dict[str, Any] = {}
    for name, verb in how.items():
        old, new = table.c[name], fresh[name]
        changed[name] = new if verb == "new" else old + new if verb == "add" else functions[verb](old, new)
    keys = [*table.primary_key]
    connection.execute(statement.on_conflict_do_update(index_elements=keys, set_=changed), rows)
