"""A lenient reader of JWTs that verifies nothing.

It accepts what a verifier refuses: no signature, duplicate names, padding and blanks. Its result may be examined, but
must never be trusted.
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
"""The most characters that a token may have."""

MAX_VALUES: Final = 10_000

_MAX_NUMBER: Final = 64
_PARTS: Final = (2, 3)
_ENCRYPTED: Final = 5
_LETTERS: Final = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
_TO_STANDARD: Final = bytes.maketrans(b"-_", b"+/")
_PREFIXES: Final = ("authorization:", "bearer ")


@dataclass(frozen=True, slots=True, repr=False)
class UnverifiedToken:
    """The content of a token. `size` is its number of characters, `payload` the number of bytes of its claims."""

    header: Mapping[str, object]
    claims: Mapping[str, object]
    duplicates: tuple[str, ...]
    size: int
    payload: int
    signed: bool
    escaped: bool

    def cost(self, name: str, value: object) -> int:
        """The number of characters that the token is shorter without this member of its claims."""
        return self.characters_saved(len(self._encode({name: value})) - 1)

    def characters_saved(self, length: int) -> int:
        """The number of characters that the token is shorter without `length` bytes of its payload."""
        remaining = max(0, self.payload - length)
        return _encoded_length(self.payload) - _encoded_length(remaining)

    def _encode(self, value: object) -> bytes:
        text = json.dumps(value, separators=(",", ":"), ensure_ascii=self.escaped)
        return text.encode("utf-8", "surrogatepass")


def read_unverified(token: object) -> UnverifiedToken:
    """Read a compact JWS, signed or not; a leading `Bearer` and surrounding blanks are ignored.

    `GrammarError`, which repeats nothing of the token, if it has more than `MAX_INPUT` characters or is encrypted, or
    if its claims or its header are not a JSON object, are nested deeper than 32 or have more than `MAX_VALUES` values.
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
    # A writer that escapes all but ASCII escapes the delete character too.
    escaped = body.isascii() and b"\x7f" not in body
    return UnverifiedToken(header, claims, tuple(dict.fromkeys(duplicates)), len(text), len(body), signed, escaped)


def strip_bearer(text: str) -> str:
    """The token without the words of a copied Authorization header."""
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
    """Parse a JSON object; names that occur twice in one of its objects are added to `duplicates`."""
    values = 0

    def members(pairs: list[tuple[str, object]]) -> dict[str, object]:
        result = dict(pairs)
        if len(result) != len(pairs):
            duplicates.extend(name for name, times in Counter(name for name, _ in pairs).items() if times > 1)
        return result

    fault = nesting_fault(data, MAX_VALUES)
    if fault is not None:
        raise GrammarError(f"its {what} {fault}")
    text = data.decode("utf-8-sig", "replace")
    result: Any = None
    try:
        result = json.loads(text, object_pairs_hook=members, parse_int=_integer)
    except ValueError:
        # INVARIANT: nothing is raised here, because the error that holds the document would become its context.
        result = None
    if not is_json_object(result):
        raise GrammarError(f"it is not a JWT: its {what} is not a JSON object")
    pending: list[object] = [result]
    while pending:
        value = pending.pop()
        children = list(value.values()) if is_json_object(value) else list(value) if is_json_array(value) else []
        values += len(children)
        pending += children
        if values > MAX_VALUES:
            raise GrammarError(f"its {what} has more than {MAX_VALUES} values")
    return result


def _integer(digits: str) -> int | float:
    return int(digits) if len(digits) <= _MAX_NUMBER else math.inf
