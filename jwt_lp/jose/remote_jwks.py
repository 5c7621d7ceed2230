"""Remote JWKS with refresh-ahead and bounded waiting.

`JwksKeys` holds an immutable snapshot of the keys that an issuer publishes. The worker refreshes it ahead of expiry.
Requests read the snapshot, and wait in two cases only.
"""

from __future__ import annotations

import logging
import math
import time
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Final, final

from cryptography.hazmat.backends import default_backend

from jwt_lp._support.worker import PerProcess, Worker
from jwt_lp.errors import ConfigurationError, KeysUnavailable
from jwt_lp.jose.discovery import discover, metadata_urls
from jwt_lp.jose.http_fetch import FetchError, check_url, fetch_json, import_dependencies
from jwt_lp.jose.jwk import SYMMETRIC, header_algorithms
from jwt_lp.jose.jwks import KeySet, KeySource, KeysStatus, StaticKeys, algorithm_faults, read_published_jwks
from jwt_lp.jose.single_flight import Flight, SingleFlight

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

    from jwt_lp.jose.http_fetch import FetchedDocument
    from jwt_lp.jose.jwk import VerificationKey

__all__ = ["JwksKeys", "KeySet", "KeySource", "KeysStatus", "StaticKeys"]

log: Final[logging.Logger] = logging.getLogger("jwt_lp.keys")

MIN_AGE: Final = 60.0
MAX_AGE: Final = 24 * 3600.0
DEFAULT_AGE: Final = 600.0
REFRESH_AT: Final = 0.8
SKEW: Final = 5.0
"""How many seconds newer than a token a set must be to prove its key unknown: `iat` is rounded, and clocks differ."""


@dataclass(frozen=True, slots=True)
class FetchTimings:
    """The time limits of a remote key set, in seconds."""

    max_stale: float = 24 * 3600.0
    cooldown: float = 30.0
    wait_timeout: float = 2.0
    deadline: float = 5.0


DEFAULT_TIMINGS: Final = FetchTimings()


@dataclass(frozen=True, slots=True)
class _KeySetSnapshot:
    """The last good set: when its fetch started, when to refresh it, and what was wrong with its document."""

    keys: KeySet
    at: float
    refresh_at: float
    faults: tuple[str, ...]


@final
class JwksKeys:
    """The keys that an issuer publishes at `url`, or at the `jwks_uri` of its metadata.

    A known `kid` is answered from the snapshot without a lock and without waiting, while the last good set is younger
    than `timings.max_stale`. A caller waits only if no set was ever loaded, or if the `kid` is unknown and
    `timings.cooldown` has passed since the last attempt: at most five callers per fetch, for `timings.wait_timeout`
    each. All others are answered at once. If a token may be newer than the set, an unknown `kid` does not prove that
    the token is bad, so `KeysUnavailable` is raised until the cool-down allows the next fetch.
    """

    def __init__(
        self,
        url: str | None = None,
        *,
        algorithms: Collection[str],
        issuer: str | None = None,
        discovery: bool | str | None = None,
        allow_http_hosts: Collection[str] = (),
        timings: FetchTimings = DEFAULT_TIMINGS,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Take `url`, or `issuer` with `discovery` (True, or the metadata's address). Nothing is fetched yet.

        Raises `ConfigurationError` for both or neither, for an address that is not https, and for algorithms that are
        unknown or symmetric, because a published key cannot be a shared secret.
        """
        faults = _faults(url, issuer, discovery=discovery, algorithms=algorithms, allow_http_hosts=allow_http_hosts)
        if faults:
            raise ConfigurationError(*faults)
        self._url = url
        self._issuer = issuer or ""
        addresses = (url,) if url else metadata_urls(self._issuer, discovery=discovery)
        self._metadata = () if url else addresses
        self._name = _redact_url(addresses[0])
        self._allowed = frozenset(algorithms)
        self._header_algorithms = header_algorithms(algorithms)
        self._http_hosts = tuple(allow_http_hosts)
        self._timings = timings
        self._clock = clock
        self._worker = Worker()
        self._snapshot: _KeySetSnapshot | None = None
        self._address: str | None = None
        self._single_flight = PerProcess(
            lambda: SingleFlight(self._start_fetch, cooldown=timings.cooldown, clock=clock)
        )

    @property
    def generation(self) -> int:
        """0 before the first set; then a number that grows if, and only if, the content changes."""
        snapshot = self._snapshot
        return 0 if snapshot is None else snapshot.keys.generation

    def start(self, worker: Worker) -> None:
        """Let the worker fetch at once, and refresh ahead of expiry from then on."""
        # INVARIANT: the thread imports nothing. A process forked during an import would wait for it forever.
        import_dependencies()
        default_backend()
        self._worker = worker
        worker.schedule(self._refresh, name=f"keys of {self._name}")

    def status(self) -> KeysStatus:
        """Return how many keys are loaded, how old they are, and why the last attempt failed, if it did."""
        snapshot = self._snapshot
        error = self._single_flight.get().error
        if snapshot is None:
            return KeysStatus(loaded=False, keys=0, age_seconds=None, last_error=error)
        age = self._clock() - snapshot.at
        usable = age <= self._timings.max_stale
        return KeysStatus(loaded=usable, keys=len(snapshot.keys.keys), age_seconds=age, last_error=error)

    def usable_for(self) -> float:
        """Return how many seconds remain until the last good set is older than `timings.max_stale`."""
        snapshot = self._snapshot
        return 0.0 if snapshot is None else snapshot.at + self._timings.max_stale - self._clock()

    def find(
        self, kid: str | None, algorithm: str, *, wait: bool = True, age: float = 0.0
    ) -> tuple[VerificationKey, ...]:
        """Return the keys to try, or none if the issuer has no key with this `kid` for this algorithm.

        `age` is the number of seconds since the token was signed, by its own `iat`; it neither causes nor prevents a
        fetch. Raises `KeysUnavailable` if that cannot be decided, and with `wait=False` `KeysPending` where it would
        have waited. An algorithm that is not allowed is answered at once and never causes a fetch.
        """
        if algorithm not in self._header_algorithms:
            return ()
        snapshot = self._snapshot
        if snapshot is None:
            return self._find_after_fetch(kid, algorithm, age, wait=wait)
        now = self._clock()
        if now > snapshot.refresh_at + self._timings.cooldown:
            # The worker is delayed or was never started: start a fetch here, without waiting for it.
            self._single_flight.get().trigger()
        if now - snapshot.at > self._timings.max_stale:
            raise self._unavailable(f"the last good set is {now - snapshot.at:.0f} s old")
        keys = snapshot.keys.find(kid, algorithm)
        if keys or snapshot.keys.knows(kid):
            return keys
        return self._find_after_fetch(kid, algorithm, age, wait=wait)

    def _find_after_fetch(
        self, kid: str | None, algorithm: str, age: float, *, wait: bool
    ) -> tuple[VerificationKey, ...]:
        single_flight = self._single_flight.get()
        asked_at = self._clock()
        flight = single_flight.join(wait=wait)
        if flight is not None and not flight.done.wait(self._timings.wait_timeout):
            raise self._unavailable(f"no answer within {self._timings.wait_timeout:g} s")
        snapshot = self._snapshot
        if snapshot is None:
            raise self._unavailable("no key set was ever loaded")
        keys = snapshot.keys.find(kid, algorithm)
        if keys or snapshot.keys.knows(kid):
            return keys
        # INVARIANT: the `iat` of a token decides only between 503 and 401 for that token.
        set_age = self._clock() - snapshot.at
        if set_age + SKEW < age or (flight is not None and snapshot.at >= asked_at):
            return ()
        if single_flight.error is not None:
            raise self._unavailable("the key is unknown, and the last attempt to refresh the set failed")
        retry_after = math.ceil(single_flight.retry_after())
        raise self._unavailable(
            f"the key is unknown, and may be newer than the set, which is {set_age:.0f} s old: "
            f"try again in {retry_after} s"
        )

    def _refresh(self) -> float:
        """Start a fetch if one is due, and return in how many seconds to check again."""
        single_flight = self._single_flight.get()
        if self._until_refresh() <= 0:
            single_flight.trigger()
        return max(1.0, self._until_refresh(), single_flight.cooldown_left())

    def _until_refresh(self) -> float:
        snapshot = self._snapshot
        return -math.inf if snapshot is None else snapshot.refresh_at - self._clock()

    def _start_fetch(self, flight: Flight) -> None:
        self._worker.spawn(partial(self._run_fetch, self._single_flight.get(), flight), name=f"fetch of {self._name}")

    def _run_fetch(self, single_flight: SingleFlight, flight: Flight) -> None:
        fetched: _KeySetSnapshot | None = None
        change: list[_KeySetSnapshot | None] = []
        error: str | None = "the fetch ended unexpectedly"
        try:
            fetched = self._fetch(flight)
            error = None
        except FetchError as failure:
            self._address = None
            error = str(failure)
        finally:
            if single_flight.complete(flight, error, partial(self._store_snapshot, fetched, change)):
                before, now = change or (None, self._snapshot)
                _log_fetch(self._name, before, now, error)

    def _store_snapshot(self, fetched: _KeySetSnapshot | None, change: list[_KeySetSnapshot | None]) -> None:
        """Replace the snapshot, and append the old and the new one to `change`; new content raises the generation."""
        before = self._snapshot
        if fetched is not None and before is not None:
            same = fetched.keys.content == before.keys.content
            keys = before.keys if same else KeySet.of(fetched.keys.keys, before.keys.generation + 1)
            fetched = replace(fetched, keys=keys)
        self._snapshot = fetched
        change += [before, fetched]

    def _fetch(self, flight: Flight) -> _KeySetSnapshot:
        fetched = self._get(self._url or self._discover_address())
        keys, faults = read_published_jwks(fetched.document, self._allowed)
        if not keys:
            raise FetchError(f"no usable key in the set: {'; '.join(faults) or 'none is for signatures'}")
        age = DEFAULT_AGE if fetched.max_age is None else fetched.max_age
        refresh_at = flight.started_at + REFRESH_AT * min(max(age, MIN_AGE), MAX_AGE)
        return _KeySetSnapshot(KeySet.of(keys), flight.started_at, refresh_at, faults)

    def _discover_address(self) -> str:
        """Return the `jwks_uri` found earlier, or read the metadata; after every failure it is read again."""
        address = self._address
        if address is None:
            address = discover(self._metadata, self._issuer, self._get, self._http_hosts)
            self._address = address
        return address

    def _get(self, url: str) -> FetchedDocument:
        return fetch_json(url, allow_http_hosts=self._http_hosts, deadline=self._timings.deadline)

    def _unavailable(self, problem: str) -> KeysUnavailable:
        single_flight = self._single_flight.get()
        error = single_flight.error
        message = f"keys of {self._name}: {problem}" + (f" ({error})" if error else "")
        return KeysUnavailable(message, retry_after=single_flight.retry_after())

    def __repr__(self) -> str:
        return f"JwksKeys({self._name!r}, generation={self.generation})"


def _log_fetch(name: str, before: _KeySetSnapshot | None, now: _KeySetSnapshot | None, error: str | None) -> None:
    """Log what a fetch changed, once: a failure and its effect, or new content and its faulty keys."""
    if error is not None:
        effect = "tokens get 503 until a set is loaded" if now is None else "the last good set stays in use"
        log.warning("keys of %s: %s; %s, next try after the cool-down", name, error, effect)
    elif now is not None and (before is None or before.keys is not now.keys or before.faults != now.faults):
        log.info("keys of %s: %d usable, generation %d", name, len(now.keys.keys), now.keys.generation)
        for fault in now.faults:
            log.warning("keys of %s: %s; the other keys stay in use; ask the issuer to correct the set", name, fault)
        if before is not None and len(now.keys.keys) < len(before.keys.keys):
            log.warning(
                "keys of %s: the set shrank from %d keys to %d: tokens signed with the removed keys are refused now; "
                "verify that the issuer intended this",
                *(name, len(before.keys.keys), len(now.keys.keys)),
            )


def _faults(
    url: str | None,
    issuer: str | None,
    *,
    discovery: bool | str | None,
    algorithms: Collection[str],
    allow_http_hosts: Collection[str],
) -> list[str]:
    faults = algorithm_faults(algorithms)
    faults += [
        f"algorithm {name}: a published key cannot be a shared secret" for name in algorithms if name in SYMMETRIC
    ]
    if (url is None) is not bool(discovery):
        faults.append("give either the key set's address or discovery")
        return faults
    if discovery and not issuer:
        faults.append("discovery needs the issuer")
        return faults
    for address in (url,) if url is not None else metadata_urls(issuer or "", discovery=discovery):
        fault = check_url(address, allow_http_hosts)
        if fault is not None:
            faults.append(f"the address {_redact_url(address)!r} {fault}")
    return faults


def _redact_url(url: str) -> str:
    """Return an address without the parts that may be secret: the query and the credentials."""
    return url.partition("?")[0].rpartition("@")[2]
