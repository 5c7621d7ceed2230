"""Benchmark of a million revocations: memory, time of a lookup, and delay of requests.

    python benchmarks/revocations.py [KIND] [HOW MANY]

KIND is `token` (the default), `before`, `deny` or `mixed`. The program fills and polls a store of SQLite, while another
thread makes decisions with pauses of half a millisecond. It compares that thread's delays with and without polling.
"""

from __future__ import annotations

import gc
import resource
import statistics
import sys
import tempfile
import threading
import time
import timeit
import uuid
from array import array
from pathlib import Path
from typing import TYPE_CHECKING

from jwt_lp.guard.cached_decision import CachedDecision

from jwt_lp import Call, all_of
from jwt_lp.revocation.entries import RevocationEntry
from jwt_lp.revocation.poller import RevocationPoller
from jwt_lp.revocation.snapshot import _shard_of, digest
from jwt_lp.stores import open_store
from jwt_lp.testing.authority import ISSUER, Authority

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from jwt_lp import Guard, Requirement
    from jwt_lp.stores import Store
    from jwt_lp.tokens.claims import AccessToken

CHUNK = 20_000
NEW_ENTRIES = 1_000
REFRESHES = 20
LOOKUPS = 100_000
LONG_WAIT = 5_000_000  # nanoseconds
PAUSE = 500_000  # nanoseconds
ROUTE = "GET /orders"
CALL = Call("GET", str, lambda _: (), "views.orders")


def main() -> None:
    """Print one line for each measurement."""
    defaults = ("token", "1_000_000")
    kind, text = (*sys.argv[1:], *defaults[len(sys.argv) - 1 :])
    number = int(text)
    authority = Authority()
    with tempfile.TemporaryDirectory() as folder:
        store = open_store(f"sqlite:///{Path(folder) / 'store.db'}")
        started = time.perf_counter()
        for start in range(0, number, CHUNK):
            store.revoke(list(_entries(kind, start, min(start + CHUNK, number))), at=time.time())
        print(f"{number:,} entries of kind {kind}, written in {time.perf_counter() - started:.0f} s")
        # The guard has another store without changes, so that only the measured poller works.
        guard = authority.guard(STORE=f"sqlite:///{Path(folder) / 'guard.db'}")
        header = authority.headers("alice", ["orders:list"])["Authorization"]
        requirement = all_of("orders:list")

        def decide() -> bool:
            return guard.check(header, requirement, {}, ROUTE, call=CALL).passes

        assert decide()
        poller = _measure_polling(store, decide, kind, number)
        _measure_lookups(poller, guard, guard.verifier.verify(header.removeprefix("Bearer ")), requirement)
        guard.close()
        store.close()


def _measure_polling(store: Store, decide: Callable[[], bool], kind: str, number: int) -> RevocationPoller:
    """Load and refresh the snapshot, while another thread serves requests."""
    revocations = RevocationPoller(store, retention=3600)
    # The first query loads the driver, whose memory does not belong to the snapshot.
    store.changes(number)
    gc.collect()
    before = _resident()
    start = time.perf_counter()
    collections = _Collections()
    loading, refreshing, quiet = Delays(), Delays(), Delays()
    _serve_during(loading, decide, revocations.poll)
    seconds = time.perf_counter() - start
    gc.collect()
    print(f"{'memory added by the snapshot':32} {(_resident() - before) / 1e6:8.0f} MB")
    costs: list[float] = []
    # Like a server after its start: existing objects are no longer collected.
    gc.collect()
    gc.freeze()
    for refresh in range(REFRESHES):
        first = number + refresh * NEW_ENTRIES
        store.revoke(list(_entries(kind, first, first + NEW_ENTRIES)), at=time.time())
        _serve_during(refreshing, decide, lambda: costs.append(_timed(revocations.poll)))
        _serve_during(quiet, decide, lambda: time.sleep(seconds / REFRESHES))
    print(f"{'first load':32} {seconds:8.1f} s")
    print(f"{f'refresh, {NEW_ENTRIES:,} new':32} {statistics.median(costs) * 1e3:8.0f} ms")
    for what, delays in (("alone", quiet), ("beside the first load", loading), ("beside refreshes", refreshing)):
        print(f"{f'requests {what}':32} wall time  {_distribution(delays.wall)}")
        print(f"{'':32} CPU time   {_distribution(delays.cpu)}")
    print(f"{'longest collection of garbage':32} {collections.longest * 1e3:8.1f} ms")
    assert number + REFRESHES * NEW_ENTRIES == len(revocations)
    return revocations


def _measure_lookups(revocations: RevocationPoller, guard: Guard, token: AccessToken, requirement: Requirement) -> None:
    snapshot, key, clock = revocations.polled.snapshot, digest("token", ISSUER, "t1"), time.time()
    runtime = guard._runtime  # noqa: SLF001 - the lookup of each request is not public
    assert runtime is not None
    assert isinstance(runtime.evaluate(token, requirement, ROUTE), CachedDecision)
    for what, lookup in (
        ("on each request", lambda: runtime.evaluate(token, requirement, ROUTE)),
        ("one key", lambda: _shard_of(snapshot.tokens, key).get(key, 0)),
        ("a token's first", lambda: snapshot.match_token(token, clock)),
        ("the call alone", lambda: None),
    ):
        cost = min(timeit.repeat(lookup, number=LOOKUPS, repeat=5)) / LOOKUPS
        print(f"{f'lookup, {what}':32} {cost * 1e6:8.2f} µs")


def _entries(kind: str, start: int, end: int) -> Iterator[RevocationEntry]:
    """Different entries whose names are UUIDs, like those of many identity providers."""
    now = time.time()
    for index in range(start, end):
        entry_kind = ("token", "token", "before", "deny")[index % 4] if kind == "mixed" else kind
        name = str(uuid.UUID(int=index * 0x9E3779B97F4A7C15F39CC0605CEDC835 % 2**128))
        if entry_kind == "token":
            yield RevocationEntry(id=f"{index:016x}", of="token", issuer=ISSUER, name=name, at=now)
        elif entry_kind == "before":
            yield RevocationEntry(id=f"{index:016x}", of="subject", issuer=ISSUER, name=name, before=now)
        else:
            pattern = f"area{index % 50}:*:read"
            yield RevocationEntry(
                id=f"{index:016x}", of="subject", issuer=ISSUER, name=name, pattern=pattern, reason="unused"
            )


class Delays:
    """Times of requests in nanoseconds: wall time, and at most the CPU time of this process meanwhile.

    CPU time excludes the time in which the machine ran other processes, but includes work of other threads that does
    not hold the interpreter's lock. Arrays keep the garbage collector from walking a million objects.
    """

    def __init__(self) -> None:
        self.wall: array[int] = array("q")
        self.cpu: array[int] = array("q")


def _serve_during(delays: Delays, decide: Callable[[], bool], work: Callable[[], object]) -> None:
    """Serve requests in another thread during `work`, each after a pause like that of waiting for a socket."""
    over = threading.Event()

    def serve() -> None:
        clock, done, pause = time.perf_counter_ns, over.is_set, PAUSE / 1e9
        while not done():
            cpu_start, start = time.process_time_ns(), clock()
            time.sleep(pause)
            decide()
            wall = clock() - start - PAUSE
            delays.wall.append(wall)
            delays.cpu.append(min(wall, time.process_time_ns() - cpu_start))

    thread = threading.Thread(target=serve)
    thread.start()
    work()
    over.set()
    thread.join()


def _distribution(delays: array[int]) -> str:
    ordered = sorted(delays)
    long_waits = sum(delay > LONG_WAIT for delay in ordered)
    return (
        f"p50 {ordered[len(ordered) // 2] / 1e6:5.2f} ms, p99.9 {ordered[int(len(ordered) * 0.999)] / 1e6:6.2f} ms, "
        f"longest {ordered[-1] / 1e6:6.2f} ms, {long_waits} of {len(ordered):,} over 5 ms"
    )


class _Collections:
    """Duration of the longest garbage collection; every process has those, whatever it stores."""

    def __init__(self) -> None:
        self.longest = 0.0
        self._start = 0.0
        gc.callbacks.append(self._on_collection)

    def _on_collection(self, phase: str, _: object) -> None:
        if phase == "start":
            self._start = time.perf_counter()
        else:
            self.longest = max(self.longest, time.perf_counter() - self._start)


def _timed(work: Callable[[], object]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def _resident() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()


if __name__ == "__main__":
    main()
