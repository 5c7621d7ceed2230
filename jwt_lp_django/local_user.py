"""The user of Django's own model for an access token: `request.user` where `LOCAL_USER` is set."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NoReturn, cast

from asgiref.sync import sync_to_async
from django.contrib.auth import get_user_model
from django.contrib.auth.models import AnonymousUser
from django.core.exceptions import ValidationError
from django.utils.functional import SimpleLazyObject

from jwt_lp import AccessToken, ConfigurationError, Decision, Guard, Requirement
from jwt_lp_django.guard_access import guard_from


def by_pk(token: AccessToken) -> Any:
    """The user whose primary key is the token's subject, None if there is none: for `LOCAL_USER`.

    Right for tokens of djangorestframework-simplejwt. `ConfigurationError` with several issuers, because each could
    name any user.
    """
    return _find(token, "pk")


def by_username(token: AccessToken) -> Any:
    """The user whose username is the token's subject, None if there is none; like `by_pk`."""
    return _find(token, str(cast(Any, get_user_model()).USERNAME_FIELD))


def _find(token: AccessToken, field: str) -> Any:
    if len(guard_from().settings.issuers) > 1:
        raise ConfigurationError(
            "LOCAL_USER: with several issuers, a subject alone names nobody: write a function that asks token.issuer_name"
        )
    try:
        user = get_user_model()._default_manager.filter(**{field: token.subject}).first()  # noqa: SLF001 - Django's name
    except (ValueError, ValidationError):
        # A subject that is no value of the field, such as a word for a number.
        return None
    # INVARIANT: one subject is one user: "07" is not 7, also where the database compares like that.
    return user if user is not None and str(getattr(user, field)) == token.subject else None


class LocalUserLoader:
    """Finds the local user of one request's token when it is first asked for."""

    def __init__(
        self,
        guard: Guard,
        token: AccessToken,
        requirement: Requirement | None,
        label: str,
        refuse: Callable[[Decision], NoReturn],
        tell: Callable[[Decision], None],
    ) -> None:
        self._guard = guard
        self._token = token
        self._requirement = requirement
        self._label = label
        self._refuse = refuse
        self._tell = tell
        self._user: Any = None
        self._refused: Decision | None = None

    def load(self) -> Any:
        """The user; Django's anonymous one if the request passes without a user. Raises the refusal."""
        if self._refused is not None:
            self._refuse(self._refused)
        if self._user is None:
            users = self._guard.local_users
            user = None if users is None else users.get(self._token)
            decision = self._guard.admit_user(self._token, user, self._requirement, self._label)
            if decision.refusal is not None:
                self._refused = decision
                self._tell(decision)
                self._refuse(decision)
            self._user = user if decision.token is not None else AnonymousUser()
        return self._user

    def lazy(self) -> Any:
        """The user, loaded when its first attribute is read."""
        return SimpleLazyObject(self.load)

    async def aload(self) -> Any:
        """`load`, for `request.auser`."""
        return await sync_to_async(self.load)()
