"""Deletion of old rows, in bounded transactions."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

import sqlalchemy as sa

from jwt_lp.stores.elevations import ELEVATION_WRITER, KEEP_ENDED, KEEP_OVER
from jwt_lp.stores.families import KEEP_FAMILIES, WRITER
from jwt_lp.stores.rows import PurgeCounts
from jwt_lp.stores.schema import (
    batches,
    elevation_steps,
    elevations,
    enforcement_points,
    families,
    heartbeats,
    observed_grants,
    recording_periods,
    revocations,
    usage,
)
from jwt_lp.stores.sum_selections import CHUNK_ROWS, obsolete_selections
from jwt_lp.stores.usage_sums import rebuild, take_from_daily_sums

if TYPE_CHECKING:
    from collections.abc import Iterator

    from jwt_lp.stores.database import SqlDatabase
    from jwt_lp.stores.usage_sums import Selection

_DAY: Final = 86400.0
_KEYS: Final = 500
"""Keys in one statement."""
_KEEP_BATCH_IDS: Final = 7 * _DAY
"""Far longer than a process keeps a batch that it cannot send."""
_KEEP_HEARTBEATS: Final = _DAY
_KEEP_LIFTED: Final = 30 * _DAY
"""A process that did not poll for that long loads everything again."""
_MAX_TOKEN_LIFETIME: Final = 400 * _DAY
"""Longer than any token lives; the store does not know the limits of each service."""


def purge(database: SqlDatabase, before: str, now: float) -> PurgeCounts:
    """Delete old rows, a bounded number in each transaction, so that no writer waits long."""
    deleted = {"usage": _delete_usage(database, before)}
    for name, table, obsolete in _obsolete_rows(before, now):
        deleted[name] = _delete_rows(database, table, obsolete)
    deleted["elevations"] = _delete_elevations(database, before, now)
    return PurgeCounts(**deleted)


def _delete_elevations(database: SqlDatabase, before: str, now: float) -> int:
    """Delete elevations of which nothing came after that day, with their steps. What must be reviewed stays."""
    row = elevations.c
    closed = row.closes_at < min(_midnight(before), now - KEEP_OVER)
    reviewed = sa.or_(row.break_glass.is_(False), row.reviewed_at.is_not(None))
    # INVARIANT: the id of one that ended early comes back only after the entry that revokes it is deleted.
    revoked = sa.and_(row.since.is_not(None), row.ended_at.is_not(None), row.closes_at >= now - KEEP_ENDED)
    chunk = sa.select(row.id).where(closed, reviewed, sa.not_(revoked)).limit(CHUNK_ROWS)
    deleted = 0
    while True:
        with database.write(unlimited=True) as connection:
            ids = list(connection.execute(chunk).scalars())
            for part in (ids[start : start + _KEYS] for start in range(0, len(ids), _KEYS)):
                connection.execute(elevation_steps.delete().where(elevation_steps.c.elevation.in_(part)))
                connection.execute(elevations.delete().where(row.id.in_(part)))
        deleted += len(ids)
        if len(ids) < CHUNK_ROWS:
            return deleted


def _midnight(day: str) -> float:
    return datetime.fromisoformat(day).replace(tzinfo=UTC).timestamp()


def _delete_usage(database: SqlDatabase, before: str) -> int:
    """Delete rows of usage holder by holder, so that a transaction reads only a few holders' rows for their sums."""
    deleted = 0
    for selection in obsolete_selections(database.fetch, before):
        count = CHUNK_ROWS
        while count == CHUNK_ROWS:
            with database.write(unlimited=True) as connection:
                count = _delete_usage_of(connection, selection, before)
            deleted += count
    return deleted


def _delete_usage_of(connection: sa.Connection, selection: Selection, before: str) -> int:
    obsolete = sa.select(usage.c.id).where(selection.of(usage), usage.c.day < before).limit(CHUNK_ROWS)
    statement = usage.delete().where(usage.c.id.in_(obsolete.scalar_subquery())).returning(*usage.c)
    deleted = [dict(row) for row in connection.execute(statement).mappings()]
    rebuild(connection, selection)
    take_from_daily_sums(connection, deleted)
    return len(deleted)


def _obsolete_rows(before: str, now: float) -> Iterator[tuple[str, sa.Table, Any]]:
    yield "observed_grants", observed_grants, observed_grants.c.last_day < before
    yield "enforcement_points", enforcement_points, enforcement_points.c.last_day < before
    yield "revocations", revocations, _is_obsolete(now)
    yield "recording_periods", recording_periods, recording_periods.c.until < _midnight(before)
    yield "heartbeats", heartbeats, heartbeats.c.at < now - _KEEP_HEARTBEATS
    yield "families", families, families.c.expires_at < now - KEEP_FAMILIES
    yield "batches", batches, sa.and_(sa.not_(batches.c.kept), batches.c.at < now - _KEEP_BATCH_IDS)


def _is_obsolete(now: float) -> Any:
    """The condition for entries that no longer refuse anything, or were lifted long ago."""
    row = revocations.c
    deny = row.pattern != ""
    ended = row.until < now - _KEEP_LIFTED
    # INVARIANT: an entry that refuses whole tokens stays until no token that it refuses can be alive, whatever its
    # `until` says.
    outlived = sa.and_(
        sa.or_(row.until.is_(None), ended), sa.or_(row.of == "token", row.before.is_not(None)),
        sa.func.coalesce(row.before, row.at) < now - _MAX_TOKEN_LIFETIME, row.at < now - _MAX_TOKEN_LIFETIME,
    )  # fmt: skip
    # Whoever wrote these knew how long the tokens live, and there is one for each sign-out and each early end.
    family = sa.and_(row.of == "token", row.by.in_((WRITER, ELEVATION_WRITER)), row.until < now - KEEP_FAMILIES)
    return sa.or_(row.lifted_at < now - _KEEP_LIFTED, sa.and_(deny, ended), sa.and_(sa.not_(deny), outlived), family)


def _delete_rows(database: SqlDatabase, table: sa.Table, obsolete: Any) -> int:
    key = next(iter(table.primary_key))
    chunk = sa.select(key).where(obsolete).order_by(key).limit(CHUNK_ROWS)
    deleted = 0
    while True:
        with database.write(unlimited=True) as connection:
            count = connection.execute(table.delete().where(key.in_(chunk))).rowcount
        deleted += count
        if count < CHUNK_ROWS:
            return deleted
