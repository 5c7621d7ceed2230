"""What was used, seen and asked for?"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, cast
from uuid import UUID

from django.db import IntegrityError
from django.db.models import QuerySet

from jwt_lp.stores import Batch, PointRow, Run, Sighting, SightingRow, UsageRow, Use
from jwt_lp.stores import Point as SeenPoint
from jwt_lp.stores._keyed import fitted, keyed  # pyright: ignore[reportPrivateUsage] - one way to keep, for all stores
from jwt_lp_django import models
from jwt_lp_django.upsert import upsert


class ThereError(Exception):
    """The batch was added before."""


def record(alias: str, batch: Batch, now: float) -> bool:
    """Add a batch; `ThereError` where its id is there, and nothing of the transaction may then stay. Always True."""
    run = batch.run
    kept = run is not None and run.source == "import"
    # INVARIANT: in one transaction with what it counts. Who sends it a second time waits here for the first, and the
    # unique key refuses it. It is a write, so that SQLite's lock is had before anything is read.
    try:
        models.Batch.objects.using(alias).create(id=batch.id, at=now, kept=kept)
    except IntegrityError:
        raise ThereError from None
    upsert(models.Usage, alias, _uses(batch.uses), count="add", last="greatest")
    upsert(models.Sighting, alias, _seen(models.Sighting, batch.sightings), first_day="least", last_day="greatest")
    upsert(models.Point, alias, _seen(models.Point, batch.points), first_day="least", last_day="greatest")
    if run is not None:
        fields: dict[str, Any] = {name: getattr(run, name) for name in Run.__dataclass_fields__}
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


def uses(alias: str, filters: Mapping[str, str | None], since: str | None, until: str | None) -> QuerySet[Any, Any]:
    """The question for rows of usage, in their order."""
    asked = models.Usage.objects.using(alias).filter(
        **{name: fitted(value) for name, value in filters.items() if value is not None}
    )
    if since is not None:
        asked = asked.filter(day__gte=since)
    if until is not None:
        asked = asked.filter(day__lte=until)
    order = ("issuer", "subject", *(name for name in Use._fields if name not in ("issuer", "subject")))
    return asked.order_by(*order).values_list(*Use._fields, "count", "last")


def used(row: tuple[Any, ...]) -> UsageRow:
    """A row of it."""
    *parts, count, last = row
    return UsageRow(Use(*parts), count, last)


def sighted(alias: str, issuer: str | None, subject: str | None) -> QuerySet[Any, Any]:
    """The question for grants that tokens carried."""
    asked = models.Sighting.objects.using(alias).order_by(*SightingRow._fields)
    if issuer is not None:
        asked = asked.filter(issuer=fitted(issuer))
    if subject is not None:
        asked = asked.filter(subject=fitted(subject))
    return asked.values_list(*SightingRow._fields)


def pointed(alias: str) -> QuerySet[Any, Any]:
    """The question for enforcement points."""
    return models.Point.objects.using(alias).order_by(*PointRow._fields).values_list(*PointRow._fields)


def ran(alias: str) -> QuerySet[Any, Any]:
    """The question for runs."""
    return models.Run.objects.using(alias).order_by("started", "id").values(*Run.__dataclass_fields__)


def row_of(parts: Mapping[str, str]) -> dict[str, Any]:
    """The parts as they are kept, with their key."""
    row = keyed(parts)
    # Of the version for what is made of a name: MariaDB takes no sixteen bytes that are of none.
    return {**row, "id": UUID(bytes=row["id"], version=5)}


def _uses(counted: Mapping[Use, tuple[int, float]]) -> Iterable[models.Usage]:
    rows: dict[UUID, models.Usage] = {}
    for use, (count, last) in counted.items():
        row = row_of(use._asdict())
        # Two uses that only differ where they had to be cut are one row.
        before = rows.setdefault(row["id"], models.Usage(**row, count=0, last=last))
        before.count += count
        before.last = max(before.last, last)
    return rows.values()


def _seen(model: Any, things: Iterable[Sighting | SeenPoint]) -> Iterable[Any]:
    rows: dict[UUID, Any] = {}
    for thing in things:
        parts = cast("dict[str, str]", thing._asdict())
        day = parts.pop("day")
        row = row_of(parts)
        before = rows.setdefault(row["id"], model(**row, first_day=day, last_day=day))
        before.first_day = min(before.first_day, day)
        before.last_day = max(before.last_day, day)
    return rows.values()
