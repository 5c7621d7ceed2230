"""Stores for usage and revocations: the protocol, SQL, and push over Redis.

One small synchronous protocol. Serving processes call `changes`, `record` and `beat` from their background thread,
never on the way of a request; commands call the rest. Days are ISO dates in UTC, times seconds since the epoch.
"""

from __future__ import annotations

import re
from importlib.metadata import entry_points
from typing import TYPE_CHECKING, Final, Protocol, TypeGuard, cast

from jwt_lp._support.validation import did_you_mean, quote_text
from jwt_lp.errors import ConfigurationError, clears_locals
from jwt_lp.stores.rows import (
    DayRow,
    EnforcementPoint,
    EnforcementPointRow,
    HeldGrant,
    HeldGrantRow,
    MonthRow,
    ObservedGrant,
    ObservedGrantRow,
    ProcessHeartbeat,
    PurgeCounts,
    RecordingPeriod,
    RequestedPermission,
    StoredRevocation,
    UsageBatch,
    UsageOutcome,
    UsageRow,
    UsageSummary,
    Use,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence
    from contextlib import AbstractContextManager

    from jwt_lp.revocation.entries import RevocationChanges, RevocationEntry

__all__ = [
    "DayRow",
    "EnforcementPoint",
    "EnforcementPointRow",
    "HeldGrant",
    "HeldGrantRow",
    "MonthRow",
    "ObservedGrant",
    "ObservedGrantRow",
    "ProcessHeartbeat",
    "PurgeCounts",
    "RecordingPeriod",
    "RequestedPermission",
    "Store",
    "StoredRevocation",
    "UsageBatch",
    "UsageOutcome",
    "UsageRow",
    "UsageSummary",
    "Use",
    "open_store",
]

_SCHEME: Final = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*(?=:)")
_SQL: Final = ("postgresql", "postgresql+psycopg", "sqlite")


class Store(Protocol):
    """Where usage, revocations and what they are held against are kept.

    Every method is atomic and safe to call from several threads and processes. `StoreError` for a store that cannot
    be had or does not answer, with what to do and without a password; `ConfigurationError` where its tables are
    missing or of another release (`jwt-lp store migrate`).
    """

    @property
    def name(self) -> str:
        """What it is called in messages: its URL without a password."""
        ...

    def migrate(self) -> tuple[int, int]:
        """Bring its tables to this release's; gives the versions before (0 for none) and after."""
        ...

    def changes(self, since: int) -> RevocationChanges:
        """What was revoked or lifted after `since`, a page of it, in the order of the commits."""
        ...

    def revoke(self, entries: Sequence[RevocationEntry], *, at: float, by: str = "") -> int:
        """Write entries, all or none; gives the sequence number that a process must have reached to know them."""
        ...

    def lift(self, ids: Sequence[str], *, at: float) -> int:
        """Lift standing entries, all or none (`StoreError` names ids that are not standing); gives the sequence."""
        ...

    def revocations(self, *, lifted: bool = False) -> Iterator[StoredRevocation]:
        """The entries that stand, or with `lifted` all there are, in order."""
        ...

    def record(self, batch: UsageBatch) -> bool:
        """Add a batch; False where it was added before, and nothing is then changed."""
        ...

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
        """Rows that match, from `since` to `until` (days, both included), ordered by issuer, subject and the rest.

        They are streamed: the iterator holds a bounded part of them in memory.
        """
        ...

    def summary(self, *, until: str, since: str | None = None, issuer: str | None = None) -> Iterator[UsageSummary]:
        """Uses up to and including the day `until`, added up over days, services and endpoints.

        Streamed, ordered by issuer, subject and the rest.
        """
        ...

    def requested_permissions(self, *, until: str) -> Iterator[RequestedPermission]:
        """Which permissions enforcement points really asked for, up to and including `until`, in order."""
        ...

    def months(self, *, until: str) -> Iterator[MonthRow]:
        """How many uses there were, by month and outcome, in order, up to and including the day `until`."""
        ...

    def days(
        self, *, until: str, issuer: str | None = None, subjects: Iterable[tuple[str, str]] | None = None
    ) -> Iterator[DayRow]:
        """The days on which grants were used, each once, streamed, ordered by issuer, subject, grant and day.

        Of an issuer, or of `subjects` alone, each with its issuer.
        """
        ...

    def observed_grants(self, *, issuer: str | None = None, subject: str | None = None) -> Iterator[ObservedGrantRow]:
        """Grants that tokens carried, streamed, ordered by issuer and subject."""
        ...

    def enforcement_points(self) -> Iterator[EnforcementPointRow]:
        """Enforcement points that were seen."""
        ...

    def recording_periods(self) -> Iterator[RecordingPeriod]:
        """What was recorded when, and what was dropped, oldest first."""
        ...

    def import_grants(self, held: Iterable[HeldGrant], *, as_of: str, complete: bool) -> int:
        """Import grants as of a day, replacing an import of the same day; gives how many. One transaction."""
        ...

    def held_grants(self) -> Iterator[HeldGrantRow]:
        """The grants of the latest complete import, and of any later ones, streamed, ordered by issuer and subject."""
        ...

    def issuers(self) -> tuple[str, ...]:
        """Every `iss` that it knows of, from usage, sightings, imports or revocations."""
        ...

    def record_heartbeat(self, beat: ProcessHeartbeat) -> None:
        """Write how a process stands, in place of what it said before."""
        ...

    def heartbeats(self, *, since: float) -> tuple[ProcessHeartbeat, ...]:
        """The processes that were heard of since then."""
        ...

    def purge(self, *, before: str, now: float) -> PurgeCounts:
        """Delete what is old: usage, sightings, points and runs that ended before a day.

        And entries that ended or were lifted long ago, beats and batch ids that nobody will ask for again. Ids of
        imported files stay. It goes in parts, so that nobody waits for it; what was begun can be done again.
        """
        ...

    def exclusive(self, what: str, *, wait: float) -> AbstractContextManager[None]:
        """Keep others that ask for the same out of `what`, such as applying a plan, until the `with` ends.

        On every machine that uses the store. `PolicyError` names who is at it after `wait` seconds. It is free again
        when its process, or the connection to it, ends. No other method waits for it.
        """
        ...

    def close(self) -> None:
        """Give connections back; may be called repeatedly."""
        ...


@clears_locals
def open_store(url: str) -> Store:
    """The store at `url`.

    `sqlite:///file.db` and `sqlite:////absolute/file.db` are one file on one machine, made when first written to;
    `postgresql://user:password@host/database` is a database that several machines share, through psycopg 3; another
    scheme, such as `django:default`, names an installed adapter's store (entry-point group `jwt_lp.stores`, each a
    callable that takes the URL).

    `ConfigurationError` for a URL that is none, for a scheme nobody serves, and where a library is missing, with the
    extra that brings it. Nothing is connected to yet.
    """
    found = _SCHEME.match(url)
    if found is None:
        # INVARIANT: of the URL nothing is shown but its scheme; anywhere else a password may stand.
        raise ConfigurationError(
            "the store is named by a URL, such as sqlite:///jwt-lp.db or postgresql://user@host/database, and this "
            "one has no scheme"
        )
    scheme = found[0].lower()
    if scheme in _SQL:
        return _sql(url)
    points = {point.name: point for point in entry_points(group="jwt_lp.stores")}
    if scheme not in points:
        raise ConfigurationError(f"no store serves {quote_text(scheme)}: URLs{_scheme_hint(scheme, points)}")
    try:
        make = cast("Callable[[str], Store]", points[scheme].load())
    except ModuleNotFoundError as error:
        raise ConfigurationError(f"{scheme}: URLs need {error.name}, which is not installed") from None
    return make(url)


def _sql(url: str) -> Store:
    try:
        from jwt_lp.stores.sql import SqlStore

        return SqlStore(url)
    except ImportError as error:
        if error.name is not None and error.name.partition(".")[0] == "jwt_lp":
            raise
        # psycopg without its binary part names no module
        missing = (error.name or "psycopg").partition(".")[0]
        raise ConfigurationError(f'the store needs {missing}: pip install "jwt-lp[sql]"') from None


def _scheme_hint(scheme: str, points: Iterable[str]) -> str:
    if scheme.partition("+")[0] == "postgres":
        return "; write postgresql:// instead"
    if scheme.startswith("postgresql+"):
        return "; write postgresql://, which means psycopg 3"
    known = sorted({"sqlite", "postgresql", *points})
    return did_you_mean(scheme, known) or f"; there are {', '.join(known)}"


def is_store(value: object) -> TypeGuard[Store]:
    """Whether it is a store rather than the URL of one."""
    return not isinstance(value, str) and all(callable(getattr(value, each, None)) for each in _STORE_METHODS)


_STORE_METHODS: Final = ("changes", "record", "record_heartbeat", "close")
