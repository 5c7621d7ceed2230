"""Signing keys that rotate, and the operations on them.

A key is published before it signs, so that verifiers have it by then. It stays published until the last token that it
signed has expired.
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
"""How many seconds a key is published before it signs: as long as a set without a `max-age` is cached."""
LEEWAY: Final = 300.0
"""How many seconds after its expiry a token may still be accepted: the maximum of a guard's LEEWAY."""
RELOAD_INTERVAL: Final = 2.0
"""After how many seconds a process reads the folder again."""
MAX_PUBLISHED: Final = 50
"""The maximum number of published keys; a guard reads 100."""

log: Final[logging.Logger] = logging.getLogger("jwt_lp.keys")


@dataclass(frozen=True, slots=True)
class _KeyRingSnapshot:
    """The ring as it was read last: its signing key, what it publishes, and when a published key expires next."""

    ring: Ring
    key: SigningKey
    published: tuple[Mapping[str, object], ...]
    generation: int
    expires_at: float


@final
class KeyRing:
    """The signing keys in `folder`, as `SigningKeys` for a server process.

    The folder is read at construction, and again on use if `reload_interval` seconds have passed by `clock` (seconds
    since the epoch). If the folder cannot be read later, the last good keys stay in use, which is logged once. Raises
    `ConfigurationError` if there are no keys at construction. Safe for many threads and after a fork.
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
        """A number, in this process, that changes whenever the set to publish changes."""
        return self._current_snapshot().generation

    @property
    def lifetime(self) -> float:
        """For how many seconds, without the leeway, a key stays published after it is retired at the next rotation."""
        return self._current_snapshot().ring.lifetime

    def jwks(self) -> dict[str, object]:
        """Return the set to publish (RFC 7517, section 5): the current key, then the next, then the retired ones."""
        return {"keys": [dict(jwk) for jwk in self._current_snapshot().published]}

    def _current_snapshot(self) -> _KeyRingSnapshot:
        """Return the snapshot, reloaded if due. One caller at a time reloads; the others do not wait."""
        now = self._clock()
        # Also reload if the clock was set back.
        if not self._loaded_at <= now < self._loaded_at + self._reload_interval or now >= self._snapshot.expires_at:
            lock = self._reload_lock.get()
            if lock.acquire(blocking=False):
                try:
                    self._reload(now)
                finally:
                    lock.release()
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
                log.error("%s; the last good signing keys stay in use", error)  # noqa: TRY400 - no traceback
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
    """Add a key that signs after the existing ones; in a new folder, make a current key and a next key."""

    def edit(ring: Ring) -> tuple[Ring, list[SigningKey]]:
        change = _RingChange(ring, _now(clock))
        change.add_key(algorithm)
        return change.finish(algorithm)

    _check_algorithm(algorithm)
    return change_ring(Path(folder), edit, create=True)


def rotate_keys(
    folder: str | os.PathLike[str] = FOLDER,
    *,
    ahead: float = PUBLISH_AHEAD,
    lifetime: float | None = None,
    algorithm: str | None = None,
    force: bool = False,
    clock: Callable[[], float] = time.time,
) -> Ring:
    """Make the next key the current one, retire the previous one, and publish a new next key.

    Raises `PolicyError` if no next key was published at least `ahead` seconds ago, unless `force`. The retired key
    stays published for `lifetime` seconds (the longest lifetime of a token) plus the leeway. The ring stores `lifetime`
    as the default for the next rotation. `algorithm` is that of the new key; by default, that of the newest one.
    """

    def edit(ring: Ring) -> tuple[Ring, list[SigningKey]]:
        now = _now(clock)
        token_lifetime = ring.lifetime if lifetime is None else lifetime
        change = _RingChange(replace(ring, lifetime=token_lifetime), now)
        if not force:
            _check_published(ring.next_keys, now, ahead)
        # Tokens that the key has signed already may have the lifetime stored before.
        change.retire_current(max(token_lifetime, ring.lifetime))
        if algorithm is not None and len(ring.next_keys) > 1:
            change.add_key(algorithm)
        return change.finish(algorithm or (*ring.signing, *ring.next_keys)[-1].algorithm)

    _check_algorithm(algorithm)
    return change_ring(Path(folder), edit)


def withdraw_key(kid: str, folder: str | os.PathLike[str] = FOLDER, *, clock: Callable[[], float] = time.time) -> Ring:
    """Remove a key at once, because others may have its private key: its tokens must not be accepted any more.

    If it is the current key, the next one signs from now on, even if it was published only just before. Raises
    `ConfigurationError` if there is no such key.
    """

    def edit(ring: Ring) -> tuple[Ring, list[SigningKey]]:
        withdrawn = next((key for key in ring.keys if key.kid == kid), None)
        if withdrawn is None:
            kids = ", ".join(key.kid for key in ring.in_order())
            raise ConfigurationError(f"there is no signing key {kid!a}; there are {kids}")
        remaining = tuple(key for key in ring.keys if key is not withdrawn)
        return _RingChange(replace(ring, keys=remaining), _now(clock)).finish(withdrawn.algorithm)

    return change_ring(Path(folder), edit)


class _RingChange:
    """A change of a ring in progress, with the new keys."""

    def __init__(self, ring: Ring, now: float) -> None:
        self._ring = ring
        self._now = now
        self._new_keys: list[SigningKey] = []

    def add_key(self, algorithm: str) -> None:
        """Add a key that signs next."""
        key = SigningKey.generate(algorithm)
        self._new_keys.append(key)
        self._replace_keys(*self._ring.keys, RingKey(key.kid, algorithm, key.public_jwk(), self._now))

    def retire_current(self, token_lifetime: float) -> None:
        """Retire the key that signs; its tokens live `token_lifetime` seconds."""
        retired = self._ring.current
        # Other processes sign with the key until they reload the ring.
        end = self._now + token_lifetime + LEEWAY + RELOAD_INTERVAL
        self._replace_keys(
            *(replace(key, retired=self._now, until=end) if key is retired else key for key in self._ring.keys)
        )

    def finish(self, algorithm: str) -> tuple[Ring, list[SigningKey]]:
        """Return the ring with one key that signs, at least one that signs next, and no dead key; and the new keys."""
        if not self._ring.signing:
            if not self._ring.next_keys:
                self.add_key(algorithm)
            first = self._ring.next_keys[0]
            self._replace_keys(*(replace(key, signs=self._now) if key is first else key for key in self._ring.keys))
        if not self._ring.next_keys:
            self.add_key(algorithm)
        self._replace_keys(*self._ring.published(self._now))
        if len(self._ring.keys) > MAX_PUBLISHED:
            raise PolicyError(f"{MAX_PUBLISHED} keys are published already: wait until retired keys have expired")
        return self._ring, self._new_keys

    def _replace_keys(self, *keys: RingKey) -> None:
        self._ring = replace(self._ring, keys=keys)


def _load(folder: Path) -> tuple[Ring, SigningKey]:
    ring = read_ring(folder)
    while True:
        try:
            return ring, read_private(folder, ring.current)
        except ConfigurationError:
            # A change of the ring may have deleted the key's file: read the ring again.
            before, ring = ring, read_ring(folder)
            if ring == before:
                raise


def _make_snapshot(ring: Ring, signing_key: SigningKey, now: float, generation: int) -> _KeyRingSnapshot:
    published = ring.published(now)
    expires_at = min((key.until for key in published if key.until is not None), default=math.inf)
    return _KeyRingSnapshot(ring, signing_key, tuple(key.public for key in published), generation, expires_at)


def _check_algorithm(algorithm: str | None) -> None:
    if algorithm in SYMMETRIC:
        raise ConfigurationError(f"{algorithm} signs with a shared secret, which is never published: use ES256")


def _check_published(next_keys: tuple[RingKey, ...], now: float, ahead: float) -> None:
    if not next_keys:
        raise PolicyError("no key is published to sign next: make one first, or pass --force")
    if now - next_keys[0].published < ahead:
        age = max(0.0, now - next_keys[0].published)
        raise PolicyError(
            f"the next key, {next_keys[0].kid}, has been published for {age:.0f} s of {ahead:.0f}: services that have "
            f"not fetched it refuse its tokens; wait {ahead - age:.0f} s, or pass --force"
        )


def _now(clock: Callable[[], float]) -> float:
    return round(clock(), 3)
