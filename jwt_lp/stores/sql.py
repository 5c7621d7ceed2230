"""How are usage and revocation kept in SQLite and PostgreSQL?

One implementation in SQLAlchemy Core. What each method asks the database is in the modules beside this one.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from jwt_lp.stores import _known, _purge, _recorded, _revocations, _summed, _tables
from jwt_lp.stores._added import by_month
from jwt_lp.stores._engine import Database, rows

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence
    from contextlib import AbstractContextManager

    from jwt_lp.revocation import Changes, Entry
    from jwt_lp.stores.values import (
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
        Summary,
        UsageRow,
    )


class SqlStore:
    """The store in a database, as `Store` promises. `clock` gives seconds since the epoch.

    A file of SQLite is made, with its tables, when something is first written; before that it reads as empty. In
    PostgreSQL only `migrate` makes tables.
    """

    def __init__(self, url: str, *, clock: Callable[[], float] = time.time) -> None:
        self._database = Database(url)
        self._clock = clock

    def __repr__(self) -> str:
        return f"<SqlStore {self.name}>"

    @property
    def name(self) -> str:
        """Its URL without a password."""
        return self._database.name

    def migrate(self) -> tuple[int, int]:
        """Bring its tables to this release's."""
        with self._database.write(patient=True, check=False) as connection:
            return _tables.bring(connection, self.name), _tables.VERSION

    def changes(self, since: int) -> Changes:
        """A page of what changed after `since`."""
        with self._database.read() as connection:
            return _revocations.changes(connection, since)

    def revoke(self, entries: Sequence[Entry], *, at: float, by: str = "") -> int:
        """Write entries; `StoreError` names ids that are there already."""
        with self._database.write() as connection:
            return _revocations.revoke(connection, entries, at, by)

    def lift(self, ids: Sequence[str], *, at: float) -> int:
        """Lift entries; `StoreError` names ids that do not stand."""
        with self._database.write() as connection:
            return _revocations.lift(connection, ids, at)

    def revocations(self, *, lifted: bool = False) -> Iterator[Recorded]:
        """Entries in order."""
        return map(_revocations.recorded, rows(self._database, _revocations.all_of(lifted=lifted)))

    def record(self, batch: Batch) -> bool:
        """Add a batch, once."""
        with self._database.write() as connection:
            return _recorded.record(connection, batch, self._clock())

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
        return map(_recorded.used, rows(self._database, _recorded.uses(filters, since, until)))

    def summary(self, *, until: str, since: str | None = None, issuer: str | None = None) -> Iterator[Summary]:
        """Uses, added up."""
        return map(_summed.summary, _summed.rows(self._database, _summed.summing(until, since, issuer)))

    def asked(self, *, until: str) -> Iterator[Asking]:
        """Which permissions enforcement points really asked for."""
        return map(_summed.asking, _summed.rows(self._database, _summed.asked(until)))

    def months(self, *, until: str) -> Iterator[MonthRow]:
        """How many uses there were, by month and outcome."""
        return by_month(_summed.rows(self._database, _summed.daily(until)))

    def days(
        self, *, until: str, issuer: str | None = None, subjects: Iterable[tuple[str, str]] | None = None
    ) -> Iterator[DayRow]:
        """The days on which grants were used."""
        return map(_summed.day, _summed.rows(self._database, *_summed.days(until, issuer, subjects)))

    def sightings(self, *, issuer: str | None = None, subject: str | None = None) -> Iterator[SightingRow]:
        """Grants that tokens carried."""
        return map(_recorded.sighting, rows(self._database, _recorded.sighted(issuer, subject)))

    def points(self) -> Iterator[PointRow]:
        """Enforcement points."""
        return map(_recorded.point, rows(self._database, _recorded.pointed()))

    def runs(self) -> Iterator[Run]:
        """What was recorded when."""
        return map(_recorded.run_of, rows(self._database, _recorded.ran()))

    def hold(self, held: Iterable[Held], *, as_of: str, complete: bool) -> int:
        """Import grants; one that comes twice counts once, with the day that it came with first."""
        with self._database.write(patient=True) as connection:
            return _known.hold(connection, held, as_of, complete=complete)

    def held(self) -> Iterator[HeldRow]:
        """Grants of the latest complete import, and of later ones."""
        return map(_known.held_of, rows(self._database, _known.holding()))

    def issuers(self) -> tuple[str, ...]:
        """Every `iss` that it knows of."""
        with self._database.read() as connection:
            return _known.issuers(connection)

    def beat(self, beat: Beat) -> None:
        """Write how a process stands."""
        with self._database.write() as connection:
            _known.beat(connection, beat)

    def beats(self, *, since: float) -> tuple[Beat, ...]:
        """The processes that were heard of since then."""
        with self._database.read() as connection:
            return _known.beating(connection, since)

    def purge(self, *, before: str, now: float) -> Purged:
        """Delete what is old, a bounded number of rows in each transaction."""
        return _purge.purge(self._database, before, now)

    def alone(self, what: str, *, wait: float) -> AbstractContextManager[None]:
        """Keep others out: by a lock file beside a file of SQLite, by an advisory lock in PostgreSQL."""
        return self._database.alone(what, wait)

    def close(self) -> None:
        """Give connections back; may be called repeatedly."""
        self._database.close()
