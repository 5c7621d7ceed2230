"""Security events: each is one log line, and a call of every function that has subscribed."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Collection, Mapping
from contextlib import suppress
from types import MappingProxyType
from typing import Final, TypeAlias

EventReceiver: TypeAlias = Callable[[str, Mapping[str, object]], object]
"""A function of an event's name and its members."""

ELEVATION_EVENTS: Final = (
    "elevation-asked",
    "elevation-approved",
    "elevation-denied",
    "elevation-granted",
    "elevation-break-glass",
    "elevation-ended",
    "elevation-reviewed",
)
"""The events of the steps of elevations; `elevation-break-glass` is a grant without an approval."""

_LOG: Final = logging.getLogger("jwt_lp")
# Each receiver with the events that it is told, None for all.
_RECEIVERS: Final[dict[EventReceiver, frozenset[str] | None]] = {}
_to_json: Final = json.JSONEncoder().encode


def subscribe(receiver: EventReceiver, *, events: Collection[str] | None = None) -> Callable[[], None]:
    """Call `receiver(event, members)` at each security event of this process; returns what ends that.

    `events` are the names of those that it is told, None for all. Events and members are those of the log lines, and the
    level of the logger does not matter. The receiver runs where the event happens, often inside a request, so it must be
    quick. If it raises an exception, that is logged, and nothing else changes. A receiver that has subscribed already is
    not called twice.
    """
    _RECEIVERS.setdefault(receiver, None if events is None else frozenset(events))

    def unsubscribe() -> None:
        _RECEIVERS.pop(receiver, None)

    return unsubscribe


def is_wanted(level: int, event: str) -> bool:
    """Whether an event of this level would reach the log or a receiver."""
    return _LOG.isEnabledFor(level) or bool(_receivers_of(event))


def log_event(level: int, event: str, members: Mapping[str, object]) -> None:
    """Log one line, `jwt-lp EVENT {members}`, without empty members, and tell the receivers."""
    receivers, logged = _receivers_of(event), _LOG.isEnabledFor(level)
    if not (receivers or logged):
        return
    shown = {name: value for name, value in members.items() if value}
    # Before the log, whose handlers may raise an exception.
    for receiver in receivers:
        call_safely(receiver, event, MappingProxyType(shown))
    if logged:
        _LOG.log(level, "jwt-lp %s %s", event, _to_json(shown), extra={"jwt_lp": {"event": event, **shown}})


def _receivers_of(event: str) -> list[EventReceiver]:
    # A copy, because another thread may subscribe meanwhile.
    receivers = _RECEIVERS.copy() if _RECEIVERS else _RECEIVERS
    return [receiver for receiver, events in receivers.items() if events is None or event in events]


def call_safely(listener: Callable[..., object], *args: object, **kwargs: object) -> None:
    """Call a listener; an exception that it raises is logged by its type alone, and goes no further."""
    try:
        listener(*args, **kwargs)
    except Exception as error:  # noqa: BLE001 - whatever a listener does, the decision stays as it is
        # The message and the traceback may hold what the listener was given.
        failed = {
            "listener": getattr(listener, "__qualname__", type(listener).__qualname__),
            "error": type(error).__name__,
        }
        with suppress(Exception):
            _LOG.error(
                "jwt-lp listener_failed %s", _to_json(failed), extra={"jwt_lp": {"event": "listener_failed", **failed}}
            )
