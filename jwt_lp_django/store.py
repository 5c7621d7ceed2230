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
from jwt_lp._lock import lock_of, locked
from jwt_lp.stores import (
    Asking,
    Batch,
    Beat,
    DayRow,
    Held,
    HeldRow,
    MonthRow,
    PointRow,
    Purged,
    Recorded,
    Run,
    SightingRow,
    Store,
    Summary,
    UsageRow,
)
from jwt_lp.stores._alone import POSTGRESQL, Statements, take
from jwt_lp_django.database import Database

if TYPE_CHECKING:
    from jwt_lp.revocation import Changes, Entry

_APP: Final = "jwt_lp_django"
_ALIAS: Final = re.compile(r"[A-Za-z0-9_.-]+")

# The name of a lock is one in all of a server of MariaDB; it is held by the connection.
_NAME: Final = "CONCAT('jwt-lp:', LEFT(DATABASE(), 50))"
_LOCKS: Final = {
    "postgresql": POSTGRESQL,
    "mysql": Statements(
        "SELECT %s", f"SELECT GET_LOCK({_NAME}, 0)", f"SELECT CONCAT('connection ', IS_USED_LOCK({_NAME}))"
    ),
}


class _Work(NamedTuple):
    revoked: Any
    recorded: Any
    known: Any
    summed: Any


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


def _take(kept: Any, statements: Statements, what: str, wait: float) -> None:
    """Take the lock in a transaction that stays open as long as the connection."""
    kept.set_autocommit(False)
    with kept.cursor() as cursor:

        def ask(said: str, values: tuple[str, ...]) -> object:
            cursor.execute(said, values)
            return cursor.fetchone()[0]

        take(ask, statements, what, wait)


class DjangoStore:
    """The store in a database of `DATABASES`, as `Store` promises. `clock` gives seconds since the epoch.

    What writes has a transaction of its own: within one of the caller's it raises `StoreError`.
    """

    def __init__(self, alias: str = "default", *, clock: Callable[[], float] = time.time) -> None:
        self._alias = alias
        self._database = Database(alias)
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

        self._ready()
        before = self._applied()
        self._database.read(lambda: call_command("migrate", _APP, database=self._alias, interactive=False, verbosity=0))
        return before, self._applied()

    def changes(self, since: int) -> Changes:
        """A page of what changed after `since`."""
        work = self._ready().revoked
        done: Changes = self._database.read(lambda: work.changes(self._alias, since))
        return done

    def revoke(self, entries: Sequence[Entry], *, at: float, by: str = "") -> int:
        """Write entries; `StoreError` names ids that are there already."""
        work = self._ready().revoked
        done: int = self._database.write(lambda: work.revoke(self._alias, entries, at, by))
        return done

    def lift(self, ids: Sequence[str], *, at: float) -> int:
        """Lift entries; `StoreError` names ids that do not stand."""
        work = self._ready().revoked
        done: int = self._database.write(lambda: work.lift(self._alias, ids, at))
        return done

    def revocations(self, *, lifted: bool = False) -> Iterator[Recorded]:
        """Entries in order."""
        work = self._ready().revoked
        rows = self._database.rows(lambda: work.all_of(self._alias, lifted=lifted))
        return (work.recorded(row) for row in rows)

    def record(self, batch: Batch) -> bool:
        """Add a batch, once."""
        work, now = self._ready().recorded, self._clock()
        # It may have to be read twice.
        batch = replace(batch, sightings=tuple(batch.sightings), points=tuple(batch.points))
        try:
            added: bool = self._database.write(lambda: work.record(self._alias, batch, now))
        except work.ThereError:
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
        work = self._ready().recorded
        return map(work.used, self._database.rows(lambda: work.uses(self._alias, filters, since, until)))

    def summary(self, *, until: str, since: str | None = None, issuer: str | None = None) -> Iterator[Summary]:
        """Uses, added up."""
        work = self._ready().summed
        return map(work.summary, self._database.rows(lambda: work.summing(self._alias, until, since, issuer)))

    def asked(self, *, until: str) -> Iterator[Asking]:
        """Which permissions enforcement points really asked for."""
        work = self._ready().summed
        return map(work.asking, self._database.rows(lambda: work.asked(self._alias, until)))

    def months(self, *, until: str) -> Iterator[MonthRow]:
        """How many uses there were, by month and outcome."""
        work = self._ready().summed
        months: Iterator[MonthRow] = work.months(self._database.rows(lambda: work.daily(self._alias, until)))
        return months

    def days(
        self, *, until: str, issuer: str | None = None, subjects: Iterable[tuple[str, str]] | None = None
    ) -> Iterator[DayRow]:
        """The days on which grants were used."""
        work = self._ready().summed
        parts = work.parts(issuer, subjects)
        return (
            DayRow(*row)
            for some in parts
            for row in self._database.rows(lambda: work.days(self._alias, until, some))  # noqa: B023 - read at once
        )

    def sightings(self, *, issuer: str | None = None, subject: str | None = None) -> Iterator[SightingRow]:
        """Grants that tokens carried."""
        work = self._ready().recorded
        return (SightingRow(*row) for row in self._database.rows(lambda: work.sighted(self._alias, issuer, subject)))

    def points(self) -> Iterator[PointRow]:
        """Enforcement points."""
        work = self._ready().recorded
        return (PointRow(*row) for row in self._database.rows(lambda: work.pointed(self._alias)))

    def runs(self) -> Iterator[Run]:
        """What was recorded when."""
        work = self._ready().recorded
        return (Run(**row) for row in self._database.rows(lambda: work.ran(self._alias)))

    def hold(self, held: Iterable[Held], *, as_of: str, complete: bool) -> int:
        """Import grants; one that comes twice counts once, with the day that it came with first."""
        work = self._ready().known
        # Once: what was read of `held` cannot be read again.
        count: int = self._database.write(lambda: work.hold(self._alias, held, as_of, complete=complete), tries=1)
        return count

    def held(self) -> Iterator[HeldRow]:
        """Grants of the latest complete import, and of later ones."""
        work = self._ready().known
        complete: dict[str, bool] = {}

        def asked() -> Any:
            complete.update(work.completeness(self._alias))
            return work.holding(self._alias)

        return (work.held_of(row, complete) for row in self._database.rows(asked))

    def issuers(self) -> tuple[str, ...]:
        """Every `iss` that it knows of."""
        work = self._ready().known
        return self._database.read(lambda: work.issuers(self._alias))

    def beat(self, beat: Beat) -> None:
        """Write how a process stands."""
        work = self._ready().known
        self._database.write(lambda: work.beat(self._alias, beat))

    def beats(self, *, since: float) -> tuple[Beat, ...]:
        """The processes that were heard of since then."""
        work = self._ready().known
        return self._database.read(lambda: work.beating(self._alias, since))

    def purge(self, *, before: str, now: float) -> Purged:
        """Delete what is old, a bounded number of rows in each transaction."""
        purged: Purged = self._ready().known.purge(self._database, before, now)
        return purged

    @contextmanager
    def alone(self, what: str, *, wait: float) -> Generator[None]:
        """Keep others out: by a lock file beside a file of SQLite, by a lock of the server elsewhere."""
        self._ready()
        name = f"{what} in {self.name}"
        # Its own connection: what is done meanwhile has transactions of its own.
        kept: Any = self._database.read(self._another)
        if kept.vendor == "sqlite":
            file = kept.settings_dict["NAME"]
            # One in memory is this process's alone.
            with nullcontext() if kept.is_in_memory_db() else locked(lock_of(file), name, wait=wait):
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

    def _applied(self) -> int:
        from django.db.migrations.recorder import MigrationRecorder

        def counted() -> int:
            applied = MigrationRecorder(connections[self._alias]).applied_migrations()
            return sum(app == _APP for app, _ in applied)

        return self._database.read(counted)

    def _another(self) -> Any:
        return connections[self._alias].copy()

    def _ready(self) -> _Work:
        """What the store does, module by module: models can be imported once Django is set up, and not before."""
        self._database.set_up()
        from jwt_lp_django import known, recorded, revoked, summed

        return _Work(revoked, recorded, known, summed)
