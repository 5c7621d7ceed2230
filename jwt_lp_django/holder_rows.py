"""Imported grants, issuers, heartbeats of processes, and the deletion of old rows."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime
from typing import Any, Final

from django.db.models import F, Max, Min, Q, QuerySet
from django.db.models.functions import Coalesce

from jwt_lp.stores import HeldGrant, HeldGrantRow, ProcessHeartbeat, PurgeCounts
from jwt_lp.stores.elevations import ELEVATION_WRITER, KEEP_ENDED, KEEP_OVER
from jwt_lp.stores.families import KEEP_FAMILIES, WRITER
from jwt_lp_django import models
from jwt_lp_django.database import CHUNK_SIZE, DjangoDatabase, on_conflict_options, split_chunks
from jwt_lp_django.row_keys import row_values
from jwt_lp_django.usage_sums import delete_usage

_HELD_FIELDS = HeldGrant._fields

_DAY: Final = 86400.0
_KEEP_BATCH_IDS: Final = 7 * _DAY
"""Much longer than a process keeps a batch that it cannot send."""
_KEEP_HEARTBEATS: Final = _DAY
_KEEP_LIFTED: Final = 30 * _DAY
"""A process that did not poll for that long has loaded all entries anew since."""
_MAX_TOKEN_LIFETIME: Final = 400 * _DAY
"""No token lives that long. The store does not know the limit of each service."""


def import_held(alias: str, held: Iterable[HeldGrant], as_of: str, *, complete: bool) -> int:
    """Replace the imported grants of the same day; inside a transaction."""
    # This locks the day: a second import for the same day waits.
    day = models.Import(as_of=as_of, complete=complete)
    models.Import.objects.using(alias).bulk_create([day], **on_conflict_options(alias, "complete"))
    rows = models.Holding.objects.using(alias).filter(as_of=as_of)
    rows.delete()
    for chunk in split_chunks(held):
        models.Holding.objects.using(alias).bulk_create(
            [_held_object(grant, as_of) for grant in chunk], ignore_conflicts=True
        )
    return rows.count()


def select_held(alias: str) -> QuerySet[Any, Any]:
    """The query for the grants of the latest complete import and of later imports."""
    rows = models.Holding.objects.using(alias).order_by(*_HELD_FIELDS[:-1], "as_of").values_list(*_HELD_FIELDS, "as_of")
    latest = models.Import.objects.using(alias).filter(complete=True).aggregate(latest=Max("as_of"))["latest"]
    return rows if latest is None else rows.filter(as_of__gte=latest)


def import_completeness(alias: str) -> Mapping[str, bool]:
    """The days of the imports, and whether each was complete."""
    return dict(models.Import.objects.using(alias).values_list("as_of", "complete"))


def held_row(row: tuple[Any, ...], complete: Mapping[str, bool]) -> HeldGrantRow:
    """A row of that query."""
    *parts, as_of = row
    return HeldGrantRow(HeldGrant(*parts), as_of, complete.get(as_of, False))


def list_issuers(alias: str) -> tuple[str, ...]:
    """Every issuer of any table, in order."""
    issuers = set(models.Revocation.objects.using(alias).values_list("issuer", flat=True).distinct())
    tables: tuple[Any, ...] = (models.Usage, models.Sighting, models.Holding)
    for model in tables:
        # One query by the index for each issuer: there are few issuers among millions of rows.
        rows = model.objects.using(alias)
        issuer: str | None = rows.aggregate(least=Min("issuer"))["least"]
        while issuer is not None:
            issuers.add(issuer)
            issuer = rows.filter(issuer__gt=issuer).aggregate(least=Min("issuer"))["least"]
    return tuple(sorted(issuers))


def write_heartbeat(alias: str, heartbeat: ProcessHeartbeat) -> None:
    """Write the state of a process."""
    fields = [name for name in ProcessHeartbeat._fields if name != "process"]
    models.Heartbeat.objects.using(alias).bulk_create(
        [models.Heartbeat(**heartbeat._asdict())], **on_conflict_options(alias, *fields)
    )


def recent_heartbeats(alias: str, since: float) -> tuple[ProcessHeartbeat, ...]:
    """The processes that reported at `since` or later."""
    rows = models.Heartbeat.objects.using(alias).filter(at__gte=since).order_by("service", "process")
    return tuple(ProcessHeartbeat(*row) for row in rows.values_list(*ProcessHeartbeat._fields))


def purge(database: DjangoDatabase, before: str, now: float) -> PurgeCounts:
    """Delete old rows, a bounded number in each transaction, so that no other writer waits long."""
    deleted = {"usage": delete_usage(database, before)}
    for name, model, old in _obsolete_rows(before, now):
        deleted[name] = _delete_rows(database, model, old)
    return PurgeCounts(**deleted)


def _midnight(day: str) -> float:
    return datetime.fromisoformat(day).replace(tzinfo=UTC).timestamp()


def _obsolete_rows(before: str, now: float) -> Iterator[tuple[str, Any, Q]]:
    yield "observed_grants", models.Sighting, Q(last_day__lt=before)
    yield "enforcement_points", models.Point, Q(last_day__lt=before)
    yield "revocations", models.Revocation, _is_obsolete(now)
    yield "recording_periods", models.Run, Q(until__lt=_midnight(before))
    yield "heartbeats", models.Heartbeat, Q(at__lt=now - _KEEP_HEARTBEATS)
    yield "families", models.Family, Q(expires_at__lt=now - KEEP_FAMILIES)
    closed = Q(closes_at__lt=min(_midnight(before), now - KEEP_OVER))
    # What must be reviewed stays.
    reviewed = Q(break_glass=False) | Q(reviewed_at__isnull=False)
    # INVARIANT: the id of one that ended early comes back only after the entry that revokes it is deleted.
    revoked = Q(since__isnull=False, ended_at__isnull=False, closes_at__gte=now - KEEP_ENDED)
    yield "elevations", models.Elevation, closed & reviewed & ~revoked
    yield "batches", models.Batch, Q(kept=False, at__lt=now - _KEEP_BATCH_IDS)


def _is_obsolete(now: float) -> Q:
    """The condition for entries that have no effect any more, or were lifted long ago."""
    ended = Q(until__lt=now - _KEEP_LIFTED)
    deny = ~Q(pattern="")
    # INVARIANT: an entry that refuses whole tokens stays until every such token has expired, whatever its `until` says.
    outlived = (
        (Q(until=None) | ended)
        & (Q(of="token") | Q(before__isnull=False))
        & Q(at__lt=now - _MAX_TOKEN_LIFETIME, begun__lt=now - _MAX_TOKEN_LIFETIME)
    )
    # Whoever wrote these knew how long the tokens live, and there is one for each sign-out and each early end.
    family = Q(of="token", by__in=(WRITER, ELEVATION_WRITER), until__lt=now - KEEP_FAMILIES)
    return Q(lifted_at__lt=now - _KEEP_LIFTED) | (deny & ended) | (Q(pattern="") & outlived) | family


def _delete_rows(database: DjangoDatabase, model: Any, old: Q) -> int:
    deleted = 0
    while True:
        count = database.write(lambda: _delete_chunk(database.alias, model, old))
        deleted += count
        if count < CHUNK_SIZE:
            return deleted


def _delete_chunk(alias: str, model: Any, old: Q) -> int:
    rows = model.objects.using(alias)
    if model is models.Revocation:
        rows = rows.annotate(begun=Coalesce(F("before"), F("at")))
    keys = list(rows.filter(old).order_by("pk").values_list("pk", flat=True)[:CHUNK_SIZE])
    if model is models.Elevation:
        models.ElevationStep.objects.using(alias).filter(elevation__in=keys).delete()
    model.objects.using(alias).filter(pk__in=keys).delete()
    return len(keys)


def _held_object(grant: HeldGrant, as_of: str) -> models.Holding:
    parts = grant._asdict()
    since = parts.pop("since")
    return models.Holding(**row_values({**parts, "as_of": as_of}), since=since)
