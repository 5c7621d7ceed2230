"""Decisions about a token that the process has verified before, as for most requests of a busy client."""

from __future__ import annotations

import time

from benchmarks import peers
from benchmarks.figures import Figure
from benchmarks.rounds import Work, measure
from benchmarks.scale import Scale
from benchmarks.workbench import ALGORITHMS, CALL, ROUTE, SCOPES, WANTED, guard_with_store, logging_off
from jwt_lp import Guard, all_of
from jwt_lp.testing.authority import Authority

OURS = 1000
THEIRS = 60
BACKGROUND = 300_000
"""Decisions during which the work of the background thread is counted too; they take a second."""


def run(scale: Scale) -> list[Figure]:
    """The figures for each algorithm, and what the background thread adds."""
    with logging_off():
        figures = [figure for algorithm in ALGORITHMS for figure in _of_algorithm(algorithm, scale)]
        return [*figures, _with_background(scale)]


def _of_algorithm(algorithm: str, scale: Scale) -> list[Figure]:
    authority = Authority(algorithm=algorithm)
    token = authority.token("alice", SCOPES, lifetime=3600)
    decide = peers.pyjwt(authority, WANTED)

    def pyjwt(_: int) -> int:
        for _ in range(scale.of(THEIRS)):
            assert decide(token)
        return scale.of(THEIRS)

    with authority.guard() as guard, guard_with_store(authority) as recording:
        sides = {
            "with a store": again(recording, token, scale.of(OURS)),
            "without a store": again(guard, token, scale.of(OURS)),
            "PyJWT": pyjwt,
        }
        rounds = measure(sides, scale.rounds)
    return [
        Figure.of_times(rounds, f"{algorithm}, {side}", side, "PyJWT") for side in ("with a store", "without a store")
    ]


def again(guard: Guard, token: str, operations: int, wanted: str = WANTED) -> Work:
    """So many decisions about one token."""
    check, header, requirement, params = guard.check, f"Bearer {token}", all_of(wanted), dict[str, object]()

    def work(_: int) -> int:
        for _ in range(operations):
            assert check(header, requirement, params, ROUTE, call=CALL).passes
        return operations

    return work


def _with_background(scale: Scale) -> Figure:
    """The CPU time of the whole process for each decision, polls and writes of the background thread included."""
    authority, operations = Authority(algorithm="ES256"), scale.of(BACKGROUND)
    with guard_with_store(authority) as recording:
        work = again(recording, authority.token("alice", SCOPES, lifetime=3600), operations)
        work(0)
        start = time.process_time()
        work(1)
    # Closing the guard writes what was counted, so it is measured too.
    spent = time.process_time() - start
    return Figure.of_value("ES256, with a store and its background work", "µs", spent / operations * 1e6)
