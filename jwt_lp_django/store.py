"""How are usage and revocation kept in the project's own database?

`STORE = "django:default"`, or another alias of `DATABASES`; tables come with `manage.py migrate`. Django's ORM alone,
so that it runs on the database that the project has: SQLite, PostgreSQL or MariaDB.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Collection, Generator, Iterable, Iterator, Sequence
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from django.db import Error, connections

from jwt_lp import ConfigurationError
from jwt_lp._support.file_lock import hold_lock, lock_path
from jwt_lp.stores import (
    DayRow,
    EnforcementPointRow,
    HeldGrant,
    HeldGrantRow,
    MonthRow,
    ObservedGrantRow,
    ProcessHeartbeat,
    PurgeCounts,
    RecordingPeriod,
    RequestedPermission,
    Store,
    StoredRevocation,
    UsageBatch,
    UsageRow,
    UsageSummary,
)
from jwt_lp.stores.advisory_lock import POSTGRESQL, LockStatements, acquire
from jwt_lp_django.database import DjangoDatabase

if TYPE_CHECKING:
    from jwt_lp.revocation.entries import RevocationChanges, RevocationEntry

_APP: Final = "jwt_lp_django"
_ALIAS: Final = re.compile(r"[A-Za-z0-9_.-]+")

# The name of a lock is one in all of a server of MariaDB; it is held by the connection.
_NAME: Final = "CONCAT('jwt-lp:', LEFT(DATABASE(), 50))"
_LOCKS: Final = {
    "postgresql": POSTGRESQL,
    "mysql": LockStatements(
        "SELECT %s", f"SELECT GET_LOCK({_NAME}, 0)", f"SELECT CONCAT('connection ', IS_USED_LOCK({_NAME}))"
    ),
}


class _StoreModules(NamedTuple):
    revocation_rows: Any
    usage_rows: Any
    holder_rows: Any
    aggregates: Any


def open_store(url: str) -> Store:
    """The store at `django:ALIAS`. `ConfigurationError` where there is no such alias. Nothing is connected to yet."""
    scheme, _, alias = url.partition(":")
    alias = alias or "default"
    if scheme.lower() != "django" or not _ALIAS.fullmatch(alias):
        # Not shown: somebody may have written a password there.
        raise ConfigurationError("a store in Django's database is django:default, or another alias of DATABASES")
    try:
        known: Collection[str] = settings.DATABASES
    except (ImproperlyConfigured, ImportError):
        # Said when it is first used: a command may set Django up until then.
        known = (alias,)
    if alias not in known:
        has = ", ".join(sorted(known)) or "none"
        raise ConfigurationError(f"django:{alias}: DATABASES has no such alias; it has {has}")
    return DjangoStore(alias)


def _take(kept: Any, statements: LockStatements, what: str, wait: float) -> None:
    """Take the lock in a transaction that stays open as long as the connection."""
    kept.set_autocommit(False)
    with kept.cursor() as cursor:

        def ask(said: str, values: tuple[str, ...]) -> object:
            cursor.execute(said, values)
            return cursor.fetchone()[0]

        acquire(ask, statements, what, wait)


class DjangoStore:
    """The store in a database of `DATABASES`, as `Store` promises. `clock` gives seconds since the epoch.

    What writes has a transaction of its own: within one of the caller's it raises `StoreError`.
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
        """Apply this app's migrations; gives how many there were before and are after."""
        from django.core.management import call_command

        self._modules()
        before = self._applied_migrations()
        self._database.read(lambda: call_command("migrate", _APP, database=self._alias, interactive=False, verbosity=0))
        return before, self._applied_migrations()

    def changes(self, since: int) -> RevocationChanges:
        """A page of what changed after `since`."""
        work = self._modules().revocation_rows
        done: RevocationChanges = self._database.read(lambda: work.changes(self._alias, since))
        return done

    def revoke(self, entries: Sequence[RevocationEntry], *, at: float, by: str = "") -> int:
        """Write entries; `StoreError` names ids that are there already."""
        work = self._modules().revocation_rows
        done: int = self._database.write(lambda: work.revoke(self._alias, entries, at, by))
        return done

    def lift(self, ids: Sequence[str], *, at: float) -> int:
        """Lift entries; `StoreError` names ids that do not stand."""
        work = self._modules().revocation_rows
        done: int = self._database.write(lambda: work.lift(self._alias, ids, at))
        return done

    def revocations(self, *, lifted: bool = False) -> Iterator[StoredRevocation]:
        """Entries in order."""
        work = self._modules().revocation_rows
        rows = self._database.stream_rows(lambda: work.select_revocations(self._alias, lifted=lifted))
        return (work.stored_revocation(row) for row in rows)

    def record(self, batch: UsageBatch) -> bool:
        """Add a batch, once."""
        work, now = self._modules().usage_rows, self._clock()
        # It may have to be read twice.
        batch = replace(
            batch, observed_grants=tuple(batch.observed_grants), enforcement_points=tuple(batch.enforcement_points)
        )
        try:
            added: bool = self._database.write(lambda: work.record(self._alias, batch, now))
        except work.BatchExistsError:
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
        """Rows that match."""
        filters = {
            "issuer": issuer, "subject": subject, "client": client, "permission": permission, "service": service,
        }  # fmt: skip
        work = self._modules().usage_rows
        return map(
            work.usage_row, self._database.stream_rows(lambda: work.select_usage(self._alias, filters, since, until))
        )

    def summary(self, *, until: str, since: str | None = None, issuer: str | None = None) -> Iterator[UsageSummary]:
        """Uses, added up."""
        work = self._modules().aggregates
        return map(
            work.usage_summary,
            self._database.stream_rows(lambda: work.select_summary(self._alias, until, since, issuer)),
        )

    def requested_permissions(self, *, until: str) -> Iterator[RequestedPermission]:
        """Which permissions enforcement points really asked for."""
        work = self._modules().aggregates
        return map(
            work.requested_permission, self._database.stream_rows(lambda: work.select_requested(self._alias, until))
        )

    def months(self, *, until: str) -> Iterator[MonthRow]:
        """How many uses there were, by month and outcome."""
        work = self._modules().aggregates
        months: Iterator[MonthRow] = work.monthly_totals(
            self._database.stream_rows(lambda: work.select_daily_totals(self._alias, until))
        )
        return months

    def days(
        self, *, until: str, issuer: str | None = None, subjects: Iterable[tuple[str, str]] | None = None
    ) -> Iterator[DayRow]:
        """The days on which grants were used."""
        work = self._modules().aggregates
        parts = work.select_subjects(issuer, subjects)
        return (
            DayRow(*row)
            for some in parts
            for row in self._database.stream_rows(lambda: work.select_days(self._alias, until, some))  # noqa: B023 - read at once
        )

    def observed_grants(self, *, issuer: str | None = None, subject: str | None = None) -> Iterator[ObservedGrantRow]:
        """Grants that tokens carried."""
        work = self._modules().usage_rows
        return (
            ObservedGrantRow(*row)
            for row in self._database.stream_rows(lambda: work.select_observed_grants(self._alias, issuer, subject))
        )

    def enforcement_points(self) -> Iterator[EnforcementPointRow]:
        """Enforcement points."""
        work = self._modules().usage_rows
        return (
            EnforcementPointRow(*row)
            for row in self._database.stream_rows(lambda: work.select_enforcement_points(self._alias))
        )

    def recording_periods(self) -> Iterator[RecordingPeriod]:
        """What was recorded when."""
        work = self._modules().usage_rows
        return (
            RecordingPeriod(**row)
            for row in self._database.stream_rows(lambda: work.select_recording_periods(self._alias))
        )

    def import_grants(self, held: Iterable[HeldGrant], *, as_of: str, complete: bool) -> int:
        """Import grants; one that comes twice counts once, with the day that it came with first."""
        work = self._modules().holder_rows
        # Once: what was read of `held` cannot be read again.
        count: int = self._database.write(
            lambda: work.import_held(self._alias, held, as_of, complete=complete), tries=1
        )
        return count

    def held_grants(self) -> Iterator[HeldGrantRow]:
        """Grants of the latest complete import, and of later ones."""
        work = self._modules().holder_rows
        complete: dict[str, bool] = {}

        def asked() -> Any:
            complete.update(work.import_completeness(self._alias))
            return work.select_held(self._alias)

        return (work.held_row(row, complete) for row in self._database.stream_rows(asked))

    def issuers(self) -> tuple[str, ...]:
        """Every `iss` that it knows of."""
        work = self._modules().holder_rows
        return self._database.read(lambda: work.list_issuers(self._alias))

    def record_heartbeat(self, beat: ProcessHeartbeat) -> None:
        """Write how a process stands."""
        work = self._modules().holder_rows
        self._database.write(lambda: work.write_heartbeat(self._alias, beat))

    def heartbeats(self, *, since: float) -> tuple[ProcessHeartbeat, ...]:
        """The processes that were heard of since then."""
        work = self._modules().holder_rows
        return self._database.read(lambda: work.recent_heartbeats(self._alias, since))

    def purge(self, *, before: str, now: float) -> PurgeCounts:
        """Delete what is old, a bounded number of rows in each transaction."""
        purged: PurgeCounts = self._modules().holder_rows.purge(self._database, before, now)
        return purged

    @contextmanager
    def exclusive(self, what: str, *, wait: float) -> Generator[None]:
        """Keep others out: by a lock file beside a file of SQLite, by a lock of the server elsewhere."""
        self._modules()
        name = f"{what} in {self.name}"
        # Its own connection: what is done meanwhile has transactions of its own.
        kept: Any = self._database.read(self._another)
        if kept.vendor == "sqlite":
            file = kept.settings_dict["NAME"]
            # One in memory is this process's alone.
            with nullcontext() if kept.is_in_memory_db() else hold_lock(lock_path(file), name, wait=wait):
                yield
            return
        statements = _LOCKS.get(kept.vendor)
        if statements is None:
            raise ConfigurationError(f"{self.name}: there is no lock for {what} in {kept.display_name}")
        try:
            self._database.read(lambda: _take(kept, statements, name, wait))
            yield
        finally:
            # Whoever was cut off holds nothing any more, and what was done meanwhile is done.
            with suppress(Error):
                kept.close()

    def close(self) -> None:
        """Give this thread's connection back; may be called repeatedly. Other threads gave theirs back already."""
        self._database.close()

    def _applied_migrations(self) -> int:
        from django.db.migrations.recorder import MigrationRecorder

        def counted() -> int:
            applied = MigrationRecorder(connections[self._alias]).applied_migrations()
            return sum(app == _APP for app, _ in applied)

        return self._database.read(counted)

    def _another(self) -> Any:
        return connections[self._alias].copy()

    def _modules(self) -> _StoreModules:
        """What the store does, module by module: models can be imported once Django is set up, and not before."""
        self._database.ensure_ready()
        from jwt_lp_django import aggregates, holder_rows, revocation_rows, usage_rows

        return _StoreModules(revocation_rows, usage_rows, holder_rows, aggregates)
