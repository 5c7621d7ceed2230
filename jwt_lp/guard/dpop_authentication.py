"""Authentication where an issuer has `DPOP`: tokens that are bound to a key, with a proof of it (RFC 9449)."""

from __future__ import annotations

from hashlib import sha256
from http import HTTPStatus
from typing import TYPE_CHECKING, Final

from jwt_lp._support.json_types import is_json_object
from jwt_lp.errors import InvalidToken
from jwt_lp.guard.bearer import MALFORMED, NONE, SCHEME, TOKEN, parse_dpop
from jwt_lp.guard.decisions import INVALID_PROOF, WEBSOCKET, Cause
from jwt_lp.guard.replay_memory import ReplayMemory
from jwt_lp.guard.request_authentication import RequestAuthenticator
from jwt_lp.tokens.claims import AccessToken
from jwt_lp.tokens.dpop import MAX_AHEAD, MAX_PROOF, ProofContext, verify_proof

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from jwt_lp._support.worker import Worker
    from jwt_lp.guard.decisions import Call
    from jwt_lp.guard.issuer_settings import IssuerSettings
    from jwt_lp.guard.settings import Settings
    from jwt_lp.guard.store_sync import StoreSync

_MARGIN: Final = 1.0
_FULL_RETRY: Final = 5.0


class DpopAuthenticator(RequestAuthenticator):
    """A `RequestAuthenticator` that asks for a proof, at every request, with each token that is bound by `jkt`.

    Such a token has the scheme `DPoP`, and any other token has not. A proof is accepted once in this process.
    """

    def __init__(self, settings: Settings, worker: Worker, sync: StoreSync | None, clock: Callable[[], float]) -> None:
        super().__init__(settings, worker, sync, clock)
        self._issuers: dict[str, IssuerSettings] = {issuer.name: issuer for issuer in settings.issuers}
        window = max(issuer.dpop_max_age + 2 * issuer.leeway for issuer in settings.issuers if issuer.dpop)
        self._proofs = ReplayMemory(window + MAX_AHEAD + _MARGIN)

    def authenticate(
        self,
        authorization: str | Sequence[str] | None,
        call: Call | None,
        known: AccessToken | bytes | None = None,
        *,
        wait: bool,
    ) -> AccessToken | Cause | None:
        """As `Authenticator.authenticate`; a token that is bound to a key is accepted only with a proof for `call`."""
        kind, text = parse_dpop(authorization)
        if kind is MALFORMED:
            return Cause(HTTPStatus.BAD_REQUEST, "invalid_request", "malformed_header", text)
        if kind is TOKEN:
            token = super().authenticate(f"{SCHEME}{text}", call, None, wait=wait)
        else:
            token = super().authenticate(authorization, call, known, wait=wait)
        if not isinstance(token, AccessToken):
            return token
        fault = self._scheme_fault(token, sent_as_dpop=kind is TOKEN)
        if fault is None and kind is TOKEN:
            fault = self._proof_fault(token, text, call)
        return token if fault is None else fault

    def carries_token(self, authorization: str | Sequence[str] | None) -> bool:
        """As `RequestAuthenticator.carries_token`, with the scheme `DPoP`."""
        return parse_dpop(authorization)[0] is not NONE or super().carries_token(authorization)

    def _scheme_fault(self, token: AccessToken, *, sent_as_dpop: bool) -> Cause | None:
        """The fault of a token that was not sent as such a token has to be (RFC 9449, section 7.1)."""
        issuer = self._issuers[token.issuer_name]
        is_bound = bool(issuer.dpop) and "jkt" in _confirmation(token)
        if is_bound and not sent_as_dpop:
            detail = (
                "the token is bound to a key: it has to be sent with the scheme DPoP and a proof, not as a bearer token"
            )
        elif sent_as_dpop and not is_bound:
            detail = "the token was sent with the scheme DPoP, and is bound to no key: send it as a bearer token"
        elif not is_bound and issuer.dpop == "required":
            detail = 'DPOP is "required", and the token is bound to no key: have the client request tokens with DPoP'
            return Cause(HTTPStatus.UNAUTHORIZED, "invalid_token", "dpop_required", detail, token.fingerprint)
        else:
            return None
        return Cause(HTTPStatus.UNAUTHORIZED, "invalid_token", "dpop_scheme", detail, token.fingerprint)

    def _proof_fault(self, token: AccessToken, text: str, call: Call | None) -> Cause | None:
        lines = () if call is None else call.field("dpop")
        if call is None or len(lines) != 1 or "," in lines[0]:
            count = "no proof came with the token" if not lines else "more than one proof was sent"
            return Cause(
                HTTPStatus.UNAUTHORIZED,
                INVALID_PROOF,
                "dpop_missing",
                f"{count}: send one header DPoP",
                token.fingerprint,
            )
        proof = lines[0]
        # INVARIANT: a proof that was accepted for this very request is good for what else the request is asked about.
        seen = sha256(f"{text} {proof}".encode()).digest() if len(proof) <= MAX_PROOF else b""
        if call.memo is not None and seen and call.memo.proof == seen:
            return None
        issuer = self._issuers[token.issuer_name]
        method = "GET" if call.method == WEBSOCKET else call.method
        context = ProofContext(
            method, call.url(), text, _confirmation(token)["jkt"], issuer.dpop_max_age, issuer.leeway
        )
        try:
            digest = verify_proof(proof, context, self._clock())
        except InvalidToken as error:
            return Cause(HTTPStatus.UNAUTHORIZED, INVALID_PROOF, error.cause, error.detail, token.fingerprint)
        return self._replay_fault(digest, seen, token, call)

    def _replay_fault(self, digest: bytes, seen: bytes, token: AccessToken, call: Call) -> Cause | None:
        """The fault of a good proof that was used before; otherwise it is remembered."""
        new = self._proofs.add(digest)
        if new is None:
            detail = "too many proofs were used in the last minute to remember another"
            status = HTTPStatus.SERVICE_UNAVAILABLE
            return Cause(status, None, "dpop_memory", detail, token.fingerprint, retry_after=_FULL_RETRY)
        if not new:
            detail = "the proof was used before: make one for each request"
            return Cause(HTTPStatus.UNAUTHORIZED, INVALID_PROOF, "dpop_replayed", detail, token.fingerprint)
        if call.memo is not None:
            call.memo.proof = seen
        return None


def _confirmation(token: AccessToken) -> dict[str, object]:
    # The claims are only read here, so no read-only copy is needed.
    confirmation = token._claims.get("cnf")  # noqa: SLF001  # pyright: ignore[reportPrivateUsage]
    return dict(confirmation) if is_json_object(confirmation) else {}
