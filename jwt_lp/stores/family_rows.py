"""Queries for families of refresh tokens."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import sqlalchemy as sa

from jwt_lp.errors import StoreError
from jwt_lp.revocation.snapshot import digest
from jwt_lp.stores import elevation_rows, revocation_rows
from jwt_lp.stores.families import WRITER, RefreshFamily
from jwt_lp.stores.schema import families
from jwt_lp.stores.upserts import insert_missing

if TYPE_CHECKING:
    from jwt_lp.stores.elevation_events import WrittenSteps
    from jwt_lp.stores.families import FamilyEnding

_FIELDS = tuple(RefreshFamily.__dataclass_fields__)
_COLUMNS = [families.c[name] for name in _FIELDS]


def add(connection: sa.Connection, family: RefreshFamily) -> None:
    """Write a new family."""
    row = {name: getattr(family, name) for name in _FIELDS}
    key = digest("subject", family.issuer, family.subject)
    if not insert_missing(connection, families, [{**row, "key": key}]):
        raise StoreError("a family of refresh tokens is written once, and its id exists already")


def find(connection: sa.Connection, family_id: str) -> RefreshFamily | None:
    """The family with this id."""
    row = connection.execute(sa.select(*_COLUMNS).where(families.c.id == family_id)).first()
    return None if row is None else _family(row)


def rotate(connection: sa.Connection, family_id: str, counter: int, at: float) -> bool:
    """Add one to the counter if it is `counter`, in one statement."""
    table = families
    statement = (
        table.update()
        .where(table.c.id == family_id, table.c.counter == counter, table.c.ended_at.is_(None), table.c.expires_at > at)
        .values(counter=counter + 1, rotated_at=at)
    )
    return connection.execute(statement).rowcount == 1


def end(connection: sa.Connection, ending: FamilyEnding) -> tuple[tuple[RefreshFamily, ...], list[WrittenSteps]]:
    """End families, revoke their tokens, and end what elevations such a revocation ends.

    Rows are locked in the order of their ids, so two calls never deadlock.
    """
    table = families
    live = (
        sa.select(*_COLUMNS)
        .where(table.c.key == digest("subject", ending.issuer, ending.subject), table.c.ended_at.is_(None))
        .order_by(table.c.id)
        .with_for_update()
    )
    if ending.family is not None:
        live = live.where(table.c.id == ending.family)
    ended = tuple(_family(row) for row in connection.execute(live).all())
    if ended:
        statement = table.update().where(table.c.id == sa.bindparam("family"))
        rows = [{"family": family.id} for family in ended]
        connection.execute(statement.values(ended_at=ending.at, reason=ending.reason), rows)
    if not (entries := ending.revocations(ended)):
        return ended, []
    revocation_rows.revoke(connection, entries, ending.at, WRITER)
    return ended, elevation_rows.end_revoked(connection, entries, ending.at, WRITER)


def _family(row: sa.Row[Any]) -> RefreshFamily:
    return RefreshFamily(**dict(zip(_FIELDS, row, strict=True)))
