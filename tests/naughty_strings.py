"""Strings that have broken programs before."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar, cast

from prerequisites import require

FILE = Path(__file__).parents[2] / "shared" / "vectors" / "naughty_strings.json"
# Strings that the file cannot hold or does not know: lone surrogates, NUL, line separators, and our own syntax.
OURS = (
    *("\ud800", "\udfff:a", "a\x00b", "\x7f", "\u2028", "\u2029", "\x85", "\r\nSet-Cookie: a=b", "\x1b[2J"),
    *("*", "**", "a:*", "a:**", ":", "::", "a:", ":a", "a::b", "{a}", "{a!e}", "{", "}", "a\\", 'a"b', "%3A", "%2a"),
    *("ｏｒｄｅｒｓ", "orders\u200b", "ı", "İ", "ß", "e\u0301", "é", "a" * 256, "a" * 257, ":".join("a" * 17)),
)

Result = TypeVar("Result")
Error = TypeVar("Error", bound=Exception)


def result_or_error(make: Callable[[], Result], *kinds: type[Error]) -> Result | Error:
    """The result of `make`, or the error if it is of one of these kinds; any other error is raised."""
    try:
        return make()
    except kinds as error:
        return error


def load_strings() -> list[str]:
    require(FILE.exists(), f"the list of naughty strings, expected at {FILE}")
    return [*cast("list[str]", json.loads(FILE.read_text("utf-8"))), *OURS]
