"""What does `jwt-lp` say about this project? `manage.py jwt_lp …` is the same command."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from importlib import import_module
from typing import Any

from django.core.management.base import BaseCommand, CommandParser


class Command(BaseCommand):
    """Pass everything on to `jwt-lp`, with this project as the application."""

    help = "Least privilege: list routes, explain refusals, mint development tokens. `manage.py jwt_lp --help`"
    # A check of ours that fails is what one wants to ask about.
    requires_system_checks = ()

    def run_from_argv(self, argv: list[str]) -> None:
        """Run it with the arguments as they are: none of Django's own options is taken out."""
        sys.exit(_run(argv[2:]))

    def add_arguments(self, parser: CommandParser) -> None:
        """For `call_command`."""
        parser.add_argument("arguments", nargs=argparse.REMAINDER)

    def handle(self, *args: Any, **options: Any) -> None:
        """For `call_command`: `SystemExit` with the command's exit code where it is not 0."""
        code = _run(options["arguments"])
        if code:
            sys.exit(code)


def _run(arguments: Sequence[str]) -> int:
    # The command line is no part of what an adapter may import: it is there only where it was installed.
    run: Any = import_module("jwt_lp.cli").run
    return int(run(arguments, None, prog="manage.py jwt_lp"))
