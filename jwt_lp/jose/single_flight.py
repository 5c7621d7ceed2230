"""May the key set be fetched now, and who waits for it?

The bookkeeping of one key set's fetches in one process: one under way at a time, a cool-down between
attempts, a handful of waiters, and late answers that do not overwrite newer ones.
"""

from __future__ import annotations

import math
import threading
from typing import TYPE_CHECKING, Final

from jwt_lp.errors import KeysPending

if TYPE_CHECKING:
    from collections.abc import Callable

MAX_WAITERS: Final = 5
MAX_IN_FLIGHT: Final = 3
ABANDON_AFTER: Final = 20.0


class Flight:
    """One fetch: its place in the order, when it began, and an event for those who wait."""

    __slots__ = ("done", "number", "started_at", "waiters")

    def __init__(self, number: int, started_at: float) -> None:
        self.number: int = number
        self.started_at: float = started_at
        self.waiters: int = 0
        self.done: threading.Event = threading.Event()


class SingleFlight:
    """The fetches of one key set in this process.

    `start_fetch` starts a fetch on a thread of its own and may raise RuntimeError; whatever happens there ends
    with `complete`. A fetch that has not landed after 20 s (name resolution has no time limit) is given up and
    another may begin, though never more than three at once. `error` says why the last attempt failed.
    """

    __slots__ = (
        *("_in_flight", "_last_attempt", "_clock", "_cooldown", "_current", "_last_completed", "_start_fetch"),
        *("_lock", "_number", "error"),
    )

    def __init__(self, start_fetch: Callable[[Flight], None], *, cooldown: float, clock: Callable[[], float]) -> None:
        self._start_fetch = start_fetch
        self._cooldown = cooldown
        self._clock = clock
        self._lock = threading.Lock()
        self._last_attempt = -math.inf
        self._number = 0
        self._last_completed = 0
        self._in_flight = 0
        self._current: Flight | None = None
        self.error: str | None = None

    def join(self, *, wait: bool) -> Flight | None:
        """Give the fetch that this caller waits for, begun now if need be; None: answer at once.

        With `wait=False` nothing begins, and `KeysPending` is raised where a seat would have been given.
        """
        with self._lock:
            flight = self._running()
            if not wait:
                if flight.waiters < MAX_WAITERS if flight is not None else self._may_start():
                    raise KeysPending("the key set has to be fetched first")
                return None
            flight = flight or self._start()
            if flight is None or flight.waiters >= MAX_WAITERS:
                return None
            flight.waiters += 1
            return flight

    def trigger(self) -> None:
        """Begin a fetch if that is allowed now; never waits, neither for it nor for the lock."""
        if self.cooldown_left() <= 0 and self._lock.acquire(blocking=False):
            try:
                if self._running() is None:
                    self._start()
            finally:
                self._lock.release()

    def cooldown_left(self) -> float:
        """Give the seconds until the cool-down ends; not positive when it has ended."""
        return self._last_attempt + self._cooldown - self._clock()

    def again(self) -> float:
        """Give the seconds after which asking again may help: the rest of the cool-down, or one while a fetch is under way."""
        return 1.0 if self._running() is not None else max(1.0, self.cooldown_left())

    def complete(self, flight: Flight, error: str | None, on_success: Callable[[], None]) -> bool:
        """Note how a fetch ended, call `on_success` if it went well, and release the waiters.

        False when a later fetch has landed before: this one then changes nothing.
        """
        try:
            with self._lock:
                self._in_flight -= 1
                if self._current is flight:
                    self._current = None
                # INVARIANT: what an earlier fetch brings late never replaces what a later one brought.
                newest = flight.number > self._last_completed
                if newest:
                    self._last_completed = flight.number
                    self.error = error
                if newest and error is None:
                    on_success()
        finally:
            # INVARIANT: nobody waits on for a fetch that is over, however it ended.
            flight.done.set()
        return newest

    def _running(self) -> Flight | None:
        flight = self._current
        return flight if flight is not None and self._clock() - flight.started_at < ABANDON_AFTER else None

    def _may_start(self) -> bool:
        return self.cooldown_left() <= 0 and self._in_flight < MAX_IN_FLIGHT

    def _start(self) -> Flight | None:
        if not self._may_start():
            return None
        # INVARIANT: the cool-down counts from the attempt, so a dead issuer is asked no oftener than a live.
        self._last_attempt = self._clock()
        self._number += 1
        flight = Flight(self._number, self._last_attempt)
        try:
            self._start_fetch(flight)
        except RuntimeError:
            self.error = "no thread could be started for the fetch"
            return None
        self._in_flight += 1
        self._current = flight
        return flight
