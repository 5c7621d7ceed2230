"""How are permissions written shortly?

As positions in the policy's catalogue, which is only ever added to at its end. A text is one letter for the
encoding and its version, then canonical base64url without padding of: how many entries of the catalogue it needs
(the highest position and one), a digest of their names, and the positions. So it names the beginning of the
catalogue that it needs, and whoever knows a longer one reads it as well.
"""

from __future__ import annotations

import binascii
import zlib
from dataclasses import dataclass
from hashlib import sha256
from itertools import accumulate, compress, pairwise
from types import MappingProxyType
from typing import TYPE_CHECKING, Final, Self

from jwt_lp.errors import GrammarError, PolicyError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

MAX_TEXT: Final = 32 * 1024
"""How many characters a text may have. Half of 190,000 permissions, held at random, fit."""

# A later version of either takes another letter, so that nobody reads it as this one.
_DELTA: Final = "d"
_BITMAP: Final = "z"

_DIGEST_BYTES: Final = 9
# A number is written in groups of seven bits, the lowest first; the high bit says that another follows.
_LOW: Final = 0x7F
_MORE: Final = 0x80
_MAX_GROUPS: Final = 4
_RAW_DEFLATE: Final = -15
_ONE: Final = ord("1")
_TO_STANDARD: Final = bytes.maketrans(b"-_", b"+/")
_TO_URL: Final = bytes.maketrans(b"+/", b"-_")


@dataclass(frozen=True, slots=True)
class CatalogueCodec:
    """The names of a catalogue in their order, and the digest of each of its beginnings."""

    names: tuple[str, ...]
    positions: Mapping[str, int]
    digests: bytes

    @classmethod
    def of(cls, names: Iterable[str]) -> Self:
        """Number `names`, none of which stands there twice."""
        listed = tuple(names)
        hashed = sha256()
        digests = [hashed.digest()[:_DIGEST_BYTES]]
        for name in listed:
            said = name.encode("utf-8", "surrogatepass")
            # INVARIANT: each name's length stands before it, so no two lists of names are the same bytes.
            hashed.update(len(said).to_bytes(4) + said)
            digests.append(hashed.digest()[:_DIGEST_BYTES])
        return cls(listed, MappingProxyType({name: at for at, name in enumerate(listed)}), b"".join(digests))

    def encode(self, names: Iterable[str]) -> str:
        """Write `names`, all of which are numbered, in the shorter encoding. Their order does not matter.

        `PolicyError` where the text were too long to be read again.
        """
        held = sorted({self.positions[name] for name in names})
        length = held[-1] + 1 if held else 0
        tag, body = _DELTA, _encode_varints(after - before - 1 for before, after in pairwise(held))
        if held:
            # No two releases of zlib have to give the same bytes for this; canonical are only the bits in it.
            packed = zlib.compress(_encode_bitmap(held, length), 9, _RAW_DEFLATE)
            if len(packed) < len(body):
                tag, body = _BITMAP, packed
        text = tag + _base64url(_encode_varints([length]) + self._digest(length) + body)
        if len(text) > MAX_TEXT:
            raise PolicyError(
                f"{len(held)} permissions are too many for one token: grant them by a role", reason="size"
            )
        return text

    def decode(self, text: object) -> tuple[str, ...]:
        """Read what `encode` wrote, here or with a longer or shorter catalogue, in the catalogue's order.

        `GrammarError` for what it would not write, `PolicyError` for what other catalogues wrote.
        """
        tag, raw = _split_text(text)
        end = next((at for at, byte in enumerate(raw[:_MAX_GROUPS], 1) if byte < _MORE), 0)
        if not end or len(raw) < end + _DIGEST_BYTES:
            raise _malformed("it ends too early")
        (length,) = _decode_varints(raw[:end])
        # INVARIANT: whoever wrote the text numbers the names as we do, or nothing in it is believed.
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
        found = self._decode_bitmap(body, length) if tag == _BITMAP else self._decode_gaps(body, length)
        # INVARIANT: a template is no permission, though it has a position.
        if any("{" in name for name in found):
            raise _malformed("it holds a template")
        return found

    def _digest(self, length: int) -> bytes:
        return self.digests[length * _DIGEST_BYTES : (length + 1) * _DIGEST_BYTES]

    def _decode_gaps(self, body: bytes, length: int) -> tuple[str, ...]:
        # INVARIANT: the last position is the length's, and each gap is counted beyond the position before it: no
        # position stands there twice, and there is one way to write any of them.
        held = list(accumulate(_decode_varints(body), lambda at, gap: at + gap + 1, initial=0))
        below = length - 1 - held[-1]
        if not length and not body:
            return ()
        if below < 0:
            raise _malformed("a position is beyond its length")
        return tuple([self.names[below + at] for at in held])

    def _decode_bitmap(self, body: bytes, length: int) -> tuple[str, ...]:
        bits = int.from_bytes(_inflate(body, (length + 7) // 8), "little")
        if not length or bits.bit_length() != length:
            raise _malformed("the highest position does not match its length")
        flags = f"{bits:b}"[::-1].encode().replace(b"0", b"\0")
        return tuple(compress(self.names, flags))


def _encode_bitmap(held: Sequence[int], length: int) -> bytes:
    flags = bytearray(b"0" * length)
    for at in held:
        flags[length - 1 - at] = _ONE
    return int(flags, 2).to_bytes((length + 7) // 8, "little")


def _inflate(data: bytes, size: int) -> bytes:
    """The `size` bytes that a whole raw deflate stream holds."""
    stream = zlib.decompressobj(_RAW_DEFLATE)
    try:
        # One byte more than there may be: a stream that has more is seen, and no more of it is unpacked.
        found = stream.decompress(data, size + 1)
    except zlib.error:
        raise _malformed("it is not deflated") from None
    if len(found) != size or not stream.eof or stream.unused_data:
        raise _malformed("the deflated bitmap does not match its length")
    return found


def _encode_varints(numbers: Iterable[int]) -> bytes:
    found = bytearray()
    for number in numbers:
        rest = number
        while rest > _LOW:
            found.append(rest & _LOW | _MORE)
            rest >>= 7
        found.append(rest)
    return bytes(found)


def _decode_varints(data: bytes) -> Iterable[int]:
    if data.isascii():
        return data
    found: list[int] = []
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
            found.append(value)
            value = shift = 0
    if shift:
        raise _malformed("a number is not finished")
    return found


def _base64url(data: bytes) -> str:
    return binascii.b2a_base64(data, newline=False).rstrip(b"=").translate(_TO_URL).decode()


def _split_text(text: object) -> tuple[str, bytes]:
    if not isinstance(text, str):
        raise _malformed(f"it is not a string but {type(text).__name__}")
    if len(text) > MAX_TEXT:
        raise _malformed(f"it is longer than {MAX_TEXT} characters")
    tag, written = text[:1], text[1:]
    if tag not in (_DELTA, _BITMAP) or not written.isascii():
        raise _malformed("its first letter is not a known encoding, or it is not base64url")
    try:
        raw = binascii.a2b_base64(written.encode().translate(_TO_STANDARD) + b"==")
    except binascii.Error:
        raise _malformed("it is not base64url") from None
    # INVARIANT: what would not be written like this is not read, so no two texts are the same bytes.
    if _base64url(raw) != written:
        raise _malformed("it is not canonical base64url")
    return tag, raw


def _malformed(why: str) -> GrammarError:
    return GrammarError(f"compact permissions are malformed: {why}")
