"""Store in SQLite and PostgreSQL, on SQLAlchemy Core.

The queries of each method are in the other modules of this package.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from jwt_lp.revocation.entries import log_revoked
from jwt_lp.stores import (
    elevation_rows,
    family_rows,
    holder_rows,
    migration,
    purge,
    revocation_rows,
    sum_queries,
    usage_rows,
    usage_sums,
)
from jwt_lp.stores.database import SqlDatabase, stream_rows
from jwt_lp.stores.elevation_events import log_all_steps, log_steps
from jwt_lp.stores.rows import UsageSummary
from jwt_lp.stores.sql_campaigns import SqlCampaigns
from jwt_lp.stores.sql_lookups import SqlLookups
from jwt_lp.stores.sum_selections import all_selections
from jwt_lp.stores.summation import sum_by_month

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence
    from contextlib import AbstractContextManager

    from jwt_lp.revocation.entries import RevocationChanges, RevocationEntry
    from jwt_lp.stores.elevations import Elevation, ElevationChange, ElevationFilter, ElevationStep
    from jwt_lp.stores.families import FamilyEnding, RefreshFamily
    from jwt_lp.stores.rows import (
        DayRow,
        EnforcementPointRow,
        HeldGrant,
        HeldGrantRow,
        LaterUse,
        MonthRow,
        ObservedGrantRow,
        ProcessHeartbeat,
        PurgeCounts,
        RecordingPeriod,
        RequestedPermission,
        ReviewedHolder,
        StoredRevocation,
        UsageBatch,
        UsageRow,
    )


class SqlStore(SqlCampaigns, SqlLookups):
    """A store in a database, as `Store` promises. `clock` returns seconds since the epoch.

    The first write creates a file of SQLite with its tables; before that it reads as empty. In PostgreSQL only
    `migrate` creates tables.
    """

    def __init__(self, url: str, *, clock: Callable[[], float] = time.time) -> None:
        self._database = SqlDatabase(url)
        self._clock = clock

    def __repr__(self) -> str:
        return f"<SqlStore {self.name}>"

    @property
    def name(self) -> str:
        """The URL without a password."""
        return self._database.name

    def migrate(self) -> tuple[int, int]:
        """Bring the tables to this release's version; return the versions before and after."""
        with self._database.write(unlimited=True, check=False) as connection:
            return migration.migrate(connection, self.name), migration.VERSION

    def changes(self, since: int) -> RevocationChanges:
        """One page of what was revoked or lifted after sequence number `since`."""
        with self._database.read() as connection:
            return revocation_rows.changes(connection, since, self._clock())

    def revoke(self, entries: Sequence[RevocationEntry], *, at: float, by: str = "") -> int:
        """Write entries; `StoreError` names ids that exist already."""
        with self._database.write() as connection:
            sequence = revocation_rows.revoke(connection, entries, at, by)
            ended = elevation_rows.end_revoked(connection, entries, at, by)
        # Only what is committed is announced.
        log_revoked(entries, by)
        log_all_steps(ended)
        return sequence

    def lift(self, ids: Sequence[str], *, at: float) -> int:
        """Lift entries; `StoreError` names ids not in force."""
        with self._database.write() as connection:
            return revocation_rows.lift(connection, ids, at)

    def revocations(self, *, lifted: bool = False) -> Iterator[StoredRevocation]:
        """The entries in force, or with `lifted` all entries, in order."""
        return map(
            revocation_rows.stored_revocation,
            stream_rows(self._database, revocation_rows.select_revocations(lifted=lifted)),
        )

    def record(self, batch: UsageBatch) -> bool:
        """Add a batch; False if it was added before."""
        with self._database.write() as connection:
            return usage_rows.record(connection, batch, self._clock())

    def usage(
        self,
        *,
        issuer: str | None = None,
        subject: str | None = None,
        client: str | None = None,
        permission: str | None = None,
        service: str | None = None,
        since: str | None = None,
        until: str | None = None,
    ) -> Iterator[UsageRow]:
        """The rows that match, in order."""
        filters = {
            "issuer": issuer, "subject": subject, "client": client, "permission": permission, "service": service,
        }  # fmt: skip
        return map(usage_rows.usage_row, stream_rows(self._database, usage_rows.select_usage(filters, since, until)))

    def summary(self, *, until: str, issuer: str | None = None) -> Iterator[UsageSummary]:
        """The uses, added up over days, services and endpoints."""
        return map(UsageSummary._make, sum_queries.stream_summary(self._database, until, issuer))

    def requested_permissions(self, *, until: str) -> Iterator[RequestedPermission]:
        """The permissions that enforcement points asked for."""
        return map(
            sum_queries.requested_permission,
            sum_queries.stream_rows(self._database, sum_queries.select_requested(until)),
        )

    def months(self, *, until: str) -> Iterator[MonthRow]:
        """The number of uses by month and outcome."""
        return sum_by_month(sum_queries.stream_rows(self._database, sum_queries.select_daily_totals(until)))

    def days(
        self, *, until: str, issuer: str | None = None, subjects: Iterable[tuple[str, str]] | None = None
    ) -> Iterator[DayRow]:
        """The days on which grants were used."""
        return map(
            sum_queries.day_row,
            sum_queries.stream_rows(self._database, *sum_queries.select_days(until, issuer, subjects)),
        )

    def later_uses(self, holders: Iterable[ReviewedHolder], *, at: float) -> Iterator[LaterUse]:
        """What these holders used since a review."""
        queries = sum_queries.select_later_uses(holders, at)
        return map(sum_queries.later_use, sum_queries.stream_rows(self._database, *queries))

    def observed_grants(self, *, issuer: str | None = None, subject: str | None = None) -> Iterator[ObservedGrantRow]:
        """Grants that tokens carried."""
        return map(
            usage_rows.observed_grant_row,
            stream_rows(self._database, usage_rows.select_observed_grants(issuer, subject)),
        )

    def enforcement_points(self) -> Iterator[EnforcementPointRow]:
        """The enforcement points that were seen."""
        return map(
            usage_rows.enforcement_point_row, stream_rows(self._database, usage_rows.select_enforcement_points())
        )

    def recording_periods(self) -> Iterator[RecordingPeriod]:
        """The recording periods, oldest first."""
        return map(usage_rows.recording_period, stream_rows(self._database, usage_rows.select_recording_periods()))

    def import_grants(self, held: Iterable[HeldGrant], *, as_of: str, complete: bool) -> int:
        """Import grants. A repeated grant counts once, with the `since` of its first row."""
        with self._database.write(unlimited=True) as connection:
            return holder_rows.import_held(connection, held, as_of, complete=complete)

    def held_grants(self) -> Iterator[HeldGrantRow]:
        """The grants of the latest complete import and of later ones."""
        return map(holder_rows.held_row, stream_rows(self._database, holder_rows.select_held()))

    def issuers(self) -> tuple[str, ...]:
        """Every `iss` in any table, in order."""
        with self._database.read() as connection:
            return holder_rows.list_issuers(connection)

    def record_heartbeat(self, beat: ProcessHeartbeat) -> None:
        """Write the status of a process, replacing its previous one."""
        with self._database.write() as connection:
            holder_rows.write_heartbeat(connection, beat)

    def heartbeats(self, *, since: float) -> tuple[ProcessHeartbeat, ...]:
        """The latest status of each process that wrote one at `since` or later."""
        with self._database.read() as connection:
            return holder_rows.recent_heartbeats(connection, since)

    def add_family(self, family: RefreshFamily) -> None:
        """Write a new family of refresh tokens."""
        with self._database.write() as connection:
            family_rows.add(connection, family)

    def family(self, family_id: str) -> RefreshFamily | None:
        """The family with this id, or None."""
        with self._database.read() as connection:
            return family_rows.find(connection, family_id)

    def rotate_family(self, family_id: str, *, counter: int, at: float) -> bool:
        """Add one to the counter if it is `counter` and the family lives."""
        with self._database.write() as connection:
            return family_rows.rotate(connection, family_id, counter, at)

    def end_families(self, ending: FamilyEnding) -> tuple[RefreshFamily, ...]:
        """End families, and revoke their access tokens."""
        with self._database.write() as connection:
            families, ended = family_rows.end(connection, ending)
        log_all_steps(ended)
        return families

    def ask(self, elevation: Elevation) -> Elevation:
        """Write a new request for an elevation."""
        with self._database.write() as connection:
            stored, steps = elevation_rows.ask(connection, elevation)
        # Only what is committed is announced.
        log_steps(stored, steps)
        return stored

    def change_elevation(self, change: ElevationChange) -> Elevation:
        """Write a step of an elevation, and what follows from it."""
        with self._database.write() as connection:
            stored, steps = elevation_rows.change(connection, change)
        log_steps(stored, steps)
        return stored

    def elevation(self, elevation_id: str) -> Elevation | None:
        """The elevation with this id, or None."""
        with self._database.read() as connection:
            return elevation_rows.find(connection, elevation_id)

    def elevations(self, which: ElevationFilter) -> Iterator[Elevation]:
        """The elevations that match, oldest request first."""
        return map(elevation_rows.read, stream_rows(self._database, elevation_rows.select(which)))

    def elevation_steps(self, elevation_id: str) -> tuple[ElevationStep, ...]:
        """The steps of an elevation."""
        with self._database.read() as connection:
            return elevation_rows.steps_of(connection, elevation_id)

    def claim_steps(self, limit: int, *, at: float, until: float) -> tuple[ElevationStep, ...]:
        """The oldest steps that are to be delivered to webhooks."""
        with self._database.write() as connection:
            return elevation_rows.claim_steps(connection, limit, at, until)

    def mark_delivered(self, steps: Sequence[ElevationStep]) -> None:
        """Note that these steps were delivered."""
        with self._database.write() as connection:
            elevation_rows.mark_delivered(connection, steps)

    def purge(self, *, before: str, now: float) -> PurgeCounts:
        """Delete old rows, a bounded number in each transaction."""
        return purge.purge(self._database, before, now)

    def check_sums(self) -> int:
        """The number of sums that are not those of their rows."""
        with self._database.read(unlimited=True) as connection:
            return usage_sums.count_differences(connection)

    def rebuild_sums(self) -> None:
        """Make all sums anew, a bounded number in each transaction."""
        for selection in all_selections(self._database.fetch):
            with self._database.write(unlimited=True) as connection:
                usage_sums.rebuild(connection, selection)

    def exclusive(self, what: str, *, wait: float) -> AbstractContextManager[None]:
        """Hold the store's only lock: a lock file next to a file of SQLite, an advisory lock in PostgreSQL."""
        return self._database.exclusive(what, wait)

    def close(self) -> None:
        """Close the connections; may be called repeatedly."""
        self._database.close()
