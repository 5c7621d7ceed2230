"""Coordination of the fetches of one key set in one process.

One fetch runs at a time, a cool-down separates attempts, at most five callers wait for each fetch, and a late answer
does not overwrite a newer one.
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
    """One fetch: its number in the order, when it started, and an event for the callers that wait."""

    __slots__ = ("done", "number", "started_at", "waiters")

    def __init__(self, number: int, started_at: float) -> None:
        self.number: int = number
        self.started_at: float = started_at
        self.waiters: int = 0
        self.done: threading.Event = threading.Event()


class SingleFlight:
    """The fetches of one key set in this process.

    `start_fetch` starts a fetch on its own thread and may raise RuntimeError. The thread must always call `complete`
    at its end. A fetch that is not complete after 20 s (name resolution has no time limit) is abandoned and another
    may start, but at most three run at once. `error` says why the last attempt failed.
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
        """Return the fetch that this caller should wait for, starting one if needed; None means not to wait.

        With `wait=False` no fetch starts, and `KeysPending` is raised where the caller would have had to wait.
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
        """Start a fetch if that is allowed now; never wait, neither for it nor for the lock."""
        if self.cooldown_left() <= 0 and self._lock.acquire(blocking=False):
            try:
                if self._running() is None:
                    self._start()
            finally:
                self._lock.release()

    def cooldown_left(self) -> float:
        """Return the seconds until the cool-down ends; zero or negative if it has ended."""
        return self._last_attempt + self._cooldown - self._clock()

    def retry_after(self) -> float:
        """Return after how many seconds a retry may help: one while a fetch runs, else the rest of the cool-down."""
        return 1.0 if self._running() is not None else max(1.0, self.cooldown_left())

    def complete(self, flight: Flight, error: str | None, on_success: Callable[[], None]) -> bool:
        """Record how a fetch ended, call `on_success` if it succeeded, and release the waiters.

        Returns False, and changes nothing, if a later fetch was completed before.
        """
        try:
            with self._lock:
                self._in_flight -= 1
                if self._current is flight:
                    self._current = None
                # INVARIANT: the late result of an earlier fetch never replaces the result of a later one.
                newest = flight.number > self._last_completed
                if newest:
                    self._last_completed = flight.number
                    self.error = error
                if newest and error is None:
                    on_success()
        finally:
            # INVARIANT: nobody keeps waiting for a fetch that has ended, however it ended.
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
        # INVARIANT: the cool-down counts from the attempt, so a dead issuer gets no more requests than a live one.
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
