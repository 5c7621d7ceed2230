"""Authentication that looks at more of each request than its token."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from jwt_lp.guard.authentication import Authenticator
from jwt_lp.guard.bearer import NONE, parse_authorization

if TYPE_CHECKING:
    from collections.abc import Sequence


class RequestAuthenticator(Authenticator):
    """An `Authenticator` that is asked about every request, also about one whose header is known."""

    # INVARIANT: it is never True for a moment, because another thread would take the short way then.
    reads_header_only: ClassVar[bool] = False

    def carries_token(self, authorization: str | Sequence[str] | None) -> bool:
        """Whether the Authorization header has a credential that this authenticator reads."""
        return parse_authorization(authorization)[0] is not NONE
