"""Which tokens are meant: the one given, those of a file, or those of standard input?

Nothing that goes wrong here repeats what was given: it may be a token.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple

import click

from jwt_lp.cli.output import Failure, say
from jwt_lp.errors import GrammarError
from jwt_lp.jose.jws import fingerprint
from jwt_lp.lint.linter import LintOptions, LintReport, lint
from jwt_lp.lint.unverified_token import MAX_INPUT, strip_bearer

if TYPE_CHECKING:
    from collections.abc import Sequence

    from jwt_lp.policy.file import Policy

MAX_FILE: Final = 8 * 1024 * 1024

# A header is an object, so its base64url begins with one of these.
_COMPACT_JWT: Final = re.compile(r"e[wyA-Z0-9][\w=+/-]*\.[\w=+/-]*(?:\.[\w=+/-]*)?")


class TokenLine(NamedTuple):
    """A token that was given, and where it stands; the file is "" where there is none."""

    token: str
    file: str
    line: int


class LintedToken(NamedTuple):
    """What is wrong with one of them; `token` is its digest's beginning."""

    token: str
    file: str
    line: int
    report: LintReport


class UnreadableToken(NamedTuple):
    """What is no token, and why."""

    file: str
    line: int
    why: str

    def __str__(self) -> str:
        place = f"{self.file}:{self.line}: " if self.file else f"line {self.line}: " if self.line else ""
        return f"{place}{self.why}"


def read_tokens(words: Sequence[str]) -> list[TokenLine]:
    """The tokens that the command line names. A file has one on each line; blank lines and `#` comments are none."""
    if len(words) > 2 or (len(words) == 2 and words[0].lower() != "bearer"):  # noqa: PLR2004 - "Bearer" and the token
        raise click.UsageError("one token or file at a time: put several tokens into a file, one on each line")
    word = words[-1] if words else "-"
    if word == "-":
        if not words and sys.stdin.isatty():
            raise click.UsageError("which token? name a file, or pass - and pipe it in")
        found = _token_lines(sys.stdin.buffer.read(MAX_FILE + 1), "")
    elif _is_file(word):
        found = _token_lines(_read_file(word), word)
    elif _COMPACT_JWT.fullmatch(word) or len(words) > 1:
        say("note: a token given as an argument stays in the shell's history: name a file, or pass -", err=True)
        found = [TokenLine(word, "", 0)]
    else:
        raise Failure("there is no such file, and it is not a JWT: name a file with tokens, or pass - and pipe them in")
    if not found:
        raise Failure("there is no token in it")
    return found


def _is_file(word: str) -> bool:
    try:
        return Path(word).exists()
    except (OSError, ValueError):
        return False


def _read_file(file: str) -> bytes:
    try:
        with Path(file).open("rb") as opened:
            return opened.read(MAX_FILE + 1)
    except OSError as error:
        raise Failure(f"{file}: cannot be read: {error.strerror}") from None


def _token_lines(data: bytes, file: str) -> list[TokenLine]:
    if len(data) > MAX_FILE:
        raise Failure(f"{file or 'standard input'} is longer than {MAX_FILE} bytes")
    lines = enumerate(data.decode("utf-8-sig", "replace").split("\n"), 1)
    return [
        TokenLine(line.strip(), file, at) for at, line in lines if line.strip() and not line.lstrip().startswith("#")
    ]


def lint_tokens(
    tokens: Sequence[TokenLine], policy: Policy, options: LintOptions, now: float
) -> tuple[list[LintedToken], list[UnreadableToken]]:
    """What is wrong with each of them, and which are no tokens. An exemption that is over is reported once."""
    found: list[LintedToken] = []
    unreadable: list[UnreadableToken] = []
    for each in tokens:
        try:
            report = lint(
                each.token, now=now, policy=policy, options=options.without_expired(now) if found else options
            )
        except GrammarError as error:
            unreadable.append(UnreadableToken(each.file, each.line, str(error)))
            continue
        found.append(LintedToken(fingerprint(strip_bearer(each.token), MAX_INPUT), each.file, each.line, report))
    return found, unreadable
