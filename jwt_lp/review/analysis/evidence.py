"""Evidence about each holder: imported grants, grants seen in tokens, and usage.

The store gives each of the three as an ordered stream, which is read one holder at a time.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import date
from functools import lru_cache
from itertools import groupby
from sys import intern
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from jwt_lp.permissions.patterns import is_elevation

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from jwt_lp.stores import HeldGrantRow, ObservedGrantRow, RecordingPeriod, UsageSummary

WHOLE_ROLE: Final = ""
"""The grant of a role whose grants are unknown."""


@lru_cache(maxsize=65536)
def ordinal(day: str) -> int:
    """The number of an ISO day."""
    return date.fromisoformat(day).toordinal()


def iso_day(number: int) -> str:
    """The ISO day of a number; "" for 0."""
    return date.fromordinal(number).isoformat() if number else ""


@dataclass(slots=True)
class GrantPath:
    """One grant that a holder has, directly (`role` is "") or through a role, and its use.

    Days are ordinals, 0 for none. `granted` is the day of the grant by an import, `since` the first day and `seen` the
    last day on which it was seen. `used` has the last day of use for each permission that the grant served.
    """

    role: str
    grant: str
    granted: int = 0
    since: int = 0
    seen: int = 0
    uses: int = 0
    days: int = 0
    first: int = 0
    last: int = 0
    used: dict[str, int] = field(default_factory=dict[str, int])

    @property
    def held_since(self) -> int:
        """The day since when it is held, as far as is known; a renewed grant counts as new."""
        return self.granted or self.since

    def add_held_days(self, since: int, seen: int) -> None:
        """Record that it was held from `since` to `seen`."""
        self.since = min(self.since or since, since or self.since)
        self.seen = max(self.seen, seen)

    def add_use(self, row: UsageSummary, first: int, last: int) -> None:
        """Add a row of usage with its first and last day."""
        self.uses += row.uses
        # Comparisons instead of `min` and `max`, which are slower, for each of a million rows.
        if first < self.first or not self.first:
            self.first = first
        self.last = max(self.last, last)
        # One day may be in several rows, so the count is capped by the days between.
        days, most = self.days + row.days, self.last - self.first + 1
        self.days = min(most, days)
        self.used[row.permission] = max(last, self.used.get(row.permission, 0))


class RefusalCount(NamedTuple):
    """The number of refusals of a permission, and the day of the last one."""

    times: int
    last: int


@dataclass(slots=True)
class ElevatedPermission:
    """What one subject used of one permission by elevations. Days are ordinals."""

    elevations: set[str] = field(default_factory=set[str])
    days: set[int] = field(default_factory=set[int])
    uses: int = 0

    def add(self, row: UsageSummary, first: int, last: int) -> None:
        """Add a row of usage with its first and last day; the store keeps a row for each elevation."""
        self.elevations.add(row.role)
        self.uses += row.uses
        self.days.update((first, last))

    def weeks(self, now: int, watched: int) -> int:
        """In how many of the `watched` weeks it was used; the last of them ends on the day `now`."""
        return len({age for day in self.days if (age := (now - day) // 7) < watched})


@dataclass(slots=True)
class Holder:
    """A subject of an issuer, with its grants. `subject` is "" where the store records no subjects.

    `paths` are standing grants. `elevated` has what was used by elevations, by permission.
    """

    issuer: str
    subject: str
    paths: dict[tuple[str, str], GrantPath] = field(default_factory=dict[tuple[str, str], GrantPath])
    denied: dict[str, RefusalCount] = field(default_factory=dict[str, RefusalCount])
    revoked: dict[str, RefusalCount] = field(default_factory=dict[str, RefusalCount])
    clients: dict[tuple[str, str], GrantPath] = field(default_factory=dict[tuple[str, str], GrantPath])
    elevated: dict[str, ElevatedPermission] = field(default_factory=dict[str, ElevatedPermission])

    def path(self, role: str, grant: str) -> GrantPath:
        """The path of this role and grant, created if missing."""
        path = self.paths.get((role, grant))
        if path is None:
            role, grant = intern(role), intern(grant)
            path = self.paths[role, grant] = GrantPath(role, grant)
        return path


class PopulationSource(NamedTuple):
    """The source of the holders: the day of the import (0 for none), and whether the import was complete."""

    as_of: int
    complete: bool


def iter_holders(
    held: Iterable[HeldGrantRow],
    observed: Iterable[ObservedGrantRow],
    used: Iterable[UsageSummary],
    *,
    until: str,
    population: PopulationSource,
    granted: Callable[[str], tuple[str, ...] | None],
) -> Iterator[Holder]:
    """Every holder, in order of issuer and subject.

    `granted` gives the grants of a role, None for an unknown role. A grant that a complete import does not list, and
    that was last seen on its day or before, is not held any more. Rows after the day `until` are left out.
    """
    end = ordinal(until)
    for issuer, subject, (imports, sightings, uses) in _merge_streams(
        groupby(held, key=_held_key), groupby(observed, key=_row_key), groupby(used, key=_row_key)
    ):
        holder = Holder(issuer, subject)
        for row in imports:
            _add_held(holder, row, granted)
        for row in sightings:
            if is_elevation(row.role):
                continue
            first, last = ordinal(row.first_day), ordinal(row.last_day)
            if first <= end and not _no_longer_held(population, last, holder, row.role, row.grant):
                path = holder.path(row.role, row.grant)
                path.add_held_days(first, min(last, end))
                if row.client:
                    _client_path(holder, row.client, path.grant).add_held_days(first, min(last, end))
        for row in uses:
            _add_usage(holder, row, population)
        yield holder


def _add_held(holder: Holder, row: HeldGrantRow, granted: Callable[[str], tuple[str, ...] | None]) -> None:
    since = ordinal(row.held.since) if row.held.since else 0
    role = row.held.role
    grants: tuple[str, ...] = (row.held.grant,)
    if role and not row.held.grant:
        role_grants = granted(role)
        grants = (WHOLE_ROLE,) if role_grants is None else role_grants
    for grant in grants:
        path = holder.path(role, grant)
        path.add_held_days(since, ordinal(row.as_of))
        path.granted = max(path.granted, since)
        if row.held.client:
            _client_path(holder, row.held.client, path.grant).add_held_days(since, ordinal(row.as_of))


def _client_path(holder: Holder, client: str, grant: str) -> GrantPath:
    path = holder.clients.get((client, grant))
    if path is None:
        path = holder.clients[intern(client), grant] = GrantPath("", grant)
    return path


def _add_usage(holder: Holder, row: UsageSummary, population: PopulationSource) -> None:
    if row.outcome == "granted":
        grant, first, last = row.grant or row.permission, ordinal(row.first_day), ordinal(row.last_day)
        if is_elevation(row.role):
            holder.elevated.setdefault(intern(grant), ElevatedPermission()).add(row, first, last)
            return
        if not _no_longer_held(population, last, holder, row.role, grant):
            path = holder.path(row.role, grant)
            path.add_use(row, first, last)
            if row.client:
                _client_path(holder, row.client, path.grant).add_use(row, first, last)
        return
    if row.outcome in ("denied", "revoked"):
        refused = holder.denied if row.outcome == "denied" else holder.revoked
        before = refused.get(row.permission, RefusalCount(0, 0))
        refused[row.permission] = RefusalCount(before.times + row.uses, max(before.last, ordinal(row.last_day)))


def _no_longer_held(population: PopulationSource, last: int, holder: Holder, role: str, grant: str) -> bool:
    """Whether a complete import shows that it is not held any more."""
    return population.complete and last <= population.as_of and (role, grant) not in holder.paths


def _row_key(row: Any) -> tuple[str, str]:
    return row.issuer, row.subject


def _held_key(row: HeldGrantRow) -> tuple[str, str]:
    return row.held.issuer, row.held.subject


def _merge_streams(
    *streams: Iterator[tuple[tuple[str, str], Iterator[Any]]],
) -> Iterator[tuple[str, str, tuple[Any, Any, Any]]]:
    """One holder at a time, with its part of each stream, empty where a stream has no rows of the holder."""
    heads = [next(stream, None) for stream in streams]
    while any(heads):
        key = min(head[0] for head in heads if head is not None)
        parts: list[Iterable[Any]] = [head[1] if head is not None and head[0] == key else () for head in heads]
        yield *key, (parts[0], parts[1], parts[2])
        for index, head in enumerate(heads):
            if head is not None and head[0] == key:
                heads[index] = next(streams[index], None)


class RecordingCoverage(NamedTuple):
    """The first and the last recorded day, all recorded days, and the number of dropped decisions."""

    first: int
    last: int
    covered: set[int]
    dropped: int


def recording_coverage(
    periods: Iterable[RecordingPeriod], until: int, day: Callable[[float], int]
) -> RecordingCoverage:
    """What was recorded up to and including the day `until`."""
    covered: set[int] = set()
    dropped = 0
    first = last = 0
    for period in periods:
        begin, end = day(period.started), min(day(period.until), until)
        if begin > until:
            continue
        first, last = min(first or begin, begin), max(last, end)
        # A period of centuries is a mistake in a file; the limit keeps it from filling the memory.
        covered.update(range(max(begin, end - _MAX_PERIOD_DAYS), end + 1))
        dropped += period.dropped
    return RecordingCoverage(first, last, covered, dropped)


_MAX_PERIOD_DAYS: Final = 40_000
