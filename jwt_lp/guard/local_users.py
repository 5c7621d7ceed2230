"""Users of the application's own: found, or made at first sight, by a function of the project."""

from __future__ import annotations

import time
from copy import copy
from http import HTTPStatus
from importlib import import_module
from inspect import iscoroutinefunction
from typing import TYPE_CHECKING, Any, Final

from jwt_lp.errors import ConfigurationError
from jwt_lp.guard.decisions import Cause

if TYPE_CHECKING:
    from collections.abc import Callable

    from jwt_lp.tokens.claims import AccessToken

MAX_KEPT: Final = 4096

_UNKNOWN: Final = "there is no local user for the token's subject: LOCAL_USER returned None"
_INACTIVE: Final = (
    "the local user of the token's subject is not active: revoke the subject to refuse its tokens at once"
)


class LocalUsers:
    """The local users of tokens, by issuer and subject.

    `source` is the function, or its dotted path, which is imported at first use. With `ttl`, in seconds, a user is kept
    for that long, at most `MAX_KEPT` of them, and each request gets a copy; an object of SQLAlchemy belongs to its
    session and is not kept.
    """

    def __init__(
        self, source: str | Callable[[AccessToken], Any], ttl: float, *, monotonic: Callable[[], float] = time.monotonic
    ) -> None:
        self._source = source
        self._ttl = ttl
        self._monotonic = monotonic
        self._kept: dict[tuple[str, str], tuple[Any, float]] = {}

    @property
    def is_async(self) -> bool:
        """Whether the function is a coroutine function."""
        return iscoroutinefunction(self._function())

    def recall(self, token: AccessToken) -> Any:
        """A copy of the user that is kept for the token's subject; None if there is none."""
        kept = self._kept.get((token.issuer, token.subject))
        return copy(kept[0]) if kept is not None and self._monotonic() < kept[1] else None

    def find(self, token: AccessToken) -> Any:
        """The user that the function returns for the token, a coroutine if it is a coroutine function; never kept."""
        return self._function()(token)

    def keep(self, token: AccessToken, user: Any) -> Any:
        """Keep the user for other requests, unless that is off, and return it."""
        if self._ttl and user is not None and not hasattr(user, "_sa_instance_state"):
            if len(self._kept) >= MAX_KEPT:
                self._kept = {}
            self._kept[token.issuer, token.subject] = (copy(user), self._monotonic() + self._ttl)
        return user

    def get(self, token: AccessToken) -> Any:
        """The user of the token, kept or found. `ConfigurationError` if the function is a coroutine function."""
        if self.is_async:
            raise ConfigurationError("LOCAL_USER is a coroutine function: here it has to be a plain one")
        user = self.recall(token)
        return self.keep(token, self.find(token)) if user is None else user

    def faults(self) -> tuple[str, ...]:
        """The fault of a function that cannot be imported, for a start-up check; it is imported here."""
        try:
            self._function()
        except ConfigurationError as error:
            return error.faults
        return ()

    @staticmethod
    def cause(token: AccessToken, user: Any) -> Cause | None:
        """The cause of a refusal if there is no user for the token, or one whose `is_active` is false."""
        if user is None:
            return Cause(HTTPStatus.UNAUTHORIZED, "invalid_token", "unknown_user", _UNKNOWN, token.fingerprint)
        if not getattr(user, "is_active", True):
            return Cause(HTTPStatus.UNAUTHORIZED, "invalid_token", "inactive_user", _INACTIVE, token.fingerprint)
        return None

    def _function(self) -> Callable[[AccessToken], Any]:
        if isinstance(self._source, str):
            self._source = _import_function(self._source)
        return self._source


def _import_function(path: str) -> Callable[[AccessToken], Any]:
    module, _, name = path.replace(":", ".").rpartition(".")
    try:
        function = getattr(import_module(module), name)
    except (ImportError, AttributeError) as error:
        raise ConfigurationError(f"LOCAL_USER: {path} cannot be imported: {error}") from None
    if not callable(function):
        raise ConfigurationError(f"LOCAL_USER: {path} is no function")
    return function  # type: ignore[no-any-return]  # its type is the project's
