"""Usage, observed grants, enforcement points and periods of recording as rows."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
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
from jwt_lp.stores.row_keys import fit_text, iso_day
from jwt_lp_django import models
from jwt_lp_django.row_keys import row_values
from jwt_lp_django.upsert import upsert
from jwt_lp_django.usage_sums import add_to_sums


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
    uses = _usage_values(batch.uses)
    new = upsert(models.Usage, alias, (models.Usage(**row) for row in uses), count="add", last="greatest")
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
    add_to_sums(alias, uses, new)
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


def _usage_values(counted: Mapping[Use, tuple[int, float]]) -> Collection[dict[str, Any]]:
    rows: dict[UUID, dict[str, Any]] = {}
    for use, (count, last) in counted.items():
        if count < 1:
            continue
        row = row_values({**use._asdict(), "day": iso_day(use.day)})
        # Uses that differ only in a shortened part share a row.
        merged = rows.setdefault(row["id"], {**row, "count": 0, "last": last})
        merged["count"] += count
        merged["last"] = max(merged["last"], last)
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
