"""Queries for the audit trail. A writer locks the row of the last entry, so writers follow one another."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import sqlalchemy as sa

from jwt_lp.errors import StoreError
from jwt_lp.stores.audit import chain_entries
from jwt_lp.stores.campaign_schema import audit_entries, audit_head
from jwt_lp.stores.campaign_values import AUDIT_FIELDS, audit_row, read_audit
from jwt_lp.stores.row_keys import fit_text
from jwt_lp.stores.upserts import insert_missing

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from jwt_lp.stores.audit import AuditEntry, AuditFilter, WantedEntry

_COLUMNS = [audit_entries.c[name] for name in AUDIT_FIELDS]
_HEAD = sa.select(audit_head.c.sequence, audit_head.c.hash)


def append(connection: sa.Connection, wanted: Iterable[WantedEntry]) -> tuple[AuditEntry, ...]:
    """Add entries; return them as they are stored."""
    # INVARIANT: this lock comes last in every transaction, and no other entry is written until the transaction ends.
    entries = chain_entries(wanted, _read_head(connection, _HEAD.with_for_update()))
    if entries:
        rows = [audit_row(entry) for entry in entries]
        if insert_missing(connection, audit_entries, rows) < len(rows):
            raise StoreError("the audit trail has entries behind its last one: somebody else has written to its table")
        connection.execute(audit_head.update().values(sequence=entries[-1].sequence, hash=entries[-1].hash))
    return tuple(entries)


def head(connection: sa.Connection) -> tuple[int, str]:
    """The number and the hash of the last entry."""
    return _read_head(connection, _HEAD)


def _read_head(connection: sa.Connection, query: sa.Select[*tuple[Any, ...]]) -> tuple[int, str]:
    last = connection.execute(query).first()
    if last is None:
        raise StoreError("the audit trail has no last entry: somebody else has deleted from its tables")
    return last.sequence, last.hash


def select(which: AuditFilter) -> sa.Select[Any]:
    """The query for entries that match, in order."""
    query = _select_entries(which)
    if which.actor is not None:
        # One query for each of the two columns, because each has an index in the order of the numbers.
        actor = fit_text(which.actor)
        found = [query.where(audit_entries.c[name] == actor).subquery() for name in ("by", "by_name")]
        both = sa.union(*(sa.select(each) for each in found)).subquery()
        query = sa.select(both).limit(which.limit)
        return query.order_by(both.c.sequence.desc() if which.newest_first else both.c.sequence)
    return query


def _select_entries(which: AuditFilter) -> sa.Select[Any]:
    """The query for entries that match, whoever acted."""
    row = audit_entries.c
    query = sa.select(*_COLUMNS).where(row.sequence > which.after).limit(which.limit)
    if which.before is not None:
        query = query.where(row.sequence < which.before)
    for name in ("campaign", "object", "action"):
        if (value := getattr(which, name)) is not None:
            query = query.where(row[name] == fit_text(value))
    if which.since is not None:
        query = query.where(row.at >= which.since)
    if which.until is not None:
        query = query.where(row.at < which.until)
    return query.order_by(row.sequence.desc() if which.newest_first else row.sequence)


def read(row: Sequence[Any]) -> AuditEntry:
    """The entry in a row."""
    return read_audit(dict(zip(AUDIT_FIELDS, row, strict=True)))
