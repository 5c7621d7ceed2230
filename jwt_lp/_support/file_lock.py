"""Lock files: one process at a time changes a file.

The lock file is in the folder of the file that it protects, and is locked with flock(2), so the system releases it when
its process ends for any reason. Its holder writes its own name into it and removes it at the end.
"""

from __future__ import annotations

import os
import platform
import stat
import time
from collections.abc import Generator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

from jwt_lp.errors import ConfigurationError, PolicyError

POLL_INTERVAL: Final = 0.05
"""Seconds between two attempts to take a lock."""

_MAX_LABEL: Final = 200


def lock_path(path: str | os.PathLike[str]) -> Path:
    """The lock file of a file: in the folder of the real file, even if `path` is a symbolic link."""
    real = Path(os.path.realpath(path))
    return real.with_name(f".{real.name}.lock")


def process_label() -> str:
    """The name of this process in messages to processes that wait for it."""
    return f"process {os.getpid()} on {platform.node()}"


def lock_busy_error(what: str, holder: str, wait: float) -> PolicyError:
    """The error for a lock that was not free within `wait` seconds."""
    return PolicyError(f"{what} is being changed by {holder or 'another process'} (waited {wait:g} s): try again later")


@contextmanager
def hold_lock(lock: Path, what: str, *, wait: float) -> Generator[None]:
    """Hold a lock file exclusively among processes and threads; wait at most `wait` seconds for it.

    `what` names what the lock protects. Raises `PolicyError`, which names the holder, if the lock does not become free,
    and `ConfigurationError` if the file cannot be locked at all.
    """
    deadline = time.monotonic() + wait
    while isinstance(outcome := _try_lock(lock, what), str):
        if time.monotonic() >= deadline:
            raise lock_busy_error(what, outcome, wait)
        time.sleep(POLL_INTERVAL)
    try:
        yield
    finally:
        # Removed while it is locked: a process that has opened it already will see that its file has no name any more.
        with suppress(OSError):
            if _is_same_file(outcome, lock):
                lock.unlink()
        os.close(outcome)


def _try_lock(lock: Path, what: str) -> int | str:
    """The descriptor of the locked file, or the name of its holder."""
    try:
        # Not every system has this module.
        import fcntl
    except ImportError:
        raise ConfigurationError(f"{what} is changed under a lock (flock), which this system does not have") from None
    try:
        descriptor = os.open(lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK, 0o600)
        holder: str | None = ""
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if _is_same_file(descriptor, lock):
                _write_label(descriptor, lock)
                holder = None
        except BlockingIOError:
            holder = os.pread(descriptor, _MAX_LABEL, 0).decode("ascii", "replace")
        finally:
            if holder is not None:
                os.close(descriptor)
    except OSError as error:
        raise ConfigurationError(f"{lock} cannot be locked: {error.strerror}") from None
    return descriptor if holder is None else holder


def _is_same_file(descriptor: int, lock: Path) -> bool:
    """Whether the open file is still the file at that path."""
    try:
        return os.path.samestat(os.fstat(descriptor), lock.lstat())
    except FileNotFoundError:
        return False


def _write_label(descriptor: int, lock: Path) -> None:
    """Write the name of this process into the lock file."""
    status = os.fstat(descriptor)
    # INVARIANT: a file with a second name is never written to, because somebody may have linked it here.
    if not stat.S_ISREG(status.st_mode) or status.st_nlink != 1:
        raise ConfigurationError(f"{lock} is not the lock file that it should be: remove it")
    os.ftruncate(descriptor, 0)
    os.pwrite(descriptor, process_label().encode("ascii", "replace"), 0)
