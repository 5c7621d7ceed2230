"""A bounded cache of verified tokens.

Each verifier has its own cache. Only valid tokens are cached, under a digest of the whole token. For each hit, the
caller still has to check whether the token has expired, its issuer's keys have changed, or it is revoked.
"""

from __future__ import annotations

from typing import Final, Generic, TypeVar

MAX_ENTRIES: Final = 4096

CacheEntryT = TypeVar("CacheEntryT")


class TokenCache(Generic[CacheEntryT]):
    """A bounded map from the SHA-256 of whole tokens, signature included, to the results of their verification.

    It has two generations. When the young one is full it becomes the old one, and entries that are used move to the
    young one again. `entries` bounds the memory, because a token has a maximum size. There is no lock, which a fork could
    leave held for ever: threads that put at the same moment may lose a generation, or exceed the bound by one entry each.
    """

    def __init__(self, entries: int = MAX_ENTRIES) -> None:
        self._half = max(entries // 2, 1)
        self.young: dict[bytes, CacheEntryT] = {}
        """The entries used lately. A caller in a hurry looks here first; only the cache itself changes it."""
        self._old: dict[bytes, CacheEntryT] = {}

    def get(self, key: bytes) -> CacheEntryT | None:
        """Return the entry, or None."""
        entry = self.young.get(key)
        if entry is None:
            entry = self._old.get(key)
            if entry is not None:
                self.put(key, entry)
        return entry

    def put(self, key: bytes, entry: CacheEntryT) -> None:
        """Store the entry."""
        if len(self.young) >= self._half:
            self._old, self.young = self.young, {}
        self.young[key] = entry

    def drop(self, key: bytes) -> None:
        """Remove the entry, if there is one."""
        self.young.pop(key, None)
        self._old.pop(key, None)

    def clear(self) -> None:
        """Remove all entries."""
        self.young, self._old = {}, {}

    def __len__(self) -> int:
        return len(self.young.keys() | self._old.keys())
