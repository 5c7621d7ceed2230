"""Recorded usage, and imports of usage and assignments."""

from __future__ import annotations

from jwt_lp.usage.recorder import UsageRecorder

__all__ = ["UsageRecorder"]
