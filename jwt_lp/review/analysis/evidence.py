"""What is known of each holder?

Three ordered streams of the store, of which one holder at a time is read: who holds what, what their tokens carried,
what they used.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import date
from functools import lru_cache
from itertools import groupby
from sys import intern
from typing import TYPE_CHECKING, Any, Final, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from jwt_lp.stores import HeldGrantRow, ObservedGrantRow, RecordingPeriod, UsageSummary

WHOLE_ROLE: Final = ""
"""The grant of a role of which nobody says what it grants."""


@lru_cache(maxsize=65536)
def ordinal(day: str) -> int:
    """The number of an ISO day."""
    return date.fromisoformat(day).toordinal()


def iso_day(number: int) -> str:
    """The ISO day of a number; "" for 0."""
    return date.fromordinal(number).isoformat() if number else ""


@dataclass(slots=True)
class GrantPath:
    """One grant that a holder has, directly (`role` is "") or through a role, and the use that it was credited with.

    Days are ordinals, 0 for none. `granted` is the day of which an import says that it was granted, `since` the first
    one on which it was seen. `used` is the last day of each permission that it served.
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
        """Since when, as far as anybody knows: what was granted anew is new, whatever was before."""
        return self.granted or self.since

    def add_held_days(self, since: int, seen: int) -> None:
        """It was held on these days."""
        self.since = min(self.since or since, since or self.since)
        self.seen = max(self.seen, seen)

    def add_use(self, row: UsageSummary) -> None:
        """It served."""
        first, last = ordinal(row.first_day), ordinal(row.last_day)
        self.uses += row.uses
        # One day may be in several rows: never more days than there were.
        self.first = min(self.first or first, first)
        self.last = max(self.last, last)
        self.days = min(self.days + row.days, self.last - self.first + 1)
        self.used[row.permission] = max(self.used.get(row.permission, 0), last)


class RefusalCount(NamedTuple):
    """How often a permission was refused, and when last."""

    times: int
    last: int


@dataclass(slots=True)
class Holder:
    """A subject of an issuer, with its ways. `subject` is "" where the store names none."""

    issuer: str
    subject: str
    paths: dict[tuple[str, str], GrantPath] = field(default_factory=dict[tuple[str, str], GrantPath])
    denied: dict[str, RefusalCount] = field(default_factory=dict[str, RefusalCount])
    revoked: dict[str, RefusalCount] = field(default_factory=dict[str, RefusalCount])
    clients: dict[tuple[str, str], GrantPath] = field(default_factory=dict[tuple[str, str], GrantPath])

    def path(self, role: str, grant: str) -> GrantPath:
        """The way of this role and grant, made where there is none."""
        found = self.paths.get((role, grant))
        if found is None:
            found = self.paths[role, grant] = GrantPath(role, grant)
        return found


class PopulationSource(NamedTuple):
    """Where holders come from: the day of the import (0 for none), and whether it was of everything."""

    as_of: int
    complete: bool


def iter_holders(
    held: Iterable[HeldGrantRow],
    sighted: Iterable[ObservedGrantRow],
    used: Iterable[UsageSummary],
    *,
    until: str,
    population: PopulationSource,
    granted: Callable[[str], tuple[str, ...] | None],
) -> Iterator[Holder]:
    """Every holder, in order of issuer and subject.

    `granted` gives the grants of a role, None for one that is unknown. After a complete import, what was last seen
    before its day and is not in it is held no more. What lies after the day `until` is left out.
    """
    end = ordinal(until)
    for issuer, subject, (holding, seen, rows) in _merge_streams(
        groupby(held, key=_held_key), groupby(sighted, key=_row_key), groupby(used, key=_row_key)
    ):
        holder = Holder(issuer, subject)
        for row in holding:
            _add_held(holder, row, granted)
        for row in seen:
            first, last = ordinal(row.first_day), ordinal(row.last_day)
            if first <= end and not _no_longer_held(population, last, holder, row.role, row.grant):
                path = holder.path(intern(row.role), intern(row.grant))
                path.add_held_days(first, min(last, end))
                if row.client:
                    _client_path(holder, row.client, path.grant).add_held_days(first, min(last, end))
        for row in rows:
            _add_usage(holder, row, population)
        yield holder


def _add_held(holder: Holder, row: HeldGrantRow, granted: Callable[[str], tuple[str, ...] | None]) -> None:
    since = ordinal(row.held.since) if row.held.since else 0
    role = row.held.role
    grants: tuple[str, ...] = (row.held.grant,)
    if role and not row.held.grant:
        known = granted(role)
        grants = (WHOLE_ROLE,) if known is None else known
    for grant in grants:
        path = holder.path(intern(role), intern(grant))
        path.add_held_days(since, ordinal(row.as_of))
        path.granted = max(path.granted, since)
        if row.held.client:
            _client_path(holder, row.held.client, path.grant).add_held_days(since, ordinal(row.as_of))


def _client_path(holder: Holder, client: str, grant: str) -> GrantPath:
    key = intern(client), grant
    found = holder.clients.get(key)
    if found is None:
        found = holder.clients[key] = GrantPath("", grant)
    return found


def _add_usage(holder: Holder, row: UsageSummary, population: PopulationSource) -> None:
    if row.outcome == "granted":
        grant = intern(row.grant or row.permission)
        if not _no_longer_held(population, ordinal(row.last_day), holder, row.role, grant):
            holder.path(intern(row.role), grant).add_use(row)
            if row.client:
                _client_path(holder, row.client, grant).add_use(row)
        return
    if row.outcome in ("denied", "revoked"):
        refused = holder.denied if row.outcome == "denied" else holder.revoked
        before = refused.get(row.permission, RefusalCount(0, 0))
        refused[row.permission] = RefusalCount(before.times + row.uses, max(before.last, ordinal(row.last_day)))


def _no_longer_held(population: PopulationSource, last: int, holder: Holder, role: str, grant: str) -> bool:
    """Whether the import says that it is held no more."""
    return population.complete and last <= population.as_of and (role, grant) not in holder.paths


def _row_key(row: Any) -> tuple[str, str]:
    return row.issuer, row.subject


def _held_key(row: HeldGrantRow) -> tuple[str, str]:
    return row.held.issuer, row.held.subject


def _merge_streams(
    *streams: Iterator[tuple[tuple[str, str], Iterator[Any]]],
) -> Iterator[tuple[str, str, tuple[Any, Any, Any]]]:
    """One holder at a time, with its part of each stream; none of a stream that has nothing of it."""
    heads = [next(stream, None) for stream in streams]
    while any(heads):
        key = min(head[0] for head in heads if head is not None)
        parts: list[Iterable[Any]] = [head[1] if head is not None and head[0] == key else () for head in heads]
        yield *key, (parts[0], parts[1], parts[2])
        for index, head in enumerate(heads):
            if head is not None and head[0] == key:
                heads[index] = next(streams[index], None)


class RecordingCoverage(NamedTuple):
    """The first and the last day of any recording, all days with one, and how many decisions were dropped."""

    first: int
    last: int
    covered: set[int]
    dropped: int


def recording_coverage(runs: Iterable[RecordingPeriod], until: int, day: Callable[[float], int]) -> RecordingCoverage:
    """What was recorded up to and including the day `until`."""
    covered: set[int] = set()
    dropped = 0
    first = last = 0
    for run in runs:
        begin, end = day(run.started), min(day(run.until), until)
        if begin > until:
            continue
        first, last = min(first or begin, begin), max(last, end)
        # A run of centuries is a mistake in a file, and no reason to count for ever.
        covered.update(range(max(begin, end - _MAX_PERIOD_DAYS), end + 1))
        dropped += run.dropped
    return RecordingCoverage(first, last, covered, dropped)


_MAX_PERIOD_DAYS: Final = 40_000
