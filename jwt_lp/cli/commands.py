"""The group of all commands, and the exit codes of errors."""

from __future__ import annotations

import logging
import platform
from importlib import import_module
from importlib.metadata import PackageNotFoundError
from importlib.metadata import version as release_of
from typing import Final

import click

from jwt_lp.cli.output import CheckFailed, Failure
from jwt_lp.errors import CampaignError, ElevationError, InvalidToken, JwtLpError, PolicyError

_HOSTS: Final = ("Django", "djangorestframework", "Flask", "starlette", "fastapi")
_INTERRUPTED: Final = 130
# A module that holds several commands, and a command whose function has another name.
_ELSEWHERE: Final = {
    "inspect": "inspect:inspect_token",
    "narrow": "issue:narrow",
    "unrevoke": "revoke:unrevoke",
}
_NAMES: Final = (
    *("routes", "explain", "token", "lint", "observed", "policy", "demo", "keys", "issue", "narrow", "inspect"),
    *("migrate", "store", "revoke", "unrevoke", "revocations", "usage", "grants", "roles", "elevate"),
    *("review", "backtest", "plan", "apply", "restore", "undo", "verify", "evidence", "campaign", "console"),
)


class _Commands(click.Group):
    """The commands. The module of each is imported when it is called, because all together take half a second."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return sorted({*super().list_commands(ctx), *_NAMES})

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name in _NAMES:
            return _command(cmd_name)
        found = super().get_command(ctx, cmd_name)
        if found is None:
            # click suggests a name out of these.
            self.commands.update({name: _command(name) for name in _NAMES})
        return found

    def invoke(self, ctx: click.Context) -> object:
        try:
            return super().invoke(ctx)
        except (PolicyError, InvalidToken, ElevationError, CampaignError) as error:
            raise CheckFailed(*getattr(error, "faults", (str(error),))) from error
        except JwtLpError as error:
            raise Failure(*getattr(error, "faults", (str(error),))) from error
        except click.Abort:
            # Exit code 1 would mean that a check found something.
            click.echo("stopped", err=True)
            ctx.exit(_INTERRUPTED)


def _command(name: str) -> click.Command:
    module, _, function = _ELSEWHERE.get(name, f"{name}:{name}").partition(":")
    command: click.Command = getattr(import_module(f"jwt_lp.cli.{module}"), function)
    return command


def _version(distribution: str) -> str:
    try:
        return release_of(distribution)
    except PackageNotFoundError:
        return "(not installed)"


@click.group(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(_version("jwt-lp"), message="jwt-lp %(version)s")
@click.pass_context
def commands(ctx: click.Context) -> None:
    """Least privilege access with JWTs: list declarations, explain refusals, make tokens, revoke and review grants.

    \b
    A first round:
      jwt-lp routes shop.main:app                 every route and its requirement
      jwt-lp routes shop.main:app --suggest       the missing declarations
      jwt-lp observed server.log                  what enforcement would refuse
      jwt-lp explain - --app shop.main:app --route "GET /orders/7"
      jwt-lp lint - < token                       what a token does not need to carry
      jwt-lp migrate shop                         the patch from another library
      jwt-lp keys new                             signing keys for your own issuer
      jwt-lp issue alice orders:read              a token of your own issuer

    \b
    Exit codes:
      0  all is well, or the request would pass
      1  a check found something, or a request or command is or would be refused
      2  wrong usage or a wrong configuration
    """  # noqa: D301 - a real backspace is what click looks for
    ctx.ensure_object(tuple)
    # No log line is printed unless the application itself set up logging.
    silence = logging.NullHandler()
    logging.getLogger("jwt_lp").addHandler(silence)
    ctx.call_on_close(lambda: logging.getLogger("jwt_lp").removeHandler(silence))


@commands.command()
def version() -> None:
    """Print the versions that a bug report should name."""
    click.echo(f"jwt-lp {_version('jwt-lp')}")
    click.echo(f"Python {platform.python_version()} on {platform.system()}")
    for name in ("PyJWT", "cryptography", *_HOSTS):
        release = _version(name)
        if not release.startswith("("):
            click.echo(f"{name} {release}")
