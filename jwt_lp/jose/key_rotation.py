"""Which of our keys signs now, and which are still published?

A key is published before it signs, so that whoever verifies has it by then, and stays published until the last
token that it signed is dead.
"""

from __future__ import annotations

import logging
import math
import os
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final, final

from jwt_lp._support.worker import PerProcess
from jwt_lp.errors import ConfigurationError, PolicyError
from jwt_lp.jose.jwk import SYMMETRIC
from jwt_lp.jose.key_files import LIFETIME, KeyState, Ring, RingKey, change_ring, read_private, read_ring
from jwt_lp.jose.signing import SigningKey

__all__ = ["FOLDER", "LEEWAY", "LIFETIME", "PUBLISH_AHEAD", "KeyRing", "KeyState", "RingKey"]

FOLDER: Final = "signing-keys"

PUBLISH_AHEAD: Final = 600.0
"""For how many seconds a key is published before it signs: as long as a set without a `max-age` is kept."""
LEEWAY: Final = 300.0
"""How many seconds after its end a token may still be taken: the most that a guard's LEEWAY allows."""
RELOAD_INTERVAL: Final = 2.0
"""After how many seconds a process looks into the folder again."""
MAX_PUBLISHED: Final = 50
"""How many keys are published at most; a guard reads 100."""

log: Final[logging.Logger] = logging.getLogger("jwt_lp.keys")


@dataclass(frozen=True, slots=True)
class _KeyRingSnapshot:
    """What one look found: the ring, its signing key, what it publishes now, and when that lapses."""

    ring: Ring
    key: SigningKey
    published: tuple[Mapping[str, object], ...]
    generation: int
    expires_at: float


@final
class KeyRing:
    """The signing keys in `folder`, as `SigningKeys`: for a process that serves.

    It looks into the folder when it is made, and again when asked and `reload_interval` seconds have passed by `clock`
    (seconds since the epoch). A folder that cannot be read any more leaves the last good keys in force, which is
    logged once. `ConfigurationError` where there are no keys at first. May be used by many threads and after a fork.
    """

    def __init__(
        self,
        folder: str | os.PathLike[str] = FOLDER,
        *,
        clock: Callable[[], float] = time.time,
        reload_interval: float = RELOAD_INTERVAL,
    ) -> None:
        self._folder = Path(folder)
        self._clock = clock
        self._reload_interval = reload_interval
        self._reload_lock = PerProcess(threading.Lock)
        self._loaded_at = clock()
        self._failing = False
        self._snapshot = _make_snapshot(*_load(self._folder), self._loaded_at, 1)

    @property
    def current(self) -> SigningKey:
        """The key that signs now."""
        return self._current_snapshot().key

    @property
    def generation(self) -> int:
        """Which set this is, in this process: it changes whenever the set to publish does."""
        return self._current_snapshot().generation

    def jwks(self) -> dict[str, object]:
        """The set to publish (RFC 7517, section 5): the current key first, then the next, then the retired ones."""
        return {"keys": [dict(each) for each in self._current_snapshot().published]}

    def _current_snapshot(self) -> _KeyRingSnapshot:
        """The last look's snapshot. One caller at a time looks again, and none waits for it."""
        now = self._clock()
        # A clock that was put back is no reason not to look.
        if not self._loaded_at <= now < self._loaded_at + self._reload_interval or now >= self._snapshot.expires_at:
            turn = self._reload_lock.get()
            if turn.acquire(blocking=False):
                try:
                    self._reload(now)
                finally:
                    turn.release()
        return self._snapshot

    def _reload(self, now: float) -> None:
        before = self._snapshot
        ring, key = before.ring, before.key
        try:
            ring = read_ring(self._folder)
            if ring != before.ring:
                ring, key = _load(self._folder)
            self._failing = False
        except ConfigurationError as error:
            ring = before.ring
            if not self._failing:
                log.error("%s; the last good signing keys stay in use", error)  # noqa: TRY400 - its place says nothing
            self._failing = True
        after = _make_snapshot(ring, key, now, before.generation)
        if after.published != before.published:
            after = replace(after, generation=before.generation + 1)
        self._snapshot = after
        self._loaded_at = now

    def __repr__(self) -> str:
        return f"<KeyRing {self._folder}>"


def add_key(
    folder: str | os.PathLike[str] = FOLDER, algorithm: str = "ES256", *, clock: Callable[[], float] = time.time
) -> Ring:
    """Make a key that signs after those there are; in a new folder one that signs now, and one that signs next."""

    def edit(ring: Ring) -> tuple[Ring, list[SigningKey]]:
        changing = _RingChange(ring, _seconds(clock))
        changing.make(algorithm)
        return changing.finish(algorithm)

    _check_algorithm(algorithm)
    return change_ring(Path(folder), edit, make=True)


def rotate_keys(
    folder: str | os.PathLike[str] = FOLDER,
    *,
    ahead: float = PUBLISH_AHEAD,
    lifetime: float | None = None,
    algorithm: str | None = None,
    force: bool = False,
    clock: Callable[[], float] = time.time,
) -> Ring:
    """Let the next key sign, retire the one that signed, and publish a new next one.

    `PolicyError` where no next key was published `ahead` seconds ago, unless `force`. The retired key
    stays published for `lifetime` seconds, the longest life of a token, and the leeway; the ring remembers it for
    the next time. `algorithm` is the new key's; left out, it is that of the newest one.
    """

    def edit(ring: Ring) -> tuple[Ring, list[SigningKey]]:
        now = _seconds(clock)
        lives = ring.lifetime if lifetime is None else lifetime
        changing = _RingChange(replace(ring, lifetime=lives), now)
        if not force:
            _check_published(ring.next_keys, now, ahead)
        # The tokens that the key has signed were made under the life that was said before.
        changing.retire(max(lives, ring.lifetime))
        if algorithm is not None and len(ring.next_keys) > 1:
            changing.make(algorithm)
        return changing.finish(algorithm or (*ring.signing, *ring.next_keys)[-1].algorithm)

    _check_algorithm(algorithm)
    return change_ring(Path(folder), edit)


def withdraw_key(kid: str, folder: str | os.PathLike[str] = FOLDER, *, clock: Callable[[], float] = time.time) -> Ring:
    """Take a key out at once, as one whose private half others may have: no token of it is to be taken any more.

    In place of the current one the next signs, however long ago it was published. `ConfigurationError` where there
    is no such key.
    """

    def edit(ring: Ring) -> tuple[Ring, list[SigningKey]]:
        gone = next((key for key in ring.keys if key.kid == kid), None)
        if gone is None:
            there = ", ".join(key.kid for key in ring.in_order())
            raise ConfigurationError(f"there is no signing key {kid!a}; there are {there}")
        left = tuple(key for key in ring.keys if key is not gone)
        return _RingChange(replace(ring, keys=left), _seconds(clock)).finish(gone.algorithm)

    return change_ring(Path(folder), edit)


class _RingChange:
    """A ring on its way to what it shall be, with the keys that were made for it."""

    def __init__(self, ring: Ring, now: float) -> None:
        self._ring = ring
        self._current_snapshot = now
        self._made: list[SigningKey] = []

    def make(self, algorithm: str) -> None:
        """Add a key that signs next."""
        key = SigningKey.generate(algorithm)
        self._made.append(key)
        self._replace_keys(*self._ring.keys, RingKey(key.kid, algorithm, key.public_jwk(), self._current_snapshot))

    def retire(self, lives: float) -> None:
        """Let no key sign; the tokens of the one that did live so many seconds."""
        gone = self._ring.current
        # Until it looks again, another process signs with the key as before.
        end = self._current_snapshot + lives + LEEWAY + RELOAD_INTERVAL
        self._replace_keys(
            *(
                replace(key, retired=self._current_snapshot, until=end) if key is gone else key
                for key in self._ring.keys
            )
        )

    def finish(self, algorithm: str) -> tuple[Ring, list[SigningKey]]:
        """The ring with a key that signs, one at least that signs next, and none that is dead."""
        if not self._ring.signing:
            if not self._ring.next_keys:
                self.make(algorithm)
            first = self._ring.next_keys[0]
            self._replace_keys(
                *(replace(key, signs=self._current_snapshot) if key is first else key for key in self._ring.keys)
            )
        if not self._ring.next_keys:
            self.make(algorithm)
        self._replace_keys(*self._ring.published(self._current_snapshot))
        if len(self._ring.keys) > MAX_PUBLISHED:
            raise PolicyError(f"{MAX_PUBLISHED} keys are published already: wait until retired keys have expired")
        return self._ring, self._made

    def _replace_keys(self, *keys: RingKey) -> None:
        self._ring = replace(self._ring, keys=keys)


def _load(folder: Path) -> tuple[Ring, SigningKey]:
    ring = read_ring(folder)
    while True:
        try:
            return ring, read_private(folder, ring.current)
        except ConfigurationError:
            # The key's file goes when the ring is changed: what was read before is then read again.
            before, ring = ring, read_ring(folder)
            if ring == before:
                raise


def _make_snapshot(ring: Ring, key: SigningKey, now: float, generation: int) -> _KeyRingSnapshot:
    published = ring.published(now)
    expires_at = min((each.until for each in published if each.until is not None), default=math.inf)
    return _KeyRingSnapshot(ring, key, tuple(each.public for each in published), generation, expires_at)


def _check_algorithm(algorithm: str | None) -> None:
    if algorithm in SYMMETRIC:
        raise ConfigurationError(f"{algorithm} signs with a shared secret, which is never published: use ES256")


def _check_published(next_keys: tuple[RingKey, ...], now: float, ahead: float) -> None:
    if not next_keys:
        raise PolicyError("no key is published to sign next: make one first, or pass --force")
    if now - next_keys[0].published < ahead:
        since = max(0.0, now - next_keys[0].published)
        raise PolicyError(
            f"the next key, {next_keys[0].kid}, has been published for {since:.0f} s of {ahead:.0f}: services that have not "
            f"fetched it refuse its tokens; wait {ahead - since:.0f} s, or pass --force"
        )


def _seconds(clock: Callable[[], float]) -> float:
    return round(clock(), 3)
