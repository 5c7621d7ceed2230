"""Queries for usage, observed grants, enforcement points and recording periods."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import sqlalchemy as sa

from jwt_lp.stores.row_keys import fit_text, iso_day, with_row_key
from jwt_lp.stores.rows import EnforcementPointRow, ObservedGrantRow, RecordingPeriod, UsageRow, Use
from jwt_lp.stores.schema import batches, enforcement_points, observed_grants, recording_periods, usage
from jwt_lp.stores.upserts import insert_missing, upsert, upsert_counts
from jwt_lp.stores.usage_sums import add_to_sums

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from jwt_lp.stores.rows import EnforcementPoint, ObservedGrant, UsageBatch

_USE_COLUMNS = [usage.c[name] for name in Use._fields]
_OBSERVED_COLUMNS = [observed_grants.c[name] for name in ObservedGrantRow._fields]
_POINT_COLUMNS = [enforcement_points.c[name] for name in EnforcementPointRow._fields]


def record(connection: sa.Connection, batch: UsageBatch, now: float) -> bool:
    """Add a batch; False if its id exists already."""
    period = batch.period
    kept = period is not None and period.source == "import"
    # INVARIANT: the id is written in one transaction with the counts. A second sender of the batch waits here.
    if not insert_missing(connection, batches, [{"id": batch.id, "at": now, "kept": kept}]):
        return False
    # Every batch writes its rows in the order of their keys, so two batches never deadlock.
    uses = _usage_values(batch.uses)
    new = upsert_counts(connection, usage, uses, last="greatest")
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
    if period is not None:
        upsert(
            connection,
            recording_periods,
            [_period_values(period)],
            started="least",
            until="greatest",
            recorded="greatest",
            dropped="greatest",
        )
    add_to_sums(connection, uses, new)
    return True


def select_usage(filters: Mapping[str, str | None], since: str | None, until: str | None) -> sa.Select[Any]:
    """The query for rows of usage, in order."""
    query = sa.select(*_USE_COLUMNS, usage.c["count"], usage.c.last)
    for name, value in filters.items():
        if value is not None:
            query = query.where(usage.c[name] == fit_text(value))
    if since is not None:
        query = query.where(usage.c.day >= since)
    if until is not None:
        query = query.where(usage.c.day <= until)
    order = ("issuer", "subject", *(name for name in Use._fields if name not in ("issuer", "subject")))
    return query.order_by(*(usage.c[name] for name in order))


def usage_row(row: sa.Row[Any]) -> UsageRow:
    """The use in a row of `select_usage`."""
    parts = tuple(row)
    return UsageRow(Use(*parts[:-2]), *parts[-2:])


def select_observed_grants(issuer: str | None, subject: str | None) -> sa.Select[Any]:
    """The query for grants that tokens carried."""
    query = sa.select(*_OBSERVED_COLUMNS).order_by(*_OBSERVED_COLUMNS)
    if issuer is not None:
        query = query.where(observed_grants.c.issuer == fit_text(issuer))
    return query if subject is None else query.where(observed_grants.c.subject == fit_text(subject))


def observed_grant_row(row: sa.Row[Any]) -> ObservedGrantRow:
    """The grant in a row of `select_observed_grants`."""
    return ObservedGrantRow(*tuple(row))


def select_enforcement_points() -> sa.Select[Any]:
    """The query for enforcement points."""
    return sa.select(*_POINT_COLUMNS).order_by(*_POINT_COLUMNS)


def enforcement_point_row(row: sa.Row[Any]) -> EnforcementPointRow:
    """The point in a row of `select_enforcement_points`."""
    return EnforcementPointRow(*tuple(row))


def select_recording_periods() -> sa.Select[Any]:
    """The query for recording periods, oldest first."""
    return sa.select(recording_periods).order_by(recording_periods.c.started, recording_periods.c.id)


def recording_period(row: sa.Row[Any]) -> RecordingPeriod:
    """The period in a row of `select_recording_periods`."""
    return RecordingPeriod(**dict(zip(recording_periods.c.keys(), row, strict=True)))


def _usage_values(uses: Mapping[Use, tuple[int, float]]) -> list[dict[str, Any]]:
    rows: dict[bytes, dict[str, Any]] = {}
    for use, (count, last) in uses.items():
        if count < 1:
            continue
        row = with_row_key({**use._asdict(), "day": iso_day(use.day)})
        # Two uses that become equal when their texts are cut are one row.
        total = rows.setdefault(row["id"], {**row, "count": 0, "last": last})
        total["count"] += count
        total["last"] = max(total["last"], last)
    return [rows[key] for key in sorted(rows)]


def _day_range_values(observations: Iterable[ObservedGrant | EnforcementPoint]) -> list[dict[str, Any]]:
    rows: dict[bytes, dict[str, Any]] = {}
    for observation in observations:
        parts = observation._asdict()
        day = iso_day(parts.pop("day"))
        row = with_row_key(parts)
        merged = rows.setdefault(row["id"], {**row, "first_day": day, "last_day": day})
        merged["first_day"] = min(merged["first_day"], day)
        merged["last_day"] = max(merged["last_day"], day)
    return [rows[key] for key in sorted(rows)]


def _period_values(period: RecordingPeriod) -> dict[str, Any]:
    return {name: getattr(period, name) for name in recording_periods.c.keys()}  # noqa: SIM118 - not a mapping
