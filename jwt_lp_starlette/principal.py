"""The user and the credentials of a request, as `starlette.authentication` defines them."""

from __future__ import annotations

from collections.abc import Collection, Iterator

from starlette.authentication import BaseUser

from jwt_lp import ANONYMOUS, AccessToken, ConfigurationError, Guard, all_of


class Scopes(Collection[str]):
    """The permissions of a token as Starlette's `requires` expects them: `in` asks the guard."""

    __slots__ = ("_guard", "_token")

    def __init__(self, guard: Guard, token: AccessToken) -> None:
        self._guard = guard
        self._token = token

    def __contains__(self, permission: object) -> bool:
        try:
            return isinstance(permission, str) and self._guard.can(self._token, all_of(permission))
        except ConfigurationError:
            return False

    def __iter__(self) -> Iterator[str]:
        return iter([grant.text for grant in self._token.permissions])

    def __len__(self) -> int:
        return sum(1 for _ in self)


class Credentials:
    """`request.auth`: the token, `jwt_lp.ANONYMOUS` if there is none, and its permissions as `scopes`."""

    __slots__ = ("_guard", "token")

    def __init__(self, guard: Guard, token: AccessToken | None) -> None:
        self._guard = guard
        self.token: AccessToken = token or ANONYMOUS

    @property
    def scopes(self) -> Scopes:
        """The token's permissions."""
        return Scopes(self._guard, self.token)


class Subject(BaseUser):
    """`request.user`: the subject of the token.

    `identity` is the pair of issuer and subject, as `issuer|subject`, because two issuers may use the same subject.
    """

    __slots__ = ("token",)

    def __init__(self, token: AccessToken) -> None:
        self.token = token

    @property
    def is_authenticated(self) -> bool:
        """True: a token was verified."""
        return True

    @property
    def display_name(self) -> str:
        """The token's subject."""
        return self.token.subject

    @property
    def identity(self) -> str:
        """The pair of issuer and subject."""
        return f"{self.token.issuer}|{self.token.subject}"
