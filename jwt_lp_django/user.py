"""The `request.user` of a request with an access token."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import ClassVar

from jwt_lp import AccessToken, ConfigurationError, Guard
from jwt_lp_django.marks import to_requirement


@dataclass(frozen=True, slots=True, eq=False)
class TokenUser:
    """The subject of an access token instead of Django's user. It is in no database.

    It has the permissions of the token. It is never staff and never a superuser, whatever the token says. Two users are
    equal if issuer and subject are equal. `pk`, `id` and `username` are the subject alone, which is not unique if there
    are several issuers.
    """

    token: AccessToken
    guard: Guard

    is_authenticated: ClassVar[bool] = True
    is_active: ClassVar[bool] = True
    is_anonymous: ClassVar[bool] = False
    is_staff: ClassVar[bool] = False
    is_superuser: ClassVar[bool] = False

    @property
    def pk(self) -> str:
        """The subject."""
        return self.token.subject

    @property
    def id(self) -> str:
        """The subject."""
        return self.token.subject

    @property
    def username(self) -> str:
        """The subject."""
        return self.token.subject

    def get_username(self) -> str:
        """The subject."""
        return self.token.subject

    def has_perm(self, perm: str, obj: object = None) -> bool:
        """Whether the token holds `perm`. False if `obj` is given: a token has no permissions for single objects."""
        try:
            return obj is None and self.guard.can(self.token, to_requirement(perm))
        except ConfigurationError:
            return False

    def has_perms(self, perm_list: Iterable[str], obj: object = None) -> bool:
        """Whether the token holds every one of `perm_list`."""
        if isinstance(perm_list, str):
            raise ValueError("perm_list must be an iterable of permissions.")  # noqa: TRY004 - as Django has it
        return all(self.has_perm(perm, obj) for perm in perm_list)

    def has_module_perms(self, app_label: str) -> bool:
        """Whether the token holds a permission that starts with `app_label` and `.` or `:`; patterns do not count."""
        return any(perm.startswith((f"{app_label}.", f"{app_label}:")) for perm in self.get_all_permissions())

    def get_all_permissions(self, obj: object = None) -> set[str]:
        """The permissions that the token names; those that only a pattern covers are not listed."""
        return {grant.text for grant in self.token.permissions if self.has_perm(grant.text, obj)}

    def get_user_permissions(self, obj: object = None) -> set[str]:
        """The same as `get_all_permissions`: a token does not tell them apart."""
        return self.get_all_permissions(obj)

    def get_group_permissions(self, obj: object = None) -> set[str]:
        """The empty set: there are no groups."""
        return set()

    async def ahas_perm(self, perm: str, obj: object = None) -> bool:
        """`has_perm`."""
        return self.has_perm(perm, obj)

    async def ahas_perms(self, perm_list: Iterable[str], obj: object = None) -> bool:
        """`has_perms`."""
        return self.has_perms(perm_list, obj)

    async def ahas_module_perms(self, app_label: str) -> bool:
        """`has_module_perms`."""
        return self.has_module_perms(app_label)

    async def aget_all_permissions(self, obj: object = None) -> set[str]:
        """`get_all_permissions`."""
        return self.get_all_permissions(obj)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, TokenUser) and self._identity == other._identity

    def __hash__(self) -> int:
        return hash(self._identity)

    def __str__(self) -> str:
        return self.token.subject

    def __repr__(self) -> str:
        return f"<TokenUser of {self.token!r}>"

    @property
    def _identity(self) -> tuple[str, str]:
        return (self.token.issuer, self.token.subject)
