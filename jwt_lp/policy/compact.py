"""Compact permissions: positions in the policy's catalogue, which grows only at its end.

A text begins with one letter for the encoding and its version. Canonical base64url without padding follows, of: the
number of catalogue entries that it needs (the highest position plus one), a digest of their names, and the positions.
So a text identifies the beginning of the catalogue that it needs, and every catalogue with that beginning can read it.
"""

from __future__ import annotations

import binascii
import zlib
from hashlib import sha256
from itertools import accumulate, compress, pairwise
from types import MappingProxyType
from typing import TYPE_CHECKING, Final, NamedTuple, Self

from jwt_lp.errors import GrammarError, PolicyError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

MAX_TEXT: Final = 32 * 1024
"""The most characters that a text may have: enough for a random half of 190,000 permissions."""

# A later version of either must use another letter, so that it is not read as this one.
_DELTA: Final = "d"
_BITMAP: Final = "z"

_DIGEST_BYTES: Final = 9
# A number is written in groups of seven bits, the lowest first; the high bit means that another group follows.
_LOW: Final = 0x7F
_MORE: Final = 0x80
_MAX_GROUPS: Final = 4
_RAW_DEFLATE: Final = -15
_ONE: Final = ord("1")
_TO_STANDARD: Final = bytes.maketrans(b"-_", b"+/")
_TO_URL: Final = bytes.maketrans(b"+/", b"-_")


class CatalogueCodec(NamedTuple):
    """The names of a catalogue in order, and a digest of the first n names for each n."""

    names: tuple[str, ...]
    positions: Mapping[str, int]
    digests: bytes

    @classmethod
    def of(cls, names: Iterable[str]) -> Self:
        """Number `names`, which are distinct."""
        listed = tuple(names)
        hashed = sha256()
        digests = [hashed.digest()[:_DIGEST_BYTES]]
        for name in listed:
            encoded = name.encode("utf-8", "surrogatepass")
            # INVARIANT: each name follows its length, so no two lists of names give the same bytes.
            hashed.update(len(encoded).to_bytes(4) + encoded)
            digests.append(hashed.digest()[:_DIGEST_BYTES])
        return cls(listed, MappingProxyType({name: index for index, name in enumerate(listed)}), b"".join(digests))

    def encode(self, names: Iterable[str]) -> str:
        """Write `names`, all of them in the catalogue, in the shorter encoding. Their order does not matter.

        `PolicyError` if the text would be too long to be read again.
        """
        positions = sorted({self.positions[name] for name in names})
        length = positions[-1] + 1 if positions else 0
        tag, body = _DELTA, _encode_varints(after - before - 1 for before, after in pairwise(positions))
        if positions:
            # Releases of zlib may give different bytes for this; only the bits inside are canonical.
            packed = zlib.compress(_encode_bitmap(positions, length), 9, _RAW_DEFLATE)
            if len(packed) < len(body):
                tag, body = _BITMAP, packed
        text = tag + _base64url(_encode_varints([length]) + self._digest(length) + body)
        if len(text) > MAX_TEXT:
            raise PolicyError(
                f"{len(positions)} permissions are too many for one token: grant them by a role", reason="size"
            )
        return text

    def decode(self, text: object) -> tuple[str, ...]:
        """Read what `encode` wrote with this catalogue, or with a longer or shorter one; in the catalogue's order.

        `GrammarError` for text that `encode` would not write; `PolicyError` for text of another catalogue.
        """
        tag, raw = _split_text(text)
        end = next((size for size, byte in enumerate(raw[:_MAX_GROUPS], 1) if byte < _MORE), 0)
        if not end or len(raw) < end + _DIGEST_BYTES:
            raise _malformed("it ends too early")
        (length,) = _decode_varints(raw[:end])
        # INVARIANT: a text counts only if its writer numbered the names in the same way.
        if length > len(self.names):
            raise PolicyError(
                f"deploy the newer policy here first: compact permissions need a catalogue of {length} or more, "
                f"and the one here has {len(self.names)}"
            )
        if raw[end : end + _DIGEST_BYTES] != self._digest(length):
            raise PolicyError(
                f"compact permissions were written with another catalogue: the first {length} names are not those "
                "of the one here. Entries are only appended to a catalogue: use the same policy file on both sides"
            )
        body = raw[end + _DIGEST_BYTES :]
        names = self._decode_bitmap(body, length) if tag == _BITMAP else self._decode_gaps(body, length)
        # INVARIANT: a template is not a permission, although it has a position.
        if any("{" in name for name in names):
            raise _malformed("it holds a template")
        return names

    def _digest(self, length: int) -> bytes:
        return self.digests[length * _DIGEST_BYTES : (length + 1) * _DIGEST_BYTES]

    def _decode_gaps(self, body: bytes, length: int) -> tuple[str, ...]:
        # INVARIANT: the last position is `length - 1`, and a gap of 0 means the next position: so no position can be
        # repeated, and each set of positions has one encoding.
        offsets = list(accumulate(_decode_varints(body), lambda offset, gap: offset + gap + 1, initial=0))
        first = length - 1 - offsets[-1]
        if not length and not body:
            return ()
        if first < 0:
            raise _malformed("a position is beyond its length")
        return tuple([self.names[first + offset] for offset in offsets])

    def _decode_bitmap(self, body: bytes, length: int) -> tuple[str, ...]:
        bits = int.from_bytes(_inflate(body, (length + 7) // 8), "little")
        if not length or bits.bit_length() != length:
            raise _malformed("the highest position does not match its length")
        flags = f"{bits:b}"[::-1].encode().replace(b"0", b"\0")
        return tuple(compress(self.names, flags))


def _encode_bitmap(positions: Sequence[int], length: int) -> bytes:
    flags = bytearray(b"0" * length)
    for position in positions:
        flags[length - 1 - position] = _ONE
    return int(flags, 2).to_bytes((length + 7) // 8, "little")


def _inflate(data: bytes, size: int) -> bytes:
    """The content of a complete raw deflate stream, which must have `size` bytes."""
    stream = zlib.decompressobj(_RAW_DEFLATE)
    try:
        # One byte more than allowed reveals a longer stream without unpacking all of it.
        content = stream.decompress(data, size + 1)
    except zlib.error:
        raise _malformed("it is not deflated") from None
    if len(content) != size or not stream.eof or stream.unused_data:
        raise _malformed("the deflated bitmap does not match its length")
    return content


def _encode_varints(numbers: Iterable[int]) -> bytes:
    data = bytearray()
    for number in numbers:
        rest = number
        while rest > _LOW:
            data.append(rest & _LOW | _MORE)
            rest >>= 7
        data.append(rest)
    return bytes(data)


def _decode_varints(data: bytes) -> Iterable[int]:
    if data.isascii():
        return data
    numbers: list[int] = []
    value = shift = 0
    for byte in data:
        value |= (byte & _LOW) << shift
        if byte > _LOW:
            shift += 7
            if shift >= 7 * _MAX_GROUPS:
                raise _malformed("a number is too large")
        elif shift and not byte:
            raise _malformed("a number is not in its shortest form")
        else:
            numbers.append(value)
            value = shift = 0
    if shift:
        raise _malformed("a number is not finished")
    return numbers


def _base64url(data: bytes) -> str:
    return binascii.b2a_base64(data, newline=False).rstrip(b"=").translate(_TO_URL).decode()


def _split_text(text: object) -> tuple[str, bytes]:
    if not isinstance(text, str):
        raise _malformed(f"it is not a string but {type(text).__name__}")
    if len(text) > MAX_TEXT:
        raise _malformed(f"it is longer than {MAX_TEXT} characters")
    tag, encoded = text[:1], text[1:]
    if tag not in (_DELTA, _BITMAP) or not encoded.isascii():
        raise _malformed("its first letter is not a known encoding, or it is not base64url")
    try:
        raw = binascii.a2b_base64(encoded.encode().translate(_TO_STANDARD) + b"==")
    except binascii.Error:
        raise _malformed("it is not base64url") from None
    # INVARIANT: only the canonical form is read, so no two texts stand for the same bytes.
    if _base64url(raw) != encoded:
        raise _malformed("it is not canonical base64url")
    return tag, raw


def _malformed(why: str) -> GrammarError:
    return GrammarError(f"compact permissions are malformed: {why}")
