"""Commands of `jwt-lp`, one module each.

The exit code is 0 if all is well, 1 if a check found something or something is or would be refused, and 2 for wrong
usage or a wrong configuration. The commands need click and rich, the optional extra `cli`; importing this package
does not.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Final, NoReturn

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["NO_APP", "main", "run"]

# None is also an application: Django's, once its settings are configured.
NO_APP: Final = object()


def main() -> NoReturn:
    """Run the console script `jwt-lp`."""
    sys.exit(run(sys.argv[1:]))


def run(arguments: Sequence[str], app: object = NO_APP, *, prog: str = "jwt-lp") -> int:
    """Run one command and return its exit code.

    `app` is the application to use if the command line names none. A host's own command (`manage.py jwt_lp`,
    `flask jwt-lp`) passes it. `prog` is the program name that the help shows.
    """
    try:
        from jwt_lp.cli.commands import commands
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] not in {"click", "rich"}:
            raise
        print(f'{prog} needs click and rich: pip install "jwt-lp[cli]"', file=sys.stderr)
        return 2
    apps = () if app is NO_APP else (app,)
    try:
        commands.main(list(arguments), prog_name=prog, obj=apps)
    except SystemExit as stop:
        return stop.code if isinstance(stop.code, int) else 1
