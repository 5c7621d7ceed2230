"""Django signals for what happened: a refusal, a revocation, a sign-in, a sign-out and an elevation.

The sender is always the class `jwt_lp.Guard`. A receiver that raises an exception changes nothing: Django logs it.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from typing import Any, Final

from django.dispatch import Signal
from django.http import HttpRequest

from jwt_lp import ELEVATION_EVENTS, Decision, Guard, subscribe

refused: Final = Signal()
"""A request was refused: `request`, and `decision`, whose `refusal` has status, cause (`code`) and reference."""

revoked: Final = Signal()
"""This process revoked something: `event` is `revoked`, or `refresh-reused`; `members` is as in the log line."""

signed_in: Final = Signal()
"""Somebody signed in: `event` is `signed-in`, and `members` has `issuer`, `subject` and `family`."""

signed_out: Final = Signal()
"""Somebody signed out: `event` is `signed-out` or `signed-out-everywhere`; `members` is as in the log line."""

elevation_changed: Final = Signal()
"""An elevation took a step: `event` is `elevation-granted` or another of its events; `members` is as in the log line."""

_SIGNALS: Final[Mapping[str, Signal]] = {
    "revoked": revoked,
    "refresh-reused": revoked,
    "signed-in": signed_in,
    "signed-out": signed_out,
    "signed-out-everywhere": signed_out,
    **dict.fromkeys(ELEVATION_EVENTS, elevation_changed),
}
_LOG: Final = logging.getLogger("jwt_lp")
# A task that nobody refers to may be discarded before it ends.
_TASKS: Final[set[asyncio.Task[Any]]] = set()


def connect() -> None:
    """Send the signals of security events from now on."""
    # Only of those that have a signal: for all others, the log's level decides whether they are made.
    subscribe(_forward, events=_SIGNALS)


def send_refused(request: HttpRequest, decision: Decision) -> None:
    """Send `refused`."""
    _send(refused, request=request, decision=decision)


async def asend_refused(request: HttpRequest, decision: Decision) -> None:
    """Send `refused` on an event loop, and wait for its receivers."""
    try:
        await refused.asend_robust(Guard, request=request, decision=decision)
    except Exception as error:  # noqa: BLE001 - whatever happens here, the decision stays as it is
        _log_failure(error)


def _forward(event: str, members: Mapping[str, object]) -> None:
    _send(_SIGNALS[event], event=event, members=members)


def _send(signal: Signal, **values: object) -> None:
    if not signal.has_listeners(Guard):
        return
    try:
        loop = asyncio.get_running_loop()
    except RuntimeError:
        loop = None
    try:
        if loop is None:
            signal.send_robust(Guard, **values)
            return
        # Django calls no asynchronous receiver from the thread of a running loop.
        task = loop.create_task(_asend(signal, values))
        _TASKS.add(task)
        task.add_done_callback(_TASKS.discard)
    except Exception as error:  # noqa: BLE001 - whatever happens here, the decision stays as it is
        _log_failure(error)


async def _asend(signal: Signal, values: Mapping[str, object]) -> None:
    await signal.asend_robust(Guard, **values)


def _log_failure(error: Exception) -> None:
    # The message may hold what the receivers were given.
    _LOG.error("jwt_lp: a signal was not sent: %s", type(error).__name__)
