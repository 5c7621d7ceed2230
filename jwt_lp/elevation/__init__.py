"""Elevation: permissions that are asked for, approved, and held for a bounded time."""
