"""The proofs that this process has accepted, so that none is accepted twice (RFC 9449, section 11.1)."""

from __future__ import annotations

import math
import time
from typing import TYPE_CHECKING, Final

from jwt_lp._support.worker import ForkSafeLock

if TYPE_CHECKING:
    from collections.abc import Callable

PER_SECOND: Final = 4096
"""How many proofs a second are remembered. Verifying one takes longer than the time that this leaves for it."""


class ReplayMemory:
    """Remembers digests for `window` seconds at least, and for twice as long at most.

    It has two generations: the old one is forgotten when the young one is `window` seconds old. Nothing else is ever
    forgotten, so no flood of proofs makes room for one that is used again. `monotonic` is a clock that is never set.
    """

    def __init__(self, window: float, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._window = window
        self._capacity = math.ceil(window) * PER_SECOND
        self._monotonic = monotonic
        self._lock = ForkSafeLock()
        self._young: set[bytes] = set()
        self._old: set[bytes] = set()
        self._turn = monotonic() + window

    def add(self, digest: bytes) -> bool | None:
        """Remember a digest. True if it is new, False if it is known, None if there is no room for another."""
        with self._lock:
            now = self._monotonic()
            if now >= self._turn:
                self._old = self._young if now < self._turn + self._window else set()
                self._young, self._turn = set(), now + self._window
            if digest in self._young or digest in self._old:
                return False
            if len(self._young) >= self._capacity:
                return None
            self._young.add(digest)
            return True

    def __len__(self) -> int:
        return len(self._young) + len(self._old)
