"""One token from standard input, a file, the environment or a prompt.

A token is never an argument, because every process on the machine can read those. No error message repeats it.
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
    "--token-file",
    "file",
    metavar="FILE",
    help=f"The file with the token; - for standard input. Default: {TOKEN_VARIABLE}, otherwise standard input.",
)


def read_token(file: str | None) -> str:
    """The token in `file` (`-` is standard input), in `JWT_LP_TOKEN`, on standard input or from a hidden prompt."""
    # Removed from the environment, because an application that reads its settings there would reject it.
    environment_token = os.environ.pop(TOKEN_VARIABLE, "")
    if file is not None and file != "-":
        return normalize_token(_read_file(file))
    if environment_token and file is None:
        return normalize_token(environment_token)
    if file is None and sys.stdin.isatty():
        return normalize_token(str(click.prompt("Token", hide_input=True, err=True)))
    return normalize_token(sys.stdin.read(_MAX_CHARACTERS))


def normalize_token(given: str) -> str:
    """The token without a scheme: a copied `Authorization` header is accepted too."""
    token = unverified_token.strip_bearer(given)
    if not token:
        raise click.UsageError(f"the token is empty: pipe it in, name a --token-file, or set {TOKEN_VARIABLE}")
    return token


def reject_file_argument(words: Sequence[str]) -> None:
    """`UsageError` that explains how to pass a file, if the only word is the name of one."""
    try:
        is_file = len(words) == 1 and Path(words[0]).is_file()
    # A token may be longer than a file name can be.
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
        reason = "it is not text"
    raise Failure(f"{file} cannot be read: {reason}")
