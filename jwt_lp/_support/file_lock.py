"""Which process changes this now?

A lock file beside what is changed, locked by flock(2): the system frees it when its process ends, however that comes
about. Whoever has it writes its own name in it, and removes it at the end.
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
"""Seconds after which a lock is asked for again."""

_MAX_LABEL: Final = 200


def lock_path(path: str | os.PathLike[str]) -> Path:
    """The lock file of a file: beside the file itself, by whichever link it was named."""
    real = Path(os.path.realpath(path))
    return real.with_name(f".{real.name}.lock")


def process_label() -> str:
    """How this process is named to those who wait for it."""
    return f"process {os.getpid()} on {platform.node()}"


def lock_busy_error(what: str, by: str, wait: float) -> PolicyError:
    """What to say where a lock was waited for in vain."""
    return PolicyError(f"{what} is being changed by {by or 'another process'} (waited {wait:g} s): try again later")


@contextmanager
def hold_lock(lock: Path, what: str, *, wait: float) -> Generator[None]:
    """Hold a lock file, alone among processes and threads, after up to `wait` seconds.

    `PolicyError` names whoever has it; `ConfigurationError` where it cannot be had at all. `what` is what it protects.
    """
    until = time.monotonic() + wait
    while isinstance(found := _try_lock(lock, what), str):
        if time.monotonic() >= until:
            raise lock_busy_error(what, found, wait)
        time.sleep(POLL_INTERVAL)
    try:
        yield
    finally:
        # Removed while it is held: who opened it meanwhile gets a lock on what is no lock file any more, and sees that.
        with suppress(OSError):
            if _is_same_file(found, lock):
                lock.unlink()
        os.close(found)


def _try_lock(lock: Path, what: str) -> int | str:
    """The open lock file, locked; or who has it."""
    try:
        # Here, as it is not everywhere.
        import fcntl
    except ImportError:
        raise ConfigurationError(f"{what} is changed under a lock (flock), which this system does not have") from None
    try:
        descriptor = os.open(lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK, 0o600)
        by: str | None = ""
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if _is_same_file(descriptor, lock):
                _write_label(descriptor, lock)
                by = None
        except BlockingIOError:
            by = os.pread(descriptor, _MAX_LABEL, 0).decode("ascii", "replace")
        finally:
            if by is not None:
                os.close(descriptor)
    except OSError as error:
        raise ConfigurationError(f"{lock} cannot be locked: {error.strerror}") from None
    return descriptor if by is None else by


def _is_same_file(descriptor: int, lock: Path) -> bool:
    """Whether the open file is still the one of that name."""
    try:
        return os.path.samestat(os.fstat(descriptor), lock.lstat())
    except FileNotFoundError:
        return False


def _write_label(descriptor: int, lock: Path) -> None:
    """Say who has it."""
    found = os.fstat(descriptor)
    # INVARIANT: nothing is written to what has another name too: somebody may have put it there.
    if not stat.S_ISREG(found.st_mode) or found.st_nlink != 1:
        raise ConfigurationError(f"{lock} is not the lock file that it should be: remove it")
    os.ftruncate(descriptor, 0)
    os.pwrite(descriptor, process_label().encode("ascii", "replace"), 0)
