"""The command `jwt-lp` for this project: `manage.py jwt_lp …`."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from importlib import import_module
from typing import Any

from django.core.management.base import BaseCommand, CommandParser


class Command(BaseCommand):
    """Run `jwt-lp` with all arguments, for this project."""

    help = "Least privilege: list routes, explain refusals, mint development tokens. `manage.py jwt_lp --help`"
    # The command must run if our checks fail, because it explains the failures.
    requires_system_checks = ()

    def run_from_argv(self, argv: list[str]) -> None:
        """Run it with unchanged arguments: Django's own options are not removed."""
        sys.exit(_run(argv[2:]))

    def add_arguments(self, parser: CommandParser) -> None:
        """For `call_command`."""
        parser.add_argument("arguments", nargs=argparse.REMAINDER)

    def handle(self, *args: Any, **options: Any) -> None:
        """For `call_command`: `SystemExit` with the command's exit code if that is not 0."""
        code = _run(options["arguments"])
        if code:
            sys.exit(code)


def _run(arguments: Sequence[str]) -> int:
    # Adapters may not import the command line; it works only if its extra is installed.
    run: Any = import_module("jwt_lp.cli").run
    return int(run(arguments, None, prog="manage.py jwt_lp"))
