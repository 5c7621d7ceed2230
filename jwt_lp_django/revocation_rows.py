"""Revocations as rows, in the order of their changes.

The changes are numbered without gaps. A transaction that writes one locks the counter's row until its commit, so the
order of the numbers is the order of the commits, and a reader that has seen a number has seen all lower ones.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from typing import Any, Final

from django.db.models import F, Q, QuerySet

from jwt_lp import StoreError
from jwt_lp.revocation.entries import RevocationChanges, RevocationEntry, RevocationKey, log_revoked
from jwt_lp.revocation.snapshot import with_pauses
from jwt_lp.revocation.temporary_grants import TemporaryGrant
from jwt_lp.stores import StoredRevocation
from jwt_lp.stores.elevations import KEEP_OVER
from jwt_lp_django.database import split_chunks
from jwt_lp_django.models import Counter, Elevation, Revocation
from jwt_lp_django.row_keys import row_values

# Creating the rows holds the interpreter's lock: a larger page would be a pause for other threads.
PAGE: Final = 200
_MAX_NAMED: Final = 5


def changes(alias: str, since: int, now: float) -> RevocationChanges:
    """One page of the changes after `since`.

    No transaction is needed. The counter is read first, so the queries below return every change up to its value; later
    ones are left to the next page. If an entry is returned before its page, its id identifies it later.
    """
    latest = Counter.objects.using(alias).filter(pk=1).values_list("sequence", flat=True).first() or 0
    if latest <= since:
        # It is less than `since` if an older copy of the database was restored; the caller must know.
        return RevocationChanges(latest)
    new = Q(changed__gt=since, changed__lte=latest)
    # A reader without any entries needs none that were lifted or have ended.
    revoked = Revocation.objects.using(alias).filter(new if since else new & Q(lifted_at=None)).order_by("changed")
    elevated = Elevation.objects.using(alias).filter(new if since else new & Q(ended_at=None)).order_by("changed")
    rows, held = list(revoked[:PAGE]), list(elevated[:PAGE])
    numbers = sorted([row.changed for row in rows] + [row.changed or 0 for row in held])[:PAGE]
    more = len(numbers) == PAGE
    reached = numbers[-1] if more else latest
    rows, held = [row for row in rows if row.changed <= reached], [row for row in held if (row.changed or 0) <= reached]
    touched = {row.key: _entry(row).key for row in rows if row.lifted_at is not None}
    touched |= {row.key: RevocationKey("subject", row.issuer, row.subject) for row in held if row.ended_at is not None}
    entries = [_entry(row) for row in with_pauses(rows) if row.lifted_at is None]
    held = [row for row in held if row.ended_at is None]
    for keys in split_chunks(touched):
        in_force = Revocation.objects.using(alias).filter(key__in=keys, lifted_at=None).order_by("changed")
        entries += map(_entry, in_force)
        held += Elevation.objects.using(alias).filter(key__in=keys, changed__isnull=False, ended_at=None)
    distinct = {entry.id: entry for entry in entries}
    grants = {row.id: _temporary_grant(row) for row in held if (row.until or 0.0) > now - KEEP_OVER}
    return RevocationChanges(reached, tuple(touched.values()), tuple(distinct.values()), more, tuple(grants.values()))


def _temporary_grant(row: Elevation) -> TemporaryGrant:
    times = row.since or 0.0, row.until or 0.0
    return TemporaryGrant(row.id, row.issuer, row.subject, row.permission, *times, row.client)


def announce(entries: Sequence[RevocationEntry], by: str) -> None:
    """Log what was revoked, once its transaction is committed."""
    log_revoked(entries, by)


def revoke(alias: str, entries: Sequence[RevocationEntry], at: float, by: str) -> int:
    """Write entries with the next numbers, inside a transaction; returns the last number."""
    sequence = take_numbers(alias, len(entries))
    ids = [entry.id for entry in entries]
    if existing := _existing_ids(alias, ids, in_force=False) or {name for name in ids if ids.count(name) > 1}:
        raise StoreError(f"entries are written once, and these exist already: {_format_ids(existing)}")
    rows = [_row(entry, sequence + number, at, by) for number, entry in enumerate(entries, 1)]
    for chunk in split_chunks(rows):
        Revocation.objects.using(alias).bulk_create(chunk)
    return sequence + len(rows)


def lift(alias: str, ids: Sequence[str], at: float) -> int:
    """Lift entries, each with the next number, inside a transaction; returns the last number."""
    names = list(dict.fromkeys(ids))
    sequence = take_numbers(alias, len(names))
    if missing := set(names) - _existing_ids(alias, names, in_force=True):
        raise StoreError(f"no entry in force has the id {_format_ids(missing)}; jwt-lp revocations lists them")
    for number, name in enumerate(names, 1):
        Revocation.objects.using(alias).filter(entry_id=name).update(changed=sequence + number, lifted_at=at)
    return sequence + len(names)


def select_revocations(alias: str, *, lifted: bool) -> QuerySet[Revocation]:
    """The query for entries in order, with the lifted ones if `lifted`."""
    query = Revocation.objects.using(alias).order_by("sequence")
    return query if lifted else query.filter(lifted_at=None)


def stored_revocation(row: Revocation) -> StoredRevocation:
    """An entry with its number, its times and its author."""
    return StoredRevocation(_entry(row), row.sequence, row.at, row.by, row.lifted_at)


def take_numbers(alias: str, count: int) -> int:
    """Reserve `count` numbers; returns the last one before them. Other transactions wait until this one has ended."""
    counter = Counter.objects.using(alias).filter(pk=1)
    # INVARIANT: the first statement is a write, which takes the lock in every database; SQLite has no SELECT FOR UPDATE.
    if not counter.update(sequence=F("sequence") + count):
        Counter.objects.using(alias).bulk_create([Counter(id=1, sequence=0)], ignore_conflicts=True)
        counter.update(sequence=F("sequence") + count)
    return counter.get().sequence - count


def _existing_ids(alias: str, ids: Sequence[str], *, in_force: bool) -> set[str]:
    existing: set[str] = set()
    for chunk in split_chunks(ids):
        query = Revocation.objects.using(alias).filter(entry_id__in=chunk)
        existing |= set((query.filter(lifted_at=None) if in_force else query).values_list("entry_id", flat=True))
    return existing


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
        standing=entry.standing,
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
        standing=row.standing,
    )
