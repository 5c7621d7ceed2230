"""Push notifications of revocation changes over Redis.

A push means one thing: poll now. A listener ignores its content, so a client that can write to the channel can only
make processes poll their store more often. If a push is lost, a process finds the change at its next poll.
"""

from __future__ import annotations

import logging
import threading
from contextlib import suppress
from importlib import import_module, metadata
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

from jwt_lp.errors import ConfigurationError, StoreError

if TYPE_CHECKING:
    from collections.abc import Callable

CHANNEL: Final = "jwt_lp:changed"
CLIENT_NAME: Final = "jwt-lp"
"""The name of each connection in Redis' client list."""

_SCHEMES: Final = ("redis", "rediss", "unix")
_CONNECT_TIMEOUT: Final = 5.0
_POLL_TIMEOUT: Final = 0.5
"""Seconds for which a listener waits for a message, and so the longest that `close` takes."""
_MIN_PAUSE: Final = 0.5
_MAX_PAUSE: Final = 30.0
_HEALTH_CHECK_INTERVAL: Final = 15

_LOG: Final = logging.getLogger("jwt_lp")


def announce(url: str, sequence: int, *, timeout: float = _CONNECT_TIMEOUT) -> int:
    """Tell every listener to poll; return how many received it. `sequence` only helps people who watch the channel.

    `timeout` is how many seconds to wait for Redis.

    Raises `StoreError` if Redis cannot be reached. The change is in the store all the same, and the next poll finds it.
    """
    check_url(url)
    import redis

    try:
        with connect(url, timeout) as client:
            return int(client.publish(CHANNEL, str(sequence)))
    except (redis.RedisError, OSError) as error:
        reason = _error_text(error, url)
    raise StoreError(f"{display_url(url)}: {reason}; processes find what changed at their next poll")


class Listener:
    """Calls `on_push` for every push, and after each connection, because pushes may have been missed before it.

    `on_push` takes no arguments and should return at once. Raises `ConfigurationError` for a URL that is not one of
    Redis, and if the library is missing. Call `run` in a thread of its own, started after a fork.
    """

    def __init__(self, url: str, on_push: Callable[[], object]) -> None:
        check_url(url)
        import_dependencies()
        self._url = url
        self._on_push = on_push
        self._closed = threading.Event()
        self._logged: set[str] = set()
        self.connected: threading.Event = threading.Event()

    def __repr__(self) -> str:
        return f"<Listener {display_url(self._url)}>"

    def run(self) -> None:
        """Listen until `close`. Raises nothing; a failure is logged once, and retried after a pause that grows."""
        pause = _MIN_PAUSE
        while not self._closed.is_set():
            try:
                self._listen()
            except BaseException as error:  # noqa: BLE001 - whatever the library raises, the next try may succeed
                self._log_once("pushes", f"no pushes from {display_url(self._url)}: {_error_text(error, self._url)}")
            pause = _MIN_PAUSE if self.connected.is_set() else min(pause * 2, _MAX_PAUSE)
            self.connected.clear()
            self._closed.wait(pause)

    def close(self) -> None:
        """End `run` within a second; may be called repeatedly and from any thread."""
        self._closed.set()

    def _listen(self) -> None:
        with connect(self._url) as client, client.pubsub() as subscription:
            subscription.subscribe(CHANNEL)
            while not self._closed.is_set():
                # The confirmation of the subscription counts as a message, so each connection leads to a poll.
                message = subscription.get_message(timeout=_POLL_TIMEOUT)
                if message is None:
                    continue
                if not self.connected.is_set() and "pushes" in self._logged:
                    _LOG.info("pushes from %s again", display_url(self._url))
                self.connected.set()
                self._logged.discard("pushes")
                self._push()

    def _push(self) -> None:
        try:
            self._on_push()
        except Exception as error:  # noqa: BLE001 - an error of the callback must not end the listening
            self._log_once("callback", f"handling a push failed: {type(error).__name__}")

    def _log_once(self, key: str, message: str) -> None:
        if key not in self._logged:
            self._logged.add(key)
            _LOG.warning(message)


def check_url(url: str) -> None:
    """Raise `ConfigurationError` if `url` cannot be used for pushes; opens no connection."""
    if find_spec("redis") is None:
        raise ConfigurationError('pushes need redis: pip install "jwt-lp[redis]"')
    if urlsplit(url).scheme not in _SCHEMES:
        raise ConfigurationError("pushes come from a URL such as redis://host:6379/0, and this one has another scheme")
    with suppress(ValueError):
        connect(url)
        return
    raise ConfigurationError(
        f"{display_url(url)}: the URL cannot be read; it is written redis://user:password@host:port/0"
    )


def display_url(url: str) -> str:
    """Scheme, host and port of a URL, and no part that could hold a password."""
    parts = urlsplit(url)
    try:
        location = f"{parts.hostname or ''}{f':{parts.port}' if parts.port is not None else ''}"
    except ValueError:
        location = parts.hostname or ""
    return f"{parts.scheme}://{location}"


def import_dependencies() -> None:
    """Import what a listener needs before a thread does; a child forked during that import would wait forever."""
    # Resolving a host name needs the first.
    for name in ("encodings.idna", "redis", "redis.backoff", "redis.retry"):
        # A missing library is reported where a listener is made.
        with suppress(ModuleNotFoundError):
            import_module(name)

    # The library sends its version to the server, and reads it when it first connects.
    with suppress(metadata.PackageNotFoundError):
        metadata.version("redis")


def connect(url: str, timeout: float = _CONNECT_TIMEOUT) -> Any:
    """A client for `url` that waits `timeout` seconds for each answer, and does not retry. It connects when it is used."""
    import redis
    from redis.backoff import NoBackoff
    from redis.retry import Retry

    client: Any = redis.Redis
    return client.from_url(
        url,
        client_name=CLIENT_NAME,
        socket_connect_timeout=timeout,
        socket_timeout=timeout,
        socket_keepalive=True,
        health_check_interval=_HEALTH_CHECK_INTERVAL,
        # The library does not retry, so that the caller sees each failure.
        retry=Retry(NoBackoff(), 0),
    )


def _error_text(error: BaseException, url: str) -> str:
    """The first line of the library's message, without the password."""
    line = (str(error).strip() or type(error).__name__).splitlines()[0]
    password = urlsplit(url).password
    return line.replace(password, "***") if password else line
