"""Decisions by elevations, on every store: what was approved in it is held, and ends without it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import pytest

from clock import Clock
from elevated import approve, change
from jwt_lp import Guard, all_of
from jwt_lp.testing import Authority

if TYPE_CHECKING:
    from jwt_lp.stores import Store

NOW = 1_800_000_000.0
NEEDED = all_of("orders:export")


class Process:
    """A guard of its own on the store, whose rounds are made one by one."""

    def __init__(self, store: Store, authority: Authority, clock: Clock) -> None:
        settings = authority.settings(OWN=False, ELEVATION=["orders:*"], STORE=store, SERVICE="orders")
        self.guard = Guard(settings, clock=clock)
        self.guard._worker.close()
        runtime: Any = self.guard._runtime
        self.revocations: Any = runtime.revocations
        self.revocations.clock = clock
        self.token = authority.token(lifetime=7200)

    def poll(self) -> None:
        self.revocations.poll()

    def passes(self) -> bool:
        return self.guard.check(f"Bearer {self.token}", NEEDED, {}, "GET /orders").passes


@pytest.fixture
def clock() -> Clock:
    return Clock(NOW)


@pytest.fixture
def processes(store: Store, clock: Clock) -> Iterator[list[Process]]:
    """Two processes that have polled."""
    authority = Authority(clock=clock)
    made = [Process(store, authority, clock) for _ in range(2)]
    for process in made:
        process.poll()
    yield made
    for process in made:
        process.guard.close()


def test_from_refusal_to_allowed_in_another_process(store: Store, processes: list[Process], clock: Clock) -> None:
    """With its next poll each process allows; at the end each refuses, although the store is away since."""
    assert [False, False] == [process.passes() for process in processes]
    approve(store, "orders:export", clock.now, 30)
    for process in processes:
        assert not process.passes()
        process.poll()
        assert process.passes()
    clock.now += 29.9
    assert [True, True] == [process.passes() for process in processes]
    clock.now += 0.1
    assert [False, False] == [process.passes() for process in processes]
    for process in processes:
        process.poll()
    assert [False, False] == [process.passes() for process in processes]


def test_an_early_end_reaches_every_process(store: Store, processes: list[Process], clock: Clock) -> None:
    """With its next poll, and a process that starts afterwards never allows."""
    elevation = approve(store, "orders:export", clock.now, 600)
    other = approve(store, "orders:export", clock.now, 600, subject="bob")
    for process in processes:
        process.poll()
    change(store, elevation, "ended", clock.now + 1)
    for process in processes:
        assert process.passes()
        process.poll()
        assert not process.passes()
    assert other.until is not None
    assert [True] == [each.id == other.id for each in store.changes(0).grants]
