"""Authentication where `COOKIE` is set: the access token comes from the Authorization header or from a cookie."""

from __future__ import annotations

import math
from http import HTTPStatus
from typing import TYPE_CHECKING

from jwt_lp.guard.authentication import Authenticator
from jwt_lp.guard.bearer import MALFORMED, NONE, parse_authorization
from jwt_lp.guard.cookie_reader import CookieReader
from jwt_lp.guard.csrf import CsrfCheck
from jwt_lp.guard.decisions import Cause
from jwt_lp.tokens.claims import AccessToken

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from jwt_lp._support.worker import Worker
    from jwt_lp.guard.cookies import Cookies
    from jwt_lp.guard.decisions import Call
    from jwt_lp.guard.settings import Settings
    from jwt_lp.guard.store_sync import StoreSync


class CookieAuthenticator(Authenticator):
    """An `Authenticator` that also reads the cookie of `cookies`. A request with a token in both gets 400."""

    def __init__(
        self, settings: Settings, worker: Worker, sync: StoreSync | None, clock: Callable[[], float], cookies: Cookies
    ) -> None:
        super().__init__(settings, worker, sync, clock)
        self._checked_from, self._checked_until = 0.0, -math.inf
        self._reader = CookieReader(cookies.name)
        self._csrf = CsrfCheck(cookies)

    def authenticate(
        self,
        authorization: str | Sequence[str] | None,
        call: Call | None,
        known: AccessToken | bytes | None = None,
        *,
        wait: bool,
    ) -> AccessToken | Cause | None:
        """As `Authenticator.authenticate`; a token of a cookie is accepted only without the signs of a forged request."""
        lines = () if call is None else call.field("cookie")
        kind, text = self._reader.read(lines) if lines else (NONE, "")
        if call is None or kind is NONE:
            return super().authenticate(authorization, call, known, wait=wait)
        if kind is MALFORMED:
            return Cause(HTTPStatus.BAD_REQUEST, "invalid_request", "malformed_cookie", text)
        if parse_authorization(authorization)[0] is not NONE:
            detail = f"the Authorization header and the cookie {self._reader.name} both carry a token: send one of them"
            return Cause(HTTPStatus.BAD_REQUEST, "invalid_request", "two_credentials", detail)
        # The same text as a header has, so that the token is found in the same cache.
        token = super().authenticate(f"Bearer {text}", call, None, wait=wait)
        if not isinstance(token, AccessToken):
            return token
        # INVARIANT: this is checked at each request, and kept with no token and no decision.
        fault = self._csrf.fault(call, text, wait=wait)
        if fault is None:
            return None
        if fault:
            advice = self._csrf.advice(call)
            return Cause(HTTPStatus.FORBIDDEN, "csrf", "csrf", fault, token.fingerprint, advice=advice)
        return token

    def _check_process(self, now: float) -> None:
        if not self._checked_from <= now < self._checked_until:
            super()._check_process(now)
            self._checked_from, self._checked_until = self.settled_from, self.settled_until
        # INVARIANT: the guard's short way for known headers reads no cookie, so it is never taken.
        self.settled_until: float = -math.inf

    def _check_after_fork(self) -> None:
        super()._check_after_fork()
        self._checked_until = -math.inf
