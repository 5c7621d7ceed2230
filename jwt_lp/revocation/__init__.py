"""Revocation: entries, the snapshot in memory, and the poller that refreshes it."""
