"""The policy that campaigns are about: a policy, or the file that it is read from again when it changes."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Final

from jwt_lp.policy.file import EMPTY_POLICY, Policy

if TYPE_CHECKING:
    from os import PathLike


class PolicySource:
    """The current policy of `source`; the empty one for None."""

    def __init__(self, source: Policy | str | PathLike[str] | None) -> None:
        self._file: Final = None if source is None or isinstance(source, Policy) else os.fspath(source)
        self._policy = source if isinstance(source, Policy) else EMPTY_POLICY
        self._version: tuple[int, int, int] | None = None

    def read(self) -> Policy:
        """The policy as it is now; `ConfigurationError` if its file cannot be read, or is no policy."""
        if self._file is None:
            return self._policy
        version = self._file_version(self._file)
        if version is None or version != self._version:
            self._policy, self._version = Policy.load(self._file), version
        return self._policy

    @staticmethod
    def _file_version(file: str) -> tuple[int, int, int] | None:
        try:
            found = os.stat(file)  # noqa: PTH116 - of a text, as the policy's own reader takes it
        except OSError:
            # Reading it says what is wrong.
            return None
        return found.st_mtime_ns, found.st_size, found.st_ino
