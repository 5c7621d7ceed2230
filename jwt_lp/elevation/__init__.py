"""Elevations: permissions held for a bounded time, after a request was approved."""
