"""The console: a web application of campaigns, plans, elevations and revocations; stands on jwt_lp_starlette.

It needs Starlette, Jinja2 and SQLAlchemy, the optional extra `console`; importing this package does not.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from jwt_lp.console.application import Console, create_console

__all__ = ["Console", "create_console"]


def __getattr__(name: str) -> Any:
    """Import the application when it is first asked for, because it needs libraries that the core does not."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    try:
        from jwt_lp.console import application
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(
            f'{error.msg}; the console needs: pip install "jwt-lp[console]"', name=error.name
        ) from error
    return getattr(application, name)
