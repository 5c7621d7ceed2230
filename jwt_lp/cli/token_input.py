"""Which token was given?

From a pipe, a file or the environment, and never as an argument, which every process on the machine can read.
Nothing that goes wrong here repeats the token.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click

from jwt_lp.cli.output import Failure, safe
from jwt_lp.cli.target import TOKEN_VARIABLE
from jwt_lp.jose.jws import MAX_TOKEN
from jwt_lp.lint import unverified_token

if TYPE_CHECKING:
    from collections.abc import Sequence

_MAX_CHARACTERS: Final = 2 * MAX_TOKEN

token_file_option: Final = click.option(
    "--token-file", "file", metavar="FILE", help=f"Where the token is; - for standard input. Default: {TOKEN_VARIABLE}."
)


def read_token(file: str | None) -> str:
    """The token in `file` (`-` is standard input), in `JWT_LP_TOKEN`, piped in, or asked for and not shown."""
    # Taken out of the environment: an application that reads its settings there would trip over it.
    sent = os.environ.pop(TOKEN_VARIABLE, "")
    if file is not None and file != "-":
        return normalize_token(_read_file(file))
    if sent and file is None:
        return normalize_token(sent)
    if file is None and sys.stdin.isatty():
        return normalize_token(str(click.prompt("Token", hide_input=True, err=True)))
    return normalize_token(sys.stdin.read(_MAX_CHARACTERS))


def normalize_token(given: str) -> str:
    """The token alone; a header as it was copied is welcome."""
    token = unverified_token.strip_bearer(given)
    if not token:
        raise click.UsageError(f"the token is empty: pipe it in, name a --token-file, or set {TOKEN_VARIABLE}")
    return token


def reject_file_argument(words: Sequence[str]) -> None:
    """Say how a file is given, where the one word is a file's name and no token."""
    try:
        is_file = len(words) == 1 and Path(words[0]).is_file()
    # Longer than a name can be, as a token is.
    except (OSError, ValueError):
        is_file = False
    if is_file:
        raise click.UsageError(f"{safe(words[0])} is a file: pass - and < {safe(words[0])}")


def _read_file(file: str) -> str:
    try:
        with Path(file).open(encoding="utf-8") as opened:
            return opened.read(_MAX_CHARACTERS)
    except OSError as error:
        reason = error.strerror
    except ValueError:
        reason = "it is no text"
    raise Failure(f"{file} cannot be read: {reason}")
