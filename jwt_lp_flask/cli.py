"""The commands of `jwt-lp` as `flask jwt-lp …`, for the current application."""

from __future__ import annotations

from importlib import import_module
from typing import Any, cast

import click
from flask import current_app
from flask.cli import with_appcontext


@click.command(
    "jwt-lp",
    add_help_option=False,
    context_settings={"ignore_unknown_options": True},
    short_help="Least privilege: routes, explain, token, observed; check for CI.",
)
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
@click.pass_context
@with_appcontext
def group(ctx: click.Context, arguments: tuple[str, ...]) -> None:
    """Run a command of `jwt-lp` for the current application. `check` is `routes`, whose exit code is for CI."""
    command, rest = arguments[:1], arguments[1:]
    forwarded = [*(("routes",) if command == ("check",) else command), *rest]
    app = cast(Any, current_app)._get_current_object()  # noqa: SLF001 - the proxy's public API
    # Imported by name: an adapter may import only what the root of the core exports.
    ctx.exit(import_module("jwt_lp.cli").run(forwarded, app, prog="flask jwt-lp"))
