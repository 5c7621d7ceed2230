"""Lock files: one process at a time changes a file."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from typing import TYPE_CHECKING

import pytest

from jwt_lp._support.file_lock import hold_lock, lock_path, process_label
from jwt_lp.errors import ConfigurationError, PolicyError

if TYPE_CHECKING:
    from pathlib import Path

pytest.importorskip("fcntl", reason="files are locked by flock(2)")

HOLD = """
import sys, time
from pathlib import Path
from jwt_lp._support.file_lock import hold_lock
with hold_lock(Path(sys.argv[1]), "it", wait=0):
    print("held", flush=True)
    time.sleep(60)
"""


def _hold(lock: Path) -> subprocess.Popen[str]:
    process = subprocess.Popen([sys.executable, "-c", HOLD, str(lock)], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert "held\n" == process.stdout.readline()
    return process


def test_the_lock_file_is_in_the_folder_of_the_real_file(tmp_path: Path) -> None:
    """A file has the same lock file if it is named by a symbolic link."""
    (tmp_path / "real").mkdir()
    real = tmp_path / "real" / "policy.toml"
    real.touch()
    (tmp_path / "linked.toml").symlink_to(real)
    assert real.with_name(".policy.toml.lock") == lock_path(real) == lock_path(tmp_path / "linked.toml")


def test_the_holder_is_named_after_the_wait(tmp_path: Path) -> None:
    """After `wait` seconds, the error names the process that holds the lock."""
    lock = tmp_path / ".x.lock"
    process = _hold(lock)
    try:
        start = time.monotonic()
        with pytest.raises(PolicyError, match=rf"it is being changed by process {process.pid} on .*waited 0.2 s"):
            hold_lock(lock, "it", wait=0.2).__enter__()
        assert 0.2 <= time.monotonic() - start < 10
    finally:
        process.kill()
        process.communicate()


def test_the_lock_of_a_killed_process_is_free(tmp_path: Path) -> None:
    """SIGKILL leaves the lock file but no lock: the next holder takes the lock and removes the file."""
    lock = tmp_path / ".x.lock"
    process = _hold(lock)
    process.kill()
    process.communicate()
    assert lock.exists()
    with hold_lock(lock, "it", wait=5):
        assert process_label() == lock.read_text()
        assert 0o600 == lock.stat().st_mode & 0o777
    assert [] == [*tmp_path.iterdir()]


def test_one_holder_at_a_time(tmp_path: Path) -> None:
    """Concurrent threads hold the lock one after the other, and no lock file is left."""
    lock, counter, inside = tmp_path / ".x.lock", [0], threading.Lock()

    def count() -> None:
        for _ in range(20):
            with hold_lock(lock, "it", wait=60):
                assert inside.acquire(blocking=False)
                before = counter[0]
                time.sleep(0)
                counter[0] = before + 1
                inside.release()

    threads = [threading.Thread(target=count) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (80, []) == (counter[0], [*tmp_path.iterdir()])


def test_a_lock_file_removed_before_it_is_locked_is_opened_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A lock on a file that was removed meanwhile does not count, because another process may have created a new one."""
    import fcntl

    lock, real = tmp_path / ".x.lock", fcntl.flock
    removed: list[Path] = []

    def flock(descriptor: int, how: int) -> None:
        if not removed:
            removed.append(lock)
            lock.unlink()
        real(descriptor, how)

    monkeypatch.setattr(fcntl, "flock", flock)
    with hold_lock(lock, "it", wait=5), pytest.raises(PolicyError, match="is being changed by process"):
        hold_lock(lock, "it", wait=0).__enter__()
    assert not lock.exists()


def test_a_replaced_lock_file_is_not_removed(tmp_path: Path) -> None:
    """A lock file that was replaced while it was locked belongs to another process and is not removed."""
    lock = tmp_path / ".x.lock"
    with hold_lock(lock, "it", wait=0):
        lock.unlink()
        lock.write_text("another's")
    assert "another's" == lock.read_text()


def test_links_and_pipes_are_not_used_as_lock_files(tmp_path: Path) -> None:
    """A symbolic or hard link to another file, or a pipe, is not written to; the error names it."""
    lock, other = tmp_path / ".x.lock", tmp_path / "other"
    other.write_text("precious")
    lock.symlink_to(other)
    with pytest.raises(ConfigurationError, match=r"\.x\.lock cannot be locked"):
        hold_lock(lock, "it", wait=0).__enter__()
    lock.unlink()
    os.link(other, lock)
    with pytest.raises(ConfigurationError, match=r"\.x\.lock is not the lock file that it should be: remove it"):
        hold_lock(lock, "it", wait=0).__enter__()
    lock.unlink()
    os.mkfifo(lock)
    with pytest.raises(ConfigurationError, match="remove it"):
        hold_lock(lock, "it", wait=0).__enter__()
    assert "precious" == other.read_text()


def test_a_missing_folder_or_flock_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A missing folder is named in the error, and so is a system without flock."""
    with pytest.raises(ConfigurationError, match="cannot be locked: No such file"):
        hold_lock(tmp_path / "no" / ".x.lock", "it", wait=0).__enter__()
    monkeypatch.setitem(sys.modules, "fcntl", None)
    with pytest.raises(ConfigurationError, match="it is changed under a lock"):
        hold_lock(tmp_path / ".x.lock", "it", wait=0).__enter__()
