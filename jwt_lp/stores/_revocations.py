"""What was taken back, in which order?

Each change has a number, without gaps. Whoever writes one locks the counter until it has committed, so the order of
the numbers is the order of the commits, and a reader that knows a number knows all below it.
"""

from __future__ import annotations

import json
from collections import Counter
from typing import TYPE_CHECKING, Any, Final

import sqlalchemy as sa

from jwt_lp.errors import StoreError
from jwt_lp.revocation import Changes, Entry, Key
from jwt_lp.standing import digest, gently
from jwt_lp.stores._tables import counter, revocations
from jwt_lp.stores.values import Recorded

if TYPE_CHECKING:
    from collections.abc import Sequence

# Drivers may keep the interpreter while they take a page apart: a larger one is a pause for whoever serves meanwhile.
PAGE: Final = 500
_CHUNK: Final = 500
_NAMED: Final = 5
_NONE: Final = json.dumps(())


def known(connection: sa.Connection) -> int:
    """How far the numbers have come."""
    return int(connection.execute(sa.select(counter.c.sequence)).scalar_one())


def _locked(connection: sa.Connection) -> int:
    """The same, and nobody else writes a change until this transaction has ended."""
    return int(connection.execute(sa.select(counter.c.sequence).with_for_update()).scalar_one())


def changes(connection: sa.Connection, since: int) -> Changes:
    """One page of what changed; in a transaction that sees one state."""
    latest = known(connection)
    if latest <= since:
        # Below `since` where an older copy was put back: whoever asks must learn of it.
        return Changes(latest)
    table = revocations
    asked = sa.select(table).where(table.c.changed > since).order_by(table.c.changed).limit(PAGE)
    if since == 0:
        # Who knows nothing has nothing to forget.
        asked = asked.where(table.c.lifted_at.is_(None))
    rows = connection.execute(asked).all()
    more = len(rows) == PAGE
    lifted = {row.key: Key(row.of, row.issuer, row.name) for row in rows if row.lifted_at is not None}
    entries = [_entry(row) for row in gently(rows) if row.lifted_at is None]
    keys = list(lifted)
    for start in range(0, len(keys), _CHUNK):
        standing = sa.select(table).where(table.c.key.in_(keys[start : start + _CHUNK]), table.c.lifted_at.is_(None))
        entries += [_entry(row) for row in connection.execute(standing.order_by(table.c.changed))]
    distinct = {entry.id: entry for entry in entries}
    return Changes(rows[-1].changed if more else latest, tuple(lifted.values()), tuple(distinct.values()), more)


def revoke(connection: sa.Connection, entries: Sequence[Entry], at: float, by: str) -> int:
    """Write entries under the next numbers."""
    sequence = _locked(connection)
    ids = [entry.id for entry in entries]
    twice = {name for name, times in Counter(ids).items() if times > 1}
    if there := _found(connection, ids, standing=False) or twice:
        raise StoreError(f"entries are written once, and these are there: {_listed(there)}")
    if not entries:
        return sequence
    rows = [_row(entry, sequence + number, at, by) for number, entry in enumerate(entries, 1)]
    connection.execute(revocations.insert(), rows)
    return _counted(connection, sequence + len(rows))


def lift(connection: sa.Connection, ids: Sequence[str], at: float) -> int:
    """Lift entries, each under the next number."""
    sequence = _locked(connection)
    names = list(dict.fromkeys(ids))
    if lacking := set(names) - _found(connection, names, standing=True):
        raise StoreError(f"no entry that stands has the id {_listed(lacking)}; jwt-lp revocations lists them")
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
    return _counted(connection, sequence + len(rows))


def all_of(*, lifted: bool) -> sa.Select[Any]:
    """The question for entries, in order."""
    asked = sa.select(revocations).order_by(revocations.c.sequence)
    return asked if lifted else asked.where(revocations.c.lifted_at.is_(None))


def recorded(row: sa.Row[Any]) -> Recorded:
    """An entry with what the store knows of it."""
    return Recorded(_entry(row), row.sequence, row.at, row.by, row.lifted_at)


def _counted(connection: sa.Connection, sequence: int) -> int:
    connection.execute(counter.update().values(sequence=sequence))
    return sequence


def _found(connection: sa.Connection, ids: Sequence[str], *, standing: bool) -> set[str]:
    found: set[str] = set()
    for start in range(0, len(ids), _CHUNK):
        asked = sa.select(revocations.c.id).where(revocations.c.id.in_(ids[start : start + _CHUNK]))
        if standing:
            asked = asked.where(revocations.c.lifted_at.is_(None))
        found |= set(connection.execute(asked).scalars())
    return found


def _listed(ids: set[str]) -> str:
    shown = ", ".join(map(ascii, sorted(ids)[:_NAMED]))
    return shown if len(ids) <= _NAMED else f"{shown} and {len(ids) - _NAMED} more"


def _row(entry: Entry, sequence: int, at: float, by: str) -> dict[str, object]:
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


def _entry(row: sa.Row[Any]) -> Entry:
    return Entry(
        id=row.id,
        of=row.of,
        issuer=row.issuer,
        name=row.name,
        pattern=row.pattern,
        keep=tuple(json.loads(row.keep)) if row.keep != _NONE else (),
        before=row.before,
        until=row.until,
        reason=row.reason,
        at=row.at,
    )
