"""Immutable snapshots of revocations and temporary grants, and the look-up of tokens in them.

A look-up costs the same however many entries there are. A new snapshot shares unchanged parts with the old one. Only
digests of tokens, subjects, clients and roles are stored.
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
    from jwt_lp.revocation.temporary_grants import GrantRecord, TemporaryGrant
    from jwt_lp.tokens.claims import AccessToken

T = TypeVar("T")

SHARDS: Final = 1024
_PAUSE_EVERY: Final = 64
# Seconds. With a sleep of 0, the thread that releases the interpreter lock is often the first to get it back.
_PAUSE_SECONDS: Final = 0.0001
_HOUR: Final = 3600
_PARTS: Final = ("tokens", "not_before", "denied", "granted")


class RevocationMatch(NamedTuple):
    """What is revoked of one token.

    `cause` says why the whole token is revoked, or is None; `denials` are the denied permissions. `expires_at` is when
    the first of the denials ends by itself, in seconds since the epoch.
    """

    cause: str | None = None
    denials: tuple[Denial, ...] = ()
    expires_at: float = math.inf


NO_MATCH: Final = RevocationMatch()
"""The match of a token of which nothing is revoked."""


class _TokenKeys(NamedTuple):
    """The digests under which entries for a token may be stored; those of roles with the role's name."""

    tokens: tuple[bytes, ...]
    holders: tuple[bytes, ...]
    roles: tuple[tuple[bytes, str], ...]
    issued_at: float


Shards = list[dict[bytes, Any]]

_DenyRecord = tuple[str, str, tuple[str, ...], float, bool]
"""A deny entry: id, pattern, exceptions, end, and whether it is for standing grants only.

A plain tuple, because the garbage collector does not track it.
"""


@dataclass(frozen=True, slots=True)
class RevocationSnapshot:
    """The revocations in force, by digest of their target. Immutable.

    `tokens` holds when the revocation of a token ends, `not_before` the last refused `iat`, `denied` the deny entries,
    and `granted` the temporary grants of subjects. `generation` changes with every change.
    """

    generation: int = 0
    tokens: Shards = field(default_factory=lambda: [{} for _ in range(SHARDS)])
    not_before: Shards = field(default_factory=lambda: [{} for _ in range(SHARDS)])
    denied: Shards = field(default_factory=lambda: [{} for _ in range(SHARDS)])
    granted: Shards = field(default_factory=lambda: [{} for _ in range(SHARDS)])

    def match_token(self, token: AccessToken, now: float) -> RevocationMatch:
        """Return what is revoked of `token`; `now` is in seconds since the epoch."""
        keys = _token_keys(token)
        if any(now < _shard_of(self.tokens, key).get(key, 0) for key in keys.tokens):
            return RevocationMatch("the token, or one that it was narrowed from, is revoked")
        targets = (*keys.holders, *(key for key, _ in keys.roles))
        if any(keys.issued_at <= _shard_of(self.not_before, key).get(key, -1) for key in targets):
            return RevocationMatch("every token issued to its subject or client up to a time after its iat is revoked")
        records: list[tuple[_DenyRecord, str | None]] = [
            (record, None) for key in keys.holders for record in _shard_of(self.denied, key).get(key, ())
        ]
        records += [(record, role) for key, role in keys.roles for record in _shard_of(self.denied, key).get(key, ())]
        in_force = {(record[0], role): record for record, role in records if now < record[3]}
        if not in_force:
            return NO_MATCH
        denials = tuple(
            Denial(name, pattern, keep, role, standing=standing)
            for (_, role), (name, pattern, keep, _, standing) in in_force.items()
        )
        return RevocationMatch(None, denials, min(record[3] for record in in_force.values()))

    def temporary_grants(self, token: AccessToken) -> tuple[GrantRecord, ...]:
        """Return the records of temporary grants of the token's subject, also of grants that have ended."""
        key = digest("subject", token.issuer, token.subject)
        records: tuple[GrantRecord, ...] = _shard_of(self.granted, key).get(key, ())
        return records

    def unshared_shards(self, new: RevocationSnapshot) -> list[dict[bytes, Any]]:
        """Return the shards that `new` does not share."""
        pairs = [(getattr(self, part), getattr(new, part)) for part in _PARTS]
        return [mine for one, other in pairs for mine, theirs in zip(one, other, strict=True) if mine is not theirs]

    def __len__(self) -> int:
        """The number of revocations, counted by target."""
        return sum(len(shard) for part in (self.tokens, self.not_before, self.denied) for shard in part)


class SnapshotBuilder:
    """Builds the next snapshot from one. A shard is copied before its first change."""

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
        self._copied: set[tuple[str, int]] = set()
        self._count = 0

    def remove(self, targets: Iterable[tuple[str, str, str]]) -> None:
        """Remove all entries and temporary grants of each target."""
        for of, issuer, name in targets:
            key = digest(of, issuer, name)
            for part in ("tokens",) if of == "token" else _PARTS[1:]:
                if key in getattr(self._start, part)[_index(key)] or (part, _index(key)) in self._copied:
                    self._shard(part, key).pop(key, None)

    def add(self, entry: RevocationEntry) -> None:
        """Add one entry, unless it has ended."""
        self._pause_sometimes()
        key = digest(*entry.key)
        if entry.kind == "deny":
            shard = self._shard("denied", key)
            others = tuple(record for record in shard.get(key, ()) if record[0] != entry.id)
            until = math.inf if entry.until is None else entry.until
            if self._now < until:
                # Interned, because many entries have the same pattern.
                shard[key] = (*others, (entry.id, intern(entry.pattern), entry.keep, until, entry.standing))
            return
        if entry.kind == "token":
            # Rounded up to the hour, so that a million entries share a few numbers. The token is expired by then.
            end = self._end(entry, entry.at)
            if self._now < end:
                shard = self._shard("tokens", key)
                shard[key] = max(shard.get(key, 0), _round_up_to_hour(end))
            return
        limit = math.inf if entry.before is None else entry.before
        if entry.before is None or self._now < self._end(entry, entry.before):
            shard = self._shard("not_before", key)
            shard[key] = max(shard.get(key, -1), limit)

    def grant(self, grant: TemporaryGrant, deadline: float) -> None:
        """Add one temporary grant, unless it has ended; `deadline` is the monotonic time at which it ends."""
        self._pause_sometimes()
        if self._now < grant.until:
            key = digest("subject", grant.issuer, grant.subject)
            shard = self._shard("granted", key)
            others = tuple(record for record in shard.get(key, ()) if record[0].id != grant.id)
            shard[key] = (*others, (grant, deadline))

    def build(self) -> RevocationSnapshot:
        """Return the next snapshot, or the old one if nothing changed."""
        if not self._copied:
            return self._start
        shards: list[Shards] = [self._parts.get(part) or getattr(self._start, part) for part in _PARTS]
        return RevocationSnapshot(self._start.generation + 1, *shards)

    def _pause_sometimes(self) -> None:
        """Release the interpreter lock now and then, so that requests do not wait until everything is added."""
        self._count += 1
        if self._count % _PAUSE_EVERY == 0:
            self._pause()

    def _end(self, entry: RevocationEntry, last_issued_at: float) -> float:
        """Return when no token that the entry refuses can be alive any more."""
        # INVARIANT: the entry stays for the longest lifetime that this process accepts, whatever its writer assumed.
        return max(last_issued_at + self._retention, entry.until or 0.0)

    def _shard(self, part: str, key: bytes) -> dict[bytes, Any]:
        index = _index(key)
        if part not in self._parts:
            self._parts[part] = list(getattr(self._start, part))
        shards = self._parts[part]
        if (part, index) not in self._copied:
            self._copied.add((part, index))
            shards[index] = dict(shards[index])
        return shards[index]


def free_incrementally(shards: list[dict[bytes, Any]]) -> None:
    """Free shards one by one. Freeing a million entries at once would delay requests."""
    for _ in with_pauses(range(len(shards))):
        shards.pop()


def with_pauses(items: Iterable[T]) -> Iterator[T]:
    """Yield the items, and release the interpreter lock now and then, so that requests are not delayed."""
    for number, item in enumerate(items, 1):
        yield item
        if number % _PAUSE_EVERY == 0:
            time.sleep(_PAUSE_SECONDS)


def digest(of: str, issuer: str, name: str) -> bytes:
    """Return the digest of an entry's target. The three parts contain no NUL, because names are printable."""
    return blake2b(f"{of}\0{issuer}\0{name}".encode("utf-8", "surrogatepass"), digest_size=16).digest()


def _token_keys(token: AccessToken) -> _TokenKeys:
    """Return the digests for the token, its ancestors, its subject and original subject, its clients and its actors."""
    lineage = token.lineage
    issuers, subjects = [token.issuer], [(token.issuer, token.subject)]
    tokens = [] if token.token_id is None else [(token.issuer, token.token_id)]
    clients = [] if token.client is None else [token.client]
    issued_at = token.issued_at
    if lineage is not None:
        tokens += (*lineage.ancestors, *lineage.elevations)
        clients += [*lineage.clients, *lineage.actors]
        issued_at = min(issued_at, lineage.issued_at)
        if lineage.subject is not None:
            issuers.append(lineage.subject[0])
            subjects.append(lineage.subject)
    roles = dict.fromkeys((*token.roles, *token.permissions.roles))
    # Clients are looked up under each issuer, because either of them may revoke a client that acts for its subject.
    holders = [
        *(digest("subject", *subject) for subject in subjects),
        *(digest("client", issuer, name) for issuer in issuers for name in dict.fromkeys(clients)),
        *(digest("issuer", issuer, "") for issuer in issuers),
    ]
    return _TokenKeys(
        tuple(digest("token", *token_id) for token_id in tokens),
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
    """Return the same object each time, so that a million entries share a few numbers."""
    return number * _HOUR
