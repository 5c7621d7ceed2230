"""Authentication: from an Authorization header to a verified access token."""

from __future__ import annotations

from http import HTTPStatus
from typing import TYPE_CHECKING, Final

from jwt_lp.errors import InvalidToken, KeysPending, KeysUnavailable
from jwt_lp.guard.bearer import MALFORMED, NONE, parse_authorization
from jwt_lp.guard.decisions import Cause
from jwt_lp.guard.development import is_development_token, is_local
from jwt_lp.jose.jws import fingerprint
from jwt_lp.tokens.verification import Verifier

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from jwt_lp._support.worker import Worker
    from jwt_lp.guard.decisions import Call
    from jwt_lp.guard.settings import Settings
    from jwt_lp.guard.store_sync import StoreSync
    from jwt_lp.jose.jwks import KeySource, StaticKeys
    from jwt_lp.tokens.claims import AccessToken

_NO_CREDENTIAL: Final = Cause(HTTPStatus.UNAUTHORIZED, None, "no_credential", "no bearer token was sent")
# How a token is refused whose key the issuer does not have.
_KEY_CAUSES: Final = frozenset({"algorithm", "unknown_key", KeysUnavailable.code})
_DEVELOPMENT_OFF: Final = (
    "this is a development token: set JWT_LP_DEV=1 where the service runs, on the developer's machine"
)
_WORKER_CHECK_INTERVAL: Final = 1.0


class Authenticator:
    """Verifies the tokens of the issuers in the settings.

    `worker` refreshes their keys. With a store (`sync`), no token is accepted before this process has polled it once.
    """

    def __init__(self, settings: Settings, worker: Worker, sync: StoreSync | None, clock: Callable[[], float]) -> None:
        self._worker = worker
        self._sync = sync
        self._clock = clock
        hosts = settings.allow_http_hosts
        self.sources: dict[str, KeySource] = {issuer.name: issuer.key_source(hosts) for issuer in settings.issuers}
        self._development = settings.development
        development = _development_keys() if settings.development else None
        trusted = [issuer.to_trusted_issuer(self.sources[issuer.name], development) for issuer in settings.issuers]
        self.verifier: Verifier = Verifier(trusted, settings.policy, clock=clock)
        self._leeways = {issuer.name: issuer.leeway for issuer in settings.issuers}
        for source in self.sources.values():
            source.start(worker)
        worker.ensure_running()
        self._worker_checked_at = clock()

    def authenticate(
        self, authorization: str | Sequence[str] | None, call: Call | None, *, wait: bool
    ) -> AccessToken | Cause | None:
        """The verified token, the cause of a refusal, or None if the answer needs a wait and `wait` is False."""
        now = self._clock()
        if not self._worker_checked_at <= now < self._worker_checked_at + _WORKER_CHECK_INTERVAL:
            # The worker is checked once a second: it has to be started again after a fork.
            self._worker_checked_at = now
            self._worker.ensure_running()
        kind, text = parse_authorization(authorization)
        if kind is NONE:
            return _NO_CREDENTIAL
        if kind is MALFORMED:
            return Cause(HTTPStatus.BAD_REQUEST, "invalid_request", "malformed_header", text)
        try:
            token = self.verifier.verify(text, wait=wait, now=now)
        except InvalidToken as error:
            detail = self._key_detail(text, error.cause, error.detail)
            return Cause(HTTPStatus.UNAUTHORIZED, "invalid_token", error.cause, detail, fingerprint(text))
        except KeysPending:
            return None
        except KeysUnavailable as error:
            status, shown = HTTPStatus.SERVICE_UNAVAILABLE, fingerprint(text)
            detail = self._key_detail(text, error.code, str(error))
            return Cause(status, None, error.code, detail, shown, retry_after=error.retry_after)
        # INVARIANT: tokens of a development key are accepted only from a peer on this machine.
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
        """The cause of a refusal if a token that was verified earlier has expired since."""
        if self._clock() < token.expires_at + self._leeways.get(token.issuer_name, 0.0):
            return None
        detail = "the token expired since it was verified"
        return Cause(HTTPStatus.UNAUTHORIZED, "invalid_token", "expired", detail, token.fingerprint)


def _development_keys() -> StaticKeys:
    # Imported where it is used: outside of development it would load what signs.
    from jwt_lp.guard.development_key import development_keys

    return development_keys()
