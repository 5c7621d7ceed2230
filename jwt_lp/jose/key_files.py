"""What does the folder of our signing keys hold?

`ring.json` says which keys there are, since when and until when, with their public halves. The private halves of
those that sign, now or next, are files of their own. Every change is one rename of `ring.json`.
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
    """A key as everybody may see it. Times are seconds since the epoch.

    `published` is when it was made, `signs` since when it signs, `retired` since when it does not any more, and
    `until` the end of its last token's life.
    """

    kid: str
    algorithm: str
    public: Mapping[str, object]
    published: float
    signs: float | None = None
    retired: float | None = None
    until: float | None = None

    def state(self, now: float) -> KeyState:
        """What it is at that time."""
        if self.until is not None:
            return "retired" if now < self.until else "dead"
        return "next" if self.signs is None else "current"

    @property
    def since(self) -> float:
        """Since when it is what it is; a dead one, since when it is retired."""
        return next(each for each in (self.retired, self.signs, self.published) if each is not None)


@dataclass(frozen=True, slots=True)
class Ring:
    """The keys, and the longest life in seconds that a token of theirs may have."""

    keys: tuple[RingKey, ...] = ()
    lifetime: float = LIFETIME

    @property
    def signing(self) -> tuple[RingKey, ...]:
        """The key that signs: one, and none only while the ring is changed."""
        return tuple(key for key in self.keys if key.signs is not None and key.until is None)

    @property
    def current(self) -> RingKey:
        """The key that signs; only where there is one."""
        return self.signing[0]

    @property
    def next_keys(self) -> tuple[RingKey, ...]:
        """Those that sign next, the one that was published first in front."""
        return tuple(sorted((key for key in self.keys if key.signs is None), key=lambda key: (key.published, key.kid)))

    def in_order(self) -> tuple[RingKey, ...]:
        """The current one first, then those that sign next, then the retired ones, the latest in front."""
        past = sorted((key for key in self.keys if key.until is not None), key=lambda key: (-key.since, key.kid))
        return (*self.signing, *self.next_keys, *past)

    def published(self, now: float) -> tuple[RingKey, ...]:
        """Those to publish at that time, in order."""
        return tuple(key for key in self.in_order() if key.state(now) != "dead")


RingEdit = Callable[[Ring], tuple[Ring, Sequence[SigningKey]]]


def read_ring(folder: Path) -> Ring:
    """What `ring.json` says; `ConfigurationError` with the remedy where there is none or it is not as we left it."""
    path = folder / _RING
    with suppress(FileNotFoundError, NotADirectoryError):
        ring = _parse_ring(_read_document(path))
        if ring is not None:
            return ring
        raise ConfigurationError(f"{path} is not in the format of this release: restore it, or start with a new folder")
    raise ConfigurationError(f"{folder} holds no signing keys: make them with `jwt-lp keys new --keys {folder}`")


@clears_locals
def read_private(folder: Path, key: RingKey) -> SigningKey:
    """The private half of a key of the ring; `ConfigurationError` where it cannot be had or is another's."""
    path = folder / _file(key.kid)
    try:
        found = SigningKey.from_jwk(_read_document(path))
    except FileNotFoundError:
        raise ConfigurationError(f"{path} is missing: restore it, or retire the key {key.kid}") from None
    # INVARIANT: nothing is signed with a key that is not published as it is.
    if found.public_jwk() != key.public:
        raise ConfigurationError(f"{path} holds a different key than {folder / _RING} says: restore both")
    return found


@clears_locals
def change_ring(folder: Path, edit: RingEdit, *, make: bool = False) -> Ring:
    """Put what `edit` makes of the ring, and its new keys, in the folder; the folder itself only with `make`.

    `PolicyError` while another process changes it, `ConfigurationError` where it cannot be written or is no ring's.
    """
    try:
        if make:
            _prepare_folder(folder)
        else:
            read_ring(folder)
        with _lock_folder(folder):
            # Read again: it was another's to change until now.
            before = Ring() if _is_empty(folder) else read_ring(folder)
            after, made = edit(before)
            document = _to_document(after)
            if _parse_ring(document) is None:
                raise ConfigurationError(
                    "a time is out of range: pass a positive number of seconds, and check the clock"
                )
            for key in made:
                _write(folder / _file(key.kid), key.private_jwk())
            # Before it counts: what cannot sign is not made the current key.
            read_private(folder, after.current)
            _write(folder / _RING, document)
            _remove_stale_files(folder, after)
            return after
    except OSError as error:
        raise ConfigurationError(f"the signing keys in {folder} cannot be changed: {error.strerror}") from None


def _file(kid: str) -> str:
    return f"key-{kid}.json"


def _read_document(path: Path) -> object:
    """The JSON in a file that is its owner's alone; None where it is not JSON. `FileNotFoundError` as it comes."""
    try:
        with path.open(encoding="utf-8") as file:
            if os.fstat(file.fileno()).st_mode & 0o077:
                raise ConfigurationError(f"{path} can be read by others: chmod -R go-rwx {path.parent}")
            above = path.parent.stat().st_mode
            if above & 0o022 and not above & stat.S_ISVTX:
                raise ConfigurationError(f"{path.parent} can be changed by others: chmod -R go-rwx {path.parent}")
            return json.load(file)
    except (FileNotFoundError, NotADirectoryError):
        raise
    except OSError as error:
        reason = error.strerror
    except (ValueError, RecursionError):
        return None
    # Raised out here, where no exception that holds the text is its context.
    raise ConfigurationError(f"{path} cannot be read: {reason}")


def _parse_ring(document: object) -> Ring | None:
    members = dict(document) if is_json_object(document) else {}
    listed, lifetime = members.get("keys"), members.get("lifetime")
    if members.get("version") != _VERSION or not is_json_array(listed) or not _is_time(lifetime):
        return None
    keys = [_parse_key(member) for member in listed]
    found = tuple(key for key in keys if key is not None)
    ring = Ring(found, lifetime)
    return ring if len({key.kid for key in found}) == len(keys) and len(ring.signing) == 1 else None


def _parse_key(member: object) -> RingKey | None:
    members = dict(member) if is_json_object(member) else {}
    public = members.get("public")
    try:
        key = load_jwk(public, None, trusted=False)
    except UnusableKey:
        return None
    # INVARIANT: the name becomes that of a file.
    if not is_json_object(public) or key.kid is None or _KEY.fullmatch(_file(key.kid)) is None:
        return None
    times = [members.get(name) for name in ("published", "signs", "retired", "until")]
    published, signs, retired, until = [each if _is_time(each) else None for each in times]
    faulty = any(each is not None and not _is_time(each) for each in times)
    # A key was published before it signed, and signed before it was retired.
    in_turn = (retired is None) is (until is None) and not (retired is not None and signs is None)
    if published is None or faulty or not in_turn:
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
    """Make the folder, unless it is one of ours; anything else is not touched."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    names = {each.name for each in folder.iterdir()}
    ours = {name for name in names if name in {_LOCK, _IGNORE} or name.startswith(_SCRATCH) or _KEY.fullmatch(name)}
    if _RING not in names and names - ours:
        raise ConfigurationError(f"{folder} holds other files: name a folder for the signing keys alone")
    if _IGNORE not in names:
        with (folder / _IGNORE).open("x", encoding="utf-8") as file:
            file.write("*\n")


def _is_empty(folder: Path) -> bool:
    if (folder / _RING).exists():
        return False
    if any(_KEY.fullmatch(each.name) for each in folder.iterdir()):
        raise ConfigurationError(f"{folder} holds keys, but no {_RING}: restore it, or start with a new folder")
    return True


@contextmanager
def _lock_folder(folder: Path) -> Generator[None]:
    # Here, as it is not everywhere: keys are read without it.
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
        # The lock goes with the file that is open, also when the process dies.
        os.close(descriptor)


def _write(path: Path, document: object) -> None:
    """Write the file whole or not at all, mode 0600."""
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
    """Give what root makes to the folder's owner, whose process is to read it."""
    file, owner = os.fstat(descriptor), folder.stat()
    # INVARIANT: nothing is given away that has another name too: the folder's owner may have put it there.
    if not stat.S_ISREG(file.st_mode) or file.st_nlink != 1:
        return
    with suppress(PermissionError):
        os.chown(descriptor, owner.st_uid, owner.st_gid)


def _remove_stale_files(folder: Path, ring: Ring) -> None:
    """Delete the private halves of what signs no more, and what a process that died has left."""
    kept = {_file(key.kid) for key in ring.keys if key.until is None}
    for path in folder.iterdir():
        if path.name.startswith(_SCRATCH) or (_KEY.fullmatch(path.name) and path.name not in kept):
            path.unlink()
