"""Audit notes: entries of the audit trail for what the console does outside campaigns."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from jwt_lp.stores.audit import WantedEntry

if TYPE_CHECKING:
    from jwt_lp.console.state import ConsoleState
    from jwt_lp.stores.audit import Actor

ACTIONS: Final = (
    "applying", "applied", "apply_failed", "noticed", "undoing", "undone", "undo_failed", "restored",
    "revoked", "lifted", "approved", "denied", "ended", "reviewed",
)  # fmt: skip
"""What the console does outside campaigns."""


def note(console: ConsoleState, actor: Actor, action: str, target: str, *, campaign: str = "", **details: Any) -> None:
    """Add an entry to the audit trail: the actor did `action` to `target`. It writes to the store."""
    entry = WantedEntry(
        actor=actor, at=console.clock(), action=action, campaign=campaign, object=target, details=details
    )
    console.store.append_audit([entry])


def text_of(actor: Actor) -> str:
    """Who acts, for records that keep one text."""
    return actor.subject if actor.name in ("", actor.subject) else f"{actor.name} ({actor.subject})"
