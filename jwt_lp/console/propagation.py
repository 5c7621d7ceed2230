"""Propagation: services told at once of a change, and when they know it."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Final

from jwt_lp._support.events import log_event
from jwt_lp.errors import StoreError
from jwt_lp.review.quantities import count_noun
from jwt_lp.revocation.poller import POLL_INTERVAL
from jwt_lp.stores.push import announce as push

if TYPE_CHECKING:
    from jwt_lp.console.state import ConsoleState

_PUSH_TIMEOUT: Final = 2.0
_ALIVE_WITHIN: Final = 60.0


def announce(console: ConsoleState, sequence: int) -> str:
    """Push a change if there is a Redis, and say when services have it. It never fails, because the change is stored."""
    outlook = f"Services poll every {POLL_INTERVAL:.0f} s and have it by then."
    try:
        if console.push:
            told = count_noun(push(console.push, sequence, timeout=_PUSH_TIMEOUT), "listener")
            outlook = f"Pushed to {told}; other services poll every {POLL_INTERVAL:.0f} s."
    except StoreError as error:
        log_event(logging.WARNING, "push-failed", {"detail": str(error)})
    try:
        alive = bool(console.store.heartbeats(since=console.clock() - _ALIVE_WITHIN))
    except StoreError:
        return outlook
    return outlook if alive else f"{outlook} No service reported in the last minute: check that they have this store."
