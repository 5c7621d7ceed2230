"""Permissions: grammar, grants, templates and requirements."""

from __future__ import annotations

from jwt_lp.permissions.grammar import Permission
from jwt_lp.permissions.grants import Grant, Permissions
from jwt_lp.permissions.requirements import (
    AUTHENTICATED,
    IDENTIFIED,
    PUBLIC,
    Open,
    Requirement,
    all_of,
    any_of,
    external,
)

__all__ = [
    "AUTHENTICATED",
    "IDENTIFIED",
    "PUBLIC",
    "Grant",
    "Open",
    "Permission",
    "Permissions",
    "Requirement",
    "all_of",
    "any_of",
    "external",
]
