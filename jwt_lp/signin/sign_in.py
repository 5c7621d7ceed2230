"""Sign-in, refresh and sign-out for a project that is its own issuer.

Each host passes the same plain values in, and sends the same answer back. `jwt_lp.signin.sessions` is the part below that
knows no request.
"""

from __future__ import annotations

import logging
import secrets
import time
from collections.abc import Callable
from http import HTTPStatus
from typing import TYPE_CHECKING, Final, TypeAlias, TypeVar

from jwt_lp._support.events import log_event
from jwt_lp.errors import ConfigurationError, PolicyError, StoreError, clears_locals
from jwt_lp.oauth.token_endpoint import Answer
from jwt_lp.signin.refusals import (
    MISCONFIGURED,
    TOO_MANY,
    WRONG_CREDENTIALS,
    SignInRefused,
    refresh_refused,
    undecided,
)
from jwt_lp.signin.requests import MAX_BODY, read_credentials, read_refresh_token
from jwt_lp.signin.sessions import (
    FAMILY_LIFETIME,
    GRACE,
    REFRESH_LIFETIME,
    Sessions,
)
from jwt_lp.signin.throttle import Throttle, account_label, read_attempt

if TYPE_CHECKING:
    from jwt_lp.issuing.issuer import Issuer
    from jwt_lp.signin.granted import GrantsOf
    from jwt_lp.signin.requests import Credentials
    from jwt_lp.signin.tokens import Tokens
    from jwt_lp.stores.families import SignInStore

T = TypeVar("T")
Authenticate: TypeAlias = Callable[[str, str], "str | None"]
"""Returns the subject that a username and a password belong to, or None if they are wrong."""

_NO_CONTENT: Final = Answer(int(HTTPStatus.NO_CONTENT), {"Cache-Control": "no-store"}, b"")


class SignIn:
    """Signs people in with a username and a password, and refreshes their access tokens.

    `issuer` makes the access tokens, for its default audience and client unless `audience` and `client` name others;
    `store` keeps the families of refresh tokens. `authenticate` returns the subject that a username and a password belong
    to, or None. `permissions` returns what a subject is granted now: an iterable of permissions, or `Granted` with roles;
    None if it may not sign in. It is asked at sign-in and at each refresh.

    An access token lives `access_lifetime` seconds, by default as long as the issuer says. A refresh token lives
    `refresh_lifetime` seconds, and the sign-in at most `family_lifetime`. For `grace` seconds after a refresh, the same
    refresh token gets the same successor again; later, its use ends the sign-in. `push` is the URL of a Redis server, as in
    the setting `PUSH`: services learn there at once that a session has ended, and failed attempts are counted there.
    `throttle` slows these attempts, by default a `Throttle(push)`. `reference` returns a short random text for each refusal, `clock` seconds since the epoch.

    Raises `ConfigurationError` for settings that cannot work.
    """

    max_body: Final = MAX_BODY

    def __init__(  # noqa: PLR0913 - keywords, each with a default
        self,
        issuer: Issuer,
        store: SignInStore,
        *,
        authenticate: Authenticate | None = None,
        permissions: GrantsOf | None = None,
        audience: str | None = None,
        client: str | None = None,
        access_lifetime: float | None = None,
        refresh_lifetime: float = REFRESH_LIFETIME,
        family_lifetime: float = FAMILY_LIFETIME,
        grace: float = GRACE,
        push: str | None = None,
        throttle: Throttle | None = None,
        reference: Callable[[], str] = lambda: secrets.token_hex(5),
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.sessions: Sessions = Sessions(
            issuer,
            store,
            permissions=permissions,
            audience=audience,
            client=client,
            access_lifetime=access_lifetime,
            refresh_lifetime=refresh_lifetime,
            family_lifetime=family_lifetime,
            grace=grace,
            push=push,
            clock=clock,
        )
        self.issuer: Issuer = issuer
        self._authenticate = authenticate
        self._throttle = Throttle(push) if throttle is None else throttle
        self._reference = reference

    @clears_locals
    def obtain(self, content_type: str | None, body: bytes, *, address: str | None) -> Answer:
        """Answer a POST request that signs in: `username` and `password`, as JSON or as a form.

        `address` is that of the client, by which failed attempts are counted; None if the host knows none. A host need
        not read more than `max_body` + 1 bytes of the body.
        """
        tokens = self.obtain_tokens(content_type, body, address=address)
        return tokens if isinstance(tokens, Answer) else tokens.answer

    @clears_locals
    def obtain_tokens(self, content_type: str | None, body: bytes, *, address: str | None) -> Tokens | Answer:
        """Sign in as `obtain` does; return the tokens, or the answer that refuses."""
        account = ""
        try:
            credentials = read_credentials(content_type, body)
            account = account_label(credentials.username)
            return self._sign_in(credentials, address)
        except SignInRefused as refused:
            return self.refuse(refused, "sign-in-refused", account=account, address=address)

    @clears_locals
    def refresh(
        self, content_type: str | None, body: bytes, *, refresh_token: str | None = None, address: str | None
    ) -> Answer:
        """Answer a POST request for new tokens: `refresh_token`, as JSON or as a form.

        Or the host passes the token that it has read from a cookie as `refresh_token`, and the body is empty.
        """
        tokens = self.refresh_tokens(content_type, body, refresh_token=refresh_token, address=address)
        return tokens if isinstance(tokens, Answer) else tokens.answer

    @clears_locals
    def refresh_tokens(
        self, content_type: str | None, body: bytes, *, refresh_token: str | None = None, address: str | None
    ) -> Tokens | Answer:
        """Refresh as `refresh` does; return the tokens, or the answer that refuses."""
        try:
            return self._decided(self.sessions.renew, read_refresh_token(content_type, body, refresh_token))
        except SignInRefused as refused:
            return self.refuse(refused, "refresh-refused", address=address)

    @clears_locals
    def sign_out(
        self, content_type: str | None, body: bytes, *, refresh_token: str | None = None, address: str | None
    ) -> Answer:
        """Answer a POST request that signs out, with the same body as `refresh`: 204.

        A refresh token that is not accepted any more is answered in the same way (RFC 7009, section 2.2).
        """
        try:
            self._decided(self.sessions.end, read_refresh_token(content_type, body, refresh_token))
        except SignInRefused as refused:
            if refused.status == HTTPStatus.UNAUTHORIZED:
                return _NO_CONTENT
            return self.refuse(refused, "sign-out-refused", address=address)
        return _NO_CONTENT

    @clears_locals
    def sign_out_everywhere(
        self, content_type: str | None, body: bytes, *, refresh_token: str | None = None, address: str | None
    ) -> Answer:
        """Answer a POST request that signs the subject out everywhere, with the same body as `refresh`: 204.

        The refresh token must be one that `refresh` would accept.
        """
        try:
            self._decided(self.sessions.end_everywhere, read_refresh_token(content_type, body, refresh_token))
        except SignInRefused as refused:
            return self.refuse(refused, "sign-out-refused", address=address)
        return _NO_CONTENT

    def refuse(
        self, refused: SignInRefused, event: str = "sign-in-refused", *, account: str = "", address: str | None = None
    ) -> Answer:
        """Log a refusal, and return the answer for it."""
        reference = self._reference()
        level = logging.ERROR if refused.status == HTTPStatus.INTERNAL_SERVER_ERROR else logging.WARNING
        log_event(
            level,
            event,
            {
                "status": int(refused.status),
                "error": refused.error,
                "cause": refused.cause,
                "detail": refused.detail,
                "issuer": self.issuer.issuer,
                "subject": refused.subject,
                "account": account,
                "address": address,
                "reference": reference,
            },
        )
        return refused.answer(reference)

    @clears_locals
    def _sign_in(self, credentials: Credentials, address: str | None) -> Tokens:
        if self._authenticate is None:
            raise ConfigurationError("nothing authenticates here: pass authenticate= to SignIn")
        attempt = read_attempt(credentials.username, address)
        wait = self._throttle.reserve(attempt)
        if wait > 0:
            raise SignInRefused(
                HTTPStatus.TOO_MANY_REQUESTS, TOO_MANY, "throttled", f"for {wait:.0f} s", retry_after=wait
            )
        try:
            subject = _read_subject(self._authenticate(*credentials))
        except BaseException:
            self._throttle.withdraw(attempt)
            raise
        if subject is None:
            raise SignInRefused(HTTPStatus.UNAUTHORIZED, WRONG_CREDENTIALS, "credentials")
        self._throttle.succeed(attempt)
        try:
            return self._decided(self.sessions.start, subject)
        except SignInRefused as refused:
            if refused.status != HTTPStatus.UNAUTHORIZED:
                raise
            # The same answer as for a wrong password: it does not say that the password was right.
            raise SignInRefused(
                refused.status, WRONG_CREDENTIALS, refused.cause, refused.detail, subject=subject
            ) from None

    @clears_locals
    def _decided(self, call: Callable[[str], T], value: str) -> T:
        """The result of a call on the sessions, with every expected error as `SignInRefused`."""
        try:
            return call(value)
        except PolicyError as error:
            if error.reason == "revoked":
                raise refresh_refused("revoked", str(error)) from None
            if error.reason == "undecided":
                raise undecided("undecided", str(error)) from None
            raise SignInRefused(
                HTTPStatus.INTERNAL_SERVER_ERROR, MISCONFIGURED, f"policy_{error.reason}", str(error)
            ) from None
        except (StoreError, ConfigurationError) as error:
            raise undecided(error.code, str(error)) from None


def _read_subject(subject: object) -> str | None:
    """What `authenticate` returned; `ConfigurationError` for another type, such as a user or a coroutine."""
    if subject is None or (isinstance(subject, str) and subject):
        return subject
    raise ConfigurationError(f"authenticate returned {type(subject).__name__}: return a non-empty str, or None")
