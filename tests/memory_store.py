"""Store in memory with the promises of a real one, for tests of code that uses a store."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from itertools import count
from operator import itemgetter
from threading import RLock
from typing import Any

from jwt_lp.revocation.entries import RevocationChanges, RevocationEntry
from jwt_lp.stores import ProcessHeartbeat, UsageBatch, Use
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
            return self.sequence

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
                + [(at, entry, False) for at, entry in self.lifted.values() if at > since],
                key=itemgetter(0),
            )
            page = later[: self._page]
            touched = {entry.key for _, entry, stands in page if not stands}
            entries = [entry for _, entry, stands in page if stands]
            entries += [entry for _, entry in self.standing.values() if entry.key in touched]
            sequence = page[-1][0] if page else self.sequence
            return RevocationChanges(sequence, tuple(touched), tuple(entries), len(later) > len(page))

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


def entry(of: Any, name: str, issuer: str = "https://authority.test", **more: Any) -> RevocationEntry:
    """An entry with a unique id."""
    return RevocationEntry(id=f"e{next(_IDS)}", of=of, issuer=issuer, name=name, **more)
