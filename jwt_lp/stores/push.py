"""Was something revoked just now?

A push over Redis says one thing: poll now. Nothing else is sent or believed, so whoever can write to the channel can
make processes ask their store a little more often, and no more. A push that is lost costs the pause of the polling.
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
"""What a connection is called in Redis' own lists."""

_SCHEMES: Final = ("redis", "rediss", "unix")
_CONNECT_TIMEOUT: Final = 5.0
_POLL_TIMEOUT: Final = 0.5
"""How long a listener may take to end, in seconds."""
_MIN_PAUSE: Final = 0.5
_MAX_PAUSE: Final = 30.0
_HEALTH_CHECK_INTERVAL: Final = 15

_LOG: Final = logging.getLogger("jwt_lp")


def announce(url: str, sequence: int) -> int:
    """Tell every listener to poll; gives how many heard it. `sequence` is for people who watch the channel.

    `StoreError` where Redis cannot be had: what was written stands, and is found at the next poll.
    """
    check_url(url)
    import redis

    try:
        with _client(url) as client:
            return int(client.publish(CHANNEL, str(sequence)))
    except (redis.RedisError, OSError) as error:
        what = _error_text(error, url)
    raise StoreError(f"{display_url(url)}: {what}; processes find what changed at their next poll")


class Listener:
    """Calls `on_push` for every push, and each time that it is connected, for what it may have missed until then.

    `on_push` takes nothing and should be done at once. `ConfigurationError` for a URL that is none of Redis, and
    where the library is missing. `run` is for a thread of its own, started after a fork.
    """

    def __init__(self, url: str, on_push: Callable[[], object]) -> None:
        check_url(url)
        _import_dependencies()
        self._url = url
        self._on_push = on_push
        self._closed = threading.Event()
        self._logged: set[str] = set()
        self.connected: threading.Event = threading.Event()

    def __repr__(self) -> str:
        return f"<Listener {display_url(self._url)}>"

    def run(self) -> None:
        """Listen until `close`. Raises nothing; a failure is logged once, and tried again after a pause that grows."""
        pause = _MIN_PAUSE
        while not self._closed.is_set():
            try:
                self._listen()
            except BaseException as error:  # noqa: BLE001 - whatever the library raises, the next try may go well
                self._log_once("pushes", f"no pushes from {display_url(self._url)}: {_error_text(error, self._url)}")
            pause = _MIN_PAUSE if self.connected.is_set() else min(pause * 2, _MAX_PAUSE)
            self.connected.clear()
            self._closed.wait(pause)

    def close(self) -> None:
        """Have `run` end, within a second; may be called repeatedly and from any thread."""
        self._closed.set()

    def _listen(self) -> None:
        with _client(self._url) as client, client.pubsub() as subscription:
            subscription.subscribe(CHANNEL)
            while not self._closed.is_set():
                # A confirmation is heard as well: after each connection there may be something that was missed.
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
        except Exception as error:  # noqa: BLE001 - what is done about a push must not end the listening
            self._log_once("done", f"handling a push failed: {type(error).__name__}")

    def _log_once(self, key: str, message: str) -> None:
        if key not in self._logged:
            self._logged.add(key)
            _LOG.warning(message)


def check_url(url: str) -> None:
    """`ConfigurationError` where pushes cannot be had from `url`; nothing is connected to."""
    if find_spec("redis") is None:
        raise ConfigurationError('pushes need redis: pip install "jwt-lp[redis]"')
    if urlsplit(url).scheme not in _SCHEMES:
        raise ConfigurationError("pushes come from a URL such as redis://host:6379/0, and this one has another scheme")
    with suppress(ValueError):
        _client(url)
        return
    raise ConfigurationError(
        f"{display_url(url)}: the URL cannot be read; it is written redis://user:password@host:port/0"
    )


def display_url(url: str) -> str:
    """A URL as it may be shown: where, and nothing that could be a password."""
    parts = urlsplit(url)
    try:
        place = f"{parts.hostname or ''}{f':{parts.port}' if parts.port is not None else ''}"
    except ValueError:
        place = parts.hostname or ""
    return f"{parts.scheme}://{place}"


def _import_dependencies() -> None:
    """Import what connecting needs, before a thread does: a child forked meanwhile would wait for it for ever."""
    # It encodes a name for its look-up.
    import_module("encodings.idna")

    # The library tells its release to the server, and reads it when it first connects.
    with suppress(metadata.PackageNotFoundError):
        metadata.version("redis")


def _client(url: str) -> Any:
    import redis
    from redis.backoff import NoBackoff
    from redis.retry import Retry

    client: Any = redis.Redis
    return client.from_url(
        url,
        client_name=CLIENT_NAME,
        socket_connect_timeout=_CONNECT_TIMEOUT,
        socket_timeout=_CONNECT_TIMEOUT,
        socket_keepalive=True,
        health_check_interval=_HEALTH_CHECK_INTERVAL,
        # We try again ourselves, so that we know of it.
        retry=Retry(NoBackoff(), 0),
    )


def _error_text(error: BaseException, url: str) -> str:
    """The first line of what the library says, without a password."""
    said = (str(error).strip() or type(error).__name__).splitlines()[0]
    password = urlsplit(url).password
    return said.replace(password, "***") if password else said
