"""A bounded cache of verified tokens.

Each verifier has its own cache. Only valid tokens are cached, under a digest of the whole token. For each hit, the
caller still has to check whether the token has expired, its issuer's keys have changed, or it is revoked.
"""

from __future__ import annotations

from threading import Lock
from typing import Final, Generic, TypeVar

MAX_ENTRIES: Final = 4096

CacheEntryT = TypeVar("CacheEntryT")


class TokenCache(Generic[CacheEntryT]):
    """A bounded map from the SHA-256 of whole tokens, signature included, to the results of their verification.

    It has two generations. When the young one is full it becomes the old one, and entries that are used move to the
    young one again. Reading takes no lock. `entries` bounds the memory, because a token has a maximum size.
    """

    def __init__(self, entries: int = MAX_ENTRIES) -> None:
        self._half = max(entries // 2, 1)
        self._young: dict[bytes, CacheEntryT] = {}
        self._old: dict[bytes, CacheEntryT] = {}
        self._lock = Lock()

    def get(self, key: bytes) -> CacheEntryT | None:
        """Return the entry, or None."""
        entry = self._young.get(key)
        if entry is None:
            entry = self._old.get(key)
            if entry is not None:
                self.put(key, entry)
        return entry

    def put(self, key: bytes, entry: CacheEntryT) -> None:
        """Store the entry, unless another thread is storing one at the same moment."""
        # Never wait for the lock: a missed entry costs little, and a fork may leave the lock held forever.
        if not self._lock.acquire(blocking=False):
            return
        try:
            if len(self._young) >= self._half:
                self._old, self._young = self._young, {}
            self._young[key] = entry
        finally:
            self._lock.release()

    def drop(self, key: bytes) -> None:
        """Remove the entry, if there is one."""
        self._young.pop(key, None)
        self._old.pop(key, None)

    def clear(self) -> None:
        """Remove all entries."""
        self._young, self._old = {}, {}

    def __len__(self) -> int:
        return len(self._young.keys() | self._old.keys())
