"""The Python files of a project, read without leaving its folder."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator

_MAX_BYTES: Final = 2 * 1024 * 1024
# Folders of tools and of other people's code. One with pyvenv.cfg is passed over too.
_PASSED_OVER: Final = frozenset({"__pycache__", "node_modules", "site-packages"})


class Source(NamedTuple):
    """A file: its path, its name as the patch shows it (relative to the project), and its bytes."""

    path: Path
    name: str
    data: bytes


class Unread(NamedTuple):
    """A file or folder that was not read, and why."""

    name: str
    why: str


def read_sources(root: Path) -> tuple[list[Source], list[Unread]]:
    """The Python files in `root`, or `root` itself if it is a file, in order; and what was not read.

    Hidden folders, virtual environments and installed packages are passed over. A symbolic link is followed only to a
    file inside `root`, and such a file is read once, by its own path.
    """
    real = root.resolve()
    base = real if real.is_dir() else real.parent
    sources: list[Source] = []
    unread: list[Unread] = []
    for path in _python_files(real, unread, base):
        name = path.relative_to(base).as_posix()
        if not name.isprintable():
            # It could not be told from a line of the patch.
            unread.append(Unread(name, "its name has control characters"))
            continue
        if path.is_symlink():
            # Inside, the file itself is in the list.
            if not path.resolve().is_relative_to(base):
                unread.append(Unread(name, "a symbolic link to a file outside the project"))
            continue
        try:
            if not path.is_file():
                unread.append(Unread(name, "not a regular file"))
            elif path.stat().st_size > _MAX_BYTES:
                unread.append(Unread(name, f"larger than {_MAX_BYTES // 1024 // 1024} MiB"))
            else:
                sources.append(Source(path, name, path.read_bytes()))
        except OSError as error:
            unread.append(Unread(name, error.strerror or "it cannot be read"))
    return sources, unread


def _python_files(root: Path, unread: list[Unread], base: Path) -> Iterator[Path]:
    if not root.is_dir():
        yield root
        return

    def failed(error: OSError) -> None:
        name = Path(error.filename or root).relative_to(base).as_posix()
        unread.append(Unread(name, error.strerror or "it cannot be read"))

    for folder, folders, files in os.walk(root, onerror=failed):
        here = Path(folder)
        folders[:] = sorted(name for name in folders if _is_own(here / name))
        yield from (here / name for name in sorted(files) if name.endswith(".py"))


def _is_own(folder: Path) -> bool:
    hidden = folder.name.startswith(".") or folder.name in _PASSED_OVER
    return not (hidden or folder.is_symlink() or (folder / "pyvenv.cfg").exists())


def replace_source(source: Source, data: bytes) -> None:
    """Replace the file's content in one step, with the same permissions; `OSError` leaves the file as it was.

    A file that changed since it was read is not replaced: `OSError` says so.
    """
    if source.path.is_symlink() or source.path.read_bytes() != source.data:
        raise OSError("it changed meanwhile: run the command again")
    number, name = tempfile.mkstemp(dir=source.path.parent, prefix=f".{source.path.name}.")
    written = Path(name)
    try:
        with os.fdopen(number, "wb") as file:
            file.write(data)
        written.chmod(source.path.stat().st_mode & 0o7777)
        written.replace(source.path)
    except BaseException:
        written.unlink(missing_ok=True)
        raise
