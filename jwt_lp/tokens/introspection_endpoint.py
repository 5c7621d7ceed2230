"""The introspection endpoint of an issuer (RFC 7662): one request per token at a time, limits, and a cool-down.

Each request runs on its own thread, and its caller waits for a bounded time. Refused requests cost no thread.
"""

from __future__ import annotations

import logging
import math
import secrets
import threading
import time
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Final
from urllib.parse import urlencode

from jwt_lp._support.worker import PerProcess
from jwt_lp.errors import IntrospectionUnavailable, KeysPending, clears_locals
from jwt_lp.jose.client_credentials import assertion_fields, basic_credentials
from jwt_lp.jose.http_fetch import FetchError, fetch_json, import_dependencies
from jwt_lp.tokens.cache import TokenCache

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

    from jwt_lp._support.worker import Worker
    from jwt_lp.jose.signing import SigningKey

log: Final[logging.Logger] = logging.getLogger("jwt_lp.introspection")

MAX_BYTES: Final = 64 * 1024
DEADLINE: Final = 3.0
MAX_IN_FLIGHT: Final = 16
"""How many requests one process has open at the endpoint."""
MAX_WAITERS: Final = 32
"""How many callers of one process wait for them; every other caller is answered at once."""
FAILURES: Final = 3
"""After how many failures in a row the endpoint counts as down."""
COOLDOWN: Final = 5.0
FIRST_ASKS: Final = 100
ASKS_PER_SECOND: Final = 20.0
"""How many requests per second may be for tokens that are not active: `FIRST_ASKS` at once, then this rate."""

# These say that the endpoint did not like this request, not that it is down.
_ABOUT_THE_TOKEN: Final = frozenset({400, 413, 414, 422, 431})


@dataclass(frozen=True, slots=True)
class ClientCredentials:
    """The client that this service is at the endpoint, and its `secret` or its `key`."""

    client: str
    secret: str | None = None
    key: SigningKey | None = None

    def __repr__(self) -> str:
        return f"<ClientCredentials of {self.client}>"


class _Flight:
    """One request for one token, and what came of it."""

    __slots__ = ("document", "done", "error")

    def __init__(self) -> None:
        self.done = threading.Event()
        self.document: dict[str, object] | None = None
        self.error: str | None = None


class _State:
    """The requests of one process; every field changes under `lock`."""

    def __init__(self, now: float) -> None:
        self.lock = threading.Lock()
        self.flights: dict[bytes, _Flight] = {}
        self.in_flight = 0
        self.waiting = 0
        self.failures = 0
        self.down_until = -math.inf
        self.asks = float(FIRST_ASKS)
        self.asks_at = now
        # Tokens that were active when they were last asked for.
        self.active: TokenCache[bool] = TokenCache()


class IntrospectionEndpoint:
    """Asks the endpoint at `url` what a token means. `clock` is a clock that is never set; `now` is the wall clock."""

    def __init__(
        self,
        url: str,
        credentials: ClientCredentials,
        worker: Worker,
        *,
        allow_http_hosts: Collection[str] = (),
        deadline: float = DEADLINE,
        clock: Callable[[], float] = time.monotonic,
        now: Callable[[], float] = time.time,
    ) -> None:
        # INVARIANT: no request and no thread imports anything.
        import_dependencies()
        self._url = url
        self._name = url.partition("?")[0]
        self._credentials = credentials
        self._worker = worker
        self._http_hosts = tuple(allow_http_hosts)
        self._deadline = deadline
        self._clock = clock
        self._now = now
        self._state = PerProcess(lambda: _State(clock()))

    @clears_locals
    def ask(self, token: str, digest: bytes, *, wait: bool) -> dict[str, object]:
        """Return the endpoint's answer about `token`, a JSON object that nobody has judged yet.

        `digest` is the token's SHA-256. `IntrospectionUnavailable` if there is no answer within the time limit, or
        if the endpoint may not be asked now; with `wait=False`, `KeysPending` where it would be asked.
        """
        state = self._state.get()
        with state.lock:
            if state.waiting >= MAX_WAITERS:
                raise self._unavailable("too many callers wait for it", 1.0)
            flight = state.flights.get(digest)
            if flight is None:
                self._check_may_ask(state, digest)
            if not wait:
                raise KeysPending("the token has to be introspected first")
            flight = flight or self._start(state, token, digest)
            state.waiting += 1
        try:
            # A moment more than the request's own limit, which does not include name resolution.
            flight.done.wait(self._deadline + 1.0)
        finally:
            with state.lock:
                state.waiting -= 1
        if flight.document is None:
            raise self._unavailable(flight.error or "no answer yet", self._retry_after(state))
        return flight.document

    def _check_may_ask(self, state: _State, digest: bytes) -> None:
        left = state.down_until - self._clock()
        if left > 0:
            raise self._unavailable("it does not answer, and is not asked again yet", left)
        # After the cool-down, one request finds out whether the endpoint answers again.
        if state.in_flight >= (1 if state.failures >= FAILURES else MAX_IN_FLIGHT):
            raise self._unavailable("enough requests are open", 1.0)
        now = self._clock()
        state.asks = min(FIRST_ASKS, state.asks + (now - state.asks_at) * ASKS_PER_SECOND)
        state.asks_at = now
        # INVARIANT: who sends random texts uses up what random texts may use, and no token that was active before.
        if state.asks < 1 and not state.active.get(digest):
            raise self._unavailable("too many tokens were not active", 1.0)

    def _start(self, state: _State, token: str, digest: bytes) -> _Flight:
        flight = state.flights[digest] = _Flight()
        state.in_flight += 1
        state.asks -= 1
        try:
            self._worker.spawn(partial(self._run, state, flight, token, digest), name="introspection")
        except RuntimeError:
            del state.flights[digest]
            state.in_flight -= 1
            raise self._unavailable("no thread could be started", 1.0) from None
        return flight

    def _run(self, state: _State, flight: _Flight, token: str, digest: bytes) -> None:
        failure = FetchError("the request ended unexpectedly")
        document: dict[str, object] | None = None
        try:
            document = self._fetch(token)
        except FetchError as error:
            failure = error
        finally:
            with state.lock:
                state.flights.pop(digest, None)
                state.in_flight -= 1
                change = self._count(state, digest, document, failure.status)
            flight.document, flight.error = document, str(failure)
            # INVARIANT: nobody keeps waiting for a request that has ended, however it ended.
            flight.done.set()
        if change:
            log.warning("%s: %s", self._name, change if document is not None else f"{failure}; {change}")

    def _count(self, state: _State, digest: bytes, document: dict[str, object] | None, status: int | None) -> str:
        """Count the end of a request; the text to log if the endpoint went down or answers again."""
        if document is None:
            if status in _ABOUT_THE_TOKEN:
                return ""
            state.failures += 1
            if state.failures < FAILURES:
                return ""
            state.down_until = self._clock() + COOLDOWN
            return "opaque tokens get 503 until it answers" if state.failures == FAILURES else ""
        was_down, state.failures = state.failures >= FAILURES, 0
        if document.get("active") is True:
            state.asks += 1
            state.active.put(digest, True)  # noqa: FBT003 - a value of the cache
        else:
            state.active.drop(digest)
        return "it answers again" if was_down else ""

    @clears_locals
    def _fetch(self, token: str) -> dict[str, object]:
        """One request (RFC 7662, section 2.1)."""
        credentials = self._credentials
        form = {"token": token, "token_type_hint": "access_token"}
        headers: dict[str, str] = {}
        if credentials.key is not None:
            form["client_id"] = credentials.client
            form |= assertion_fields(
                credentials.client, credentials.key, self._url, self._now(), secrets.token_bytes(16)
            )
        else:
            headers["Authorization"] = f"Basic {basic_credentials(credentials.client, credentials.secret or '')}"
        return fetch_json(
            self._url,
            allow_http_hosts=self._http_hosts,
            deadline=self._deadline,
            max_bytes=MAX_BYTES,
            form=urlencode(form).encode(),
            headers=headers,
        ).document

    def _retry_after(self, state: _State) -> float:
        return max(1.0, state.down_until - self._clock())

    def _unavailable(self, problem: str, retry_after: float) -> IntrospectionUnavailable:
        return IntrospectionUnavailable(f"introspection at {self._name}: {problem}", retry_after=retry_after)

    def __repr__(self) -> str:
        return f"IntrospectionEndpoint({self._name!r})"
