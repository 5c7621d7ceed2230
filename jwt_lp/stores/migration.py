"""Version of the tables, and their creation and migration."""

from __future__ import annotations

from typing import Any, Final

import sqlalchemy as sa

from jwt_lp.errors import ConfigurationError
from jwt_lp.stores.campaign_schema import audit_head
from jwt_lp.stores.columns import metadata
from jwt_lp.stores.schema import counter, revocations, schema
from jwt_lp.stores.sum_selections import all_selections
from jwt_lp.stores.upserts import insert_missing
from jwt_lp.stores.usage_sums import rebuild

VERSION: Final = 5
"""Version of the tables. A change to them needs a new number and a step in `migrate`."""

_SUMS_SINCE: Final = 2
_MIGRATION_LOCK: Final = 0x6A77746C70  # any number, the same in every process


def version(connection: sa.Connection) -> int:
    """The version of the tables in the database; 0 if there are none."""
    if not sa.inspect(connection).has_table(schema.name):
        return 0
    return connection.execute(sa.select(schema.c.version)).scalar() or 0


def check_version(connection: sa.Connection, name: str) -> None:
    """Raise `ConfigurationError` if the tables belong to another release."""
    current = version(connection)
    if current < VERSION:
        raise tables_missing(name, "its tables are of an older release" if current else "it has no tables yet")
    _check_not_newer(current, name)


def tables_missing(name: str, what: str) -> ConfigurationError:
    """The error that tells the user to run `migrate`."""
    return ConfigurationError(f"{name}: {what}; run jwt-lp store migrate --store {name}")


def _check_not_newer(current: int, name: str) -> None:
    if current > VERSION:
        raise ConfigurationError(
            f"{name}: its tables have version {current}, made by a newer release; this one knows {VERSION}: "
            "upgrade jwt-lp"
        )


def migrate(connection: sa.Connection, name: str) -> int:
    """Create the tables or bring them to this release's version, in one transaction; return the version before."""
    if connection.dialect.name == "postgresql":
        # One migration at a time: there is no row to lock yet.
        connection.execute(sa.select(sa.func.pg_advisory_xact_lock(_MIGRATION_LOCK)))
    current = version(connection)
    _check_not_newer(current, name)
    if current < VERSION:
        metadata.create_all(connection)
        _add_column(connection, revocations.c.standing)
        _add_indexes(connection)
        connection.execute(schema.delete())
        connection.execute(schema.insert(), {"id": 1, "version": VERSION})
        insert_missing(connection, counter, [{"id": 1, "sequence": 0}])
        insert_missing(connection, audit_head, [{"id": 1, "sequence": 0, "hash": ""}])
        if 0 < current < _SUMS_SINCE:
            for selection in all_selections(lambda query: connection.execute(query).all()):
                rebuild(connection, selection)
    return current


def _add_column(connection: sa.Connection, column: sa.Column[Any]) -> None:
    """Add a column to a table that an older release made."""
    if column.name not in {each["name"] for each in sa.inspect(connection).get_columns(column.table.name)}:
        definition = sa.schema.CreateColumn(column).compile(dialect=connection.dialect)
        connection.execute(sa.text(f"ALTER TABLE {column.table.name} ADD COLUMN {definition}"))


def _add_indexes(connection: sa.Connection) -> None:
    """Add the indexes that the tables of an older release lack."""
    for table in metadata.sorted_tables:
        for index in sorted(table.indexes, key=lambda each: str(each.name)):
            index.create(connection, checkfirst=True)
