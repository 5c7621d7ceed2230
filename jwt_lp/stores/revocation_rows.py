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
from jwt_lp.revocation.temporary_grants import TemporaryGrant
from jwt_lp.stores.elevations import KEEP_OVER
from jwt_lp.stores.rows import StoredRevocation
from jwt_lp.stores.schema import counter, elevations, revocations

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

# A driver may hold the interpreter's lock while it parses a page, so a larger page delays the requests of that time.
PAGE: Final = 500
_CHUNK: Final = 500
_MAX_NAMED: Final = 5
_ENDED: Final = {revocations.name: "lifted_at", elevations.name: "ended_at"}
_EMPTY_KEEP: Final = json.dumps(())


def current_sequence(connection: sa.Connection) -> int:
    """The number of the last change."""
    return int(connection.execute(sa.select(counter.c.sequence)).scalar_one())


def lock_sequence(connection: sa.Connection) -> int:
    """The number of the last change; no other transaction writes a change until this one has ended."""
    return int(connection.execute(sa.select(counter.c.sequence).with_for_update()).scalar_one())


def changes(connection: sa.Connection, since: int, now: float) -> RevocationChanges:
    """One page of changes, in a transaction that sees one state of the database."""
    latest = current_sequence(connection)
    if latest <= since:
        # It is below `since` after an older copy of the database was restored: the caller must notice that.
        return RevocationChanges(latest)
    changed = connection.execute(_select_changed(revocations, since)).all()
    held = connection.execute(_select_changed(elevations, since)).all()
    numbers = sorted([row.changed for row in (*changed, *held)])[:PAGE]
    last = numbers[-1] if numbers else latest
    more = len(numbers) == PAGE
    changed, held = ([row for row in rows if row.changed <= last] for rows in (changed, held))
    lifted = {row.key: RevocationKey(row.of, row.issuer, row.name) for row in changed if row.lifted_at is not None}
    if since > 0:
        # A caller that knows no grant needs none that has ended.
        lifted |= {
            row.key: RevocationKey("subject", row.issuer, row.subject) for row in held if row.ended_at is not None
        }
    entries = [_entry(row) for row in with_pauses(changed) if row.lifted_at is None]
    grants = [row for row in held if row.ended_at is None]
    keys = list(lifted)
    for start in range(0, len(keys), _CHUNK):
        chunk = keys[start : start + _CHUNK]
        entries += [_entry(row) for row in connection.execute(_select_standing(revocations, chunk))]
        grants += connection.execute(_select_standing(elevations, chunk)).all()
    distinct = {entry.id: entry for entry in entries}
    return RevocationChanges(
        last if more else latest, tuple(lifted.values()), tuple(distinct.values()), more, _temporary_grants(grants, now)
    )


def _select_changed(table: sa.Table, since: int) -> sa.Select[Any]:
    query = sa.select(table).where(table.c.changed > since).order_by(table.c.changed).limit(PAGE)
    # A caller that knows no entry needs no lifted ones.
    return query if since else query.where(table.c[_ENDED[table.name]].is_(None))


def _select_standing(table: sa.Table, keys: Sequence[bytes]) -> sa.Select[Any]:
    ended = table.c[_ENDED[table.name]]
    return (
        sa.select(table).where(table.c.key.in_(keys), table.c.changed.is_not(None), ended.is_(None)).order_by("changed")
    )


def _temporary_grants(rows: Iterable[sa.Row[Any]], now: float) -> tuple[TemporaryGrant, ...]:
    """The grants of these elevations, without those that are long over."""
    return tuple(
        {
            row.id: TemporaryGrant(row.id, row.issuer, row.subject, row.permission, row.since, row.until, row.client)
            for row in rows
            if row.until > now - KEEP_OVER
        }.values()
    )


def revoke(connection: sa.Connection, entries: Sequence[RevocationEntry], at: float, by: str) -> int:
    """Write entries with the next sequence numbers."""
    sequence = lock_sequence(connection)
    ids = [entry.id for entry in entries]
    repeated = {name for name, times in Counter(ids).items() if times > 1}
    if existing := _existing_ids(connection, ids, standing=False) or repeated:
        raise StoreError(f"entries are written once, and these exist already: {_format_ids(existing)}")
    if not entries:
        return sequence
    rows = [_row(entry, sequence + number, at, by) for number, entry in enumerate(entries, 1)]
    connection.execute(revocations.insert(), rows)
    return set_sequence(connection, sequence + len(rows))


def lift(connection: sa.Connection, ids: Sequence[str], at: float) -> int:
    """Lift entries, each with the next sequence number."""
    sequence = lock_sequence(connection)
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
    return set_sequence(connection, sequence + len(rows))


def select_revocations(*, lifted: bool) -> sa.Select[Any]:
    """The query for entries, in order."""
    query = sa.select(revocations).order_by(revocations.c.sequence)
    return query if lifted else query.where(revocations.c.lifted_at.is_(None))


def stored_revocation(row: sa.Row[Any]) -> StoredRevocation:
    """The entry in a row of `select_revocations`, with its sequence number, times and author."""
    return StoredRevocation(_entry(row), row.sequence, row.at, row.by, row.lifted_at)


def set_sequence(connection: sa.Connection, sequence: int) -> int:
    """Write the number of the last change, and return it."""
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
        "standing": entry.standing,
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
        standing=row.standing,
    )
