"""What was used, seen and asked for?"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import sqlalchemy as sa

from jwt_lp.stores._keyed import fitted, keyed
from jwt_lp.stores._tables import batches, first, points, runs, sightings, upsert, usage
from jwt_lp.stores.values import PointRow, Run, SightingRow, UsageRow, Use

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from jwt_lp.stores.values import Batch, Point, Sighting

_USE = [usage.c[name] for name in Use._fields]
_SIGHTING = [sightings.c[name] for name in SightingRow._fields]
_POINT = [points.c[name] for name in PointRow._fields]


def record(connection: sa.Connection, batch: Batch, now: float) -> bool:
    """Add a batch, unless its id is there."""
    run = batch.run
    kept = run is not None and run.source == "import"
    # INVARIANT: in one transaction with what it counts. Who sends it a second time waits here for the first.
    if not first(connection, batches, {"id": batch.id, "at": now, "kept": kept}):
        return False
    # In the order of their keys, everywhere: so two batches never wait for each other.
    upsert(connection, usage, _uses(batch.uses), count="add", last="greatest")
    upsert(connection, sightings, _seen(batch.sightings), first_day="least", last_day="greatest")
    upsert(connection, points, _seen(batch.points), first_day="least", last_day="greatest")
    if run is not None:
        upsert(
            connection, runs, [_run(run)], started="least", until="greatest", recorded="greatest", dropped="greatest"
        )
    return True


def uses(filters: Mapping[str, str | None], since: str | None, until: str | None) -> sa.Select[Any]:
    """The question for rows of usage, in their order."""
    asked = sa.select(*_USE, usage.c["count"], usage.c.last)
    for name, value in filters.items():
        if value is not None:
            asked = asked.where(usage.c[name] == fitted(value))
    if since is not None:
        asked = asked.where(usage.c.day >= since)
    if until is not None:
        asked = asked.where(usage.c.day <= until)
    order = ("issuer", "subject", *(name for name in Use._fields if name not in ("issuer", "subject")))
    return asked.order_by(*(usage.c[name] for name in order))


def used(row: sa.Row[Any]) -> UsageRow:
    """A row of it."""
    parts = tuple(row)
    return UsageRow(Use(*parts[:-2]), *parts[-2:])


def sighted(issuer: str | None, subject: str | None) -> sa.Select[Any]:
    """The question for grants that tokens carried."""
    asked = sa.select(*_SIGHTING).order_by(*_SIGHTING)
    if issuer is not None:
        asked = asked.where(sightings.c.issuer == fitted(issuer))
    return asked if subject is None else asked.where(sightings.c.subject == fitted(subject))


def sighting(row: sa.Row[Any]) -> SightingRow:
    """A row of it."""
    return SightingRow(*tuple(row))


def pointed() -> sa.Select[Any]:
    """The question for enforcement points."""
    return sa.select(*_POINT).order_by(*_POINT)


def point(row: sa.Row[Any]) -> PointRow:
    """A row of it."""
    return PointRow(*tuple(row))


def ran() -> sa.Select[Any]:
    """The question for runs."""
    return sa.select(runs).order_by(runs.c.started, runs.c.id)


def run_of(row: sa.Row[Any]) -> Run:
    """A row of it."""
    return Run(**dict(zip(runs.c.keys(), row, strict=True)))


def _uses(counted: Mapping[Use, tuple[int, float]]) -> list[dict[str, object]]:
    rows: dict[bytes, dict[str, Any]] = {}
    for use, (count, last) in counted.items():
        row = keyed(use._asdict())
        # Two uses that only differ where they had to be cut are one row.
        before = rows.setdefault(row["id"], {**row, "count": 0, "last": last})
        before["count"] += count
        before["last"] = max(before["last"], last)
    return [rows[key] for key in sorted(rows)]


def _seen(things: Iterable[Sighting | Point]) -> list[dict[str, object]]:
    rows: dict[bytes, dict[str, Any]] = {}
    for thing in things:
        parts = thing._asdict()
        day = parts.pop("day")
        row = keyed(parts)
        before = rows.setdefault(row["id"], {**row, "first_day": day, "last_day": day})
        before["first_day"] = min(before["first_day"], day)
        before["last_day"] = max(before["last_day"], day)
    return [rows[key] for key in sorted(rows)]


def _run(run: Run) -> dict[str, object]:
    return {name: getattr(run, name) for name in runs.c.keys()}  # noqa: SIM118 - not a mapping
