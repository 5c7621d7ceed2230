"""What a subject is granted when it signs in, and at each refresh."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import NamedTuple, TypeAlias


class Granted(NamedTuple):
    """The permissions and patterns that a subject is granted directly, and its roles of the policy."""

    permissions: Iterable[str] = ()
    roles: Iterable[str] = ()


GrantsOf: TypeAlias = Callable[[str], "Granted | Iterable[str] | None"]
"""Returns what a subject is granted now: `Granted`, or an iterable of permissions. None if it may not sign in."""
