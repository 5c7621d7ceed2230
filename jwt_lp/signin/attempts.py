"""Counts of failed attempts to sign in, and how they slow the next attempt."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING, Final, NamedTuple, Protocol

from jwt_lp._support.worker import PerProcess
from jwt_lp.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Callable

MAX_ENTRIES: Final = 20_000
FORGET_AFTER: Final = 3600.0
"""Seconds after which failures are forgotten, counted from the last one and the end of its delay."""
REMEMBER: Final = 30 * 86400.0
"""Seconds for which an address is remembered from which an account has signed in."""

_MIN_ENTRIES: Final = 10
_MAX_EXPONENT: Final = 30


class Limit(NamedTuple):
    """How failures slow the next attempt: fewer than `free` cost nothing, and each later one doubles the delay.

    The first delay is a second; none is longer than `longest` seconds.
    """

    free: int
    longest: float

    def delay(self, failures: int) -> float:
        """The seconds until the next attempt after this many failures."""
        excess = failures - self.free
        return 0.0 if excess < 0 else min(self.longest, 2.0 ** min(excess, _MAX_EXPONENT))


PAIR: Final = Limit(5, 900.0)
"""For one account from one address."""
ADDRESS: Final = Limit(20, 900.0)
"""For one address, over all accounts."""
ACCOUNT: Final = Limit(20, 60.0)
"""For one account, over all addresses but those from which it has signed in before. The delay is short, because any
stranger can cause it."""


class Attempt(NamedTuple):
    """The keys that an attempt is counted under, as digests: account and address together, the account, the address."""

    pair: bytes
    account: bytes
    address: bytes | None


class AttemptCounts(Protocol):
    """Counts of failed attempts."""

    def reserve(self, attempt: Attempt) -> float:
        """Count the attempt as failed and return 0; or count nothing, and return the seconds to wait."""
        ...

    def succeed(self, attempt: Attempt) -> None:
        """Forget the failures of the account, remember the pair, and take the attempt off those of the address."""
        ...

    def withdraw(self, attempt: Attempt) -> None:
        """Take back an attempt that came to no result."""
        ...


class _Count:
    """The failures under one key, when the last one was, and until when the next attempt is refused."""

    __slots__ = ("failures", "last", "until")

    def __init__(self) -> None:
        self.failures = 0
        self.last = 0.0
        self.until = 0.0


class LocalCounts:
    """The counts of one process. `clock` returns seconds, and never goes back.

    At most `max_entries` keys are kept. If there are more, a tenth goes, those with the fewest failures first: whoever
    sends many names pushes out the lightest counts, and not the one that slows him.
    """

    def __init__(self, max_entries: int = MAX_ENTRIES, *, clock: Callable[[], float] = time.monotonic) -> None:
        if max_entries < _MIN_ENTRIES:
            raise ConfigurationError(f"max_entries is {max_entries}: it has to be {_MIN_ENTRIES} or more")
        self._max_entries = max_entries
        self._clock = clock
        # One lock for each process, because the parent may hold its lock when it forks.
        self._locks = PerProcess(threading.Lock)
        self._counts: dict[bytes, _Count] = {}
        # The pairs that have signed in, the oldest first, and when.
        self._known: dict[bytes, float] = {}

    def reserve(self, attempt: Attempt) -> float:
        """Count the attempt as failed and return 0; or count nothing, and return the seconds to wait."""
        with self._locks.get():
            now = self._clock()
            keys = self._keys(attempt, now)
            wait = max(self._counts[key].until - now if key in self._counts else 0.0 for key in keys)
            if wait > 0:
                return wait
            for key, limit in keys.items():
                self._add(key, limit, now)
            return 0.0

    def succeed(self, attempt: Attempt) -> None:
        """Forget the failures of the account, remember the pair, and take the attempt off those of the address."""
        with self._locks.get():
            self._counts.pop(attempt.pair, None)
            self._counts.pop(attempt.account, None)
            # INVARIANT: the other failures of the address stay. Otherwise whoever has an account could sign in to it
            # between guesses at others.
            if attempt.address is None:
                return
            self._take_back(attempt.address)
            self._known.pop(attempt.pair, None)
            self._known[attempt.pair] = self._clock()
            if len(self._known) > self._max_entries:
                del self._known[next(iter(self._known))]

    def withdraw(self, attempt: Attempt) -> None:
        """Take back an attempt that came to no result."""
        with self._locks.get():
            for key in self._keys(attempt, self._clock()):
                self._take_back(key)

    def __len__(self) -> int:
        return len(self._counts)

    def _keys(self, attempt: Attempt, now: float) -> dict[bytes, Limit]:
        if attempt.address is None:
            # INVARIANT: without an address everybody is the same stranger, who must not lock the owner out.
            return {attempt.account: ACCOUNT}
        keys = {attempt.pair: PAIR, attempt.address: ADDRESS}
        if now - self._known.get(attempt.pair, -REMEMBER) >= REMEMBER:
            keys[attempt.account] = ACCOUNT
        return keys

    def _add(self, key: bytes, limit: Limit, now: float) -> None:
        count = self._counts.get(key)
        if count is None or now > max(count.last, count.until) + FORGET_AFTER:
            self._counts[key] = count = _Count()
        count.failures += 1
        count.last = now
        count.until = now + limit.delay(count.failures)
        if len(self._counts) > self._max_entries:
            self._evict()

    def _take_back(self, key: bytes) -> None:
        count = self._counts.get(key)
        if count is not None and count.failures > 0:
            count.failures -= 1
            # The attempt was allowed, so nothing was to be waited for.
            count.until = 0.0

    def _evict(self) -> None:
        lightest = sorted(self._counts, key=lambda key: (self._counts[key].failures, self._counts[key].last))
        for key in lightest[: max(1, self._max_entries // 10)]:
            del self._counts[key]
