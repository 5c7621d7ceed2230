"""Store in memory with the promises of a real one, for tests of code that uses a store."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import count, islice
from math import inf
from operator import itemgetter
from threading import RLock
from typing import Any

from jwt_lp.errors import ElevationUnknown
from jwt_lp.revocation.entries import RevocationChanges, RevocationEntry, RevocationKey
from jwt_lp.stores import Elevation, ElevationChange, ElevationFilter, ElevationStep, ProcessHeartbeat, UsageBatch, Use
from jwt_lp.stores.elevation_changes import (
    AppliedChange,
    apply_change,
    check_known,
    check_new,
    ending_change,
    ending_entries,
    first_steps,
    is_ended_by,
)
from jwt_lp.stores.elevation_events import log_steps
from usage_scan import UsageScan

_IDS = count()


class MemoryStore:
    """The part of `Store` that recorder, poller and guard use. While `down` is set, every call raises it."""

    name = "memory"

    def __init__(self, page: int = 1000) -> None:
        self.down: Exception | None = None
        self.counts: Counter[Use] = Counter()
        self.batches: list[UsageBatch] = []
        self.standing: dict[str, tuple[int, RevocationEntry]] = {}
        self.lifted: dict[str, tuple[int, RevocationEntry]] = {}
        self.received_heartbeats: list[ProcessHeartbeat] = []
        self.asked: dict[str, Elevation] = {}
        self.steps: dict[str, list[ElevationStep]] = {}
        self.reported: dict[str, tuple[int, Elevation]] = {}
        self.deliver_at: dict[tuple[str, int], float] = {}
        self.sequence = 0
        self.closed = False
        self.poll_count = 0
        self._page = page
        self._ids: set[str] = set()
        self._lock = RLock()

    def revoke(self, entries: Sequence[RevocationEntry], *, at: float, by: str = "") -> int:
        with self._lock:
            for entry in entries:
                self.sequence += 1
                self.standing[entry.id] = self.sequence, replace(entry, at=at)
            sequence = self.sequence
            for entry in ending_entries(entries):
                for elevation in [each for each in self.asked.values() if is_ended_by(each, entry, at)]:
                    self.change_elevation(ending_change(elevation, entry, at, by))
            return sequence

    def lift(self, ids: Sequence[str], *, at: float) -> int:
        with self._lock:
            for entry_id in ids:
                self.sequence += 1
                self.lifted[entry_id] = self.sequence, self.standing.pop(entry_id)[1]
            return self.sequence

    def changes(self, since: int) -> RevocationChanges:
        self._count_poll()
        if self.down is not None:
            raise self.down
        with self._lock:
            later = sorted(
                [(at, entry, True) for at, entry in self.standing.values() if at > since]
                + [(at, entry, False) for at, entry in self.lifted.values() if at > since]
                + [(at, each, each.ended_at is None) for at, each in self.reported.values() if at > since],
                key=itemgetter(0),
            )
            page = later[: self._page]
            touched = {_target(each) for _, each, stands in page if not stands}
            listed = [each for _, each, stands in page if stands]
            listed += [each for _, each in self.standing.values() if each.key in touched]
            listed += [each for _, each in self.reported.values() if _target(each) in touched]
            grants = {each.id: each.temporary_grant for each in listed if isinstance(each, Elevation)}
            return RevocationChanges(
                page[-1][0] if page else self.sequence,
                tuple(touched),
                tuple(each for each in listed if isinstance(each, RevocationEntry)),
                len(later) > len(page),
                tuple(grant for grant in grants.values() if grant is not None),
            )

    def ask(self, elevation: Elevation) -> Elevation:
        with self._lock:
            if elevation.id in self.asked:
                return check_known(self.asked[elevation.id], elevation)
            check_new(elevation, [each for each in self.asked.values() if _target(each) == _target(elevation)])
            return self._keep(AppliedChange(elevation, first_steps(elevation), reported=elevation.since is not None))

    def change_elevation(self, change: ElevationChange) -> Elevation:
        with self._lock:
            if change.elevation not in self.asked:
                raise ElevationUnknown("there is no such elevation")
            steps = self.steps[change.elevation]
            return self._keep(apply_change(self.asked[change.elevation], steps, change))

    def _keep(self, applied: AppliedChange) -> Elevation:
        self.asked[applied.elevation.id] = applied.elevation
        self.steps.setdefault(applied.elevation.id, []).extend(applied.steps)
        self.revoke(applied.revocations, at=applied.steps[0].at)
        if applied.reported:
            self.sequence += 1
            self.reported[applied.elevation.id] = self.sequence, applied.elevation
        log_steps(applied.elevation, applied.steps)
        return applied.elevation

    def elevation(self, elevation_id: str) -> Elevation | None:
        return self.asked.get(elevation_id)

    def elevations(self, which: ElevationFilter) -> Iterator[Elevation]:
        with self._lock:
            ordered = sorted(self.asked.values(), key=lambda each: (each.asked_at, each.id), reverse=which.newest_first)
        if which.after is not None:
            ids = [each.id for each in ordered]
            ordered = ordered[ids.index(which.after) + 1 :] if which.after in ids else []
        return islice((each for each in ordered if matches(each, which)), which.limit)

    def elevation_steps(self, elevation_id: str) -> tuple[ElevationStep, ...]:
        return tuple(self.steps.get(elevation_id, ()))

    def claim_steps(self, limit: int, *, at: float, until: float) -> tuple[ElevationStep, ...]:
        with self._lock:
            due = [step for steps in self.steps.values() for step in steps if self._deliver_at(step) <= at]
            due.sort(key=lambda step: (self._deliver_at(step), step.at, step.elevation, step.number))
            self.deliver_at.update({(step.elevation, step.number): until for step in due[:limit]})
            return tuple(due[:limit])

    def mark_delivered(self, steps: Sequence[ElevationStep]) -> None:
        self.deliver_at.update({(step.elevation, step.number): inf for step in steps})

    def _deliver_at(self, step: ElevationStep) -> float:
        return self.deliver_at.get((step.elevation, step.number), 0.0)

    def _count_poll(self) -> None:
        self.poll_count += 1

    def record(self, batch: UsageBatch) -> bool:
        if self.down is not None:
            raise self.down
        with self._lock:
            if batch.id in self._ids:
                return False
            self._ids.add(batch.id)
            self.batches.append(batch)
            for use, (number, _) in batch.uses.items():
                self.counts[use] += number
            return True

    def record_heartbeat(self, beat: ProcessHeartbeat) -> None:
        if self.down is not None:
            raise self.down
        self.received_heartbeats.append(beat)

    def close(self) -> None:
        self.closed = True


class ReviewedStore(UsageScan, MemoryStore):
    """A store that a review can read, too. It does not count polls."""

    def __init__(self, page: int = 1000) -> None:
        MemoryStore.__init__(self, page)
        UsageScan.__init__(self, self.counts.items)
        del self.poll_count

    def _count_poll(self) -> None:
        pass


def _target(each: RevocationEntry | Elevation) -> RevocationKey:
    return each.key if isinstance(each, RevocationEntry) else RevocationKey("subject", each.issuer, each.subject)


def matches(elevation: Elevation, which: ElevationFilter) -> bool:
    """Whether a filter selects an elevation, its page aside."""
    return (
        which.issuer in (None, elevation.issuer)
        and which.subject in (None, elevation.subject)
        and which.permission in (None, elevation.permission)
        and (which.open_at is None or elevation.state(which.open_at) == "requested")
        and (which.held_at is None or elevation.state(which.held_at) == "approved")
        and not (which.unreviewed and (not elevation.break_glass or elevation.reviewed_at is not None))
    )


def entry(of: Any, name: str, issuer: str = "https://authority.test", **more: Any) -> RevocationEntry:
    """An entry with a unique id."""
    return RevocationEntry(id=f"e{next(_IDS)}", of=of, issuer=issuer, name=name, **more)
