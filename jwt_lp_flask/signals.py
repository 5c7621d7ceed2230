"""Signals of blinker for what happened: a refusal, a revocation, a sign-in, a sign-out and an elevation.

The sender is the application, or None where no application context is active. A receiver may be a coroutine function
where Flask runs those (`flask[async]`). A receiver that raises an exception changes nothing: its type is logged.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any, Final, cast

from blinker import NamedSignal, Namespace
from flask import Flask, Request, current_app

from jwt_lp import ELEVATION_EVENTS, Decision, subscribe

_NAMES: Final = Namespace()
_LOG: Final = logging.getLogger("jwt_lp")

refused: Final[NamedSignal] = _NAMES.signal("refused")
"""A request was refused: `request`, and `decision`, whose `refusal` has status, cause (`code`) and reference."""

revoked: Final[NamedSignal] = _NAMES.signal("revoked")
"""This process revoked something: `event` is `revoked`, or `refresh-reused`; `members` is as in the log line."""

signed_in: Final[NamedSignal] = _NAMES.signal("signed-in")
"""Somebody signed in: `event` is `signed-in`, and `members` has `issuer`, `subject` and `family`."""

signed_out: Final[NamedSignal] = _NAMES.signal("signed-out")
"""Somebody signed out: `event` is `signed-out` or `signed-out-everywhere`; `members` is as in the log line."""

elevation_changed: Final[NamedSignal] = _NAMES.signal("elevation-changed")
"""An elevation took a step: `event` is `elevation-granted` or another of its events; `members` is as in the log line."""

_SIGNALS: Final[Mapping[str, NamedSignal]] = {
    "revoked": revoked,
    "refresh-reused": revoked,
    "signed-in": signed_in,
    "signed-out": signed_out,
    "signed-out-everywhere": signed_out,
    **dict.fromkeys(ELEVATION_EVENTS, elevation_changed),
}


def connect() -> None:
    """Send the signals of security events from now on."""
    # Only of those that have a signal: for all others, the log's level decides whether they are made.
    subscribe(_forward, events=_SIGNALS)


def send_refused(app: Flask, request: Request, decision: Decision) -> None:
    """Send `refused`."""
    _send(refused, app, request=request, decision=decision)


def _forward(event: str, members: Mapping[str, object]) -> None:
    signal = _SIGNALS[event]
    if signal.receivers:
        # The application itself, because receivers are found by the identity of the sender.
        app = cast(Flask, cast(Any, current_app)._get_current_object()) if current_app else None  # noqa: SLF001 - the proxy's public API
        _send(signal, app, event=event, members=members)


def _send(signal: NamedSignal, app: Flask | None, **values: object) -> None:
    if not signal.receivers:
        return
    for receiver in list(signal.receivers_for(app)):
        try:
            call: Any = receiver if app is None else app.ensure_sync(receiver)
            call(app, **values)
        except Exception as error:  # noqa: BLE001 - whatever a receiver does, the decision stays as it is
            # The message and the traceback may hold what the receiver was given.
            _LOG.error("jwt_lp: a receiver of the signal %s failed: %s", signal.name, type(error).__name__)
