"""Which tokens have we just verified?

Only tokens that were found good are kept, under a digest of the whole token, by one verifier for itself. What a
hit still has to answer (is it alive, are its keys still the issuer's, is it revoked) is asked by the caller.
"""

from __future__ import annotations

from threading import Lock
from typing import Final, Generic, TypeVar

MAX_ENTRIES: Final = 4096

CacheEntryT = TypeVar("CacheEntryT")


class TokenCache(Generic[CacheEntryT]):
    """A bounded map from the SHA-256 of whole tokens, signature included, to what they were found to be.

    Two generations: a full young one becomes the old one, and what is still asked for moves up again. Reading
    takes no lock. Memory is bounded by `entries`, each of which a token of the reader's maximum size made.
    """

    def __init__(self, entries: int = MAX_ENTRIES) -> None:
        self._half = max(entries // 2, 1)
        self._young: dict[bytes, CacheEntryT] = {}
        self._old: dict[bytes, CacheEntryT] = {}
        self._lock = Lock()

    def get(self, key: bytes) -> CacheEntryT | None:
        """What the token was found to be, or None."""
        found = self._young.get(key)
        if found is None:
            found = self._old.get(key)
            if found is not None:
                self.put(key, found)
        return found

    def put(self, key: bytes, entry: CacheEntryT) -> None:
        """Remember it, unless another thread is remembering something right now."""
        # Never waited for: another thread's turn costs one entry, and a lock that a fork left behind nothing more.
        if not self._lock.acquire(blocking=False):
            return
        try:
            if len(self._young) >= self._half:
                self._old, self._young = self._young, {}
            self._young[key] = entry
        finally:
            self._lock.release()

    def drop(self, key: bytes) -> None:
        """Forget one entry; unknown ones are fine."""
        self._young.pop(key, None)
        self._old.pop(key, None)

    def clear(self) -> None:
        """Forget everything."""
        self._young, self._old = {}, {}

    def __len__(self) -> int:
        return len(self._young.keys() | self._old.keys())
