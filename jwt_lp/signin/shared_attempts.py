"""Counts of failed attempts that all processes share, in Redis."""

from __future__ import annotations

import logging
import time
from typing import TYPE_CHECKING, Any, Final

from jwt_lp.signin.attempts import ACCOUNT, ADDRESS, FORGET_AFTER, PAIR, REMEMBER
from jwt_lp.stores.push import check_url, connect, display_url

if TYPE_CHECKING:
    from collections.abc import Callable

    from jwt_lp.signin.attempts import Attempt, Limit

TIMEOUT: Final = 0.5
PAUSE: Final = 30.0
"""Seconds for which Redis is not asked again after it failed, so that a failure does not delay each attempt."""

_LOG: Final = logging.getLogger("jwt_lp")
# In braces, so that all keys of one call are on one server of a cluster.
_PREFIX: Final = b"{jwt_lp:signin}:"

# KEYS: known pair, then the counts. ARGV: seconds until failures are forgotten, then `free` and `longest` of each count.
# The account comes last, and does not count for a known pair.
_RESERVE: Final = """
local time = redis.call('TIME')
local now = time[1] + time[2] / 1000000
local last = #KEYS
if redis.call('EXISTS', KEYS[1]) == 1 then last = last - 1 end
local wait = 0
for i = 2, last do
  local ends = redis.call('HGET', KEYS[i], 'until')
  if ends and tonumber(ends) - now > wait then wait = tonumber(ends) - now end
end
if wait > 0 then return tostring(wait) end
for i = 2, last do
  local excess = redis.call('HINCRBY', KEYS[i], 'failures', 1) - tonumber(ARGV[2 * i - 2])
  local delay = 0
  if excess >= 0 then delay = math.min(tonumber(ARGV[2 * i - 1]), 2 ^ math.min(excess, 30)) end
  redis.call('HSET', KEYS[i], 'until', string.format('%.6f', now + delay))
  redis.call('EXPIRE', KEYS[i], math.ceil(delay + tonumber(ARGV[1])))
end
return '0'
"""
# KEYS: known pair, then the counts, the account last. A count that is gone is not made anew.
_TAKE_BACK: Final = """
local last = #KEYS
if redis.call('EXISTS', KEYS[1]) == 1 then last = last - 1 end
for i = 2, last do
  if tonumber(redis.call('HGET', KEYS[i], 'failures') or 0) > 0 then
    redis.call('HINCRBY', KEYS[i], 'failures', -1)
    redis.call('HSET', KEYS[i], 'until', 0)
  end
end
"""


class SharedCounts:
    """Counts in the Redis server at `url`, which `PUSH` names, too. Redis measures the time.

    If Redis fails, each call returns as if there were no failures, which is logged; the process's own counts go on. Then
    Redis is not asked for `PAUSE` seconds of `clock`. Each count is kept for about an hour after the last failure.
    `ConfigurationError` for a URL that is not one of Redis, and if the library is missing.
    """

    def __init__(self, url: str, *, clock: Callable[[], float] = time.monotonic) -> None:
        check_url(url)
        self._url = url
        self._clock = clock
        self._client = connect(url, TIMEOUT)
        self._paused_until = 0.0

    def reserve(self, attempt: Attempt) -> float:
        """Count the attempt as failed and return 0; or count nothing, and return the seconds to wait."""
        counts = _counted(attempt)
        limits = [part for limit in counts.values() for part in limit]
        names = [_known(attempt), *map(_name, counts)]
        return float(self._call(lambda: self._client.eval(_RESERVE, len(names), *names, FORGET_AFTER, *limits)) or 0)

    def succeed(self, attempt: Attempt) -> None:
        """Forget the failures of the account, remember the pair, and take the attempt off those of the address."""

        def send() -> None:
            with self._client.pipeline(transaction=False) as pipeline:
                pipeline.delete(_name(attempt.pair), _name(attempt.account))
                if attempt.address is not None:
                    pipeline.set(_known(attempt), 1, ex=int(REMEMBER))
                    # The account is named last, as in each call, and does not count for a known pair.
                    names = _known(attempt), _name(attempt.address), _name(attempt.account)
                    pipeline.eval(_TAKE_BACK, len(names), *names)
                pipeline.execute()

        self._call(send)

    def withdraw(self, attempt: Attempt) -> None:
        """Take back an attempt that came to no result."""
        names = [_known(attempt), *(_name(key) for key in _counted(attempt))]
        self._call(lambda: self._client.eval(_TAKE_BACK, len(names), *names))

    def _call(self, send: Callable[[], Any]) -> Any:
        """What Redis returns; None if it fails, or failed just now."""
        import redis

        if self._clock() < self._paused_until:
            return None
        try:
            return send()
        except (redis.RedisError, OSError) as error:
            # Not the message of the library, which may hold a password.
            self._paused_until = self._clock() + PAUSE
            _LOG.warning(
                "%s: %s; each process counts failed attempts to sign in by itself for %.0f s",
                display_url(self._url),
                type(error).__name__,
                PAUSE,
            )
            return None

    def __repr__(self) -> str:
        return f"<SharedCounts in {display_url(self._url)}>"


def _counted(attempt: Attempt) -> dict[bytes, Limit]:
    """The keys of the counts of an attempt, the account last."""
    if attempt.address is None:
        return {attempt.account: ACCOUNT}
    return {attempt.pair: PAIR, attempt.address: ADDRESS, attempt.account: ACCOUNT}


def _name(key: bytes) -> bytes:
    return _PREFIX + key.hex().encode()


def _known(attempt: Attempt) -> bytes:
    return _name(attempt.pair) + b":known"
