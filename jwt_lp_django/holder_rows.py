"""Who is known to hold what, which issuers are there, which processes are alive, and what is too old to keep?"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime
from typing import Any, Final

from django.db.models import F, Max, Min, Q, QuerySet
from django.db.models.functions import Coalesce

from jwt_lp.stores import HeldGrant, HeldGrantRow, ProcessHeartbeat, PurgeCounts
from jwt_lp_django import models
from jwt_lp_django.database import CHUNK_SIZE, DjangoDatabase, on_conflict_options, split_chunks
from jwt_lp_django.usage_rows import row_values

_HELD_FIELDS = HeldGrant._fields

_DAY: Final = 86400.0
_KEEP_BATCH_IDS: Final = 7 * _DAY
"""A process keeps a batch that it cannot send for far less than that."""
_KEEP_HEARTBEATS: Final = _DAY
_KEEP_LIFTED: Final = 30 * _DAY
"""Whoever did not ask for that long has begun again since."""
_MAX_TOKEN_LIFETIME: Final = 400 * _DAY
"""No token lives that long; the store does not know what each service accepts."""


def import_held(alias: str, held: Iterable[HeldGrant], as_of: str, *, complete: bool) -> int:
    """Import grants in place of those of the same day; within a transaction."""
    # Locks the day: of two imports for one, the second waits.
    day = models.Import(as_of=as_of, complete=complete)
    models.Import.objects.using(alias).bulk_create([day], **on_conflict_options(alias, "complete"))
    there = models.Holding.objects.using(alias).filter(as_of=as_of)
    there.delete()
    for some in split_chunks(held):
        models.Holding.objects.using(alias).bulk_create(
            [_held_object(each, as_of) for each in some], ignore_conflicts=True
        )
    return there.count()


def select_held(alias: str) -> QuerySet[Any, Any]:
    """The question for the latest complete import and what came after it."""
    asked = (
        models.Holding.objects.using(alias).order_by(*_HELD_FIELDS[:-1], "as_of").values_list(*_HELD_FIELDS, "as_of")
    )
    latest = models.Import.objects.using(alias).filter(complete=True).aggregate(latest=Max("as_of"))["latest"]
    return asked if latest is None else asked.filter(as_of__gte=latest)


def import_completeness(alias: str) -> Mapping[str, bool]:
    """Of each import whether it was of everything there is."""
    return dict(models.Import.objects.using(alias).values_list("as_of", "complete"))


def held_row(row: tuple[Any, ...], complete: Mapping[str, bool]) -> HeldGrantRow:
    """A row of it."""
    *parts, as_of = row
    return HeldGrantRow(HeldGrant(*parts), as_of, complete.get(as_of, False))


def list_issuers(alias: str) -> tuple[str, ...]:
    """Every `iss` of any table, in order."""
    found = set(models.Revocation.objects.using(alias).values_list("issuer", flat=True).distinct())
    tables: tuple[Any, ...] = (models.Usage, models.Sighting, models.Holding)
    for model in tables:
        # From one to the next by the index: there are few among millions of rows.
        rows = model.objects.using(alias)
        after: str | None = rows.aggregate(least=Min("issuer"))["least"]
        while after is not None:
            found.add(after)
            after = rows.filter(issuer__gt=after).aggregate(least=Min("issuer"))["least"]
    return tuple(sorted(found))


def write_heartbeat(alias: str, said: ProcessHeartbeat) -> None:
    """Write how a process stands."""
    fields = [name for name in ProcessHeartbeat._fields if name != "process"]
    models.Heartbeat.objects.using(alias).bulk_create(
        [models.Heartbeat(**said._asdict())], **on_conflict_options(alias, *fields)
    )


def recent_heartbeats(alias: str, since: float) -> tuple[ProcessHeartbeat, ...]:
    """The processes that were heard of."""
    asked = models.Heartbeat.objects.using(alias).filter(at__gte=since).order_by("service", "process")
    return tuple(ProcessHeartbeat(*row) for row in asked.values_list(*ProcessHeartbeat._fields))


def purge(database: DjangoDatabase, before: str, now: float) -> PurgeCounts:
    """Delete what is old, a bounded number of rows at a time, so that nobody waits long for it."""
    return PurgeCounts(**{name: _delete_rows(database, model, old) for name, model, old in _obsolete_rows(before, now)})


def _obsolete_rows(before: str, now: float) -> Iterator[tuple[str, Any, Q]]:
    midnight = datetime.fromisoformat(before).replace(tzinfo=UTC).timestamp()
    yield "usage", models.Usage, Q(day__lt=before)
    yield "observed_grants", models.Sighting, Q(last_day__lt=before)
    yield "enforcement_points", models.Point, Q(last_day__lt=before)
    yield "revocations", models.Revocation, _is_obsolete(now)
    yield "recording_periods", models.Run, Q(until__lt=midnight)
    yield "heartbeats", models.Heartbeat, Q(at__lt=now - _KEEP_HEARTBEATS)
    yield "batches", models.Batch, Q(kept=False, at__lt=now - _KEEP_BATCH_IDS)


def _is_obsolete(now: float) -> Q:
    """Which entries refuse nothing any more, or were lifted long ago."""
    ended = Q(until__lt=now - _KEEP_LIFTED)
    deny = ~Q(pattern="")
    # INVARIANT: what refuses tokens as a whole stays until none that it refuses can be alive, whatever its end says.
    outlived = (
        (Q(until=None) | ended)
        & (Q(of="token") | Q(before__isnull=False))
        & Q(at__lt=now - _MAX_TOKEN_LIFETIME, begun__lt=now - _MAX_TOKEN_LIFETIME)
    )
    return Q(lifted_at__lt=now - _KEEP_LIFTED) | (deny & ended) | (Q(pattern="") & outlived)


def _delete_rows(database: DjangoDatabase, model: Any, old: Q) -> int:
    taken = 0
    while True:
        count = database.write(lambda: _delete_chunk(database.alias, model, old))
        taken += count
        if count < CHUNK_SIZE:
            return taken


def _delete_chunk(alias: str, model: Any, old: Q) -> int:
    rows = model.objects.using(alias)
    if model is models.Revocation:
        rows = rows.annotate(begun=Coalesce(F("before"), F("at")))
    some = list(rows.filter(old).order_by("pk").values_list("pk", flat=True)[:CHUNK_SIZE])
    model.objects.using(alias).filter(pk__in=some).delete()
    return len(some)


def _held_object(held: HeldGrant, as_of: str) -> models.Holding:
    parts = held._asdict()
    since = parts.pop("since")
    return models.Holding(**row_values({**parts, "as_of": as_of}), since=since)
