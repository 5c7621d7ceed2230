"""Strict parsing of compact JWS (RFC 7515, section 7.1) and of JSON.

Every token is parsed here, before any key is looked up and before any cryptography. The parser is stricter than the RFC
where leniency has led to security advisories elsewhere.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
import math
import re
from functools import lru_cache
from types import MappingProxyType
from typing import TYPE_CHECKING, Final, NamedTuple

from jwt_lp._support.json_nesting import PREFIX, nesting_fault
from jwt_lp.errors import InvalidToken

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

MAX_TOKEN: Final = 16 * 1024
MAX_HEADER: Final = 4 * 1024
MAX_KID: Final = 256
MAX_NUMBER: Final = 64

ALPHABET: Final = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
# By length modulo four: the canonical last characters, and the padding that the standard decoder needs.
TAILS: Final = ((ALPHABET, b""), (b"", b""), (b"AQgw", b"=="), (b"AEIMQUYcgkosw048", b"="))

# Of a payload with more characters than `_LONG`, the first `_START` are looked at first.
_LONG: Final = 4 * 1024
_START: Final = PREFIX // 3 * 4

_LETTERS: Final = ALPHABET + b"."
_TO_STANDARD: Final = bytes.maketrans(b"-_", b"+/")
_FORBIDDEN_HEADERS: Final = frozenset({"crit", "b64", "zip", "enc", "jwk", "jku", "x5u", "x5c"})
_BLANKS: Final = " \t\n\r"
_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f-\x9f]")


class JoseHeader(NamedTuple):
    """A header that was read strictly, and the parameters that every token is judged by."""

    members: Mapping[str, object]
    algorithm: str
    kid: str | None
    typ: str | None


class CompactJws(NamedTuple):
    """The parts of a compact JWS. Its signature is not verified, so nothing in it may be trusted yet."""

    header: Mapping[str, object]
    payload: bytes
    signing_input: bytes
    signature: bytes
    algorithm: str
    kid: str | None

    def __repr__(self) -> str:
        return "CompactJws(masked)"


def parse_compact(token: object, *, embedded_key: bool = False) -> CompactJws:
    """Parse a compact JWS (RFC 7515, sections 4 and 7.1; RFC 8725, sections 3.1, 3.7 and 3.10).

    Raises `InvalidToken`, and nothing else, for any object that is not a str, more than 16 KiB, a header over
    4 KiB, other than three segments, a character outside `[A-Za-z0-9_-]`, base64url that is padded or
    not canonical, an empty signature, a header that `read_json` refuses, an `alg` that is not a str, a `kid` that is
    not a str of at most 256 bytes without control characters, a `typ` or `cty` that is not a str, a nested JWT
    (`cty`), and any of `crit b64 zip enc jwk jku x5u x5c` (extensions are not supported, and keys are never taken from
    a token). With `embedded_key`, for proofs of possession, `jwk` is allowed: the caller must know that key.
    """
    try:
        return _parse(token, embedded_key=embedded_key)
    except InvalidToken as refusal:
        cause, detail = refusal.cause, refusal.detail
    # INVARIANT: raised outside the handler and after `del`, so that no traceback shows the token, neither through
    # the error's context nor through the locals of this frame.
    del token
    raise InvalidToken(cause, detail)


def read_json(data: bytes, what: str) -> dict[str, object]:
    """Read one JSON object (RFC 8259) strictly; `what` names it in the error.

    Raises `InvalidToken` for text that is not UTF-8, a BOM, duplicate members at any depth, NaN, Infinity and
    numbers beyond a double, numbers written with more than 64 characters, lone surrogates even as escapes,
    nesting deeper than 32, more than 1,000 objects and lists, and any value other than an object.
    """
    try:
        return _parse_json(data)
    except NotStrictJson as fault:
        detail = f"the {what} {fault}"
    except (ValueError, RecursionError):
        detail = f"the {what} is not JSON in UTF-8"
    # INVARIANT: a JSONDecodeError or UnicodeDecodeError holds the document, so it must not become the error's context.
    del data
    raise InvalidToken("malformed", detail)


def decode_base64url(segment: bytes) -> bytes | None:
    """Decode unpadded base64url (RFC 7515, section 2); return None unless it is in the one canonical form."""
    if segment.translate(None, ALPHABET):
        return None
    return _decode(segment)


def encode_base64url(data: bytes) -> str:
    """Encode as unpadded base64url (RFC 7515, section 2)."""
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


@lru_cache(maxsize=64)
def read_header(segment: bytes) -> JoseHeader:
    """Read the first segment of a compact JWS, as `parse_compact` does; raise `InvalidToken` for what it refuses.

    Results are kept, because all tokens of one key have the same header; faulty ones are not.
    """
    return _read_header(segment, _FORBIDDEN_HEADERS)


def _read_header(segment: bytes, forbidden: frozenset[str]) -> JoseHeader:
    if len(segment) > MAX_HEADER:
        raise InvalidToken("too_large", f"the header is longer than {MAX_HEADER} characters")
    # INVARIANT: the characters are checked here, so that what is kept does not depend on who asked first.
    data = decode_base64url(segment)
    if data is None:
        raise InvalidToken("malformed", "the header is not canonical base64url")
    members = read_json(data, "header")
    algorithm, kid = _check_header(members, forbidden)
    typ = members.get("typ")
    return JoseHeader(MappingProxyType(members), algorithm, kid, typ if isinstance(typ, str) else None)


def strict_decoder(
    object_pairs_hook: Callable[[list[tuple[str, object]]], object] | None = None,
) -> json.JSONDecoder:
    """A decoder that refuses, with an exception, the numbers and constants that `read_json` refuses."""
    return json.JSONDecoder(
        object_pairs_hook=object_pairs_hook,
        parse_int=_parse_int,
        parse_float=_parse_float,
        parse_constant=_reject_constant,
    )


def kid_fault(kid: str) -> str | None:
    """Return what is wrong with a key's name (more than 256 bytes, or a control character), or None."""
    if len(kid) > MAX_KID or len(kid.encode("utf-8", "surrogatepass")) > MAX_KID:
        return f"kid is longer than {MAX_KID} bytes"
    if _CONTROL.search(kid):
        return "kid has a control character"
    return None


def fingerprint(token: str, max_length: int = MAX_TOKEN) -> str:
    """Return the first 12 hex digits of the SHA-256, the only part of a token that may be shown.

    Returns "" for more than `max_length` characters. Such a token is never read, and its sender would choose the cost
    of hashing it.
    """
    if len(token) > max_length:
        return ""
    return hashlib.sha256(token.encode("utf-8", "surrogatepass")).hexdigest()[:12]


def _parse(token: object, *, embedded_key: bool) -> CompactJws:
    if not isinstance(token, str):
        raise InvalidToken("malformed", "the token is not a str")
    if len(token) > MAX_TOKEN:
        raise InvalidToken("too_large", f"the token is longer than {MAX_TOKEN} characters")
    if not token.isascii():
        raise InvalidToken("malformed", "the token has a character outside ASCII")
    raw = token.encode("ascii")
    # INVARIANT: checked on the raw bytes before any decoding, because binascii skips characters that it does not know.
    if raw.translate(None, _LETTERS):
        raise InvalidToken("malformed", "the token has a character outside A-Z a-z 0-9 - _ .")
    head, body, signature = _segments(raw)
    # INVARIANT: headers with a key are not kept. Each client has its own, and they would push out those of tokens.
    header = _read_header(head, _FORBIDDEN_HEADERS - {"jwk"}) if embedded_key else read_header(head)
    if len(body) > _LONG:
        _check_start(body)
    return CompactJws(
        header.members,
        _decode_segment(body, "payload"),
        raw[: len(head) + 1 + len(body)],
        _decode_segment(signature, "signature"),
        header.algorithm,
        header.kid,
    )


def _check_start(body: bytes) -> None:
    """Refuse a long payload that is nested too deeply at its start, before all of it is decoded."""
    fault = nesting_fault(binascii.a2b_base64(body[:_START].translate(_TO_STANDARD)))
    if fault is not None:
        raise InvalidToken("malformed", f"the payload {fault}")


def _segments(raw: bytes) -> tuple[bytes, bytes, bytes]:
    head, _, rest = raw.partition(b".")
    body, dot, signature = rest.partition(b".")
    if not dot or b"." in signature:
        raise InvalidToken(
            "malformed", "the token does not have three segments (JWE and JSON serializations are refused)"
        )
    if not signature:
        raise InvalidToken("malformed", "the token has no signature")
    return head, body, signature


def _decode_segment(segment: bytes, what: str) -> bytes:
    decoded = _decode(segment)
    if decoded is None:
        raise InvalidToken("malformed", f"the {what} is not canonical base64url")
    return decoded


def _decode(segment: bytes) -> bytes | None:
    """Decode a segment whose characters are already checked."""
    last, padding = TAILS[len(segment) & 3]
    # INVARIANT: the last character has no bits that decoding drops, so no two texts decode to the same bytes.
    if segment and segment[-1] not in last:
        return None
    return binascii.a2b_base64(segment.translate(_TO_STANDARD) + padding)


def _check_header(header: dict[str, object], forbidden: frozenset[str]) -> tuple[str, str | None]:
    if not forbidden.isdisjoint(header):
        names = ", ".join(sorted(forbidden.intersection(header)))
        raise InvalidToken("header", f"the header has {names}: not supported, or never accepted from a token")
    algorithm = header.get("alg")
    if not isinstance(algorithm, str):
        raise InvalidToken("header", "alg is missing or not a string")
    if not isinstance(header.get("typ", ""), str):
        raise InvalidToken("header", "typ is not a string")
    if "cty" in header:
        _check_content_type(header["cty"])
    if "kid" not in header:
        return algorithm, None
    return algorithm, _check_kid(header["kid"])


def _check_content_type(content_type: object) -> None:
    if not isinstance(content_type, str):
        raise InvalidToken("header", "cty is not a string")
    if content_type.lower() in {"jwt", "application/jwt"}:
        raise InvalidToken("header", "cty declares a nested token, which is refused")


def _check_kid(kid: object) -> str:
    if not isinstance(kid, str):
        raise InvalidToken("header", "kid is not a string")
    fault = kid_fault(kid)
    if fault is not None:
        raise InvalidToken("header", fault)
    return kid


class NotStrictJson(Exception):
    """JSON that a lenient parser would accept."""


def _parse_json(data: bytes) -> dict[str, object]:
    # INVARIANT: nesting is measured before parsing. The C scanner recurses, and crashes if the application raised the
    # recursion limit.
    fault = nesting_fault(data)
    if fault is not None:
        raise NotStrictJson(fault)
    text = data.decode("utf-8")
    bare = text.strip(_BLANKS)
    value: dict[str, object] | list[object] | str | float | None
    value, end = _DECODER.raw_decode(bare)
    if end != len(bare):
        raise ValueError
    if not isinstance(value, dict):
        raise NotStrictJson("is not a JSON object")
    if "\\u" in text and not _encodable(value):
        raise NotStrictJson("has a lone surrogate")
    return value


def _encodable(value: object) -> bool:
    try:
        json.dumps(value, ensure_ascii=False).encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True


def _reject_duplicates(pairs: list[tuple[str, object]]) -> dict[str, object]:
    members = dict(pairs)
    if len(members) != len(pairs):
        raise NotStrictJson("names a member twice")
    return members


def _parse_int(digits: str) -> int:
    if len(digits) > MAX_NUMBER:
        raise NotStrictJson(f"has a number of more than {MAX_NUMBER} characters")
    return int(digits)


def _parse_float(digits: str) -> float:
    number = float(digits) if len(digits) <= MAX_NUMBER else math.inf
    if math.isinf(number):
        raise NotStrictJson(f"has a number of more than {MAX_NUMBER} characters or beyond a double")
    return number


def _reject_constant(_name: str) -> object:
    raise NotStrictJson("has NaN or Infinity")


_DECODER: Final = strict_decoder(_reject_duplicates)
