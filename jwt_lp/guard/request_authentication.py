"""Authentication that looks at more of each request than its token."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from jwt_lp.guard.authentication import Authenticator
from jwt_lp.guard.bearer import NONE, parse_authorization

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from jwt_lp._support.worker import Worker
    from jwt_lp.guard.settings import Settings
    from jwt_lp.guard.store_sync import StoreSync


class RequestAuthenticator(Authenticator):
    """An `Authenticator` that is asked about every request, also about one whose header is known."""

    def __init__(self, settings: Settings, worker: Worker, sync: StoreSync | None, clock: Callable[[], float]) -> None:
        super().__init__(settings, worker, sync, clock)
        self._checked_from, self._checked_until = 0.0, -math.inf

    def carries_token(self, authorization: str | Sequence[str] | None) -> bool:
        """Whether the Authorization header has a credential that this authenticator reads."""
        return parse_authorization(authorization)[0] is not NONE

    def _check_process(self, now: float) -> None:
        if not self._checked_from <= now < self._checked_until:
            super()._check_process(now)
            self._checked_from, self._checked_until = self.settled_from, self.settled_until
        # INVARIANT: the guard's short way for known headers reads nothing but the header, so it is never taken.
        self.settled_until = -math.inf

    def _check_after_fork(self) -> None:
        super()._check_after_fork()
        self._checked_until = -math.inf
