"""What of this token is revoked?

An immutable snapshot of the revocations. Looking a token up costs the same however many there are; a new snapshot
shares with the old one whatever did not change. Only digests are kept of tokens, subjects, clients and roles.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from functools import lru_cache
from hashlib import blake2b
from sys import intern
from typing import TYPE_CHECKING, Any, Final, NamedTuple, TypeVar

from jwt_lp.permissions.grants import Denial

if TYPE_CHECKING:
    from jwt_lp.revocation.entries import RevocationEntry
    from jwt_lp.tokens.claims import AccessToken

T = TypeVar("T")

SHARDS: Final = 1024
_PAUSE_EVERY: Final = 64
# Seconds. Without any, whoever lets the interpreter go is often the first to have it again.
_PAUSE_SECONDS: Final = 0.0001
_HOUR: Final = 3600


class RevocationMatch(NamedTuple):
    """What is revoked of one token: why the token as a whole, or None, and which of its permissions.

    `expires_at` is when a part of that ends by itself, in seconds since the epoch.
    """

    cause: str | None = None
    denials: tuple[Denial, ...] = ()
    expires_at: float = math.inf


NO_MATCH: Final = RevocationMatch()
"""Nothing was."""


class _TokenKeys(NamedTuple):
    """The digests under which something about a token may stand, those for denials with the role they shrink."""

    tokens: tuple[bytes, ...]
    holders: tuple[bytes, ...]
    roles: tuple[tuple[bytes, str], ...]
    issued_at: float


Shards = list[dict[bytes, Any]]

_DenyRecord = tuple[str, str, tuple[str, ...], float]
"""A deny entry: id, pattern, exceptions and end. A bare tuple, which the collector of garbage leaves alone."""


@dataclass(frozen=True, slots=True)
class RevocationSnapshot:
    """What stands, by digest of whom it is about: ends of tokens, the last `iat` refused, and deny entries.

    `generation` changes with every change. Nothing in it is ever changed again.
    """

    generation: int = 0
    tokens: Shards = field(default_factory=lambda: [{} for _ in range(SHARDS)])
    before: Shards = field(default_factory=lambda: [{} for _ in range(SHARDS)])
    denied: Shards = field(default_factory=lambda: [{} for _ in range(SHARDS)])

    def match_token(self, token: AccessToken, now: float) -> RevocationMatch:
        """What is revoked of `token`, `now` in seconds since the epoch."""
        asked = _token_keys(token)
        if any(now < _shard_of(self.tokens, key).get(key, 0) for key in asked.tokens):
            return RevocationMatch("the token, or one that it was narrowed from, is revoked")
        everybody = (*asked.holders, *(key for key, _ in asked.roles))
        if any(asked.issued_at <= _shard_of(self.before, key).get(key, -1) for key in everybody):
            return RevocationMatch("every token issued to its subject or client up to a time after its iat is revoked")
        found: list[tuple[_DenyRecord, str | None]] = [
            (denied, None) for key in asked.holders for denied in _shard_of(self.denied, key).get(key, ())
        ]
        found += [(denied, role) for key, role in asked.roles for denied in _shard_of(self.denied, key).get(key, ())]
        standing = {(denied[0], role): denied for denied, role in found if now < denied[3]}
        if not standing:
            return NO_MATCH
        denials = tuple(Denial(name, pattern, keep, role) for (_, role), (name, pattern, keep, _) in standing.items())
        return RevocationMatch(None, denials, min(until for _, _, _, until in standing.values()))

    def unshared_shards(self, new: RevocationSnapshot) -> list[dict[bytes, Any]]:
        """The parts that `new` does not share."""
        pairs = ((self.tokens, new.tokens), (self.before, new.before), (self.denied, new.denied))
        return [mine for one, other in pairs for mine, theirs in zip(one, other, strict=True) if mine is not theirs]

    def __len__(self) -> int:
        return sum(len(shard) for part in (self.tokens, self.before, self.denied) for shard in part)


class SnapshotBuilder:
    """Makes the next ledger of one. What is changed is copied first, and once."""

    def __init__(
        self,
        start: RevocationSnapshot,
        now: float,
        retention: float,
        pause: Callable[[], None] = lambda: time.sleep(_PAUSE_SECONDS),
    ) -> None:
        self._start = start
        self._now = now
        self._retention = retention
        self._pause = pause
        self._parts: dict[str, Shards] = {}
        self._fresh: set[tuple[str, int]] = set()
        self._count = 0

    def forget(self, entries: Iterable[tuple[str, str, str]]) -> None:
        """Take out everything about each of these keys."""
        for of, issuer, name in entries:
            key = digest(of, issuer, name)
            for part in ("tokens",) if of == "token" else ("before", "denied"):
                if key in getattr(self._start, part)[_index(key)] or (part, _index(key)) in self._fresh:
                    self._shard(part, key).pop(key, None)

    def add(self, entry: RevocationEntry) -> None:
        """Put in one entry, unless it has ended."""
        self._count += 1
        if self._count % _PAUSE_EVERY == 0:
            # Nobody on the way of a request waits for the interpreter's lock until this is done.
            self._pause()
        key = digest(*entry.key)
        if entry.kind == "deny":
            standing = self._shard("denied", key)
            others = tuple(each for each in standing.get(key, ()) if each[0] != entry.id)
            until = math.inf if entry.until is None else entry.until
            if self._now < until:
                # Most say the same of different holders.
                standing[key] = (*others, (entry.id, intern(entry.pattern), entry.keep, until))
            return
        if entry.kind == "token":
            # To the hour, so that a million ends are a few numbers; later is no harm, the token is dead by then.
            end = self._end(entry, entry.at)
            if self._now < end:
                shard = self._shard("tokens", key)
                shard[key] = max(shard.get(key, 0), _round_up_to_hour(end))
            return
        limit = math.inf if entry.before is None else entry.before
        if entry.before is None or self._now < self._end(entry, entry.before):
            shard = self._shard("before", key)
            shard[key] = max(shard.get(key, -1), limit)

    def build(self) -> RevocationSnapshot:
        """The next ledger; the old one itself where nothing was changed."""
        if not self._fresh:
            return self._start
        start, parts = self._start, self._parts
        return RevocationSnapshot(
            start.generation + 1,
            parts.get("tokens", start.tokens),
            parts.get("before", start.before),
            parts.get("denied", start.denied),
        )

    def _end(self, entry: RevocationEntry, begun: float) -> float:
        """When no token that the entry refuses can be alive any more."""
        # INVARIANT: never before the longest life that this process accepts, whatever the writer thought it was.
        return max(begun + self._retention, entry.until or 0.0)

    def _shard(self, part: str, key: bytes) -> dict[bytes, Any]:
        index = _index(key)
        if part not in self._parts:
            self._parts[part] = list(getattr(self._start, part))
        shards = self._parts[part]
        if (part, index) not in self._fresh:
            self._fresh.add((part, index))
            shards[index] = dict(shards[index])
        return shards[index]


def free_incrementally(parts: list[dict[bytes, Any]]) -> None:
    """Free parts one after the other: all at once, a million entries are a pause for whoever serves a request."""
    for _ in with_pauses(range(len(parts))):
        parts.pop()


def with_pauses(things: Iterable[T]) -> Iterator[T]:
    """The same things, and every now and then whoever serves a request has the interpreter first."""
    for number, thing in enumerate(things, 1):
        yield thing
        if number % _PAUSE_EVERY == 0:
            time.sleep(_PAUSE_SECONDS)


def digest(of: str, issuer: str, name: str) -> bytes:
    """The key of whom an entry is about. None of the three has a NUL: names of tokens are printable."""
    return blake2b(f"{of}\0{issuer}\0{name}".encode("utf-8", "surrogatepass"), digest_size=16).digest()


def _token_keys(token: AccessToken) -> _TokenKeys:
    """Under which keys something may stand about the token, its root, its clients, its actors and its ancestors."""
    lineage = token.lineage
    issuers, subjects = [token.issuer], [(token.issuer, token.subject)]
    tokens = [] if token.token_id is None else [(token.issuer, token.token_id)]
    clients = [] if token.client is None else [token.client]
    issued_at = token.issued_at
    if lineage is not None:
        tokens += lineage.ancestors
        clients += [*lineage.clients, *lineage.actors]
        issued_at = min(issued_at, lineage.issued_at)
        if lineage.subject is not None:
            issuers.append(lineage.subject[0])
            subjects.append(lineage.subject)
    roles = dict.fromkeys((*token.roles, *token.permissions.roles))
    # A name under each issuer: who acted for another issuer's subject is known to that one too.
    holders = [
        *(digest("subject", *each) for each in subjects),
        *(digest("client", issuer, name) for issuer in issuers for name in dict.fromkeys(clients)),
        *(digest("issuer", issuer, "") for issuer in issuers),
    ]
    return _TokenKeys(
        tuple(digest("token", *each) for each in tokens),
        tuple(holders),
        tuple((digest("role", issuer, role), role) for issuer in issuers for role in roles),
        issued_at,
    )


def _index(key: bytes) -> int:
    return (key[0] | key[1] << 8) % SHARDS


def _shard_of(shards: Shards, key: bytes) -> dict[bytes, Any]:
    return shards[_index(key)]


def _round_up_to_hour(end: float) -> int:
    return _shared_hour(math.ceil(end / _HOUR))


@lru_cache(maxsize=4096)
def _shared_hour(number: int) -> int:
    """The same object each time: a million ends share a few."""
    return number * _HOUR
