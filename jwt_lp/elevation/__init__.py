"""Elevations: who may ask to hold a permission for a bounded time, and who decides."""
