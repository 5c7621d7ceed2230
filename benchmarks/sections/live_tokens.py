"""A hundred thousand tokens that live at the same time: memory, how often a token is found again, and pauses."""

from __future__ import annotations

import gc
import itertools
import random
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Final

import psutil

from benchmarks import peers
from benchmarks.figures import Figure
from benchmarks.scale import Scale
from benchmarks.workbench import CALL, ROUTE, WANTED, guard_with_store, issue, logging_off
from jwt_lp import Guard, all_of
from jwt_lp.testing.authority import Authority

TOKENS: Final = 100_000
REQUESTS: Final = 200_000


def run(scale: Scale) -> list[Figure]:
    """The figures, without and with a store. Needs a process of its own, whose memory is measured."""
    authority, number = Authority(algorithm="HS256"), scale.of(TOKENS)
    tokens = issue(authority, number)
    with logging_off():
        with authority.guard() as guard:
            figures = _first_pass(guard, tokens, "no store")
            figures += _hit_rates(guard, tokens, scale.of(REQUESTS))
        with guard_with_store(authority) as guard:
            figures += _first_pass(guard, tokens, "with a store")
    with _longest_collection() as longest:
        allowed = peers.pyjwt(authority, WANTED)
        for token in tokens:
            allowed(token)
    return [*figures, Figure.of_value("longest collection of garbage, PyJWT", "ms", longest() * 1e3)]


def _first_pass(guard: Guard, tokens: Sequence[str], how: str) -> list[Figure]:
    """What is kept after each token was seen once, and the longest pause meanwhile."""
    decide = _decider(guard)
    decide(tokens[0])
    before = _resident()
    with _longest_collection() as longest:
        for token in tokens:
            decide(token)
    return [
        Figure.of_value(f"memory after {len(tokens):,} tokens, {how}", "MB", (_resident() - before) / 1e6),
        Figure.of_value(f"longest collection of garbage, {how}", "ms", longest() * 1e3),
    ]


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


def _resident() -> int:
    gc.collect()
    resident: int = psutil.Process().memory_info().rss
    return resident


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
