"""What need not be kept any longer?"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

import sqlalchemy as sa

from jwt_lp.stores._tables import batches, beats, points, revocations, runs, sightings, usage
from jwt_lp.stores.values import Purged

if TYPE_CHECKING:
    from collections.abc import Iterator

    from jwt_lp.stores._engine import Database

_DAY: Final = 86400.0
_BATCH: Final = 7 * _DAY
"""A process keeps a batch that it cannot send for far less than that."""
_BEAT: Final = _DAY
_LIFTED: Final = 30 * _DAY
"""Whoever did not ask for that long has begun again since."""
_LIFE: Final = 400 * _DAY
"""No token lives that long; the store does not know what each service accepts."""
_CHUNK: Final = 5000


def purge(database: Database, before: str, now: float) -> Purged:
    """Delete what is old, a bounded number of rows at a time, so that nobody waits long for it."""
    return Purged(**{name: _deleted(database, table, old) for name, table, old in _old(before, now)})


def _old(before: str, now: float) -> Iterator[tuple[str, sa.Table, Any]]:
    midnight = datetime.fromisoformat(before).replace(tzinfo=UTC).timestamp()
    yield "usage", usage, usage.c.day < before
    yield "sightings", sightings, sightings.c.last_day < before
    yield "points", points, points.c.last_day < before
    yield "revocations", revocations, _over(now)
    yield "runs", runs, runs.c.until < midnight
    yield "beats", beats, beats.c.at < now - _BEAT
    yield "batches", batches, sa.and_(sa.not_(batches.c.kept), batches.c.at < now - _BATCH)


def _over(now: float) -> Any:
    """Which entries refuse nothing any more, or were lifted long ago."""
    row = revocations.c
    deny = row.pattern != ""
    ended = row.until < now - _LIFTED
    # INVARIANT: what refuses tokens as a whole stays until none that it refuses can be alive, whatever its end says.
    outlived = sa.and_(
        sa.or_(row.until.is_(None), ended), sa.or_(row.of == "token", row.before.is_not(None)),
        sa.func.coalesce(row.before, row.at) < now - _LIFE, row.at < now - _LIFE,
    )  # fmt: skip
    return sa.or_(row.lifted_at < now - _LIFTED, sa.and_(deny, ended), sa.and_(sa.not_(deny), outlived))


def _deleted(database: Database, table: sa.Table, old: Any) -> int:
    key = next(iter(table.primary_key))
    some = sa.select(key).where(old).order_by(key).limit(_CHUNK)
    taken = 0
    while True:
        with database.write(patient=True) as connection:
            count = connection.execute(table.delete().where(key.in_(some))).rowcount
        taken += count
        if count < _CHUNK:
            return taken
