"""Permissions: grammar, grants, templates and requirements."""
