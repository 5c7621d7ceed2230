"""How is a grant taken out of a policy file whose comments stay?"""

from __future__ import annotations

import os
import stat
import tempfile
import tomllib
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from jwt_lp._support.validation import quote_text
from jwt_lp.errors import ConfigurationError
from jwt_lp.policy.diff import diff_policies
from jwt_lp.policy.file import Policy

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

_MODE: Final = 0o7777
_OWN: Final = 0o600


def parse_policy(text: str) -> Policy:
    """The policy that a file's text says; `ConfigurationError` for what is none."""
    try:
        said = tomllib.loads(text)
    except (ValueError, RecursionError) as error:
        raise ConfigurationError(f"the policy is not TOML: {error}") from None
    return Policy.from_mapping(said)


def edit_policy(text: str, changes: Mapping[tuple[str, str], Iterable[str]]) -> str:
    """The policy file's text with each grant (role, grant) replaced by others, or by none.

    A role must list the grant itself. Comments and layout stay. `ConfigurationError` where the edit would do anything
    else than take away, or tomlkit is missing.
    """
    try:
        import tomlkit
    except ImportError:
        raise ConfigurationError('a policy file is edited with tomlkit: pip install "jwt-lp[cli]"') from None
    document: Any = tomlkit.parse(text)
    wanted = tomllib.loads(text)
    for (role, grant), instead in changes.items():
        added = tuple(instead)
        _replace(document["roles"][role]["grants"], grant, added)
        _replace(wanted["roles"][role]["grants"], grant, added)
    made = tomlkit.dumps(document)
    # INVARIANT: what is written says what was meant, whatever a library makes of a file's layout.
    if tomllib.loads(made) != wanted:
        raise ConfigurationError(
            "the policy file could not be edited with its layout kept: take the grants out by hand"
        )
    changed = diff_policies(parse_policy(text), parse_policy(made))
    if changed.allowed or changed.broken:
        more = (change.text for change in (*changed.broken, *changed.allowed))
        raise ConfigurationError(*(f"the edited policy would allow more: {each}" for each in more))
    return made


def _replace(grants: Any, grant: str, instead: tuple[str, ...]) -> None:
    """Take `grant` out of a list, where a policy has it once, and put in what it does not have of `instead`."""
    texts = [str(each) for each in grants]
    first = texts.index(grant)
    fresh = [each for each in instead if each not in texts]
    if not fresh:
        del grants[first]
        return
    grants[first] = fresh[0]
    for offset, each in enumerate(fresh[1:], 1):
        grants.insert(first + offset, each)


def read_bytes(path: str | os.PathLike[str]) -> bytes:
    """What the file holds; `ConfigurationError` where it cannot be read."""
    try:
        return Path(path).read_bytes()
    except OSError as error:
        raise ConfigurationError(f"{quote_text(os.fspath(path))} cannot be read: {error.strerror}") from None


def write_atomically(
    path: str | os.PathLike[str],
    data: bytes,
    *,
    mode: int | None = None,
    policy: bool = False,
    still: Callable[[], object] = lambda: None,
) -> None:
    """Write a file whole or not at all, through a link to where it leads, with the mode that it has or `mode`.

    With `policy` it is read as one first. What `still` raises, called last of all, stops it. `ConfigurationError` where
    it cannot be written or is no file, and with `mode` for a link of another user; nothing is changed then.
    """
    if mode is not None:
        _check_place(path)
    # The link stays a link: what it leads to is what is deployed.
    target = Path(os.path.realpath(path))
    temporary = ""
    try:
        before = target.stat() if mode is None else None
        handle, temporary = tempfile.mkstemp(prefix=f".{target.name}.", dir=target.parent)
        with os.fdopen(handle, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        if before is not None:
            # Where an administrator runs this, the file stays its owner's.
            with suppress(OSError, AttributeError):
                os.chown(temporary, before.st_uid, before.st_gid)
            mode = before.st_mode & _MODE
        Path(temporary).chmod(mode or _OWN)
        if policy:
            Policy.load(temporary)
        still()
        Path(temporary).replace(target)
        temporary = ""
    except OSError as error:
        raise ConfigurationError(f"{quote_text(os.fspath(path))} cannot be written: {error.strerror}") from None
    finally:
        if temporary:
            with suppress(OSError):
                Path(temporary).unlink()


def _check_place(path: str | os.PathLike[str]) -> None:
    """`ConfigurationError` for a place where a file of our own is not to be made."""
    # What cannot be looked at cannot be written either, which is said then.
    with suppress(OSError):
        found = os.lstat(path)
        # INVARIANT: nobody else chooses, in a folder that all may write to, which file it is that is replaced.
        if stat.S_ISLNK(found.st_mode) and hasattr(os, "geteuid") and found.st_uid not in (0, os.geteuid()):
            raise ConfigurationError(f"{quote_text(os.fspath(path))} is a link of another user: name another file")
        # A rename would put a file in place of a device or a pipe.
        if not stat.S_ISREG(Path(path).stat().st_mode):
            raise ConfigurationError(f"{quote_text(os.fspath(path))} is not a file: name another")
