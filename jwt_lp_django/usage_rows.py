"""What was used, seen and asked for?"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, cast
from uuid import UUID

from django.db import IntegrityError
from django.db.models import QuerySet

from jwt_lp.stores import EnforcementPoint as SeenPoint
from jwt_lp.stores import (
    EnforcementPointRow,
    ObservedGrant,
    ObservedGrantRow,
    RecordingPeriod,
    UsageBatch,
    UsageRow,
    Use,
)
from jwt_lp.stores.row_keys import fit_text, with_row_key  # pyright: ignore[reportPrivateUsage] - one way to keep, for all stores
from jwt_lp_django import models
from jwt_lp_django.upsert import upsert


class BatchExistsError(Exception):
    """The batch was added before."""


def record(alias: str, batch: UsageBatch, now: float) -> bool:
    """Add a batch; `ThereError` where its id is there, and nothing of the transaction may then stay. Always True."""
    run = batch.period
    kept = run is not None and run.source == "import"
    # INVARIANT: in one transaction with what it counts. Who sends it a second time waits here for the first, and the
    # unique key refuses it. It is a write, so that SQLite's lock is had before anything is read.
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
    if run is not None:
        fields: dict[str, Any] = {name: getattr(run, name) for name in RecordingPeriod.__dataclass_fields__}
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
    """The question for rows of usage, in their order."""
    asked = models.Usage.objects.using(alias).filter(
        **{name: fit_text(value) for name, value in filters.items() if value is not None}
    )
    if since is not None:
        asked = asked.filter(day__gte=since)
    if until is not None:
        asked = asked.filter(day__lte=until)
    order = ("issuer", "subject", *(name for name in Use._fields if name not in ("issuer", "subject")))
    return asked.order_by(*order).values_list(*Use._fields, "count", "last")


def usage_row(row: tuple[Any, ...]) -> UsageRow:
    """A row of it."""
    *parts, count, last = row
    return UsageRow(Use(*parts), count, last)


def select_observed_grants(alias: str, issuer: str | None, subject: str | None) -> QuerySet[Any, Any]:
    """The question for grants that tokens carried."""
    asked = models.Sighting.objects.using(alias).order_by(*ObservedGrantRow._fields)
    if issuer is not None:
        asked = asked.filter(issuer=fit_text(issuer))
    if subject is not None:
        asked = asked.filter(subject=fit_text(subject))
    return asked.values_list(*ObservedGrantRow._fields)


def select_enforcement_points(alias: str) -> QuerySet[Any, Any]:
    """The question for enforcement points."""
    return (
        models.Point.objects.using(alias)
        .order_by(*EnforcementPointRow._fields)
        .values_list(*EnforcementPointRow._fields)
    )


def select_recording_periods(alias: str) -> QuerySet[Any, Any]:
    """The question for runs."""
    return models.Run.objects.using(alias).order_by("started", "id").values(*RecordingPeriod.__dataclass_fields__)


def row_values(parts: Mapping[str, str]) -> dict[str, Any]:
    """The parts as they are kept, with their key."""
    row = with_row_key(parts)
    # Of the version for what is made of a name: MariaDB takes no sixteen bytes that are of none.
    return {**row, "id": UUID(bytes=row["id"], version=5)}


def _usage_objects(counted: Mapping[Use, tuple[int, float]]) -> Iterable[models.Usage]:
    rows: dict[UUID, models.Usage] = {}
    for use, (count, last) in counted.items():
        row = row_values(use._asdict())
        # Two uses that only differ where they had to be cut are one row.
        before = rows.setdefault(row["id"], models.Usage(**row, count=0, last=last))
        before.count += count
        before.last = max(before.last, last)
    return rows.values()


def _day_range_objects(model: Any, things: Iterable[ObservedGrant | SeenPoint]) -> Iterable[Any]:
    rows: dict[UUID, Any] = {}
    for thing in things:
        parts = cast("dict[str, str]", thing._asdict())
        day = parts.pop("day")
        row = row_values(parts)
        before = rows.setdefault(row["id"], model(**row, first_day=day, last_day=day))
        before.first_day = min(before.first_day, day)
        before.last_day = max(before.last_day, day)
    return rows.values()
