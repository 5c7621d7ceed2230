"""What was taken back, in which order?

Each change has a number, without gaps. Whoever writes one holds the counter's row until it has committed, so the
order of the numbers is the order of the commits, and a reader that knows a number knows all below it.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from typing import Any, Final

from django.db.models import F, QuerySet

from jwt_lp import StoreError
from jwt_lp.revocation import Changes, Entry, Key
from jwt_lp.standing import gently
from jwt_lp.stores import Recorded
from jwt_lp_django.database import chunks
from jwt_lp_django.models import Counter, Revocation
from jwt_lp_django.recorded import row_of

# Rows are made without letting the interpreter go: a larger page is a pause for whoever serves meanwhile.
PAGE: Final = 200
_NAMED: Final = 5


def changes(alias: str, since: int) -> Changes:
    """One page of what changed.

    No transaction is needed. The counter is read first, so every change up to it is seen below; what is seen beyond
    it are the next ones without a gap. An entry of a later page that is given early is known by its id then.
    """
    latest = Counter.objects.using(alias).filter(pk=1).values_list("sequence", flat=True).first() or 0
    if latest <= since:
        # Below `since` where an older copy was put back: whoever asks must learn of it.
        return Changes(latest)
    asked = Revocation.objects.using(alias).filter(changed__gt=since).order_by("changed")
    if since == 0:
        # Who knows nothing has nothing to forget.
        asked = asked.filter(lifted_at=None)
    rows = list(asked[:PAGE])
    more = len(rows) == PAGE
    lifted = {row.key: Key(row.of, row.issuer, row.name) for row in rows if row.lifted_at is not None}  # type: ignore[arg-type]
    entries = [_entry(row) for row in gently(rows) if row.lifted_at is None]
    for some in chunks(lifted):
        standing = Revocation.objects.using(alias).filter(key__in=some, lifted_at=None).order_by("changed")
        entries += map(_entry, standing)
    reached = rows[-1].changed if more else max([latest, *(row.changed for row in rows[-1:])])
    distinct = {entry.id: entry for entry in entries}
    return Changes(reached, tuple(lifted.values()), tuple(distinct.values()), more)


def revoke(alias: str, entries: Sequence[Entry], at: float, by: str) -> int:
    """Write entries under the next numbers; within a transaction."""
    sequence = _taken(alias, len(entries))
    ids = [entry.id for entry in entries]
    if there := _found(alias, ids, standing=False) or {name for name in ids if ids.count(name) > 1}:
        raise StoreError(f"entries are written once, and these are there: {_listed(there)}")
    rows = [_row(entry, sequence + number, at, by) for number, entry in enumerate(entries, 1)]
    for some in chunks(rows):
        Revocation.objects.using(alias).bulk_create(some)
    return sequence + len(rows)


def lift(alias: str, ids: Sequence[str], at: float) -> int:
    """Lift entries, each under the next number; within a transaction."""
    names = list(dict.fromkeys(ids))
    sequence = _taken(alias, len(names))
    if lacking := set(names) - _found(alias, names, standing=True):
        raise StoreError(f"no entry that stands has the id {_listed(lacking)}; jwt-lp revocations lists them")
    for number, name in enumerate(names, 1):
        Revocation.objects.using(alias).filter(entry_id=name).update(changed=sequence + number, lifted_at=at)
    return sequence + len(names)


def all_of(alias: str, *, lifted: bool) -> QuerySet[Revocation]:
    """The question for entries, in order."""
    asked = Revocation.objects.using(alias).order_by("sequence")
    return asked if lifted else asked.filter(lifted_at=None)


def recorded(row: Revocation) -> Recorded:
    """An entry with what the store knows of it."""
    return Recorded(_entry(row), row.sequence, row.at, row.by, row.lifted_at)


def _taken(alias: str, count: int) -> int:
    """Take so many numbers; gives the last one before. Nobody else takes any until this transaction has ended."""
    counter = Counter.objects.using(alias).filter(pk=1)
    # INVARIANT: a write comes first, and so the lock, in every database; SQLite knows no SELECT FOR UPDATE.
    if not counter.update(sequence=F("sequence") + count):
        Counter.objects.using(alias).bulk_create([Counter(id=1, sequence=0)], ignore_conflicts=True)
        counter.update(sequence=F("sequence") + count)
    return counter.get().sequence - count


def _found(alias: str, ids: Sequence[str], *, standing: bool) -> set[str]:
    found: set[str] = set()
    for some in chunks(ids):
        asked = Revocation.objects.using(alias).filter(entry_id__in=some)
        found |= set((asked.filter(lifted_at=None) if standing else asked).values_list("entry_id", flat=True))
    return found


def _listed(ids: Iterable[str]) -> str:
    names = sorted(ids)
    shown = ", ".join(map(ascii, names[:_NAMED]))
    return shown if len(names) <= _NAMED else f"{shown} and {len(names) - _NAMED} more"


def _row(entry: Entry, sequence: int, at: float, by: str) -> Revocation:
    return Revocation(
        sequence=sequence,
        changed=sequence,
        at=at,
        before=entry.before,
        until=entry.until,
        key=row_of(entry.key._asdict())["id"],
        entry_id=entry.id,
        of=entry.of,
        issuer=entry.issuer,
        name=entry.name,
        pattern=entry.pattern,
        keep=json.dumps(entry.keep),
        reason=entry.reason,
        by=by,
    )


def _entry(row: Revocation) -> Entry:
    of: Any = row.of
    return Entry(
        id=row.entry_id,
        of=of,
        issuer=row.issuer,
        name=row.name,
        pattern=row.pattern,
        keep=tuple(json.loads(row.keep)),
        before=row.before,
        until=row.until,
        reason=row.reason,
        at=row.at,
    )
