"""Whose signature do we accept now?

`StaticKeys` holds what the operator wrote down. `JwksKeys` holds an immutable snapshot of what an issuer
publishes, renewed ahead of time by the worker; requests read the snapshot and, but for two cases, never wait.
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
RENEW_AT: Final = 0.8
SKEW: Final = 5.0
"""By how many seconds a set has to be newer than a token to settle its key: `iat` is cut to seconds, and clocks differ."""


@dataclass(frozen=True, slots=True)
class FetchTimings:
    """How long things may take, in seconds."""

    max_stale: float = 24 * 3600.0
    cooldown: float = 30.0
    wait_timeout: float = 2.0
    deadline: float = 5.0


DEFAULT_TIMINGS: Final = FetchTimings()


@dataclass(frozen=True, slots=True)
class _KeySetSnapshot:
    """The last good set: when its fetch began, when to renew it, and what was wrong with its document."""

    keys: KeySet
    at: float
    renew_at: float
    faults: tuple[str, ...]


@final
class JwksKeys:
    """The keys an issuer publishes at `url`, or at the `jwks_uri` of its metadata.

    A name that is known is answered from the snapshot without a lock or a wait, for as long as the last good
    set is younger than `timings.max_stale`. A caller waits only when nothing was ever loaded, or when the name
    is unknown and `timings.cooldown` has passed since the last attempt: at most five callers per fetch, and
    `timings.wait_timeout` each. Everybody else is answered at once. An unknown name is no verdict on a token that may be
    newer than the set: until the cool-down allows the next fetch, that is `KeysUnavailable`.
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
        """Take `url`, or `issuer` with `discovery` (True, or the metadata's address); nothing is fetched yet.

        Raises `ConfigurationError` for both or neither, an address that is not https, and algorithms that
        are unknown or symmetric: no published key may be a shared secret.
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
        """0 before the first set; afterwards it grows when, and only when, the content changes."""
        snapshot = self._snapshot
        return 0 if snapshot is None else snapshot.keys.generation

    def start(self, worker: Worker) -> None:
        """Let the worker fetch at once, and renew ahead of expiry from then on."""
        # INVARIANT: nothing is imported by the thread, whose forked twin would wait for it for ever.
        import_dependencies()
        default_backend()
        self._worker = worker
        worker.schedule(self._refresh, name=f"keys of {self._name}")

    def status(self) -> KeysStatus:
        """Say what is held, how old it is, and why the last attempt failed if it did."""
        snapshot = self._snapshot
        error = self._single_flight.get().error
        if snapshot is None:
            return KeysStatus(loaded=False, keys=0, age_seconds=None, last_error=error)
        age = self._clock() - snapshot.at
        usable = age <= self._timings.max_stale
        return KeysStatus(loaded=usable, keys=len(snapshot.keys.keys), age_seconds=age, last_error=error)

    def usable_for(self) -> float:
        """Until the last good set is older than `timings.max_stale`."""
        snapshot = self._snapshot
        return 0.0 if snapshot is None else snapshot.at + self._timings.max_stale - self._clock()

    def find(
        self, kid: str | None, algorithm: str, *, wait: bool = True, age: float = 0.0
    ) -> tuple[VerificationKey, ...]:
        """Give the keys to try, or none when the issuer has no key of this name for this algorithm.

        `age` is the seconds since the token was signed, by its own word; it never causes a fetch, nor spares one.
        Raises `KeysUnavailable` when nothing can be said, and with `wait=False` `KeysPending` where it would
        have waited. An algorithm that was not allowed is answered at once and never causes a fetch.
        """
        if algorithm not in self._header_algorithms:
            return ()
        snapshot = self._snapshot
        if snapshot is None:
            return self._find_after_fetch(kid, algorithm, age, wait=wait)
        now = self._clock()
        if now > snapshot.renew_at + self._timings.cooldown:
            # For the day when the worker is held up or was never started: asked for, not waited for.
            self._single_flight.get().trigger()
        if now - snapshot.at > self._timings.max_stale:
            raise self._unavailable(f"the last good set is {now - snapshot.at:.0f} s old")
        found = snapshot.keys.find(kid, algorithm)
        if found or snapshot.keys.knows(kid):
            return found
        return self._find_after_fetch(kid, algorithm, age, wait=wait)

    def _find_after_fetch(
        self, kid: str | None, algorithm: str, age: float, *, wait: bool
    ) -> tuple[VerificationKey, ...]:
        single_flight = self._single_flight.get()
        came = self._clock()
        flight = single_flight.join(wait=wait)
        if flight is not None and not flight.done.wait(self._timings.wait_timeout):
            raise self._unavailable(f"no answer within {self._timings.wait_timeout:g} s")
        snapshot = self._snapshot
        if snapshot is None:
            raise self._unavailable("no key set was ever loaded")
        found = snapshot.keys.find(kid, algorithm)
        if found or snapshot.keys.knows(kid):
            return found
        # INVARIANT: whoever writes `iat` into a token decides between 503 and 401 for that token, and nothing else.
        since = self._clock() - snapshot.at
        if since + SKEW < age or (flight is not None and snapshot.at >= came):
            return ()
        if single_flight.error is not None:
            raise self._unavailable("the key is unknown, and the last attempt to renew the set failed")
        again = math.ceil(single_flight.again())
        raise self._unavailable(
            f"the key is unknown, and may be newer than the set, which is {since:.0f} s old: ask again in {again} s"
        )

    def _refresh(self) -> float:
        """Begin a fetch when one is due, and say in how many seconds to look again."""
        single_flight = self._single_flight.get()
        if self._until_renewal() <= 0:
            single_flight.trigger()
        return max(1.0, self._until_renewal(), single_flight.cooldown_left())

    def _until_renewal(self) -> float:
        snapshot = self._snapshot
        return -math.inf if snapshot is None else snapshot.renew_at - self._clock()

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
        """Put a new snapshot in the old one's place, and note both; the content decides on the generation."""
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
        renew_at = flight.started_at + RENEW_AT * min(max(age, MIN_AGE), MAX_AGE)
        return _KeySetSnapshot(KeySet.of(keys), flight.started_at, renew_at, faults)

    def _discover_address(self) -> str:
        """Give the `jwks_uri` found earlier, or read the metadata: anew after every failure."""
        address = self._address
        if address is None:
            address = discover(self._metadata, self._issuer, self._get, self._http_hosts)
            self._address = address
        return address

    def _get(self, url: str) -> FetchedDocument:
        return fetch_json(url, allow_http_hosts=self._http_hosts, deadline=self._timings.deadline)

    def _unavailable(self, what: str) -> KeysUnavailable:
        single_flight = self._single_flight.get()
        error = single_flight.error
        return KeysUnavailable(
            f"keys of {self._name}: {what}" + (f" ({error})" if error else ""), retry_after=single_flight.again()
        )

    def __repr__(self) -> str:
        return f"JwksKeys({self._name!r}, generation={self.generation})"


def _log_fetch(name: str, before: _KeySetSnapshot | None, now: _KeySetSnapshot | None, error: str | None) -> None:
    """Log what a fetch changed, once: a failure with what stays in force, a content with its bad members."""
    if error is not None:
        force = "tokens get 503 until a set is loaded" if now is None else "the last good set stays in use"
        log.warning("keys of %s: %s; %s, next try after the cool-down", name, error, force)
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
    """Give an address without what may be secret in it."""
    return url.partition("?")[0].rpartition("@")[2]
