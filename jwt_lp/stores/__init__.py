"""Stores for usage, revocations, refresh tokens, elevations and campaigns: protocols, SQL, Parquet, and push over Redis.

One small synchronous protocol, with one each for sign-in, elevations, campaigns and the look-ups of pages. Serving processes call `changes`, `record` and `record_heartbeat` from
their background thread, never during a request; commands call the rest. Days are ISO dates in UTC, times are seconds since the epoch.
"""

from __future__ import annotations

import re
from importlib.metadata import entry_points
from typing import TYPE_CHECKING, Final, Protocol, TypeGuard, cast

from jwt_lp._support.validation import did_you_mean, quote_text
from jwt_lp.errors import ConfigurationError, clears_locals
from jwt_lp.stores.audit import Actor, AuditEntry, AuditFilter, WantedEntry
from jwt_lp.stores.campaigns import (
    Campaign,
    CampaignItem,
    CampaignPart,
    CampaignStore,
    DecideResult,
    ItemDecision,
    ItemFilter,
    WantedDecision,
)
from jwt_lp.stores.elevations import Elevation, ElevationChange, ElevationFilter, ElevationStep, ElevationStore
from jwt_lp.stores.families import FamilyEnding, RefreshFamily, SignInStore
from jwt_lp.stores.lookups import (
    EndpointUse,
    FoundHolder,
    FoundName,
    FoundUses,
    HolderCount,
    HolderGrant,
    HolderUse,
    LookupStore,
    PermissionDay,
    RevocationFilter,
    UseDay,
)
from jwt_lp.stores.rows import (
    DayRow,
    EnforcementPoint,
    EnforcementPointRow,
    HeldGrant,
    HeldGrantRow,
    LaterUse,
    MonthRow,
    ObservedGrant,
    ObservedGrantRow,
    ProcessHeartbeat,
    PurgeCounts,
    RecordingPeriod,
    RequestedPermission,
    ReviewedHolder,
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
    "Actor",
    "AuditEntry",
    "AuditFilter",
    "Campaign",
    "CampaignItem",
    "CampaignPart",
    "CampaignStore",
    "DayRow",
    "DecideResult",
    "Elevation",
    "ElevationChange",
    "ElevationFilter",
    "ElevationStep",
    "ElevationStore",
    "EndpointUse",
    "EnforcementPoint",
    "EnforcementPointRow",
    "FamilyEnding",
    "FoundHolder",
    "FoundName",
    "FoundUses",
    "HeldGrant",
    "HeldGrantRow",
    "HolderCount",
    "HolderGrant",
    "HolderUse",
    "ItemDecision",
    "ItemFilter",
    "LaterUse",
    "LookupStore",
    "MonthRow",
    "ObservedGrant",
    "ObservedGrantRow",
    "PermissionDay",
    "ProcessHeartbeat",
    "PurgeCounts",
    "RecordingPeriod",
    "RefreshFamily",
    "RequestedPermission",
    "ReviewedHolder",
    "RevocationFilter",
    "SignInStore",
    "Store",
    "StoredRevocation",
    "UsageAggregates",
    "UsageBatch",
    "UsageOutcome",
    "UsageRow",
    "UsageSummary",
    "Use",
    "UseDay",
    "WantedDecision",
    "WantedEntry",
    "open_store",
]

_SCHEME: Final = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*(?=:)")
_SQL_SCHEMES: Final = ("postgresql", "postgresql+psycopg", "sqlite")


class UsageAggregates(Protocol):
    """What reviews and backtests read of recorded usage: sums over its rows, and days of use.

    Every store has it. Another engine over the same rows of usage implements these members and nothing else. Days are
    ISO dates in UTC, and `until` is a day that is included; `ValueError` for a text that is not a date. The rows
    come as an iterator that holds a bounded part of them in memory, in the order of their members, where texts compare
    by code point.

    For any rows of usage and any `until`, the results are those of one scan of the rows up to that day. A row of usage
    is a `UsageRow`; no two have the same `use`, and each has a count of 1 or more.
    """

    @property
    def name(self) -> str:
        """Its name in messages: its URL without a password, or its path."""
        ...

    def summary(self, *, until: str, issuer: str | None = None) -> Iterator[UsageSummary]:
        """Uses up to a day, added up over days, services, endpoints and requirements; of one issuer, if given.

        One row for each issuer, subject, client, role, permission, grant and outcome. `uses` is the sum of the counts;
        `days` is the number of rows behind it, but at most the days from the first to the last.
        """
        ...

    def requested_permissions(self, *, until: str) -> Iterator[RequestedPermission]:
        """The permissions that enforcement points asked for up to a day.

        One row for each service, endpoint, method, requirement and permission. `uses` counts the outcome `granted`,
        `refused` the outcomes `denied` and `revoked`; `last_day` is the last day of any outcome.
        """
        ...

    def months(self, *, until: str) -> Iterator[MonthRow]:
        """The number of uses by month and outcome, up to a day."""
        ...

    def days(
        self, *, until: str, issuer: str | None = None, subjects: Iterable[tuple[str, str]] | None = None
    ) -> Iterator[DayRow]:
        """The days up to a day on which standing grants were used (outcome `granted`), each once.

        Use by an elevation is left out.

        `issuer` limits them to one issuer, `subjects` to these pairs of issuer and subject.
        """
        ...

    def recording_periods(self) -> Iterator[RecordingPeriod]:
        """The recording periods, oldest first, each with how many decisions were dropped."""
        ...


class Store(UsageAggregates, SignInStore, ElevationStore, CampaignStore, LookupStore, Protocol):
    """Storage of usage, revocations, imported grants, heartbeats, families of refresh tokens, elevations and campaigns.

    It keeps the sums of `UsageAggregates` beside the rows of usage: every change of the rows changes them in the same
    transaction.

    Every method is atomic and safe to call from several threads and processes. Raises `StoreError` if the store cannot
    be reached or does not answer; the message says what to do and holds no password. Raises `ConfigurationError` if
    its tables are missing or belong to another release (`jwt-lp store migrate`).
    """

    def migrate(self) -> tuple[int, int]:
        """Bring the tables to this release's version; return the versions before (0 for none) and after."""
        ...

    def changes(self, since: int) -> RevocationChanges:
        """One page of what was revoked, lifted, granted by an elevation, or ended after sequence number `since`.

        It is in the order of the commits. Grants that were over a day ago may be left out.
        """
        ...

    def revoke(self, entries: Sequence[RevocationEntry], *, at: float, by: str = "") -> int:
        """Write all entries or none; return the sequence number that a process must have reached to know them."""
        ...

    def lift(self, ids: Sequence[str], *, at: float) -> int:
        """Lift all of these entries or none; return the sequence number. `StoreError` names ids not in force."""
        ...

    def revocations(self, *, lifted: bool = False) -> Iterator[StoredRevocation]:
        """The entries in force, or with `lifted` all entries, in the order of their writing."""
        ...

    def record(self, batch: UsageBatch) -> bool:
        """Add a batch. False if it was added before; then nothing changes."""
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
        """Rows that match, from day `since` to day `until` (both included), ordered by issuer, subject and the rest.

        They are streamed: the iterator holds a bounded part of them in memory.
        """
        ...

    def later_uses(self, holders: Iterable[ReviewedHolder], *, at: float) -> Iterator[LaterUse]:
        """What these holders used (outcome `granted`) since a review that was made at the time `at`.

        That is on a day after the last one that the review knew, or after that time. There may be more rows: a caller
        that looks for one holder compares day and time itself.
        """
        ...

    def observed_grants(self, *, issuer: str | None = None, subject: str | None = None) -> Iterator[ObservedGrantRow]:
        """The grants that tokens carried, streamed, ordered by issuer and subject."""
        ...

    def enforcement_points(self) -> Iterator[EnforcementPointRow]:
        """The enforcement points that were seen."""
        ...

    def import_grants(self, held: Iterable[HeldGrant], *, as_of: str, complete: bool) -> int:
        """Import grants as of a day in one transaction, replacing an import of the same day; return how many."""
        ...

    def held_grants(self) -> Iterator[HeldGrantRow]:
        """The grants of the latest complete import, and of any later ones, streamed, ordered by issuer and subject."""
        ...

    def issuers(self) -> tuple[str, ...]:
        """Every `iss` in usage, observed grants, imports or revocations."""
        ...

    def record_heartbeat(self, beat: ProcessHeartbeat) -> None:
        """Write the status of a process, replacing its previous one."""
        ...

    def heartbeats(self, *, since: float) -> tuple[ProcessHeartbeat, ...]:
        """The latest status of each process that wrote one at `since` or later."""
        ...

    def purge(self, *, before: str, now: float) -> PurgeCounts:
        """Delete usage, observed grants, enforcement points and recording periods that ended before a day.

        Also deletes entries that ended or were lifted long ago, expired families of refresh tokens, and heartbeats and
        batch ids that are no longer needed. Ids of imported files stay, and so do campaigns and the audit trail. It
        deletes in parts, so that no writer waits long; an interrupted purge can be repeated.
        """
        ...

    def check_sums(self) -> int:
        """The number of sums that are not those of their rows: 0, unless something else changed the tables.

        It reads every row, and holds up no writer.
        """
        ...

    def rebuild_sums(self) -> None:
        """Make all sums anew from the rows, while others write. It works in parts; it can be interrupted and repeated."""
        ...

    def exclusive(self, what: str, *, wait: float) -> AbstractContextManager[None]:
        """Hold the store's only lock for `what`, such as applying a plan, until the `with` block ends.

        The lock holds on every machine that uses the store. `PolicyError` names its holder after `wait` seconds. It is
        freed when the holder's process, or its connection, ends. No other method waits for it.
        """
        ...

    def close(self) -> None:
        """Close the connections; may be called repeatedly."""
        ...


@clears_locals
def open_store(url: str) -> Store:
    """The store at `url`.

    `sqlite:///file.db` and `sqlite:////absolute/file.db` are one file on one machine, created by the first write;
    `postgresql://user:password@host/database` is a database that several machines share, through psycopg 3; another
    scheme, such as `django:default`, names an installed adapter's store (entry-point group `jwt_lp.stores`, each a
    callable that takes the URL).

    Raises `ConfigurationError` for a malformed URL, for an unknown scheme, and for a missing library, with the extra
    that installs it. It opens no connection yet.
    """
    match = _SCHEME.match(url)
    if match is None:
        # INVARIANT: the message shows nothing of the URL but its scheme, because any other part may hold a password.
        raise ConfigurationError(
            "the store is named by a URL, such as sqlite:///jwt-lp.db or postgresql://user@host/database, and this "
            "one has no scheme"
        )
    scheme = match[0].lower()
    if scheme in _SQL_SCHEMES:
        return _open_sql_store(url)
    points = {point.name: point for point in entry_points(group="jwt_lp.stores")}
    if scheme not in points:
        raise ConfigurationError(f"no store serves {quote_text(scheme)}: URLs{_scheme_hint(scheme, points)}")
    try:
        make = cast("Callable[[str], Store]", points[scheme].load())
    except ModuleNotFoundError as error:
        raise ConfigurationError(f"{scheme}: URLs need {error.name}, which is not installed") from None
    return make(url)


def _open_sql_store(url: str) -> Store:
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
    return not isinstance(value, str) and all(callable(getattr(value, method, None)) for method in _STORE_METHODS)


_STORE_METHODS: Final = ("changes", "record", "record_heartbeat", "close")
