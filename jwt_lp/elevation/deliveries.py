"""Deliveries of what happened to elevations: each step is sent to receivers, at least once.

The store keeps a step until it was delivered, so nothing is lost if a process stops. A process that delivers claims steps
for a while first, so that others do not send the same ones meanwhile.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from types import MappingProxyType
from typing import TYPE_CHECKING, Final, TypeAlias

from jwt_lp._support.events import log_event
from jwt_lp.elevation.representation import members_of, moment
from jwt_lp.errors import WebhookError
from jwt_lp.webhooks import WebhookEvent

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from jwt_lp.stores.elevations import Elevation, ElevationStep, ElevationStore

EventSender: TypeAlias = Callable[[WebhookEvent], object]
"""Sends one event, and raises an exception if it was not received: a function, or `send_to(webhook)`."""

BATCH: Final = 20
CLAIM: Final = 300.0
"""Seconds in which a claimed step is not sent by others; after a failure it is sent again then."""

_TYPES: Final[Mapping[str, str]] = MappingProxyType(
    {
        "asked": "elevation.asked",
        "approved": "elevation.approved",
        "denied": "elevation.denied",
        "granted": "elevation.granted",
        "ended": "elevation.ended",
        "reviewed": "elevation.reviewed",
    }
)
BREAK_GLASS: Final = "elevation.break_glass"
"""The type of the event that somebody took a permission without an approval."""
