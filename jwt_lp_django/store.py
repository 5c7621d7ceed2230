"""The store in the project's own database: usage and revocations through Django's ORM.

`STORE = "django:default"`, or another alias of `DATABASES`; `manage.py migrate` creates the tables. The store uses
nothing but the ORM, so that it runs on the project's database: SQLite, PostgreSQL or MariaDB.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Collection, Generator, Iterable, Iterator, Sequence
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from django.db import Error, connections

from jwt_lp import ConfigurationError
from jwt_lp._support.file_lock import hold_lock, lock_path
from jwt_lp.stores import (
    DayRow,
    Elevation,
    ElevationChange,
    ElevationFilter,
    ElevationStep,
    EnforcementPointRow,
    FamilyEnding,
    HeldGrant,
    HeldGrantRow,
    LaterUse,
    MonthRow,
    ObservedGrantRow,
    ProcessHeartbeat,
    PurgeCounts,
    RecordingPeriod,
    RefreshFamily,
    RequestedPermission,
    ReviewedHolder,
    Store,
    StoredRevocation,
    UsageBatch,
    UsageRow,
    UsageSummary,
)
from jwt_lp.stores.advisory_lock import POSTGRESQL, LockStatements, acquire_lock
from jwt_lp_django.campaign_store import DjangoCampaigns
from jwt_lp_django.database import DjangoDatabase
from jwt_lp_django.lookup_store import DjangoLookups

if TYPE_CHECKING:
    from jwt_lp.revocation.entries import RevocationChanges, RevocationEntry

_APP: Final = "jwt_lp_django"
_ALIAS: Final = re.compile(r"[A-Za-z0-9_.-]+")

# In MariaDB the name of a lock is unique in the whole server, and the connection holds the lock.
_NAME: Final = "CONCAT('jwt-lp:', LEFT(DATABASE(), 50))"
_LOCKS: Final = {
    "postgresql": POSTGRESQL,
    "mysql": LockStatements(
        "SELECT %s", f"SELECT GET_LOCK({_NAME}, 0)", f"SELECT CONCAT('connection ', IS_USED_LOCK({_NAME}))"
    ),
}


class _StoreModules(NamedTuple):
    elevation_rows: Any
    family_rows: Any
    revocation_rows: Any
    usage_rows: Any
    holder_rows: Any
    sum_queries: Any
    usage_sums: Any


def open_store(url: str) -> Store:
    """The store at `django:ALIAS`. `ConfigurationError` if there is no such alias. This does not connect."""
    scheme, _, alias = url.partition(":")
    alias = alias or "default"
    if scheme.lower() != "django" or not _ALIAS.fullmatch(alias):
        # The URL is not shown: it may contain a password.
        raise ConfigurationError("a store in Django's database is django:default, or another alias of DATABASES")
    try:
        aliases: Collection[str] = settings.DATABASES
    except (ImproperlyConfigured, ImportError):
        # The first use reports it: a command may set Django up before that.
        aliases = (alias,)
    if alias not in aliases:
        listed = ", ".join(sorted(aliases)) or "none"
        raise ConfigurationError(f"django:{alias}: DATABASES has no such alias; it has {listed}")
    return DjangoStore(alias)


def _acquire_lock(connection: Any, statements: LockStatements, what: str, wait: float) -> None:
    """Acquire the lock in a transaction that stays open as long as the connection."""
    connection.set_autocommit(False)
    with connection.cursor() as cursor:

        def query_value(statement: str, values: tuple[str, ...]) -> object:
            cursor.execute(statement, values)
            return cursor.fetchone()[0]

        acquire_lock(query_value, statements, what, wait)


class DjangoStore(DjangoCampaigns, DjangoLookups):
    """The store in a database of `DATABASES`, as `Store` promises. `clock` returns seconds since the epoch.

    Methods that write use their own transaction: inside a transaction of the caller they raise `StoreError`.
    """

    def __init__(self, alias: str = "default", *, clock: Callable[[], float] = time.time) -> None:
        self._alias = alias
        self._database = DjangoDatabase(alias)
        self._clock = clock

    def __repr__(self) -> str:
        return f"<DjangoStore {self.name}>"

    @property
    def name(self) -> str:
        """Its URL."""
        return self._database.name

    def migrate(self) -> tuple[int, int]:
        """Apply this app's migrations. The result is how many were applied before and after."""
        from django.core.management import call_command

        self._database.ensure_ready()
        before = self._applied_migrations()
        self._database.read(lambda: call_command("migrate", _APP, database=self._alias, interactive=False, verbosity=0))
        return before, self._applied_migrations()

    def changes(self, since: int) -> RevocationChanges:
        """A page of the changes after `since`."""
        module = self._modules().revocation_rows
        page: RevocationChanges = self._database.read(lambda: module.changes(self._alias, since, self._clock()))
        return page

    def revoke(self, entries: Sequence[RevocationEntry], *, at: float, by: str = "") -> int:
        """Write entries; `StoreError` names ids that exist already."""
        modules = self._modules()

        def write() -> tuple[int, Any]:
            sequence: int = modules.revocation_rows.revoke(self._alias, entries, at, by)
            return sequence, modules.elevation_rows.end_revoked(self._alias, entries, at, by)

        sequence, ended = self._database.write(write)
        # After the transaction, which may be repeated.
        modules.revocation_rows.announce(entries, by)
        modules.elevation_rows.log_all_steps(ended)
        return sequence

    def lift(self, ids: Sequence[str], *, at: float) -> int:
        """Lift entries; `StoreError` names ids that are not in force."""
        module = self._modules().revocation_rows
        sequence: int = self._database.write(lambda: module.lift(self._alias, ids, at))
        return sequence

    def revocations(self, *, lifted: bool = False) -> Iterator[StoredRevocation]:
        """Entries in order."""
        module = self._modules().revocation_rows
        rows = self._database.stream_rows(lambda: module.select_revocations(self._alias, lifted=lifted))
        return (module.stored_revocation(row) for row in rows)

    def record(self, batch: UsageBatch) -> bool:
        """Add a batch, once; False if it was added before."""
        module, now = self._modules().usage_rows, self._clock()
        # A repeated transaction reads them again.
        batch = replace(
            batch, observed_grants=tuple(batch.observed_grants), enforcement_points=tuple(batch.enforcement_points)
        )
        try:
            added: bool = self._database.write(lambda: module.record(self._alias, batch, now))
        except module.BatchExistsError:
            return False
        return added

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
        """The rows of usage that match every given value."""
        filters = {
            "issuer": issuer, "subject": subject, "client": client, "permission": permission, "service": service,
        }  # fmt: skip
        module = self._modules().usage_rows
        return map(
            module.usage_row,
            self._database.stream_rows(lambda: module.select_usage(self._alias, filters, since, until)),
        )

    def summary(self, *, until: str, issuer: str | None = None) -> Iterator[UsageSummary]:
        """Usage, summed over the days."""
        module = self._modules().sum_queries
        return map(
            module.usage_summary,
            self._database.stream_rows(lambda: module.select_summary(self._alias, until, issuer)),
        )

    def requested_permissions(self, *, until: str) -> Iterator[RequestedPermission]:
        """The permissions that enforcement points required in recorded requests."""
        module = self._modules().sum_queries
        return map(
            module.requested_permission, self._database.stream_rows(lambda: module.select_requested(self._alias, until))
        )

    def months(self, *, until: str) -> Iterator[MonthRow]:
        """The number of uses by month and outcome."""
        module = self._modules().sum_queries
        months: Iterator[MonthRow] = module.monthly_totals(
            self._database.stream_rows(lambda: module.select_daily_totals(self._alias, until))
        )
        return months

    def days(
        self, *, until: str, issuer: str | None = None, subjects: Iterable[tuple[str, str]] | None = None
    ) -> Iterator[DayRow]:
        """The days on which standing grants were used."""
        module = self._modules().sum_queries
        return (
            DayRow(*row)
            for part in module.select_subjects(issuer, subjects)
            for row in self._database.stream_rows(partial(module.select_days, self._alias, until, part))
        )

    def later_uses(self, holders: Iterable[ReviewedHolder], *, at: float) -> Iterator[LaterUse]:
        """What these holders used since a review."""
        module = self._modules().sum_queries
        return (
            LaterUse(*row)
            for part in module.chunk_holders(holders)
            for row in self._database.stream_rows(partial(module.select_later_uses, self._alias, part, at))
        )

    def observed_grants(self, *, issuer: str | None = None, subject: str | None = None) -> Iterator[ObservedGrantRow]:
        """The grants that tokens carried."""
        module = self._modules().usage_rows
        return (
            ObservedGrantRow(*row)
            for row in self._database.stream_rows(lambda: module.select_observed_grants(self._alias, issuer, subject))
        )

    def enforcement_points(self) -> Iterator[EnforcementPointRow]:
        """The enforcement points."""
        module = self._modules().usage_rows
        return (
            EnforcementPointRow(*row)
            for row in self._database.stream_rows(lambda: module.select_enforcement_points(self._alias))
        )

    def recording_periods(self) -> Iterator[RecordingPeriod]:
        """The periods in which processes recorded usage."""
        module = self._modules().usage_rows
        return (
            RecordingPeriod(**row)
            for row in self._database.stream_rows(lambda: module.select_recording_periods(self._alias))
        )

    def import_grants(self, held: Iterable[HeldGrant], *, as_of: str, complete: bool) -> int:
        """Import grants; a duplicate counts once, with the day of its first occurrence."""
        module = self._modules().holder_rows
        # One try: `held` cannot be read twice.
        count: int = self._database.write(
            lambda: module.import_held(self._alias, held, as_of, complete=complete), tries=1
        )
        return count

    def held_grants(self) -> Iterator[HeldGrantRow]:
        """The grants of the latest complete import, and of later imports."""
        module = self._modules().holder_rows
        complete: dict[str, bool] = {}

        def query() -> Any:
            complete.update(module.import_completeness(self._alias))
            return module.select_held(self._alias)

        return (module.held_row(row, complete) for row in self._database.stream_rows(query))

    def issuers(self) -> tuple[str, ...]:
        """Every issuer in the store."""
        module = self._modules().holder_rows
        return self._database.read(lambda: module.list_issuers(self._alias))

    def record_heartbeat(self, beat: ProcessHeartbeat) -> None:
        """Write the state of a process."""
        module = self._modules().holder_rows
        self._database.write(lambda: module.write_heartbeat(self._alias, beat))

    def heartbeats(self, *, since: float) -> tuple[ProcessHeartbeat, ...]:
        """The processes that reported since then."""
        module = self._modules().holder_rows
        return self._database.read(lambda: module.recent_heartbeats(self._alias, since))

    def add_family(self, family: RefreshFamily) -> None:
        """Write a new family of refresh tokens."""
        module = self._modules().family_rows
        self._database.write(lambda: module.add(self._alias, family))

    def family(self, family_id: str) -> RefreshFamily | None:
        """The family with this id, or None."""
        module = self._modules().family_rows
        found: RefreshFamily | None = self._database.read(lambda: module.find(self._alias, family_id))
        return found

    def rotate_family(self, family_id: str, *, counter: int, at: float) -> bool:
        """Add one to the counter if it is `counter` and the family lives."""
        module = self._modules().family_rows
        rotated: bool = self._database.write(lambda: module.rotate(self._alias, family_id, counter, at))
        return rotated

    def end_families(self, ending: FamilyEnding) -> tuple[RefreshFamily, ...]:
        """End families, and revoke their access tokens."""
        modules = self._modules()
        families, ended = self._database.write(lambda: modules.family_rows.end(self._alias, ending))
        modules.elevation_rows.log_all_steps(ended)
        found: tuple[RefreshFamily, ...] = families
        return found

    def ask(self, elevation: Elevation) -> Elevation:
        """Write a new request for an elevation."""
        module = self._modules().elevation_rows
        stored, steps = self._database.write(lambda: module.ask(self._alias, elevation))
        # After the transaction, which may be repeated.
        module.log_steps(stored, steps)
        found: Elevation = stored
        return found

    def change_elevation(self, change: ElevationChange) -> Elevation:
        """Write a step of an elevation, and what follows from it."""
        module = self._modules().elevation_rows
        stored, steps = self._database.write(lambda: module.change(self._alias, change))
        module.log_steps(stored, steps)
        found: Elevation = stored
        return found

    def elevation(self, elevation_id: str) -> Elevation | None:
        """The elevation with this id, or None."""
        module = self._modules().elevation_rows
        found: Elevation | None = self._database.read(lambda: module.find(self._alias, elevation_id))
        return found

    def elevations(self, which: ElevationFilter) -> Iterator[Elevation]:
        """The elevations that match, oldest request first."""
        module = self._modules().elevation_rows
        return map(module.read, self._database.stream_rows(lambda: module.select(self._alias, which)))

    def elevation_steps(self, elevation_id: str) -> tuple[ElevationStep, ...]:
        """The steps of an elevation."""
        module = self._modules().elevation_rows
        steps: tuple[ElevationStep, ...] = self._database.read(lambda: module.steps_of(self._alias, elevation_id))
        return steps

    def claim_steps(self, limit: int, *, at: float, until: float) -> tuple[ElevationStep, ...]:
        """The oldest steps that are to be delivered to webhooks."""
        module = self._modules().elevation_rows
        steps: tuple[ElevationStep, ...] = self._database.write(
            lambda: module.claim_steps(self._alias, limit, at, until)
        )
        return steps

    def mark_delivered(self, steps: Sequence[ElevationStep]) -> None:
        """Note that these steps were delivered."""
        module = self._modules().elevation_rows
        self._database.write(lambda: module.mark_delivered(self._alias, steps))

    def purge(self, *, before: str, now: float) -> PurgeCounts:
        """Delete old rows, a bounded number in each transaction."""
        purged: PurgeCounts = self._modules().holder_rows.purge(self._database, before, now)
        return purged

    def check_sums(self) -> int:
        """The number of sums that are not those of their rows."""
        module = self._modules().usage_sums
        different: int = self._database.read(lambda: module.count_differences(self._alias))
        return different

    def rebuild_sums(self) -> None:
        """Make all sums anew, a bounded number in each transaction."""
        self._modules().usage_sums.rebuild_all(self._database)

    @contextmanager
    def exclusive(self, what: str, *, wait: float) -> Generator[None]:
        """Hold an exclusive lock: a lock file next to a SQLite file, a lock of the server in other databases."""
        self._database.ensure_ready()
        name = f"{what} in {self.name}"
        # A separate connection: the work under the lock uses its own transactions.
        connection: Any = self._database.read(self._new_connection)
        if connection.vendor == "sqlite":
            file = connection.settings_dict["NAME"]
            # A database in memory belongs to this process alone.
            with nullcontext() if connection.is_in_memory_db() else hold_lock(lock_path(file), name, wait=wait):
                yield
            return
        statements = _LOCKS.get(connection.vendor)
        if statements is None:
            raise ConfigurationError(f"{self.name}: there is no lock for {what} in {connection.display_name}")
        try:
            self._database.read(lambda: _acquire_lock(connection, statements, name, wait))
            yield
        finally:
            # A lost connection has released the lock already, and the work under the lock is done.
            with suppress(Error):
                connection.close()

    def close(self) -> None:
        """Close this thread's connection; may be called repeatedly. Other threads closed theirs after each call."""
        self._database.close()

    def _applied_migrations(self) -> int:
        from django.db.migrations.recorder import MigrationRecorder

        def count() -> int:
            applied = MigrationRecorder(connections[self._alias]).applied_migrations()
            return sum(app == _APP for app, _ in applied)

        return self._database.read(count)

    def _new_connection(self) -> Any:
        return connections[self._alias].copy()

    def _modules(self) -> _StoreModules:
        """The modules that do the module. They import models, which is possible only after Django is set up."""
        self._database.ensure_ready()
        from jwt_lp_django import (
            elevation_rows,
            family_rows,
            holder_rows,
            revocation_rows,
            sum_queries,
            usage_rows,
            usage_sums,
        )

        return _StoreModules(
            elevation_rows, family_rows, revocation_rows, usage_rows, holder_rows, sum_queries, usage_sums
        )
