"""What do a million revocations cost a process: memory, a look, and a pause on the way of its requests?

    python benchmarks/revocations.py [KIND] [HOW MANY]

KIND is `token` (the default), `before`, `deny` or `mixed`. A store of SQLite is filled and polled in this process, while
another thread decides, rests half a millisecond, and so on. How long it had to wait for the interpreter is held against
the same without polling.
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
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from jwt_lp import Call, all_of
from jwt_lp.guard.runtime import CachedDecision
from jwt_lp.revocation.entries import RevocationEntry
from jwt_lp.revocation.poller import RevocationPoller
from jwt_lp.revocation.snapshot import _shard_of, digest
from jwt_lp.stores import open_store
from jwt_lp.testing.authority import ISSUER, Authority

if TYPE_CHECKING:
    from jwt_lp import Guard, Requirement
    from jwt_lp.stores import Store
    from jwt_lp.tokens.claims import AccessToken

CHUNK = 20_000
NEWS = 1_000
REFRESHES = 20
LOOKS = 100_000
WORST = 5_000_000
REST = 500_000
ROUTE = "GET /orders"
CALL = Call("GET", str, lambda _: (), "views.orders")


def main() -> None:
    """Print one line a measurement."""
    usual = ("token", "1_000_000")
    kind, text = (*sys.argv[1:], *usual[len(sys.argv) - 1 :])
    number = int(text)
    authority = Authority()
    with tempfile.TemporaryDirectory() as folder:
        store = open_store(f"sqlite:///{Path(folder) / 'store.db'}")
        begun = time.perf_counter()
        for start in range(0, number, CHUNK):
            store.revoke(list(_entries(kind, start, min(start + CHUNK, number))), at=time.time())
        print(f"{number:,} entries of kind {kind}, written in {time.perf_counter() - begun:.0f} s")
        # Its own store is a quiet one, so that what is measured is all that happens beside it.
        guard = authority.guard(STORE=f"sqlite:///{Path(folder) / 'guard.db'}")
        header = authority.headers("alice", ["orders:list"])["Authorization"]
        requirement = all_of("orders:list")

        def decide() -> bool:
            return guard.check(header, requirement, {}, ROUTE, call=CALL).passes

        assert decide()
        revocations = _polled(store, decide, kind, number)
        _looked(revocations, guard, guard.verifier.verify(header.removeprefix("Bearer ")), requirement)
        guard.close()
        store.close()


def _polled(store: Store, decide: Callable[[], bool], kind: str, number: int) -> RevocationPoller:
    """Load it and refresh it, with the requests of another thread beside it."""
    revocations = RevocationPoller(store, retention=3600)
    # What the first question loads (the driver, its dialect) is not the snapshot's.
    store.changes(number)
    gc.collect()
    before = _resident()
    begun = time.perf_counter()
    collections = _Collections()
    loading, refreshing, quiet = _new(), _new(), _new()
    _beside(loading, decide, revocations.poll)
    seconds = time.perf_counter() - begun
    gc.collect()
    print(f"{'memory added by the snapshot':32} {(_resident() - before) / 1e6:8.0f} MB")
    news: list[float] = []
    # As a server does that has started: what is there stays.
    gc.collect()
    gc.freeze()
    for each in range(REFRESHES):
        first = number + each * NEWS
        store.revoke(list(_entries(kind, first, first + NEWS)), at=time.time())
        _beside(refreshing, decide, lambda: news.append(_timed(revocations.poll)))
        _beside(quiet, decide, lambda: time.sleep(seconds / REFRESHES))
    print(f"{'first load':32} {seconds:8.1f} s")
    print(f"{f'refresh, {NEWS:,} new':32} {statistics.median(news) * 1e3:8.0f} ms")
    for what, took in (("alone", quiet), ("beside the first load", loading), ("beside refreshes", refreshing)):
        print(f"{f'requests {what}':32} as seen  {_pauses(took.seen)}")
        print(f"{'':32} as owed  {_pauses(took.owed)}")
    print(f"{'longest collection of garbage':32} {collections.longest * 1e3:8.1f} ms")
    assert number + REFRESHES * NEWS == len(revocations)
    return revocations


def _looked(revocations: RevocationPoller, guard: Guard, token: AccessToken, requirement: Requirement) -> None:
    snapshot, key, clock = revocations.polled.snapshot, digest("token", ISSUER, "t1"), time.time()
    runtime = guard._runtime  # noqa: SLF001 - what every request asks has no name of its own outside
    assert runtime is not None
    assert isinstance(runtime.evaluate(token, requirement, ROUTE), CachedDecision)
    for what, look in (
        ("on each request", lambda: runtime.evaluate(token, requirement, ROUTE)),
        ("one key", lambda: _shard_of(snapshot.tokens, key).get(key, 0)),
        ("a token's first", lambda: snapshot.match_token(token, clock)),
        ("the call alone", lambda: None),
    ):
        cost = min(timeit.repeat(look, number=LOOKS, repeat=5)) / LOOKS
        print(f"{f'lookup, {what}':32} {cost * 1e6:8.2f} µs")


def _entries(kind: str, start: int, end: int) -> Iterator[RevocationEntry]:
    """So many different ones, named as identity providers name tokens and subjects."""
    now = time.time()
    for each in range(start, end):
        one = ("token", "token", "before", "deny")[each % 4] if kind == "mixed" else kind
        name = str(uuid.UUID(int=each * 0x9E3779B97F4A7C15F39CC0605CEDC835 % 2**128))
        if one == "token":
            yield RevocationEntry(id=f"{each:016x}", of="token", issuer=ISSUER, name=name, at=now)
        elif one == "before":
            yield RevocationEntry(id=f"{each:016x}", of="subject", issuer=ISSUER, name=name, before=now)
        else:
            pattern = f"area{each % 50}:*:read"
            yield RevocationEntry(
                id=f"{each:016x}", of="subject", issuer=ISSUER, name=name, pattern=pattern, reason="unused"
            )


class Took(NamedTuple):
    """How long requests had to wait, in nanoseconds: by the clock, and as far as this process worked meanwhile.

    `owed` leaves out what the machine did for others, and is still too much: what runs without the interpreter's lock
    is in it. Arrays, since a million objects of the measurement's own would be what the collector of garbage walks.
    """

    seen: array[int]
    owed: array[int]


def _beside(took: Took, decide: Callable[[], bool], work: Callable[[], object]) -> None:
    """What requests cost that another thread served during `work`, each after a rest, as one that waits for a socket."""
    over = threading.Event()

    def serve() -> None:
        clock, done, rest = time.perf_counter_ns, over.is_set, REST / 1e9
        while not done():
            worked, begun = time.process_time_ns(), clock()
            time.sleep(rest)
            decide()
            seen = clock() - begun - REST
            took.seen.append(seen)
            took.owed.append(min(seen, time.process_time_ns() - worked))

    thread = threading.Thread(target=serve)
    thread.start()
    work()
    over.set()
    thread.join()


def _new() -> Took:
    return Took(array("q"), array("q"))


def _pauses(took: array[int]) -> str:
    ordered = sorted(took)
    return (
        f"p50 {ordered[len(ordered) // 2] / 1e6:5.2f} ms, p99.9 {ordered[int(len(ordered) * 0.999)] / 1e6:6.2f} ms, "
        f"longest {ordered[-1] / 1e6:6.2f} ms, {sum(each > WORST for each in ordered)} of {len(ordered):,} over 5 ms"
    )


class _Collections:
    """How long full collections of garbage take: any process has them, whatever it keeps."""

    def __init__(self) -> None:
        self.longest = 0.0
        self._begun = 0.0
        gc.callbacks.append(self._heard)

    def _heard(self, phase: str, _: object) -> None:
        if phase == "start":
            self._begun = time.perf_counter()
        else:
            self.longest = max(self.longest, time.perf_counter() - self._begun)


def _timed(work: Callable[[], object]) -> float:
    begun = time.perf_counter()
    work()
    return time.perf_counter() - begun


def _resident() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()


if __name__ == "__main__":
    main()
