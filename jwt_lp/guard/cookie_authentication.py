"""Authentication where `COOKIE` is set: the access token comes from the Authorization header or from a cookie."""

from __future__ import annotations

from http import HTTPStatus
from typing import TYPE_CHECKING, cast

from jwt_lp.guard.bearer import MALFORMED, NONE
from jwt_lp.guard.cookie_reader import CookieReader
from jwt_lp.guard.csrf import CsrfCheck
from jwt_lp.guard.decisions import Cause
from jwt_lp.guard.request_authentication import RequestAuthenticator
from jwt_lp.tokens.claims import AccessToken

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from jwt_lp._support.worker import Worker
    from jwt_lp.guard.cookies import Cookies
    from jwt_lp.guard.decisions import Call
    from jwt_lp.guard.settings import Settings
    from jwt_lp.guard.store_sync import StoreSync


class CookieAuthenticator(RequestAuthenticator):
    """A `RequestAuthenticator` that also reads the cookie of the settings. A request with a token in both gets 400."""

    def __init__(self, settings: Settings, worker: Worker, sync: StoreSync | None, clock: Callable[[], float]) -> None:
        super().__init__(settings, worker, sync, clock)
        cookies = cast("Cookies", settings.cookies)
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
        if self.carries_token(authorization):
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
