"""Webhooks: signed events sent to an address, as Standard Webhooks describes them.

Specification: https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import random
import re
import time
from dataclasses import dataclass, field
from datetime import UTC, datetime
from http import HTTPStatus
from typing import TYPE_CHECKING, Final

from jwt_lp._support.validation import quote_text
from jwt_lp.errors import ConfigurationError, JwtLpError
from jwt_lp.jose.http_fetch import FetchError, check_url, deliver_json

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping

DEADLINE: Final = 10.0
"""Seconds for one attempt."""

ATTEMPTS: Final = 5
FIRST_DELAY: Final = 1.0
MAX_DELAY: Final = 3600.0

_SECRET_PREFIX: Final = "whsec_"
_MIN_SECRET: Final = 24
_MAX_SECRET: Final = 64
_ID: Final = re.compile(r"[A-Za-z0-9_-]{1,100}")
_TEMPORARY: Final = frozenset(
    (HTTPStatus.REQUEST_TIMEOUT, HTTPStatus.CONFLICT, HTTPStatus.TOO_EARLY, HTTPStatus.TOO_MANY_REQUESTS)
)


class WebhookError(JwtLpError):
    """An event was not delivered. The message is for the operator and contains no secret.

    `temporary` says whether the same request may succeed later: the receiver was not reached, did not answer in time,
    or answered with 408, 409, 425, 429 or 500 to 599. `retry_after` is what it asked to wait, in seconds.
    """

    code = "webhook"

    def __init__(self, message: str, *, temporary: bool, retry_after: float | None = None) -> None:
        self.temporary = temporary
        self.retry_after = retry_after
        super().__init__(message)


@dataclass(frozen=True, slots=True, kw_only=True)
class WebhookEvent:
    """One event: its type such as `review.notice`, its time in seconds since the epoch, and its JSON data.

    The `id` has letters, digits, `_` and `-`. It stays the same at each attempt, so that a receiver can ignore an event
    that it has already (`webhook-id`); `ValueError` for another one, because the signature would be ambiguous.
    """

    id: str
    type: str
    at: float
    data: Mapping[str, object]

    def __post_init__(self) -> None:
        if not _ID.fullmatch(self.id):
            raise ValueError(f"an id of an event has letters, digits, _ and -, not {quote_text(self.id)}")

    def encode(self) -> bytes:
        """The body of the request: JSON with `type`, `timestamp` (RFC 3339, in UTC) and `data`; the same each time."""
        timestamp = datetime.fromtimestamp(self.at, UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
        body = {"type": self.type, "timestamp": timestamp, "data": self.data}
        return json.dumps(body, separators=(",", ":"), ensure_ascii=False).encode()


@dataclass(frozen=True, slots=True)
class Webhook:
    """A receiver of events: its https address, and its secret.

    The secret is `whsec_` with 24 to 64 bytes in base64; while it is replaced, two of them separated by a blank.
    `ConfigurationError` for another secret, and for an address that `check_url` refuses; neither message contains it.
    """

    url: str = field(repr=False)
    secret: str = field(repr=False)
    allow_http_hosts: Collection[str] = ()
    deadline: float = DEADLINE

    def __post_init__(self) -> None:
        faults: list[str] = []
        if fault := check_url(self.url, self.allow_http_hosts):
            # The path of a webhook is often a secret itself.
            faults.append(f"the webhook's address {fault}")
        if not self.secret.split() or None in map(_decode_secret, self.secret.split()):
            faults.append(
                f"the webhook's secret is not {_SECRET_PREFIX} with {_MIN_SECRET} to {_MAX_SECRET} bytes in base64: "
                "write whsec_ and then the output of: openssl rand -base64 32"
            )
        if faults:
            raise ConfigurationError(*faults)

    def sign(self, id_: str, timestamp: int, body: bytes) -> str:
        """The header `webhook-signature`: HMAC-SHA256 of id, time and body, as `v1,` in base64, for each secret."""
        signed = f"{id_}.{timestamp}.".encode() + body
        keys = filter(None, map(_decode_secret, self.secret.split()))
        digests = (hmac.new(key, signed, hashlib.sha256).digest() for key in keys)
        return " ".join(f"v1,{base64.b64encode(digest).decode()}" for digest in digests)

    def send(self, event: WebhookEvent, *, now: float) -> None:
        """Send the event once; `WebhookError` unless the receiver answered with a status from 200 to 299."""
        body, timestamp = event.encode(), int(now)
        headers = {
            "webhook-id": event.id,
            "webhook-timestamp": str(timestamp),
            "webhook-signature": self.sign(event.id, timestamp, body),
        }
        try:
            deliver_json(
                self.url, body, headers=headers, allow_http_hosts=self.allow_http_hosts, deadline=self.deadline
            )
        except FetchError as error:
            status = error.status
            temporary = status is None or status in _TEMPORARY or status >= HTTPStatus.INTERNAL_SERVER_ERROR
            failure = WebhookError(f"the webhook: {error}", temporary=temporary, retry_after=error.retry_after)
        else:
            return
        raise failure

    def deliver(
        self,
        event: WebhookEvent,
        *,
        attempts: int = ATTEMPTS,
        longest: float = MAX_DELAY,
        clock: Callable[[], float] = time.time,
        sleep: Callable[[float], None] = time.sleep,
        spread: Callable[[], float] = random.random,
    ) -> None:
        """Send the event until it is received, at most `attempts` times; `WebhookError` of the last attempt.

        It waits between attempts as `retry_delay` says. After a failure that is not temporary it stops, and where the
        receiver asks to wait longer than `longest` seconds.
        """
        failures = 0
        while True:
            try:
                self.send(event, now=clock())
            except WebhookError as error:
                failures += 1
                if failures >= attempts or not error.temporary or (error.retry_after or 0.0) > longest:
                    raise
                delay = retry_delay(failures, error.retry_after, spread=spread())
            else:
                return
            sleep(delay)


def retry_delay(failures: int, retry_after: float | None = None, *, spread: float = 1.0) -> float:
    """Seconds to wait after so many failed attempts: 1, 2, 4 and so on, at most an hour.

    `spread` between 0 and 1 takes away up to half of it, so that many senders do not come back at once. What the
    receiver asked for counts where it is longer, within the hour.
    """
    # The exponent is bounded, because a float is.
    delay: float = FIRST_DELAY * 2.0 ** min(max(failures - 1, 0), 30) * (0.5 + spread / 2)
    return min(max(delay, retry_after or 0.0), MAX_DELAY)


def _decode_secret(text: str) -> bytes | None:
    if not text.startswith(_SECRET_PREFIX):
        return None
    try:
        key = base64.b64decode(text.removeprefix(_SECRET_PREFIX), validate=True)
    except ValueError:
        return None
    return key if _MIN_SECRET <= len(key) <= _MAX_SECRET else None
