"""The grammar of permissions and patterns.

A permission is segments joined by `:`. A segment is one or more characters of RFC 6749's scope alphabet
(appendix A.4) other than `:`, `*`, `{` and `}`. Code points are compared, never folded.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Self
from urllib.parse import quote
from uuid import UUID

from jwt_lp.errors import GrammarError, TemplateError

MAX_SEGMENTS = 16
MAX_LENGTH = 256
_MAX_INTEGER = 10**MAX_LENGTH


def is_segment(text: str) -> bool:
    """Whether `text` is one segment of a permission."""
    return is_scope_token(text) and not (":" in text or "*" in text or "{" in text or "}" in text)


def is_scope_token(text: str) -> bool:
    """Whether `text` is a scope token (RFC 6749, appendix A.4): 0x21 to 0x7E except the quote and the backslash."""
    # Each of these is one pass in C, because every grant of every new token is checked.
    return (
        text != ""
        and text.isascii()
        and text.isprintable()
        and " " not in text
        and '"' not in text
        and "\\" not in text
    )


def within_limits(text: str) -> bool:
    """Whether `text` stays within the length and the number of segments that a permission may have."""
    return len(text) <= MAX_LENGTH and text.count(":") < MAX_SEGMENTS


@dataclass(frozen=True, slots=True)
class Permission:
    """One permission, parsed: what may be done, without wildcards."""

    segments: tuple[str, ...]

    @classmethod
    def parse(cls, text: str) -> Self:
        """Parse `text`; `GrammarError` if it is not a permission."""
        if not within_limits(text):
            msg = f"a permission has at most {MAX_SEGMENTS} segments and {MAX_LENGTH} characters"
            raise GrammarError(msg)
        segments = tuple(text.split(":"))
        for segment in segments:
            if not is_segment(segment):
                msg = f"{text!a} is not a permission: {_fault(segment)}"
                raise GrammarError(msg)
        return cls(segments)

    @staticmethod
    def segment(value: object, *, encode: bool = False) -> str:
        """Return `value` as one segment, as in the templates `{name}` and `{name!e}`.

        `value` is a str, an int (written in decimal) or a UUID (canonical, lower case). With `encode`, everything
        outside `A-Za-z0-9._~@-` is percent-encoded, `%` included. `TemplateError` for anything else.
        """
        # Exact types: a bool is an int and an enum may be a str, but their texts differ.
        if type(value) is str:
            text = value
        elif type(value) is UUID or (type(value) is int and abs(value) < _MAX_INTEGER):
            text = str(value)
        elif type(value) is int:
            # Checked before it is converted: Python refuses to convert more than a few thousand digits.
            msg = "the value is a number that is too long for a permission"
            raise TemplateError(msg, configured=False)
        else:
            msg = f"a value of type {type(value).__name__} cannot be a segment; pass a str, an int or a UUID"
            raise TemplateError(msg, configured=True)
        if encode:
            text = _percent_encoded(text)
        if not is_segment(text):
            msg = f"the value is not one segment: {_fault(text)}"
            raise TemplateError(msg, configured=False)
        return text

    def __str__(self) -> str:
        return ":".join(self.segments)


def _percent_encoded(text: str) -> str:
    try:
        return quote(text, safe="._~@-")
    except UnicodeEncodeError:
        msg = "the value holds a lone surrogate"
        raise TemplateError(msg, configured=False) from None


def _fault(segment: str) -> str:
    if segment == "":
        return "a segment is empty"
    forbidden = next(char for char in segment if not is_segment(char))
    return f"{forbidden!a} is not allowed in a segment"


def is_permission(text: str) -> bool:
    """Whether `text` is a permission. It is not split, because every grant of a new token is checked."""
    return (
        is_scope_token(text)
        and within_limits(text)
        and not ("*" in text or "{" in text or "}" in text or "::" in text or text[0] == ":" or text[-1] == ":")
    )


def split_permission(text: str) -> tuple[str, ...] | None:
    """The segments of a permission; None if `text` is not one. Kept, because routes ask for the same ones."""
    # INVARIANT: only text of bounded length is kept, because a client chooses the values of a template.
    return _split(text) if len(text) <= MAX_LENGTH else None


@lru_cache(maxsize=4096)
def _split(text: str) -> tuple[str, ...] | None:
    return tuple(text.split(":")) if is_permission(text) else None


def is_pattern(text: str) -> bool:
    """Whether `text` is a well-formed pattern: wildcards as whole segments, `**` only as the last one."""
    if "*" not in text or not within_limits(text):
        return False
    segments = text.split(":")
    recursive = segments[-1] == "**"
    if recursive:
        segments.pop()
    # What is left between the wildcards has to be a permission itself.
    literals = [part for part in segments if part != "*"]
    return (recursive or len(literals) < len(segments)) and (not literals or is_permission(":".join(literals)))


def check_grant(text: str) -> None:
    """Raise `GrammarError` unless `text` is a permission or a well-formed pattern."""
    if not (is_permission(text) or is_pattern(text)):
        Permission.parse(text)
