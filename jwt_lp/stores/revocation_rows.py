"""Queries for revocation entries and their changes.

Each change has a sequence number, without gaps. A writer locks the counter until it commits, so the numbers are in the
order of the commits, and a reader that knows a number knows all changes below it.
"""

from __future__ import annotations

import json
from collections import Counter
from typing import TYPE_CHECKING, Any, Final

import sqlalchemy as sa

from jwt_lp.errors import StoreError
from jwt_lp.revocation.entries import RevocationChanges, RevocationEntry, RevocationKey
from jwt_lp.revocation.snapshot import digest, with_pauses
from jwt_lp.stores.rows import StoredRevocation
from jwt_lp.stores.schema import counter, revocations

if TYPE_CHECKING:
    from collections.abc import Sequence

# A driver may hold the interpreter's lock while it parses a page, so a larger page delays the requests of that time.
PAGE: Final = 500
_CHUNK: Final = 500
_MAX_NAMED: Final = 5
_EMPTY_KEEP: Final = json.dumps(())


def current_sequence(connection: sa.Connection) -> int:
    """The number of the last change."""
    return int(connection.execute(sa.select(counter.c.sequence)).scalar_one())


def _lock_sequence(connection: sa.Connection) -> int:
    """The number of the last change; no other transaction writes a change until this one has ended."""
    return int(connection.execute(sa.select(counter.c.sequence).with_for_update()).scalar_one())


def changes(connection: sa.Connection, since: int) -> RevocationChanges:
    """One page of changes, in a transaction that sees one state of the database."""
    latest = current_sequence(connection)
    if latest <= since:
        # It is below `since` after an older copy of the database was restored: the caller must notice that.
        return RevocationChanges(latest)
    table = revocations
    query = sa.select(table).where(table.c.changed > since).order_by(table.c.changed).limit(PAGE)
    if since == 0:
        # A caller that knows no entry needs no lifted ones.
        query = query.where(table.c.lifted_at.is_(None))
    rows = connection.execute(query).all()
    more = len(rows) == PAGE
    lifted = {row.key: RevocationKey(row.of, row.issuer, row.name) for row in rows if row.lifted_at is not None}
    entries = [_entry(row) for row in with_pauses(rows) if row.lifted_at is None]
    keys = list(lifted)
    for start in range(0, len(keys), _CHUNK):
        standing = sa.select(table).where(table.c.key.in_(keys[start : start + _CHUNK]), table.c.lifted_at.is_(None))
        entries += [_entry(row) for row in connection.execute(standing.order_by(table.c.changed))]
    distinct = {entry.id: entry for entry in entries}
    return RevocationChanges(
        rows[-1].changed if more else latest, tuple(lifted.values()), tuple(distinct.values()), more
    )


def revoke(connection: sa.Connection, entries: Sequence[RevocationEntry], at: float, by: str) -> int:
    """Write entries with the next sequence numbers."""
    sequence = _lock_sequence(connection)
    ids = [entry.id for entry in entries]
    repeated = {name for name, times in Counter(ids).items() if times > 1}
    if existing := _existing_ids(connection, ids, standing=False) or repeated:
        raise StoreError(f"entries are written once, and these exist already: {_format_ids(existing)}")
    if not entries:
        return sequence
    rows = [_row(entry, sequence + number, at, by) for number, entry in enumerate(entries, 1)]
    connection.execute(revocations.insert(), rows)
    return _set_sequence(connection, sequence + len(rows))


def lift(connection: sa.Connection, ids: Sequence[str], at: float) -> int:
    """Lift entries, each with the next sequence number."""
    sequence = _lock_sequence(connection)
    names = list(dict.fromkeys(ids))
    if missing := set(names) - _existing_ids(connection, names, standing=True):
        raise StoreError(f"no entry in force has the id {_format_ids(missing)}; jwt-lp revocations lists them")
    if not names:
        return sequence
    table = revocations
    statement = (
        table.update()
        .where(table.c.id == sa.bindparam("lifted"))
        .values(changed=sa.bindparam("number"), lifted_at=sa.bindparam("time"))
    )
    rows = [{"lifted": name, "number": sequence + number, "time": at} for number, name in enumerate(names, 1)]
    connection.execute(statement, rows)
    return _set_sequence(connection, sequence + len(rows))


def select_revocations(*, lifted: bool) -> sa.Select[Any]:
    """The query for entries, in order."""
    query = sa.select(revocations).order_by(revocations.c.sequence)
    return query if lifted else query.where(revocations.c.lifted_at.is_(None))


def stored_revocation(row: sa.Row[Any]) -> StoredRevocation:
    """The entry in a row of `select_revocations`, with its sequence number, times and author."""
    return StoredRevocation(_entry(row), row.sequence, row.at, row.by, row.lifted_at)


def _set_sequence(connection: sa.Connection, sequence: int) -> int:
    connection.execute(counter.update().values(sequence=sequence))
    return sequence


def _existing_ids(connection: sa.Connection, ids: Sequence[str], *, standing: bool) -> set[str]:
    existing: set[str] = set()
    for start in range(0, len(ids), _CHUNK):
        query = sa.select(revocations.c.id).where(revocations.c.id.in_(ids[start : start + _CHUNK]))
        if standing:
            query = query.where(revocations.c.lifted_at.is_(None))
        existing |= set(connection.execute(query).scalars())
    return existing


def _format_ids(ids: set[str]) -> str:
    shown = ", ".join(map(ascii, sorted(ids)[:_MAX_NAMED]))
    return shown if len(ids) <= _MAX_NAMED else f"{shown} and {len(ids) - _MAX_NAMED} more"


def _row(entry: RevocationEntry, sequence: int, at: float, by: str) -> dict[str, object]:
    return {
        "sequence": sequence,
        "changed": sequence,
        "at": at,
        "before": entry.before,
        "until": entry.until,
        "lifted_at": None,
        "key": digest(*entry.key),
        "id": entry.id,
        "of": entry.of,
        "issuer": entry.issuer,
        "name": entry.name,
        "pattern": entry.pattern,
        "keep": json.dumps(entry.keep),
        "reason": entry.reason,
        "by": by,
    }


def _entry(row: sa.Row[Any]) -> RevocationEntry:
    return RevocationEntry(
        id=row.id,
        of=row.of,
        issuer=row.issuer,
        name=row.name,
        pattern=row.pattern,
        keep=tuple(json.loads(row.keep)) if row.keep != _EMPTY_KEEP else (),
        before=row.before,
        until=row.until,
        reason=row.reason,
        at=row.at,
    )
