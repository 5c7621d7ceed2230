"""Tools for tests of guarded applications.

They are imported when they are first used: pytest loads the plugin beside them in every run.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from jwt_lp.testing.authority import Authority, LeastPrivilegeTesting
    from jwt_lp.testing.dpop import DpopKey
else:

    def __getattr__(name: str) -> object:
        if name not in __all__:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        if name == "DpopKey":
            from jwt_lp.testing.dpop import DpopKey

            return DpopKey
        from jwt_lp.testing import authority

        return getattr(authority, name)


__all__ = ["Authority", "DpopKey", "LeastPrivilegeTesting"]
