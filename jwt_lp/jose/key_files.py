"""The folder of signing keys: its files, and atomic changes to them.

`ring.json` lists the keys with their dates and public keys. The current and the next keys each have a file with the
private key. Every change takes effect by one rename of `ring.json`.
"""

from __future__ import annotations

import json
import os
import re
import stat
import tempfile
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal, TypeGuard

from jwt_lp._support.json_types import is_json_array, is_json_object
from jwt_lp.errors import ConfigurationError, PolicyError, clears_locals
from jwt_lp.jose.jwk import UnusableKey, load_jwk
from jwt_lp.jose.signing import SigningKey

LIFETIME: Final = 3600.0

KeyState = Literal["current", "next", "retired", "dead"]

_VERSION: Final = 1
_RING: Final = "ring.json"
_LOCK: Final = ".lock"
_IGNORE: Final = ".gitignore"
_SCRATCH: Final = ".scratch-"
_KEY: Final = re.compile(r"key-([0-9a-f]{16})\.json")
_LAST_DATE: Final = 1e11


@dataclass(frozen=True, slots=True)
class RingKey:
    """The public part of a signing key. Times are seconds since the epoch.

    `published` is when the key was made, `signs` when it started to sign, `retired` when it stopped, and `until` when
    its last token expires.
    """

    kid: str
    algorithm: str
    public: Mapping[str, object]
    published: float
    signs: float | None = None
    retired: float | None = None
    until: float | None = None

    def state(self, now: float) -> KeyState:
        """Return the state of the key at that time."""
        if self.until is not None:
            return "retired" if now < self.until else "dead"
        return "next" if self.signs is None else "current"

    @property
    def since(self) -> float:
        """When the key entered its state; for a dead key, when it was retired."""
        return next(time for time in (self.retired, self.signs, self.published) if time is not None)


@dataclass(frozen=True, slots=True)
class Ring:
    """The signing keys, and the longest lifetime of their tokens in seconds."""

    keys: tuple[RingKey, ...] = ()
    lifetime: float = LIFETIME

    @property
    def signing(self) -> tuple[RingKey, ...]:
        """The key that signs: exactly one, or none while the ring is being changed."""
        return tuple(key for key in self.keys if key.signs is not None and key.until is None)

    @property
    def current(self) -> RingKey:
        """The key that signs; there must be one."""
        return self.signing[0]

    @property
    def next_keys(self) -> tuple[RingKey, ...]:
        """The keys that sign next, in the order in which they were published."""
        return tuple(sorted((key for key in self.keys if key.signs is None), key=lambda key: (key.published, key.kid)))

    def in_order(self) -> tuple[RingKey, ...]:
        """Return the current key, then the next keys, then the retired ones from the latest to the earliest."""
        past = sorted((key for key in self.keys if key.until is not None), key=lambda key: (-key.since, key.kid))
        return (*self.signing, *self.next_keys, *past)

    def published(self, now: float) -> tuple[RingKey, ...]:
        """Return the keys to publish at that time, in order."""
        return tuple(key for key in self.in_order() if key.state(now) != "dead")


RingEdit = Callable[[Ring], tuple[Ring, Sequence[SigningKey]]]


def read_ring(folder: Path) -> Ring:
    """Read `ring.json`; raise `ConfigurationError`, which says what to do, if it is missing or malformed."""
    path = folder / _RING
    with suppress(FileNotFoundError, NotADirectoryError):
        ring = _parse_ring(_read_document(path))
        if ring is not None:
            return ring
        raise ConfigurationError(f"{path} is not in the format of this release: restore it, or start with a new folder")
    raise ConfigurationError(f"{folder} holds no signing keys: make them with `jwt-lp keys new --keys {folder}`")


@clears_locals
def read_private(folder: Path, key: RingKey) -> SigningKey:
    """Read the private key of a key of the ring; raise `ConfigurationError` if it is missing or does not match."""
    path = folder / _file_name(key.kid)
    try:
        signing_key = SigningKey.from_jwk(_read_document(path))
    except FileNotFoundError:
        raise ConfigurationError(f"{path} is missing: restore it, or retire the key {key.kid}") from None
    # INVARIANT: a key signs only if exactly its public key is published.
    if signing_key.public_jwk() != key.public:
        raise ConfigurationError(f"{path} holds a different key than {folder / _RING} says: restore both")
    return signing_key


@clears_locals
def change_ring(folder: Path, edit: RingEdit, *, create: bool = False) -> Ring:
    """Write the ring that `edit` returns, and its new keys, to the folder; make the folder only with `create`.

    Raises `PolicyError` while another process changes it, and `ConfigurationError` if it cannot be written or is not a
    folder of signing keys.
    """
    try:
        if create:
            _prepare_folder(folder)
        else:
            read_ring(folder)
        with _lock_folder(folder):
            # Read under the lock: another process may have changed it until now.
            before = Ring() if _is_empty(folder) else read_ring(folder)
            after, new_keys = edit(before)
            document = _to_document(after)
            if _parse_ring(document) is None:
                raise ConfigurationError(
                    "a time is out of range: pass a positive number of seconds, and check the clock"
                )
            for key in new_keys:
                _write(folder / _file_name(key.kid), key.private_jwk())
            # Checked before the change takes effect, so that a key that cannot sign never becomes the current one.
            read_private(folder, after.current)
            _write(folder / _RING, document)
            _remove_stale_files(folder, after)
            return after
    except OSError as error:
        raise ConfigurationError(f"the signing keys in {folder} cannot be changed: {error.strerror}") from None


def _file_name(kid: str) -> str:
    return f"key-{kid}.json"


def _read_document(path: Path) -> object:
    """Read the JSON in a file that only its owner can read; None if it is not JSON. `FileNotFoundError` passes."""
    try:
        with path.open(encoding="utf-8") as file:
            if os.fstat(file.fileno()).st_mode & 0o077:
                raise ConfigurationError(f"{path} can be read by others: chmod -R go-rwx {path.parent}")
            folder_mode = path.parent.stat().st_mode
            if folder_mode & 0o022 and not folder_mode & stat.S_ISVTX:
                raise ConfigurationError(f"{path.parent} can be changed by others: chmod -R go-rwx {path.parent}")
            return json.load(file)
    except (FileNotFoundError, NotADirectoryError):
        raise
    except OSError as error:
        reason = error.strerror
    except (ValueError, RecursionError):
        return None
    # Raised outside the handler, so that an exception that holds the text is not the error's context.
    raise ConfigurationError(f"{path} cannot be read: {reason}")


def _parse_ring(document: object) -> Ring | None:
    members = dict(document) if is_json_object(document) else {}
    entries, lifetime = members.get("keys"), members.get("lifetime")
    if members.get("version") != _VERSION or not is_json_array(entries) or not _is_time(lifetime):
        return None
    keys = tuple(key for key in map(_parse_key, entries) if key is not None)
    ring = Ring(keys, lifetime)
    return ring if len({key.kid for key in keys}) == len(entries) and len(ring.signing) == 1 else None


def _parse_key(member: object) -> RingKey | None:
    members = dict(member) if is_json_object(member) else {}
    public = members.get("public")
    try:
        key = load_jwk(public, None, trusted=False)
    except UnusableKey:
        return None
    # INVARIANT: the kid becomes a file name, so only our own form is accepted.
    if not is_json_object(public) or key.kid is None or _KEY.fullmatch(_file_name(key.kid)) is None:
        return None
    values = [members.get(name) for name in ("published", "signs", "retired", "until")]
    published, signs, retired, until = [value if _is_time(value) else None for value in values]
    faulty = any(value is not None and not _is_time(value) for value in values)
    # A key is published before it signs, and signs before it is retired.
    in_order = (retired is None) is (until is None) and not (retired is not None and signs is None)
    if published is None or faulty or not in_order:
        return None
    return RingKey(key.kid, str(public.get("alg")), dict(public), published, signs, retired, until)


def _is_time(value: object) -> TypeGuard[float]:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and 0 < value < _LAST_DATE


def _to_document(ring: Ring) -> object:
    return {
        "version": _VERSION,
        "lifetime": ring.lifetime,
        "keys": [
            {
                "public": dict(key.public),
                "published": key.published,
                "signs": key.signs,
                "retired": key.retired,
                "until": key.until,
            }
            for key in ring.in_order()
        ],
    }


def _prepare_folder(folder: Path) -> None:
    """Make the folder if needed. A folder with other files in it is refused and not changed."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    names = {path.name for path in folder.iterdir()}
    ours = {name for name in names if name in {_LOCK, _IGNORE} or name.startswith(_SCRATCH) or _KEY.fullmatch(name)}
    if _RING not in names and names - ours:
        raise ConfigurationError(f"{folder} holds other files: name a folder for the signing keys alone")
    if _IGNORE not in names:
        with (folder / _IGNORE).open("x", encoding="utf-8") as file:
            file.write("*\n")


def _is_empty(folder: Path) -> bool:
    if (folder / _RING).exists():
        return False
    if any(_KEY.fullmatch(path.name) for path in folder.iterdir()):
        raise ConfigurationError(f"{folder} holds keys, but no {_RING}: restore it, or start with a new folder")
    return True


@contextmanager
def _lock_folder(folder: Path) -> Generator[None]:
    # Imported here because not every platform has it; reading keys does not need it.
    import fcntl

    descriptor = os.open(folder / _LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    try:
        _chown_to_owner(descriptor, folder)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise PolicyError(
                f"another process is changing the signing keys in {folder}: see what it did with "
                f"`jwt-lp keys list --keys {folder}`, and try again"
            ) from None
        yield
    finally:
        # Closing the file releases the lock, also when the process dies.
        os.close(descriptor)


def _write(path: Path, document: object) -> None:
    """Write the file atomically, with mode 0600."""
    descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=_SCRATCH)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        _chown_to_owner(descriptor, path.parent)
        json.dump(document, file)
        file.flush()
        os.fsync(descriptor)
    Path(name).replace(path)
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def _chown_to_owner(descriptor: int, folder: Path) -> None:
    """Give a file made by root to the folder's owner, whose process has to read it."""
    file, owner = os.fstat(descriptor), folder.stat()
    # INVARIANT: a file with a second hard link is not given away, because the folder's owner may have made the link.
    if not stat.S_ISREG(file.st_mode) or file.st_nlink != 1:
        return
    with suppress(PermissionError):
        os.chown(descriptor, owner.st_uid, owner.st_gid)


def _remove_stale_files(folder: Path, ring: Ring) -> None:
    """Delete the private keys of retired keys, and temporary files that a dead process left behind."""
    kept = {_file_name(key.kid) for key in ring.keys if key.until is None}
    for path in folder.iterdir():
        if path.name.startswith(_SCRATCH) or (_KEY.fullmatch(path.name) and path.name not in kept):
            path.unlink()
