"""What need not be kept any longer?"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

import sqlalchemy as sa

from jwt_lp.stores.rows import PurgeCounts
from jwt_lp.stores.schema import (
    batches,
    enforcement_points,
    heartbeats,
    observed_grants,
    recording_periods,
    revocations,
    usage,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from jwt_lp.stores.database import SqlDatabase

_DAY: Final = 86400.0
_KEEP_BATCH_IDS: Final = 7 * _DAY
"""A process keeps a batch that it cannot send for far less than that."""
_KEEP_HEARTBEATS: Final = _DAY
_KEEP_LIFTED: Final = 30 * _DAY
"""Whoever did not ask for that long has begun again since."""
_MAX_TOKEN_LIFETIME: Final = 400 * _DAY
"""No token lives that long; the store does not know what each service accepts."""
_CHUNK: Final = 5000


def purge(database: SqlDatabase, before: str, now: float) -> PurgeCounts:
    """Delete what is old, a bounded number of rows at a time, so that nobody waits long for it."""
    return PurgeCounts(**{name: _delete_rows(database, table, old) for name, table, old in _obsolete_rows(before, now)})


def _obsolete_rows(before: str, now: float) -> Iterator[tuple[str, sa.Table, Any]]:
    midnight = datetime.fromisoformat(before).replace(tzinfo=UTC).timestamp()
    yield "usage", usage, usage.c.day < before
    yield "observed_grants", observed_grants, observed_grants.c.last_day < before
    yield "enforcement_points", enforcement_points, enforcement_points.c.last_day < before
    yield "revocations", revocations, _is_obsolete(now)
    yield "recording_periods", recording_periods, recording_periods.c.until < midnight
    yield "heartbeats", heartbeats, heartbeats.c.at < now - _KEEP_HEARTBEATS
    yield "batches", batches, sa.and_(sa.not_(batches.c.kept), batches.c.at < now - _KEEP_BATCH_IDS)


def _is_obsolete(now: float) -> Any:
    """Which entries refuse nothing any more, or were lifted long ago."""
    row = revocations.c
    deny = row.pattern != ""
    ended = row.until < now - _KEEP_LIFTED
    # INVARIANT: what refuses tokens as a whole stays until none that it refuses can be alive, whatever its end says.
    outlived = sa.and_(
        sa.or_(row.until.is_(None), ended), sa.or_(row.of == "token", row.before.is_not(None)),
        sa.func.coalesce(row.before, row.at) < now - _MAX_TOKEN_LIFETIME, row.at < now - _MAX_TOKEN_LIFETIME,
    )  # fmt: skip
    return sa.or_(row.lifted_at < now - _KEEP_LIFTED, sa.and_(deny, ended), sa.and_(sa.not_(deny), outlived))


def _delete_rows(database: SqlDatabase, table: sa.Table, old: Any) -> int:
    key = next(iter(table.primary_key))
    some = sa.select(key).where(old).order_by(key).limit(_CHUNK)
    taken = 0
    while True:
        with database.write(unlimited=True) as connection:
            count = connection.execute(table.delete().where(key.in_(some))).rowcount
        taken += count
        if count < _CHUNK:
            return taken
