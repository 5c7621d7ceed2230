"""Authentication: from an Authorization header to a verified access token."""

from __future__ import annotations

import math
import os
from http import HTTPStatus
from typing import TYPE_CHECKING, ClassVar, Final

from jwt_lp._support.worker import weak_callback
from jwt_lp.errors import InvalidToken, KeysPending, KeysUnavailable
from jwt_lp.guard.bearer import MALFORMED, MAX_LINE, NONE, SCHEME, parse_authorization
from jwt_lp.guard.decisions import Cause
from jwt_lp.guard.development import is_development_token, is_local
from jwt_lp.jose.jws import fingerprint
from jwt_lp.tokens.claims import AccessToken
from jwt_lp.tokens.verification import Verifier

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from jwt_lp._support.worker import Worker
    from jwt_lp.guard.decisions import Call
    from jwt_lp.guard.settings import Settings
    from jwt_lp.guard.store_sync import StoreSync
    from jwt_lp.jose.jwks import KeySource, StaticKeys
    from jwt_lp.tokens.trusted_issuer import TrustedIssuer

NO_CREDENTIAL: Final = "no_credential"
_NO_CREDENTIAL: Final = Cause(HTTPStatus.UNAUTHORIZED, None, "no_credential", "no bearer token was sent")
# How a token is refused whose key the issuer does not have.
_KEY_CAUSES: Final = frozenset({"algorithm", "unknown_key", KeysUnavailable.code})
_DEVELOPMENT_OFF: Final = (
    "this is a development token: set JWT_LP_DEV=1 where the service runs, on the developer's machine"
)
_CHECK_INTERVAL: Final = 1.0


class Authenticator:
    """Verifies the tokens of the issuers in the settings.

    `worker` refreshes their keys. With a store (`sync`), no token is accepted before this process has polled it once.
    """

    reads_header_only: ClassVar[bool] = True
    """Whether nothing but the Authorization header decides. Otherwise no guard takes its short way for known headers."""

    def __init__(self, settings: Settings, worker: Worker, sync: StoreSync | None, clock: Callable[[], float]) -> None:
        self._worker = worker
        self._sync = sync
        self._clock = clock
        hosts = settings.allow_http_hosts
        self.sources: dict[str, KeySource] = {issuer.name: issuer.key_source(hosts) for issuer in settings.issuers}
        self._development = settings.development
        development = _development_keys() if settings.development else None
        trusted = [issuer.to_trusted_issuer(self.sources[issuer.name], development) for issuer in settings.issuers]
        self.verifier: Verifier = _verifier(settings, trusted, worker, clock)
        self._leeways = {issuer.name: issuer.leeway for issuer in settings.issuers}
        for source in self.sources.values():
            source.start(worker)
        worker.ensure_running()
        self._settled_from, self._settled_until = 0.0, -math.inf
        # When a guard may take its short way for known headers: while the process is settled, or never.
        self.settled_from: float = 0.0
        self.settled_until: float = -math.inf
        os.register_at_fork(after_in_child=weak_callback(self._check_after_fork))

    def authenticate(
        self,
        authorization: str | Sequence[str] | None,
        call: Call | None,
        known: AccessToken | bytes | None = None,
        *,
        wait: bool,
    ) -> AccessToken | Cause | None:
        """The verified token, the cause of a refusal, or None if the answer needs a wait and `wait` is False.

        `known` is what `Verifier.recall` returned for the token in the header, if the caller has asked it already.
        """
        now = self._clock()
        if not self._settled_from <= now < self._settled_until:
            self._check_process(now)
        if known is None:
            line = only_line(authorization)
            if line.startswith(SCHEME) and len(line) <= MAX_LINE and line.isascii():
                known = self.verifier.recall(line[len(SCHEME) :], now)
        token = known if isinstance(known, AccessToken) else self._verify(authorization, known, now, wait=wait)
        # INVARIANT: while the process is settled, every verified token may be used in every call.
        if now < self._settled_until or not isinstance(token, AccessToken):
            return token
        return self._admit(token, call, wait=wait)

    def _check_process(self, now: float) -> None:
        """Start the worker where it does not run, and say whether the next second needs no such check."""
        self._worker.ensure_running()
        settled = not self._development and (self._sync is None or self._sync.first_poll_done)
        # The time of the check is kept too: after the clock was set back, the next check is due at once.
        self._settled_from, self._settled_until = now, now + _CHECK_INTERVAL if settled else now
        if self.reads_header_only:
            self.settled_from, self.settled_until = self._settled_from, self._settled_until

    def _check_after_fork(self) -> None:
        """A forked child has no worker yet, and has not polled."""
        self._settled_until = self.settled_until = -math.inf

    def _verify(
        self, authorization: str | Sequence[str] | None, cache_key: bytes | None, now: float, *, wait: bool
    ) -> AccessToken | Cause | None:
        kind, text = parse_authorization(authorization)
        if kind is NONE:
            return _NO_CREDENTIAL
        if kind is MALFORMED:
            return Cause(HTTPStatus.BAD_REQUEST, "invalid_request", "malformed_header", text)
        try:
            return self.verifier.verify(text, wait=wait, now=now, cache_key=cache_key)
        except InvalidToken as error:
            detail = self._key_detail(text, error.cause, error.detail)
            shown = _fingerprint(text, cache_key)
            return Cause(HTTPStatus.UNAUTHORIZED, "invalid_token", error.cause, detail, shown)
        except KeysPending:
            return None
        except KeysUnavailable as error:
            status, shown = HTTPStatus.SERVICE_UNAVAILABLE, _fingerprint(text, cache_key)
            detail = self._key_detail(text, error.code, str(error))
            return Cause(status, None, error.code, detail, shown, retry_after=error.retry_after)

    def _admit(self, token: AccessToken, call: Call | None, *, wait: bool) -> AccessToken | Cause | None:
        """The token, if a token like this may be used in this call and by this process now."""
        # INVARIANT: tokens of a development key are accepted only from a peer on this machine, cached or not.
        if token.development and not is_local(call):
            detail = "a development token is accepted only from a loopback peer without forwarding headers"
            return Cause(HTTPStatus.UNAUTHORIZED, "invalid_token", "development_key", detail, token.fingerprint)
        sync = self._sync
        if sync is not None and not sync.first_poll_done and not sync.await_first_poll(wait=wait):
            return None
        return token

    def _key_detail(self, token: str, cause: str, detail: str) -> str:
        """The detail for the log; it says so if the token names a development key and this is not development."""
        if self._development or cause not in _KEY_CAUSES or not is_development_token(token):
            return detail
        return f"{detail}; {_DEVELOPMENT_OFF}"

    def expiry_cause(self, token: AccessToken) -> Cause | None:
        """The cause of a refusal if a token that was verified earlier has expired since, or never was one."""
        elevated = token.lineage is not None and token.lineage.elevations
        if self._clock() < token.expires_at + (0.0 if elevated else self._leeways.get(token.issuer_name, 0.0)):
            return None
        if token.is_anonymous:
            return _NO_CREDENTIAL
        detail = "the token expired since it was verified"
        return Cause(HTTPStatus.UNAUTHORIZED, "invalid_token", "expired", detail, token.fingerprint)


def _verifier(
    settings: Settings, trusted: Sequence[TrustedIssuer], worker: Worker, clock: Callable[[], float]
) -> Verifier:
    """The verifier, which introspects nothing without `INTROSPECTION`."""
    for issuer, trusted_issuer in zip(settings.issuers, trusted, strict=True):
        if issuer.introspection is not None:
            hosts = settings.allow_http_hosts
            return issuer.introspection.verifier(
                trusted, trusted_issuer, settings.policy, worker, allow_http_hosts=hosts, clock=clock
            )
    return Verifier(trusted, settings.policy, clock=clock)


def _development_keys() -> StaticKeys:
    # Imported where it is used: outside of development it would load what signs.
    from jwt_lp.guard.development_key import development_keys

    return development_keys()


def _fingerprint(token: str, cache_key: bytes | None) -> str:
    """The token's fingerprint, which begins its cache key if there is one."""
    return fingerprint(token) if cache_key is None else cache_key[:6].hex()


def only_line(authorization: str | Sequence[str] | None) -> str:
    """The line of a header that was sent once, otherwise ""."""
    if isinstance(authorization, str):
        return authorization
    return authorization[0] if authorization is not None and len(authorization) == 1 else ""
