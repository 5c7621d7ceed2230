"""A hundred thousand tokens that live at the same time: memory, how often a token is found again, and pauses."""

from __future__ import annotations

import gc
import itertools
import random
import time
import tracemalloc
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from functools import partial
from typing import Final

from benchmarks import peers
from benchmarks.figures import Figure
from benchmarks.scale import Scale
from benchmarks.workbench import CALL, ROUTE, WANTED, guard_with_store, issue, logging_off
from jwt_lp import Guard, all_of
from jwt_lp.testing.authority import Authority

TOKENS: Final = 100_000
REQUESTS: Final = 200_000


def run(scale: Scale) -> list[Figure]:
    """The figures, without and with a store."""
    authority, number = Authority(algorithm="HS256"), scale.of(TOKENS)
    tokens = issue(authority, number)
    guards: dict[str, Callable[[], AbstractContextManager[Guard]]] = {
        "no store": authority.guard,
        "with a store": partial(guard_with_store, authority),
    }
    figures: list[Figure] = []
    with logging_off():
        for how, opened in guards.items():
            # Guards of their own, because tracing memory takes time, also in collections.
            with opened() as guard:
                figures += _memory(guard, tokens, how)
            with opened() as guard:
                figures.append(_pause(_decider(guard), tokens, how))
        with authority.guard() as guard:
            figures += _hit_rates(guard, tokens, scale.of(REQUESTS))
        return [*figures, _pause(peers.pyjwt(authority, WANTED), tokens, "PyJWT")]


def _memory(guard: Guard, tokens: Sequence[str], how: str) -> list[Figure]:
    """The memory of Python's objects that are kept after each token was seen once, and of the most that there were."""
    decide = _decider(guard)
    decide(tokens[0])
    gc.collect()
    tracemalloc.start()
    try:
        for token in tokens:
            decide(token)
        gc.collect()
        kept, most = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    return [
        Figure.of_value(f"memory after {len(tokens):,} tokens, {how}", "MB", kept / 1e6),
        Figure.of_value(f"most memory meanwhile, {how}", "MB", most / 1e6),
    ]


def _pause(decide: Callable[[str], object], tokens: Sequence[str], how: str) -> Figure:
    """The longest collection of garbage while each token is seen once."""
    with _longest_collection() as longest:
        for token in tokens:
            decide(token)
    return Figure.of_value(f"longest collection of garbage, {how}", "ms", longest() * 1e3)


def _decider(guard: Guard) -> Callable[[str], object]:
    requirement = all_of(WANTED)

    def decide(token: str) -> object:
        decision = guard.check(f"Bearer {token}", requirement, {}, ROUTE, call=CALL)
        assert decision.passes
        return decision.token

    return decide


def _hit_rates(guard: Guard, tokens: Sequence[str], requests: int) -> Iterator[Figure]:
    """How many requests found their token verified, if all users are equally busy, and if a few are much busier."""
    # The order of requests decides about the rate, so it is the same in each run.
    chance = random.Random(1)
    busy_first = list(itertools.accumulate(1 / (rank + 1) for rank in range(len(tokens))))
    for what, weights in (("equally busy users", None), ("users as busy as Zipf's law says", busy_first)):
        asked = chance.choices(range(len(tokens)), cum_weights=weights, k=requests)
        yield Figure.of_value(f"found again, {what}", "%", 100 * _hits(guard, tokens, asked) / requests)


def _hits(guard: Guard, tokens: Sequence[str], asked: Sequence[int]) -> int:
    # A token that was verified before is the same object again.
    last, hits = dict[int, object](), 0
    for index in asked:
        token = guard.verifier.verify(tokens[index])
        hits += last.get(index) is token
        last[index] = token
    return hits


@contextmanager
def _longest_collection() -> Iterator[Callable[[], float]]:
    """Measures the longest collection of garbage inside the context, in seconds of CPU time.

    A collection runs in one thread and lets no other run, so every request waits for it.
    """
    longest, started = 0.0, 0.0

    def watch(phase: str, _: object) -> None:
        nonlocal longest, started
        if phase == "start":
            started = time.thread_time()
        else:
            longest = max(longest, time.thread_time() - started)

    gc.callbacks.append(watch)
    try:
        yield lambda: longest
    finally:
        gc.callbacks.remove(watch)
