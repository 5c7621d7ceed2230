"""Queries for elevations and their steps.

A writer locks the counter of changes first, so writers follow one another.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa

from jwt_lp.errors import ElevationUnknown
from jwt_lp.revocation.snapshot import digest
from jwt_lp.stores import revocation_rows
from jwt_lp.stores.elevation_changes import (
    DAY,
    apply_change,
    check_known,
    check_new,
    ending_change,
    ending_entries,
    first_steps,
    is_ended_by,
)
from jwt_lp.stores.elevations import ELEVATION_WRITER, Elevation, ElevationStep
from jwt_lp.stores.row_keys import storable_text
from jwt_lp.stores.schema import elevation_steps, elevations

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from jwt_lp.revocation.entries import RevocationEntry
    from jwt_lp.stores.elevation_events import WrittenSteps
    from jwt_lp.stores.elevations import ElevationChange, ElevationFilter

_FIELDS = tuple(Elevation.__dataclass_fields__)
_COLUMNS = [elevations.c[name] for name in _FIELDS]
_STEP_FIELDS = tuple(ElevationStep.__dataclass_fields__)
_STEP_COLUMNS = [elevation_steps.c[name] for name in _STEP_FIELDS]


def ask(connection: sa.Connection, elevation: Elevation) -> WrittenSteps:
    """Write a new request; return it with the steps that were written."""
    sequence = revocation_rows.lock_sequence(connection)
    if (stored := find(connection, elevation.id)) is not None:
        return check_known(stored, elevation), ()
    check_new(elevation, _recent(connection, elevation))
    steps = first_steps(elevation)
    row = {**_values(elevation), "key": _key(elevation), "changed": None}
    if elevation.since is not None:
        row["changed"] = revocation_rows.set_sequence(connection, sequence + 1)
    connection.execute(elevations.insert(), row)
    _write_steps(connection, steps)
    return elevation, steps


def change(connection: sa.Connection, wanted: ElevationChange) -> WrittenSteps:
    """Apply a change; return the elevation as it is then, with the steps that were written."""
    revocation_rows.lock_sequence(connection)
    stored = find(connection, wanted.elevation)
    if stored is None:
        raise ElevationUnknown("there is no such elevation")
    return _apply(connection, stored, wanted)


def end_revoked(
    connection: sa.Connection, entries: Sequence[RevocationEntry], at: float, by: str
) -> list[WrittenSteps]:
    """End the elevations of those whose older tokens these entries refuse, in the transaction that writes the entries."""
    written: list[WrittenSteps] = []
    for entry in ending_entries(entries):
        live = sa.select(*_COLUMNS).where(elevations.c.issuer == entry.issuer, elevations.c.closes_at > at)
        if entry.of == "subject":
            live = live.where(elevations.c.key == digest(*entry.key))
        written += [
            _apply(connection, elevation, ending_change(elevation, entry, at, by))
            for elevation in map(read, connection.execute(live.order_by(elevations.c.id)).all())
            if is_ended_by(elevation, entry, at)
        ]
    return written


def _apply(connection: sa.Connection, stored: Elevation, wanted: ElevationChange) -> WrittenSteps:
    applied = apply_change(stored, steps_of(connection, stored.id), wanted)
    values = _values(applied.elevation)
    if applied.revocations:
        revocation_rows.revoke(connection, applied.revocations, applied.steps[0].at, ELEVATION_WRITER)
    if applied.reported:
        values["changed"] = revocation_rows.set_sequence(connection, revocation_rows.lock_sequence(connection) + 1)
    connection.execute(elevations.update().where(elevations.c.id == stored.id), values)
    _write_steps(connection, applied.steps)
    return applied.elevation, applied.steps


def find(connection: sa.Connection, elevation_id: str) -> Elevation | None:
    """The elevation with this id."""
    row = connection.execute(sa.select(*_COLUMNS).where(elevations.c.id == elevation_id)).first()
    return None if row is None else read(row)


def select(which: ElevationFilter) -> sa.Select[Any]:
    """The query for elevations, in order."""
    row = elevations.c
    query = sa.select(*_COLUMNS).limit(which.limit)
    if which.issuer is not None and which.subject is not None:
        query = query.where(row.key == digest("subject", which.issuer, which.subject))
    for name in ("issuer", "subject", "permission"):
        if (value := getattr(which, name)) is not None:
            query = query.where(row[name] == storable_text(value))
    if which.open_at is not None or which.held_at is not None:
        query = query.where(row.ended_at.is_(None), row.denied_at.is_(None))
    if which.open_at is not None:
        query = query.where(row.since.is_(None), row.closes_at > which.open_at)
    if which.held_at is not None:
        query = query.where(row.since.is_not(None), row.closes_at > which.held_at)
    if which.unreviewed:
        query = query.where(row.break_glass.is_(True), row.reviewed_at.is_(None))
    order: list[Any] = [row.asked_at, row.id]
    if which.after is not None:
        asked_at = sa.select(row.asked_at).where(row.id == storable_text(which.after)).scalar_subquery()
        last = sa.tuple_(asked_at, sa.literal(storable_text(which.after)))
        query = query.where(sa.tuple_(*order) < last if which.newest_first else sa.tuple_(*order) > last)
    return query.order_by(*(each.desc() if which.newest_first else each for each in order))


def steps_of(connection: sa.Connection, elevation_id: str) -> tuple[ElevationStep, ...]:
    """The steps of an elevation."""
    row = elevation_steps.c
    query = sa.select(*_STEP_COLUMNS).where(row.elevation == elevation_id).order_by(row.number)
    steps: Sequence[Any] = connection.execute(query).all()
    return tuple(map(read_step, steps))


def claim_steps(connection: sa.Connection, limit: int, at: float, until: float) -> tuple[ElevationStep, ...]:
    """The oldest steps that are to be delivered; each is put off until `until`."""
    row = elevation_steps.c
    due: sa.Select[Any] = sa.select(*_STEP_COLUMNS, row.deliver_at).where(row.deliver_at <= at)
    found: Sequence[Any] = connection.execute(
        due.order_by(row.deliver_at, row.at, row.elevation, row.number).limit(limit)
    ).all()
    return tuple(read_step(step) for step in found if _claim(connection, step, until))


def _claim(connection: sa.Connection, step: Any, until: float) -> bool:
    """Put a step off; False if another worker, which read the same row, has done so."""
    row = elevation_steps.c
    mine = sa.and_(row.elevation == step.elevation, row.number == step.number, row.deliver_at == step.deliver_at)
    return connection.execute(elevation_steps.update().where(mine).values(deliver_at=until)).rowcount == 1


def mark_delivered(connection: sa.Connection, steps: Sequence[ElevationStep]) -> None:
    """Note that steps were delivered."""
    row = elevation_steps.c
    for step in steps:
        delivered = sa.and_(row.elevation == step.elevation, row.number == step.number)
        connection.execute(elevation_steps.update().where(delivered).values(deliver_at=None))


def read(row: sa.Row[Any]) -> Elevation:
    """The elevation in a row."""
    values: dict[str, Any] = dict(zip(_FIELDS, row, strict=False))
    values["known_as"] = tuple((issuer, name) for issuer, name in json.loads(row.known_as))
    return Elevation(**values)


def read_step(row: sa.Row[Any]) -> ElevationStep:
    """The step in a row."""
    return ElevationStep(**dict(zip(_STEP_FIELDS, row, strict=False)))


def _recent(connection: sa.Connection, elevation: Elevation) -> Iterable[Elevation]:
    """The elevations of the same subject that may stand in the way of a new one."""
    row = elevations.c
    recent = sa.or_(
        row.closes_at > elevation.asked_at - DAY, sa.and_(row.break_glass.is_(True), row.reviewed_at.is_(None))
    )
    rows: Sequence[Any] = connection.execute(sa.select(*_COLUMNS).where(row.key == _key(elevation), recent)).all()
    return map(read, rows)


def _values(elevation: Elevation) -> dict[str, Any]:
    values = {name: getattr(elevation, name) for name in _FIELDS}
    return {**values, "known_as": json.dumps(elevation.known_as), "closes_at": elevation.closes_at}


def _key(elevation: Elevation) -> bytes:
    return digest("subject", elevation.issuer, elevation.subject)


def _write_steps(connection: sa.Connection, steps: Sequence[ElevationStep]) -> None:
    rows = [{name: getattr(step, name) for name in _STEP_FIELDS} for step in steps]
    connection.execute(elevation_steps.insert().values(deliver_at=0.0), rows)
