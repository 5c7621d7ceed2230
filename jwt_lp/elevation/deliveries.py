"""Deliveries of what happened to elevations: each step is sent to receivers, at least once.

The store keeps a step until it was delivered, so nothing is lost if a process stops. A process that delivers claims a step
for a while first, so that no other sends the same one meanwhile.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Final, TypeAlias

from jwt_lp._support.events import log_event
from jwt_lp.elevation.representation import members_of, moment
from jwt_lp.errors import StoreError
from jwt_lp.webhooks import WebhookEvent, retry_delay

if TYPE_CHECKING:
    from collections.abc import Sequence
    from threading import Event

    from jwt_lp.stores.elevations import Elevation, ElevationStep, ElevationStore

EventSender: TypeAlias = Callable[[WebhookEvent], object]
"""Sends one event; raises an exception if it was not received."""

CLAIM: Final = 120.0
"""Seconds in which a claimed step is not sent by others; one that was not delivered is sent again then."""

INTERVAL: Final = 1.0


class ElevationDeliveries:
    """Sends the steps of a store's elevations to `senders`, oldest first; `clock` returns seconds since the epoch.

    The types are `elevation.asked`, `.approved` (one approval), `.granted`, `.denied`, `.ended`, `.reviewed`, and
    `.break_glass` where somebody took a permission without an approval. The data has the `elevation` as it is now, and
    the `step`: its action, time, who took it, and the reason. An event keeps its id, so a receiver can ignore what it has
    already. If one of several senders fails, all of them get the event again.
    """

    def __init__(
        self, store: ElevationStore, senders: Sequence[EventSender], *, clock: Callable[[], float] = time.time
    ) -> None:
        self._store = store
        self._senders = tuple(senders)
        self._clock = clock
        self.failures: int = 0
        """How many attempts have failed since the last success."""

    def deliver(self) -> int:
        """Send what was not delivered yet, and return how many steps were; it ends at the first failure.

        The step that failed is sent again when its claim has lapsed. `StoreError` if the store does not answer.
        """
        delivered = 0
        while step := self._claim():
            if not self._send(step):
                break
            self._store.mark_delivered((step,))
            delivered += 1
        return delivered

    def run(self, stop: Event, interval: float = INTERVAL) -> None:
        """Deliver until `stop` is set, every `interval` seconds, and less often while receivers or the store fail."""
        while not stop.is_set():
            try:
                self.deliver()
            except StoreError as error:
                self.failures += 1
                log_event(
                    logging.WARNING, "elevation-undelivered", {"error": type(error).__name__, "detail": str(error)}
                )
            stop.wait(max(interval, retry_delay(self.failures)) if self.failures else interval)

    def _claim(self) -> ElevationStep | None:
        now = self._clock()
        return next(iter(self._store.claim_steps(1, at=now, until=now + CLAIM)), None)

    def _send(self, step: ElevationStep) -> bool:
        elevation = self._store.elevation(step.elevation)
        if elevation is None:
            # It was purged, so nobody waits for this any more.
            return True
        try:
            event = event_of(elevation, step, self._clock())
            for sender in self._senders:
                sender(event)
        except Exception as error:  # noqa: BLE001 - whatever a receiver does, the step is sent again
            self.failures += 1
            # The message may hold an address that is a secret.
            members = {"elevation": elevation.id, "event": _type_of(elevation, step), "error": type(error).__name__}
            log_event(logging.WARNING, "elevation-undelivered", members)
            return False
        self.failures = 0
        return True


def event_of(elevation: Elevation, step: ElevationStep, now: float) -> WebhookEvent:
    """The event of one step; `now` is the time at which the elevation is shown."""
    shown = {
        "action": step.action,
        "at": moment(step.at),
        "issuer": step.issuer,
        "subject": step.subject,
        "reason": step.reason,
    }
    return WebhookEvent(
        id=f"{elevation.id}-{step.number}",
        type=_type_of(elevation, step),
        at=step.at,
        data={
            "elevation": members_of(elevation, now),
            "step": {name: value for name, value in shown.items() if value},
        },
    )


def _type_of(elevation: Elevation, step: ElevationStep) -> str:
    alarm = elevation.break_glass and step.action == "granted"
    return "elevation.break_glass" if alarm else f"elevation.{step.action}"
