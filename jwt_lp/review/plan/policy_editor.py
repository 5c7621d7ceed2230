"""Edits of a policy file that keep its comments and layout, and atomic writes of files."""

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
    """The policy in a file's text; `ConfigurationError` if it is not a policy."""
    try:
        tables = tomllib.loads(text)
    except (ValueError, RecursionError) as error:
        raise ConfigurationError(f"the policy is not TOML: {error}") from None
    return Policy.from_mapping(tables)


def edit_policy(text: str, changes: Mapping[tuple[str, str], Iterable[str]]) -> str:
    """The policy file's text with each grant (role, grant) replaced by others, or by none.

    The role must list the grant itself. Comments and layout are kept. `ConfigurationError` where the edit would do
    anything except revoke, or where tomlkit is missing.
    """
    try:
        import tomlkit
    except ImportError:
        raise ConfigurationError('editing a policy file needs tomlkit: pip install "jwt-lp[cli]"') from None
    document: Any = tomlkit.parse(text)
    wanted = tomllib.loads(text)
    for (role, grant), instead in changes.items():
        added = tuple(instead)
        _replace(document["roles"][role]["grants"], grant, added)
        _replace(wanted["roles"][role]["grants"], grant, added)
    edited = tomlkit.dumps(document)
    # INVARIANT: the written file has exactly the intended contents, whatever the library does with the layout.
    if tomllib.loads(edited) != wanted:
        raise ConfigurationError("the policy file could not be edited with its layout kept: remove the grants by hand")
    difference = diff_policies(parse_policy(text), parse_policy(edited))
    if difference.allowed or difference.broken:
        more = (change.text for change in (*difference.broken, *difference.allowed))
        raise ConfigurationError(*(f"the edited policy would allow more: {change}" for change in more))
    return edited


def _replace(grants: Any, grant: str, instead: tuple[str, ...]) -> None:
    """Replace `grant`, which a list has once, by those of `instead` that the list does not have yet."""
    texts = [str(item) for item in grants]
    index = texts.index(grant)
    additions = [text for text in instead if text not in texts]
    if not additions:
        del grants[index]
        return
    grants[index] = additions[0]
    for offset, addition in enumerate(additions[1:], 1):
        grants.insert(index + offset, addition)


def read_bytes(path: str | os.PathLike[str]) -> bytes:
    """The file's bytes; `ConfigurationError` where it cannot be read."""
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
    """Replace a file atomically. A link stays a link, and its target is replaced, with its own mode or `mode`.

    With `policy`, the new contents must be a valid policy. `still` is called just before the replacement; an error that
    it raises stops the write. `ConfigurationError` where the file cannot be written or is not a regular file, and with
    `mode` for a link owned by another user; nothing is changed then.
    """
    if mode is not None:
        check_place(path)
    # The link stays a link: its target is the deployed file.
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
            # If an administrator runs this, the file keeps its owner.
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


def check_place(path: str | os.PathLike[str]) -> None:
    """`ConfigurationError` for a link owned by another user, and for a path that is not a regular file."""
    # A path that cannot be read cannot be written either; the write reports it.
    with suppress(OSError):
        status = os.lstat(path)
        # INVARIANT: in a folder that all may write to, no other user chooses which file is replaced.
        if stat.S_ISLNK(status.st_mode) and hasattr(os, "geteuid") and status.st_uid not in (0, os.geteuid()):
            raise ConfigurationError(f"{quote_text(os.fspath(path))} is a link of another user: choose another file")
        # A rename would replace a device or a pipe by a file.
        if not stat.S_ISREG(Path(path).stat().st_mode):
            raise ConfigurationError(f"{quote_text(os.fspath(path))} is not a file: choose another")
