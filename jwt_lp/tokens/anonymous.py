"""The anonymous token: what a view gets in place of an access token if there is no valid one."""

from __future__ import annotations

import math
from types import MappingProxyType
from typing import TYPE_CHECKING, ClassVar, Final, Literal, NoReturn

from jwt_lp.permissions.grants import Permissions
from jwt_lp.tokens.claims import AccessToken

if TYPE_CHECKING:
    from collections.abc import Mapping


class _AnonymousToken(AccessToken):
    """The class of `ANONYMOUS` alone: false, and expired at any time, so that no guard lets it pass anything."""

    __slots__ = ()

    is_anonymous: ClassVar[bool] = True

    def __bool__(self) -> Literal[False]:
        return False

    def __repr__(self) -> str:
        return "<AccessToken anonymous>"

    def __reduce__(self) -> NoReturn:
        raise TypeError("an access token cannot be pickled or copied")


_NO_CLAIMS: Final[Mapping[str, object]] = MappingProxyType({})

ANONYMOUS: Final[AccessToken] = _AnonymousToken(
    "", "", "", None, Permissions.of(()), _NO_CLAIMS, -math.inf, -math.inf, None, (), ""
)
"""The token of a request without a valid one: no permission, no claim, subject and issuer "", and false.

A view gets it in observe mode, if the request would be refused for its credential, and on routes that are `public` or
`external`. `is_anonymous` tells it from a verified token. Every guard refuses it.
"""
