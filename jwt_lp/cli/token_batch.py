"""The tokens that `jwt-lp lint` checks: from an argument, a file or standard input.

No error message repeats the input, because it may be a token.
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
    """A token, and its file and line; the file is "" for standard input and for an argument."""

    token: str
    file: str
    line: int


class LintedToken(NamedTuple):
    """The report on one token; `token` is its fingerprint."""

    token: str
    file: str
    line: int
    report: LintReport


class UnreadableToken(NamedTuple):
    """A line that is not a token, and why."""

    file: str
    line: int
    why: str

    def __str__(self) -> str:
        place = f"{self.file}:{self.line}: " if self.file else f"line {self.line}: " if self.line else ""
        return f"{place}{self.why}"


def read_tokens(words: Sequence[str]) -> list[TokenLine]:
    """The tokens that the command line names. In a file, each line is one, except blank lines and `#` comments."""
    if len(words) > 2 or (len(words) == 2 and words[0].lower() != "bearer"):  # noqa: PLR2004 - "Bearer" and the token
        raise click.UsageError("one token or file at a time: put several tokens into a file, one per line")
    word = words[-1] if words else "-"
    if word == "-":
        if not words and sys.stdin.isatty():
            raise click.UsageError("which token? name a file, or pass - and pipe it in")
        tokens = _token_lines(sys.stdin.buffer.read(MAX_FILE + 1), "")
    elif _is_file(word):
        tokens = _token_lines(_read_file(word), word)
    elif _COMPACT_JWT.fullmatch(word) or len(words) > 1:
        say("note: a token given as an argument stays in the shell's history: name a file, or pass -", err=True)
        tokens = [TokenLine(word, "", 0)]
    else:
        raise Failure(
            "the argument is neither an existing file nor a JWT: name a file with tokens, or pass - and pipe them in"
        )
    if not tokens:
        raise Failure("the input has no token")
    return tokens


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
    """Lint each token, and list the lines that are not tokens. An expired exemption is reported once."""
    linted: list[LintedToken] = []
    unreadable: list[UnreadableToken] = []
    for line in tokens:
        try:
            report = lint(
                line.token, now=now, policy=policy, options=options.without_expired(now) if linted else options
            )
        except GrammarError as error:
            unreadable.append(UnreadableToken(line.file, line.line, str(error)))
            continue
        linted.append(LintedToken(fingerprint(strip_bearer(line.token), MAX_INPUT), line.file, line.line, report))
    return linted, unreadable
