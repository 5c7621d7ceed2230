"""One-time codes: what a link in the terminal signs in with."""

from __future__ import annotations

import secrets
import threading
from hashlib import sha256
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable

CODE_LIFETIME: Final = 300.0
"""How many seconds a code may be used."""

_BYTES: Final = 24
_MOST: Final = 20


class OneTimeCodes:
    """Codes that are each accepted once, within `CODE_LIFETIME`. Only their digests are kept."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._until: dict[bytes, float] = {}
        self._lock = threading.Lock()

    def make(self) -> str:
        """A new code. Only the newest twenty are kept."""
        code = secrets.token_urlsafe(_BYTES)
        with self._lock:
            self._until[_digest(code)] = self._clock() + CODE_LIFETIME
            while len(self._until) > _MOST:
                del self._until[next(iter(self._until))]
        return code

    def use(self, code: str) -> bool:
        """Whether the code is one of these, was not used before and has not expired; afterwards it is used."""
        with self._lock:
            until = self._until.pop(_digest(code), 0.0)
        return self._clock() < until


def _digest(code: str) -> bytes:
    return sha256(code.encode("utf-8", "surrogatepass")).digest()
