"""Usage, observed grants, enforcement points and periods of recording as rows."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, cast
from uuid import UUID

from django.db import IntegrityError
from django.db.models import QuerySet

from jwt_lp.stores import (
    EnforcementPoint,
    EnforcementPointRow,
    ObservedGrant,
    ObservedGrantRow,
    RecordingPeriod,
    UsageBatch,
    UsageRow,
    Use,
)
from jwt_lp.stores.row_keys import fit_text, with_row_key
from jwt_lp_django import models
from jwt_lp_django.upsert import upsert


class BatchExistsError(Exception):
    """The batch was added before."""


def record(alias: str, batch: UsageBatch, now: float) -> bool:
    """Add a batch; always True. `BatchExistsError` if its id exists: then the transaction must be rolled back."""
    period = batch.period
    kept = period is not None and period.source == "import"
    # INVARIANT: the id is written in the same transaction as the counts. A second sender of the batch waits here for
    # the first, and then the unique key refuses it. The first statement is a write, so SQLite locks before reading.
    try:
        models.Batch.objects.using(alias).create(id=batch.id, at=now, kept=kept)
    except IntegrityError:
        raise BatchExistsError from None
    upsert(models.Usage, alias, _usage_objects(batch.uses), count="add", last="greatest")
    upsert(
        models.Sighting,
        alias,
        _day_range_objects(models.Sighting, batch.observed_grants),
        first_day="least",
        last_day="greatest",
    )
    upsert(
        models.Point,
        alias,
        _day_range_objects(models.Point, batch.enforcement_points),
        first_day="least",
        last_day="greatest",
    )
    if period is not None:
        fields: dict[str, Any] = {name: getattr(period, name) for name in RecordingPeriod.__dataclass_fields__}
        upsert(
            models.Run,
            alias,
            [models.Run(**fields)],
            started="least",
            until="greatest",
            recorded="greatest",
            dropped="greatest",
        )
    return True


def select_usage(
    alias: str, filters: Mapping[str, str | None], since: str | None, until: str | None
) -> QuerySet[Any, Any]:
    """The query for rows of usage, in order."""
    rows = models.Usage.objects.using(alias).filter(
        **{name: fit_text(value) for name, value in filters.items() if value is not None}
    )
    if since is not None:
        rows = rows.filter(day__gte=since)
    if until is not None:
        rows = rows.filter(day__lte=until)
    order = ("issuer", "subject", *(name for name in Use._fields if name not in ("issuer", "subject")))
    return rows.order_by(*order).values_list(*Use._fields, "count", "last")


def usage_row(row: tuple[Any, ...]) -> UsageRow:
    """A row of that query."""
    *parts, count, last = row
    return UsageRow(Use(*parts), count, last)


def select_observed_grants(alias: str, issuer: str | None, subject: str | None) -> QuerySet[Any, Any]:
    """The query for grants that tokens carried."""
    rows = models.Sighting.objects.using(alias).order_by(*ObservedGrantRow._fields)
    if issuer is not None:
        rows = rows.filter(issuer=fit_text(issuer))
    if subject is not None:
        rows = rows.filter(subject=fit_text(subject))
    return rows.values_list(*ObservedGrantRow._fields)


def select_enforcement_points(alias: str) -> QuerySet[Any, Any]:
    """The query for enforcement points."""
    return (
        models.Point.objects.using(alias)
        .order_by(*EnforcementPointRow._fields)
        .values_list(*EnforcementPointRow._fields)
    )


def select_recording_periods(alias: str) -> QuerySet[Any, Any]:
    """The query for periods of recording."""
    return models.Run.objects.using(alias).order_by("started", "id").values(*RecordingPeriod.__dataclass_fields__)


def row_values(parts: Mapping[str, str]) -> dict[str, Any]:
    """The values of a row, shortened to fit the columns, with their key."""
    row = with_row_key(parts)
    # Version 5 stands for a digest: MariaDB rejects 16 bytes that are no UUID of a known version.
    return {**row, "id": UUID(bytes=row["id"], version=5)}


def _usage_objects(counted: Mapping[Use, tuple[int, float]]) -> Iterable[models.Usage]:
    rows: dict[UUID, models.Usage] = {}
    for use, (count, last) in counted.items():
        row = row_values(use._asdict())
        # Uses that differ only in a shortened part share a row.
        merged = rows.setdefault(row["id"], models.Usage(**row, count=0, last=last))
        merged.count += count
        merged.last = max(merged.last, last)
    return rows.values()


def _day_range_objects(model: Any, observations: Iterable[ObservedGrant | EnforcementPoint]) -> Iterable[Any]:
    rows: dict[UUID, Any] = {}
    for observation in observations:
        parts = cast("dict[str, str]", observation._asdict())
        day = parts.pop("day")
        row = row_values(parts)
        merged = rows.setdefault(row["id"], model(**row, first_day=day, last_day=day))
        merged.first_day = min(merged.first_day, day)
        merged.last_day = max(merged.last_day, day)
    return rows.values()
