"""May the issuer be asked now, and who waits for the answer?

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
MAX_ALOFT: Final = 3
LOST_AFTER: Final = 20.0


class Flight:
    """One fetch: its place in the order, when it began, and an event for those who wait."""

    __slots__ = ("begun", "landed", "number", "waiters")

    def __init__(self, number: int, begun: float) -> None:
        self.number: int = number
        self.begun: float = begun
        self.waiters: int = 0
        self.landed: threading.Event = threading.Event()


class Flights:
    """The fetches of one key set in this process.

    `launch` starts a fetch on a thread of its own and may raise RuntimeError; whatever happens there ends
    with `land`. A fetch that has not landed after 20 s (name resolution has no time limit) is given up and
    another may begin, though never more than three at once. `error` says why the last attempt failed.
    """

    __slots__ = (
        *("_aloft", "_attempted", "_clock", "_cooldown", "_current", "_last_landed", "_launch"),
        *("_lock", "_number", "error"),
    )

    def __init__(self, launch: Callable[[Flight], None], *, cooldown: float, clock: Callable[[], float]) -> None:
        self._launch = launch
        self._cooldown = cooldown
        self._clock = clock
        self._lock = threading.Lock()
        self._attempted = -math.inf
        self._number = 0
        self._last_landed = 0
        self._aloft = 0
        self._current: Flight | None = None
        self.error: str | None = None

    def seat(self, *, wait: bool) -> Flight | None:
        """Give the fetch that this caller waits for, begun now if need be; None: answer at once.

        With `wait=False` nothing begins, and `KeysPending` is raised where a seat would have been given.
        """
        with self._lock:
            flight = self._under_way()
            if not wait:
                if flight.waiters < MAX_WAITERS if flight is not None else self._may_begin():
                    raise KeysPending("only a fetch of the key set could tell")
                return None
            flight = flight or self._begin()
            if flight is None or flight.waiters >= MAX_WAITERS:
                return None
            flight.waiters += 1
            return flight

    def nudge(self) -> None:
        """Begin a fetch if that is allowed now; never waits, neither for it nor for the lock."""
        if self.rest() <= 0 and self._lock.acquire(blocking=False):
            try:
                if self._under_way() is None:
                    self._begin()
            finally:
                self._lock.release()

    def rest(self) -> float:
        """Give the seconds until the cool-down ends; not positive when it has ended."""
        return self._attempted + self._cooldown - self._clock()

    def again(self) -> float:
        """Give the seconds after which asking again may help: the rest of the cool-down, or one while a fetch is under way."""
        return 1.0 if self._under_way() is not None else max(1.0, self.rest())

    def land(self, flight: Flight, error: str | None, take: Callable[[], None]) -> bool:
        """Note how a fetch ended, call `take` if it went well, and release the waiters.

        False when a later fetch has landed before: this one then changes nothing.
        """
        try:
            with self._lock:
                self._aloft -= 1
                if self._current is flight:
                    self._current = None
                # INVARIANT: what an earlier fetch brings late never replaces what a later one brought.
                newest = flight.number > self._last_landed
                if newest:
                    self._last_landed = flight.number
                    self.error = error
                if newest and error is None:
                    take()
        finally:
            # INVARIANT: nobody waits on for a fetch that is over, however it ended.
            flight.landed.set()
        return newest

    def _under_way(self) -> Flight | None:
        flight = self._current
        return flight if flight is not None and self._clock() - flight.begun < LOST_AFTER else None

    def _may_begin(self) -> bool:
        return self.rest() <= 0 and self._aloft < MAX_ALOFT

    def _begin(self) -> Flight | None:
        if not self._may_begin():
            return None
        # INVARIANT: the cool-down counts from the attempt, so a dead issuer is asked no oftener than a live.
        self._attempted = self._clock()
        self._number += 1
        flight = Flight(self._number, self._attempted)
        try:
            self._launch(flight)
        except RuntimeError:
            self.error = "no thread could be started for the fetch"
            return None
        self._aloft += 1
        self._current = flight
        return flight
