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

    from jwt_lp.stores import HeldRow, Run, SightingRow, Summary

WHOLE: Final = ""
"""The grant of a role of which nobody says what it grants."""


@lru_cache(maxsize=65536)
def ordinal(day: str) -> int:
    """The number of an ISO day."""
    return date.fromisoformat(day).toordinal()


def iso(number: int) -> str:
    """The ISO day of a number; "" for 0."""
    return date.fromordinal(number).isoformat() if number else ""


@dataclass(slots=True)
class Way:
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
    def held(self) -> int:
        """Since when, as far as anybody knows: what was granted anew is new, whatever was before."""
        return self.granted or self.since

    def hold(self, since: int, seen: int) -> None:
        """It was held on these days."""
        self.since = min(self.since or since, since or self.since)
        self.seen = max(self.seen, seen)

    def use(self, row: Summary) -> None:
        """It served."""
        first, last = ordinal(row.first_day), ordinal(row.last_day)
        self.uses += row.uses
        # One day may be in several rows: never more days than there were.
        self.first = min(self.first or first, first)
        self.last = max(self.last, last)
        self.days = min(self.days + row.days, self.last - self.first + 1)
        self.used[row.permission] = max(self.used.get(row.permission, 0), last)


class Refused(NamedTuple):
    """How often a permission was asked for in vain, and when last."""

    times: int
    last: int


@dataclass(slots=True)
class Holder:
    """A subject of an issuer, with its ways. `subject` is "" where the store names none."""

    issuer: str
    subject: str
    ways: dict[tuple[str, str], Way] = field(default_factory=dict[tuple[str, str], Way])
    denied: dict[str, Refused] = field(default_factory=dict[str, Refused])
    revoked: dict[str, Refused] = field(default_factory=dict[str, Refused])
    clients: dict[tuple[str, str], Way] = field(default_factory=dict[tuple[str, str], Way])

    def way(self, role: str, grant: str) -> Way:
        """The way of this role and grant, made where there is none."""
        found = self.ways.get((role, grant))
        if found is None:
            found = self.ways[role, grant] = Way(role, grant)
        return found


class Population(NamedTuple):
    """Where holders come from: the day of the import (0 for none), and whether it was of everything."""

    as_of: int
    complete: bool


def holders(
    held: Iterable[HeldRow],
    sighted: Iterable[SightingRow],
    used: Iterable[Summary],
    *,
    until: str,
    population: Population,
    granted: Callable[[str], tuple[str, ...] | None],
) -> Iterator[Holder]:
    """Every holder, in order of issuer and subject.

    `granted` gives the grants of a role, None for one that is unknown. After a complete import, what was last seen
    before its day and is not in it is held no more. What lies after the day `until` is left out.
    """
    end = ordinal(until)
    for issuer, subject, (holding, seen, rows) in _merged(
        groupby(held, key=_held_key), groupby(sighted, key=_key), groupby(used, key=_key)
    ):
        holder = Holder(issuer, subject)
        for row in holding:
            _hold(holder, row, granted)
        for row in seen:
            first, last = ordinal(row.first_day), ordinal(row.last_day)
            if first <= end and not _gone(population, last, holder, row.role, row.grant):
                way = holder.way(intern(row.role), intern(row.grant))
                way.hold(first, min(last, end))
                if row.client:
                    _client(holder, row.client, way.grant).hold(first, min(last, end))
        for row in rows:
            _used(holder, row, population)
        yield holder


def _hold(holder: Holder, row: HeldRow, granted: Callable[[str], tuple[str, ...] | None]) -> None:
    since = ordinal(row.held.since) if row.held.since else 0
    role = row.held.role
    grants: tuple[str, ...] = (row.held.grant,)
    if role and not row.held.grant:
        known = granted(role)
        grants = (WHOLE,) if known is None else known
    for grant in grants:
        way = holder.way(intern(role), intern(grant))
        way.hold(since, ordinal(row.as_of))
        way.granted = max(way.granted, since)
        if row.held.client:
            _client(holder, row.held.client, way.grant).hold(since, ordinal(row.as_of))


def _client(holder: Holder, client: str, grant: str) -> Way:
    key = intern(client), grant
    found = holder.clients.get(key)
    if found is None:
        found = holder.clients[key] = Way("", grant)
    return found


def _used(holder: Holder, row: Summary, population: Population) -> None:
    if row.outcome == "granted":
        grant = intern(row.grant or row.permission)
        if not _gone(population, ordinal(row.last_day), holder, row.role, grant):
            holder.way(intern(row.role), grant).use(row)
            if row.client:
                _client(holder, row.client, grant).use(row)
        return
    if row.outcome in ("denied", "revoked"):
        refused = holder.denied if row.outcome == "denied" else holder.revoked
        before = refused.get(row.permission, Refused(0, 0))
        refused[row.permission] = Refused(before.times + row.uses, max(before.last, ordinal(row.last_day)))


def _gone(population: Population, last: int, holder: Holder, role: str, grant: str) -> bool:
    """Whether the import says that it is held no more."""
    return population.complete and last <= population.as_of and (role, grant) not in holder.ways


def _key(row: Any) -> tuple[str, str]:
    return row.issuer, row.subject


def _held_key(row: HeldRow) -> tuple[str, str]:
    return row.held.issuer, row.held.subject


def _merged(
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


class Records(NamedTuple):
    """The first and the last day of any recording, all days with one, and how many decisions were dropped."""

    first: int
    last: int
    covered: set[int]
    dropped: int


def recorded(runs: Iterable[Run], until: int, day: Callable[[float], int]) -> Records:
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
        covered.update(range(max(begin, end - _LONGEST), end + 1))
        dropped += run.dropped
    return Records(first, last, covered, dropped)


_LONGEST: Final = 40_000
