"""What does this token say, if it is one at all?

A reader that verifies nothing and takes what a verifier would refuse: no signature, a name that stands twice,
padding, blanks. What comes out may be looked at and never believed.
"""

from __future__ import annotations

import binascii
import json
import math
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from jwt_lp._support.json_nesting import nesting_fault
from jwt_lp._support.json_types import is_json_array, is_json_object
from jwt_lp.errors import GrammarError

if TYPE_CHECKING:
    from collections.abc import Mapping

MAX_INPUT: Final = 256 * 1024
"""How many characters are looked at."""

MAX_VALUES: Final = 10_000

_MAX_NUMBER: Final = 64
_PARTS: Final = (2, 3)
_ENCRYPTED: Final = 5
_LETTERS: Final = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
_TO_STANDARD: Final = bytes.maketrans(b"-_", b"+/")
_PREFIXES: Final = ("authorization:", "bearer ")


@dataclass(frozen=True, slots=True, repr=False)
class UnverifiedToken:
    """What a token says. `size` is its characters, `payload` the bytes of its claims."""

    header: Mapping[str, object]
    claims: Mapping[str, object]
    duplicates: tuple[str, ...]
    size: int
    payload: int
    signed: bool
    escaped: bool

    def cost(self, name: str, value: object) -> int:
        """How many characters less the token has without this member of its claims."""
        return self.characters_saved(len(self._encode({name: value})) - 1)

    def characters_saved(self, length: int) -> int:
        """How many characters less the token has without so many bytes of its payload."""
        left = max(0, self.payload - length)
        return _encoded_length(self.payload) - _encoded_length(left)

    def _encode(self, value: object) -> bytes:
        text = json.dumps(value, separators=(",", ":"), ensure_ascii=self.escaped)
        return text.encode("utf-8", "surrogatepass")


def read_unverified(token: object) -> UnverifiedToken:
    """Take a compact JWS apart, signed or not; `GrammarError` for what is no such thing, without a word of it.

    `Bearer` before it and blanks around it are no part of it. Refused is more than `MAX_INPUT` characters, an
    encrypted token, and claims or a header that are no JSON object, nested deeper than 32 or with more
    than `MAX_VALUES` values.
    """
    text = _text(token)
    parts = text.split(".", _ENCRYPTED)
    if len(parts) == _ENCRYPTED:
        raise GrammarError("it is encrypted (JWE): its content cannot be read")
    if len(parts) not in _PARTS:
        raise GrammarError("it is not a JWT: a JWT has three parts separated by dots")
    duplicates: list[str] = []
    head = _decoded(parts[0], "header")
    body = _decoded(parts[1], "payload")
    header, claims = _object(head, "header", duplicates), _object(body, "payload", duplicates)
    signed = len(parts) > len(_PARTS) and parts[2] != ""
    # What escapes everything but ASCII escapes the delete character too.
    escaped = body.isascii() and b"\x7f" not in body
    return UnverifiedToken(header, claims, tuple(dict.fromkeys(duplicates)), len(text), len(body), signed, escaped)


def strip_bearer(text: str) -> str:
    """The token alone, of what may be a header as it was copied."""
    text = text.strip()
    for prefix in _PREFIXES:
        if text[: len(prefix)].lower() == prefix:
            text = text[len(prefix) :].strip()
    return text


def _text(token: object) -> str:
    if not isinstance(token, str | bytes):
        raise GrammarError(f"a token is text, not {type(token).__name__}")
    if len(token) > MAX_INPUT:
        raise GrammarError(f"it is longer than {MAX_INPUT} characters")
    return strip_bearer(token if isinstance(token, str) else token.decode("latin-1"))


def _encoded_length(length: int) -> int:
    return -(-length * 4 // 3)


def _decoded(part: str, what: str) -> bytes:
    raw = part.rstrip("=").encode("utf-8", "surrogatepass").translate(_TO_STANDARD)
    if raw.translate(None, _LETTERS) or len(raw) % 4 == 1:
        raise GrammarError(f"it is not a JWT: its {what} is not base64url")
    return binascii.a2b_base64(raw + b"==")


def _object(data: bytes, what: str, duplicates: list[str]) -> Mapping[str, object]:
    """The JSON object that `data` is; names that stand twice in one object of it are added to `duplicates`."""
    values = 0

    def members(pairs: list[tuple[str, object]]) -> dict[str, object]:
        found = dict(pairs)
        if len(found) != len(pairs):
            duplicates.extend(name for name, times in Counter(name for name, _ in pairs).items() if times > 1)
        return found

    fault = nesting_fault(data, MAX_VALUES)
    if fault is not None:
        raise GrammarError(f"its {what} {fault}")
    text = data.decode("utf-8-sig", "replace")
    found: Any = None
    try:
        found = json.loads(text, object_pairs_hook=members, parse_int=_integer)
    except ValueError:
        # INVARIANT: not raised here, where the error that holds the document would be its context.
        found = None
    if not is_json_object(found):
        raise GrammarError(f"it is not a JWT: its {what} is not a JSON object")
    left: list[object] = [found]
    while left:
        value = left.pop()
        below = list(value.values()) if is_json_object(value) else list(value) if is_json_array(value) else []
        values += len(below)
        left += below
        if values > MAX_VALUES:
            raise GrammarError(f"its {what} has more than {MAX_VALUES} values")
    return found


def _integer(digits: str) -> int | float:
    return int(digits) if len(digits) <= _MAX_NUMBER else math.inf
