"""Evidence files: who decided what, and what became of it, signed entry by entry.

An evidence file is JSON Lines. Each entry has a payload, a text of JSON, and its detached JWS. The payload holds the files
of one step of a review as they were, the public key that signed it, and the digest of the entry before. A last entry
closes the file, so that no entry can be dropped afterwards.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import TYPE_CHECKING, Final, Literal, TypeAlias, cast, get_args

from jwt_lp._support.json_types import is_json_array, is_json_object
from jwt_lp.errors import ConfigurationError, InvalidToken
from jwt_lp.jose.detached import attach_payload, sign_detached, verify_detached
from jwt_lp.jose.jwk import SYMMETRIC, UnusableKey, load_jwk, public_thumbprint
from jwt_lp.jose.jws import read_json

if TYPE_CHECKING:
    from jwt_lp.jose.signing import SigningKey

TYPE: Final = "evidence+jws"
"""The `typ` of the signatures, so that none of them is taken for a token, and no token for one of them."""
VERSION: Final = 1
MAX_BYTES: Final = 256 * 1024 * 1024
"""The longest evidence file, in bytes."""

Step: TypeAlias = Literal["decisions", "plan", "journal", "verification", "closing"]
"""What an entry holds: worksheets, the frozen plan, the journal of its application, what became of it, or the end."""

STEPS: Final[tuple[Step, ...]] = get_args(Step)
_MEMBERS: Final = frozenset({"version", "number", "at", "by", "step", "files", "key", "previous"})


@dataclass(frozen=True, slots=True)
class EvidenceEntry:
    """A verified entry: its number from 1, its time in seconds since the epoch, and its files by name.

    `thumbprint` is that of the key that signed it (RFC 7638), `digest` the SHA-256 of its compact JWS in hexadecimal, and
    `previous` the digest of the entry before, "" for the first.
    """

    number: int
    at: float
    by: str
    step: Step
    files: Mapping[str, str]
    thumbprint: str
    digest: str
    previous: str


@dataclass(frozen=True, slots=True)
class EvidenceFile:
    """The verified entries of a file, at least one."""

    entries: tuple[EvidenceEntry, ...]

    @property
    def is_closed(self) -> bool:
        """Whether the last entry closes it. Of an open file, nobody can tell whether later entries were dropped."""
        return self.entries[-1].step == "closing"

    @property
    def head(self) -> str:
        """The digest of the last entry, which stands for the whole file."""
        return self.entries[-1].digest

    @property
    def thumbprints(self) -> tuple[str, ...]:
        """The thumbprints of the keys that signed it."""
        return tuple(dict.fromkeys(entry.thumbprint for entry in self.entries))


def sign_entry(
    before: EvidenceFile | None, step: Step, files: Mapping[str, str], key: SigningKey, *, at: float, by: str
) -> str:
    """The line of the entry that follows `before`, None for the first.

    `ConfigurationError` for a key that is a shared secret, for a file that is closed, and for a file of an earlier time
    than the last entry.
    """
    if key.algorithm in SYMMETRIC:
        raise ConfigurationError(f"{key.algorithm} is a shared secret: evidence needs a key whose public half is known")
    if before is not None and before.is_closed:
        raise ConfigurationError("the evidence is closed: nothing can be added to it")
    if before is not None and at < before.entries[-1].at:
        raise ConfigurationError("the clock is earlier than the last entry: check the clock")
    payload = json.dumps(
        {
            "version": VERSION,
            "number": len(before.entries) + 1 if before is not None else 1,
            "at": at,
            "by": by,
            "step": step,
            "files": [{"name": name, "text": text} for name, text in files.items()],
            "key": key.public_jwk(),
            "previous": before.head if before is not None else "",
        },
        separators=(",", ":"),
    )
    signature = sign_detached(payload.encode(), key, typ=TYPE)
    return json.dumps({"payload": payload, "signature": signature}, separators=(",", ":")) + "\n"


def read_evidence(lines: Iterable[bytes], trusted: Collection[str] | None) -> EvidenceFile:
    """The entries of an evidence file, verified: signatures, chain, order and the end.

    `trusted` are the thumbprints of the keys that may have signed it; None trusts whichever key an entry names, which
    proves only that nobody without that key has changed it. `ConfigurationError` names the first entry that is wrong.
    """
    entries: list[EvidenceEntry] = []
    for number, line in enumerate(lines, 1):
        try:
            entries.append(_read_entry(line, trusted))
        except InvalidToken as error:
            raise ConfigurationError(f"entry {number}: {error.detail}") from None
        except UnusableKey as error:
            raise ConfigurationError(f"entry {number}: its key {error.reason}") from None
        except ConfigurationError as error:
            raise ConfigurationError(f"entry {number}: {error}") from None
        fault = _order_fault(entries)
        if fault:
            raise ConfigurationError(f"entry {number}: {fault}")
    if not entries:
        raise ConfigurationError("it is empty: there is no entry")
    return EvidenceFile(tuple(entries))


def trusted_thumbprints(jwks: Mapping[str, object]) -> frozenset[str]:
    """The thumbprints of the keys in a JWK Set; `ConfigurationError` if it has none, or is not a set."""
    members = jwks.get("keys")
    keys: Sequence[object] = members if is_json_array(members) else ()
    if not keys:
        raise ConfigurationError('the key set has no list named "keys", or it is empty')
    return frozenset(public_thumbprint(key) for key in keys)


def _read_entry(line: bytes, trusted: Collection[str] | None) -> EvidenceEntry:
    outer = read_json(line, "line")
    payload, signature = outer.get("payload"), outer.get("signature")
    if outer.keys() != {"payload", "signature"} or not isinstance(payload, str) or not isinstance(signature, str):
        raise ConfigurationError("it is not an entry: it has other members than payload and signature")
    data = payload.encode()
    members = read_json(data, "payload")
    jwk = members.get("key")
    thumbprint = public_thumbprint(jwk)
    if trusted is not None and thumbprint not in trusted:
        raise ConfigurationError(f"it is signed by another key: {thumbprint}")
    if not verify_detached(signature, data, load_jwk(jwk, None, trusted=False), typ=TYPE):
        raise ConfigurationError("its signature is wrong: it was changed after it was signed")
    digest = sha256(attach_payload(signature, data).encode()).hexdigest()
    return _entry(members, thumbprint, digest)


def _entry(members: Mapping[str, object], thumbprint: str, digest: str) -> EvidenceEntry:
    """The entry of a payload that is signed; one of another version of the format is refused."""
    names = ("number", "at", "by", "step", "previous")
    number, at, by, step, previous = (members.get(name) for name in names)
    known = members.keys() == _MEMBERS and members["version"] == VERSION and step in STEPS
    texts = isinstance(by, str) and isinstance(previous, str)
    if not known or not texts or not isinstance(number, int) or not isinstance(at, int | float):
        raise ConfigurationError("it is not an entry of the format that this release reads")
    files = dict(_files(members["files"]))
    return EvidenceEntry(number, float(at), str(by), cast("Step", step), files, thumbprint, digest, str(previous))


def _files(value: object) -> Iterator[tuple[str, str]]:
    for each in value if is_json_array(value) else ():
        named = each if is_json_object(each) else {}
        yield str(named.get("name")), str(named.get("text"))


def _order_fault(entries: Sequence[EvidenceEntry]) -> str:
    """Why the last entry does not follow the one before it; "" if it does."""
    last = entries[-1]
    before = entries[-2] if len(entries) > 1 else None
    if before is not None and before.step == "closing":
        return "it comes after the entry that closes the file"
    if last.number != len(entries):
        return f"it is entry {last.number}: an entry was dropped, added or moved"
    if last.previous != (before.digest if before is not None else ""):
        return "it does not follow the entry before it: an entry was replaced"
    return ""
