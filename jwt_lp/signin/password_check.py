"""Checks of passwords that take as long for an unknown user as for a wrong password."""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING, final

from jwt_lp.errors import clears_locals

if TYPE_CHECKING:
    from collections.abc import Callable


@final
class PasswordCheck:
    """Checks a password against a stored hash; without a hash, it does the same work and returns False.

    `verify(stored, password)` returns whether they match, as `werkzeug.security.check_password_hash` does. `make(password)`
    returns a hash, and is called once, so it must have the parameters of the stored hashes.
    """

    def __init__(self, verify: Callable[[str, str], bool], make: Callable[[str], str]) -> None:
        self._verify = verify
        self._unknown = make(secrets.token_urlsafe())

    @clears_locals
    def __call__(self, stored: str | None, password: str) -> bool:
        """Return whether the password matches; False without a stored hash, after as much work."""
        matches = self._verify(self._unknown if stored is None else stored, password)
        # INVARIANT: a password never matches for an unknown user.
        return matches and stored is not None

    def __repr__(self) -> str:
        return "PasswordCheck(masked)"
