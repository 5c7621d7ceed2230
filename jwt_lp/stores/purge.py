"""Deletion of old rows, in bounded transactions."""

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
"""Far longer than a process keeps a batch that it cannot send."""
_KEEP_HEARTBEATS: Final = _DAY
_KEEP_LIFTED: Final = 30 * _DAY
"""A process that did not poll for that long loads everything again."""
_MAX_TOKEN_LIFETIME: Final = 400 * _DAY
"""Longer than any token lives; the store does not know the limits of each service."""
_CHUNK: Final = 5000


def purge(database: SqlDatabase, before: str, now: float) -> PurgeCounts:
    """Delete old rows, a bounded number in each transaction, so that no writer waits long."""
    conditions = _obsolete_rows(before, now)
    return PurgeCounts(**{name: _delete_rows(database, table, obsolete) for name, table, obsolete in conditions})


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
    return sa.or_(row.lifted_at < now - _KEEP_LIFTED, sa.and_(deny, ended), sa.and_(sa.not_(deny), outlived))


def _delete_rows(database: SqlDatabase, table: sa.Table, obsolete: Any) -> int:
    key = next(iter(table.primary_key))
    chunk = sa.select(key).where(obsolete).order_by(key).limit(_CHUNK)
    deleted = 0
    while True:
        with database.write(unlimited=True) as connection:
            count = connection.execute(table.delete().where(key.in_(chunk))).rowcount
        deleted += count
        if count < _CHUNK:
            return deleted
