"""Revocation: entries, the snapshot in memory, and the poller that refreshes it."""

from __future__ import annotations

from jwt_lp.revocation.entries import RevocationChanges, RevocationEntry
from jwt_lp.revocation.poller import RevocationPoller

__all__ = ["RevocationChanges", "RevocationEntry", "RevocationPoller"]
