"""What was used, seen and asked for?"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import sqlalchemy as sa

from jwt_lp.stores.row_keys import fit_text, with_row_key
from jwt_lp.stores.rows import EnforcementPointRow, ObservedGrantRow, RecordingPeriod, UsageRow, Use
from jwt_lp.stores.schema import (
    batches,
    enforcement_points,
    insert_new,
    observed_grants,
    recording_periods,
    upsert,
    usage,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from jwt_lp.stores.rows import EnforcementPoint, ObservedGrant, UsageBatch

_USE_COLUMNS = [usage.c[name] for name in Use._fields]
_OBSERVED_COLUMNS = [observed_grants.c[name] for name in ObservedGrantRow._fields]
_POINT_COLUMNS = [enforcement_points.c[name] for name in EnforcementPointRow._fields]


def record(connection: sa.Connection, batch: UsageBatch, now: float) -> bool:
    """Add a batch, unless its id is there."""
    run = batch.period
    kept = run is not None and run.source == "import"
    # INVARIANT: in one transaction with what it counts. Who sends it a second time waits here for the first.
    if not insert_new(connection, batches, {"id": batch.id, "at": now, "kept": kept}):
        return False
    # In the order of their keys, everywhere: so two batches never wait for each other.
    upsert(connection, usage, _usage_values(batch.uses), count="add", last="greatest")
    upsert(
        connection, observed_grants, _day_range_values(batch.observed_grants), first_day="least", last_day="greatest"
    )
    upsert(
        connection,
        enforcement_points,
        _day_range_values(batch.enforcement_points),
        first_day="least",
        last_day="greatest",
    )
    if run is not None:
        upsert(
            connection,
            recording_periods,
            [_period_values(run)],
            started="least",
            until="greatest",
            recorded="greatest",
            dropped="greatest",
        )
    return True


def select_usage(filters: Mapping[str, str | None], since: str | None, until: str | None) -> sa.Select[Any]:
    """The question for rows of usage, in their order."""
    asked = sa.select(*_USE_COLUMNS, usage.c["count"], usage.c.last)
    for name, value in filters.items():
        if value is not None:
            asked = asked.where(usage.c[name] == fit_text(value))
    if since is not None:
        asked = asked.where(usage.c.day >= since)
    if until is not None:
        asked = asked.where(usage.c.day <= until)
    order = ("issuer", "subject", *(name for name in Use._fields if name not in ("issuer", "subject")))
    return asked.order_by(*(usage.c[name] for name in order))


def usage_row(row: sa.Row[Any]) -> UsageRow:
    """A row of it."""
    parts = tuple(row)
    return UsageRow(Use(*parts[:-2]), *parts[-2:])


def select_observed_grants(issuer: str | None, subject: str | None) -> sa.Select[Any]:
    """The question for grants that tokens carried."""
    asked = sa.select(*_OBSERVED_COLUMNS).order_by(*_OBSERVED_COLUMNS)
    if issuer is not None:
        asked = asked.where(observed_grants.c.issuer == fit_text(issuer))
    return asked if subject is None else asked.where(observed_grants.c.subject == fit_text(subject))


def observed_grant_row(row: sa.Row[Any]) -> ObservedGrantRow:
    """A row of it."""
    return ObservedGrantRow(*tuple(row))


def select_enforcement_points() -> sa.Select[Any]:
    """The question for enforcement points."""
    return sa.select(*_POINT_COLUMNS).order_by(*_POINT_COLUMNS)


def enforcement_point_row(row: sa.Row[Any]) -> EnforcementPointRow:
    """A row of it."""
    return EnforcementPointRow(*tuple(row))


def select_recording_periods() -> sa.Select[Any]:
    """The question for runs."""
    return sa.select(recording_periods).order_by(recording_periods.c.started, recording_periods.c.id)


def recording_period(row: sa.Row[Any]) -> RecordingPeriod:
    """A row of it."""
    return RecordingPeriod(**dict(zip(recording_periods.c.keys(), row, strict=True)))


def _usage_values(counted: Mapping[Use, tuple[int, float]]) -> list[dict[str, object]]:
    rows: dict[bytes, dict[str, Any]] = {}
    for use, (count, last) in counted.items():
        row = with_row_key(use._asdict())
        # Two uses that only differ where they had to be cut are one row.
        before = rows.setdefault(row["id"], {**row, "count": 0, "last": last})
        before["count"] += count
        before["last"] = max(before["last"], last)
    return [rows[key] for key in sorted(rows)]


def _day_range_values(things: Iterable[ObservedGrant | EnforcementPoint]) -> list[dict[str, object]]:
    rows: dict[bytes, dict[str, Any]] = {}
    for thing in things:
        parts = thing._asdict()
        day = parts.pop("day")
        row = with_row_key(parts)
        before = rows.setdefault(row["id"], {**row, "first_day": day, "last_day": day})
        before["first_day"] = min(before["first_day"], day)
        before["last_day"] = max(before["last_day"], day)
    return [rows[key] for key in sorted(rows)]


def _period_values(run: RecordingPeriod) -> dict[str, object]:
    return {name: getattr(run, name) for name in recording_periods.c.keys()}  # noqa: SIM118 - not a mapping
