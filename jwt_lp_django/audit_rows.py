"""The audit trail as rows. A writer locks the row of the last entry, so writers follow one another."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.db.models import F, Q, QuerySet

from jwt_lp import StoreError
from jwt_lp.stores.audit import chain_entries
from jwt_lp.stores.campaign_values import AUDIT_FIELDS, audit_row, read_audit
from jwt_lp.stores.row_keys import fit_text
from jwt_lp_django.database import split_chunks
from jwt_lp_django.models import AuditEntry, AuditHead

if TYPE_CHECKING:
    from collections.abc import Iterable

    from jwt_lp import stores

__all__ = ["append", "head", "read_audit", "select"]


def append(alias: str, wanted: Iterable[stores.WantedEntry]) -> tuple[stores.AuditEntry, ...]:
    """Add entries, inside a transaction; return them as they are stored."""
    last = AuditHead.objects.using(alias).filter(pk=1)
    # INVARIANT: this lock comes last in every transaction, and no other entry is written until the transaction ends. It is
    # a write, which takes the lock in every database; SQLite has no SELECT FOR UPDATE.
    if not last.update(sequence=F("sequence")):
        AuditHead.objects.using(alias).bulk_create([AuditHead(id=1, sequence=0, hash="")], ignore_conflicts=True)
        last.update(sequence=F("sequence"))
    # Locked again, because MariaDB would return what this transaction saw at its beginning.
    known = last.select_for_update().get()
    entries = chain_entries(wanted, (known.sequence, known.hash))
    if entries and AuditEntry.objects.using(alias).filter(sequence__gt=known.sequence).exists():
        raise StoreError("the audit trail has entries behind its last one: somebody else has written to its table")
    for chunk in split_chunks(entries):
        AuditEntry.objects.using(alias).bulk_create([AuditEntry(**audit_row(entry)) for entry in chunk])
    if entries:
        last.update(sequence=entries[-1].sequence, hash=entries[-1].hash)
    return tuple(entries)


def head(alias: str) -> tuple[int, str]:
    """The number and the hash of the last entry."""
    last = AuditHead.objects.using(alias).filter(pk=1).values_list("sequence", "hash").first()
    return last or (0, "")


def select(alias: str, which: stores.AuditFilter) -> QuerySet[Any, Any]:
    """The query for entries that match."""
    rows = AuditEntry.objects.using(alias).filter(sequence__gt=which.after)
    if which.before is not None:
        rows = rows.filter(sequence__lt=which.before)
    named = {name: getattr(which, name) for name in ("campaign", "object", "action")}
    rows = rows.filter(**{name: fit_text(value) for name, value in named.items() if value is not None})
    if which.actor is not None:
        rows = rows.filter(Q(by=fit_text(which.actor)) | Q(by_name=fit_text(which.actor)))
    if which.since is not None:
        rows = rows.filter(at__gte=which.since)
    if which.until is not None:
        rows = rows.filter(at__lt=which.until)
    return rows.order_by("-sequence" if which.newest_first else "sequence").values(*AUDIT_FIELDS)[: which.limit]
