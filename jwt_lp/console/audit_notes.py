"""Audit notes: entries of the audit trail for what the console does outside campaigns."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

from jwt_lp._support.events import log_event
from jwt_lp.errors import ConfigurationError, StoreError
from jwt_lp.stores.audit import WantedEntry

if TYPE_CHECKING:
    from jwt_lp.console.state import ConsoleState
    from jwt_lp.stores.audit import Actor


def note(console: ConsoleState, actor: Actor, action: str, target: str, *, campaign: str = "", **details: Any) -> None:
    """Add an entry to the audit trail: the actor did `action` to `target`. It writes to the store."""
    entry = WantedEntry(
        actor=actor, at=console.clock(), action=action, campaign=campaign, object=target, details=details
    )
    try:
        console.store.append_audit([entry])
    except ConfigurationError as error:
        # Its tables are missing or another release's: that is no fault of what was sent.
        raise StoreError(str(error)) from error


def note_done(console: ConsoleState, actor: Actor, action: str, target: str, **details: Any) -> None:
    """Add an entry for what has happened. A store that does not answer must not hide that, so its error is logged."""
    try:
        note(console, actor, action, target, **details)
    except StoreError as error:
        log_event(logging.ERROR, "audit-note-lost", {"action": action, "object": target, "detail": str(error)})


def text_of(actor: Actor) -> str:
    """Who acts, for records that keep one text."""
    return actor.subject if actor.name in ("", actor.subject) else f"{actor.name} ({actor.subject})"
