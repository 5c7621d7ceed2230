"""Recorded usage, and imports of usage and assignments."""
