"""Which revocations were written, in which order?

Each change has a number, without gaps. Whoever writes one holds the counter's row until it has committed, so the
order of the numbers is the order of the commits, and a reader that knows a number knows all below it.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from typing import Any, Final

from django.db.models import F, QuerySet

from jwt_lp import StoreError
from jwt_lp.revocation.entries import RevocationChanges, RevocationEntry, RevocationKey
from jwt_lp.revocation.snapshot import with_pauses
from jwt_lp.stores import StoredRevocation
from jwt_lp_django.database import split_chunks
from jwt_lp_django.models import Counter, Revocation
from jwt_lp_django.usage_rows import row_values

# Rows are made without letting the interpreter go: a larger page is a pause for whoever serves meanwhile.
PAGE: Final = 200
_MAX_NAMED: Final = 5


def changes(alias: str, since: int) -> RevocationChanges:
    """One page of what changed.

    No transaction is needed. The counter is read first, so every change up to it is seen below; what is seen beyond
    it are the next ones without a gap. An entry of a later page that is given early is known by its id then.
    """
    latest = Counter.objects.using(alias).filter(pk=1).values_list("sequence", flat=True).first() or 0
    if latest <= since:
        # Below `since` where an older copy was put back: whoever asks must learn of it.
        return RevocationChanges(latest)
    asked = Revocation.objects.using(alias).filter(changed__gt=since).order_by("changed")
    if since == 0:
        # Who knows nothing has nothing to forget.
        asked = asked.filter(lifted_at=None)
    rows = list(asked[:PAGE])
    more = len(rows) == PAGE
    lifted = {row.key: RevocationKey(row.of, row.issuer, row.name) for row in rows if row.lifted_at is not None}  # type: ignore[arg-type]
    entries = [_entry(row) for row in with_pauses(rows) if row.lifted_at is None]
    for some in split_chunks(lifted):
        standing = Revocation.objects.using(alias).filter(key__in=some, lifted_at=None).order_by("changed")
        entries += map(_entry, standing)
    reached = rows[-1].changed if more else max([latest, *(row.changed for row in rows[-1:])])
    distinct = {entry.id: entry for entry in entries}
    return RevocationChanges(reached, tuple(lifted.values()), tuple(distinct.values()), more)


def revoke(alias: str, entries: Sequence[RevocationEntry], at: float, by: str) -> int:
    """Write entries under the next numbers; within a transaction."""
    sequence = _take_numbers(alias, len(entries))
    ids = [entry.id for entry in entries]
    if there := _existing_ids(alias, ids, standing=False) or {name for name in ids if ids.count(name) > 1}:
        raise StoreError(f"entries are written once, and these exist already: {_format_ids(there)}")
    rows = [_row(entry, sequence + number, at, by) for number, entry in enumerate(entries, 1)]
    for some in split_chunks(rows):
        Revocation.objects.using(alias).bulk_create(some)
    return sequence + len(rows)


def lift(alias: str, ids: Sequence[str], at: float) -> int:
    """Lift entries, each under the next number; within a transaction."""
    names = list(dict.fromkeys(ids))
    sequence = _take_numbers(alias, len(names))
    if lacking := set(names) - _existing_ids(alias, names, standing=True):
        raise StoreError(f"no entry in force has the id {_format_ids(lacking)}; jwt-lp revocations lists them")
    for number, name in enumerate(names, 1):
        Revocation.objects.using(alias).filter(entry_id=name).update(changed=sequence + number, lifted_at=at)
    return sequence + len(names)


def select_revocations(alias: str, *, lifted: bool) -> QuerySet[Revocation]:
    """The question for entries, in order."""
    asked = Revocation.objects.using(alias).order_by("sequence")
    return asked if lifted else asked.filter(lifted_at=None)


def stored_revocation(row: Revocation) -> StoredRevocation:
    """An entry with what the store knows of it."""
    return StoredRevocation(_entry(row), row.sequence, row.at, row.by, row.lifted_at)


def _take_numbers(alias: str, count: int) -> int:
    """Take so many numbers; gives the last one before. Nobody else takes any until this transaction has ended."""
    counter = Counter.objects.using(alias).filter(pk=1)
    # INVARIANT: a write comes first, and so the lock, in every database; SQLite knows no SELECT FOR UPDATE.
    if not counter.update(sequence=F("sequence") + count):
        Counter.objects.using(alias).bulk_create([Counter(id=1, sequence=0)], ignore_conflicts=True)
        counter.update(sequence=F("sequence") + count)
    return counter.get().sequence - count


def _existing_ids(alias: str, ids: Sequence[str], *, standing: bool) -> set[str]:
    found: set[str] = set()
    for some in split_chunks(ids):
        asked = Revocation.objects.using(alias).filter(entry_id__in=some)
        found |= set((asked.filter(lifted_at=None) if standing else asked).values_list("entry_id", flat=True))
    return found


def _format_ids(ids: Iterable[str]) -> str:
    names = sorted(ids)
    shown = ", ".join(map(ascii, names[:_MAX_NAMED]))
    return shown if len(names) <= _MAX_NAMED else f"{shown} and {len(names) - _MAX_NAMED} more"


def _row(entry: RevocationEntry, sequence: int, at: float, by: str) -> Revocation:
    return Revocation(
        sequence=sequence,
        changed=sequence,
        at=at,
        before=entry.before,
        until=entry.until,
        key=row_values(entry.key._asdict())["id"],
        entry_id=entry.id,
        of=entry.of,
        issuer=entry.issuer,
        name=entry.name,
        pattern=entry.pattern,
        keep=json.dumps(entry.keep),
        reason=entry.reason,
        by=by,
    )


def _entry(row: Revocation) -> RevocationEntry:
    of: Any = row.of
    return RevocationEntry(
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
