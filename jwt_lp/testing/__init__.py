"""Tools for tests of guarded applications."""

from __future__ import annotations

from jwt_lp.testing.authority import Authority, LeastPrivilegeTesting

__all__ = ["Authority", "LeastPrivilegeTesting"]
