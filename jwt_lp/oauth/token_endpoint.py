"""The token endpoint of RFC 8693, which exchanges a token for one with fewer permissions.

Each host passes the same plain values in and sends the same answer back. The endpoint authenticates its clients itself.
"""

from __future__ import annotations

import hashlib
import json
import logging
import re
import secrets
import time
from collections.abc import Callable, Mapping, Sequence
from http import HTTPStatus
from types import MappingProxyType
from typing import TYPE_CHECKING, Final, NamedTuple, cast

from jwt_lp._support.events import log_event
from jwt_lp._support.json_types import is_json_array, is_json_object
from jwt_lp.errors import InvalidToken, KeysUnavailable, PolicyError, clears_locals
from jwt_lp.guard.decisions import whole_seconds
from jwt_lp.jose import jws
from jwt_lp.oauth.client_authentication import ClientRefused
from jwt_lp.oauth.exchange_request import (
    ACCESS_TOKEN,
    BAD_SUBJECT_TOKEN,
    MAX_BODY,
    ExchangeRequest,
    TokenEndpointError,
    read_exchange_request,
    read_form,
    require_single_values,
)

if TYPE_CHECKING:
    from jwt_lp.issuing.issuer import Issuer
    from jwt_lp.oauth.client_authentication import ClientAuthentication
    from jwt_lp.oauth.exchange_request import Form
    from jwt_lp.tokens.claims import AccessToken

JWKS_MAX_AGE: Final = 300

_PRIVATE: Final = frozenset({"d", "p", "q", "dp", "dq", "qi", "oth", "k"})
# Characters that RFC 6749, section 5.2, forbids in error_description.
_FORBIDDEN: Final = re.compile(r"[^ !#-\[\]-~]")
_MAX_DESCRIPTION: Final = 400
# A longer line of validators is not searched; the key set is sent again.
_MAX_LINE: Final = 4096

_UNDECIDED: Final = "It cannot be decided right now; try again."
_CODES: Final[Mapping[str, str]] = MappingProxyType(
    {"scope": "invalid_scope", "target": "invalid_target", "actor": "unauthorized_client"}
)


class Answer(NamedTuple):
    """A response that a host sends back unchanged."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    def __repr__(self) -> str:
        return f"Answer({self.status}, masked)"


class TokenExchange:
    """A token endpoint that narrows tokens, and the issuer's key set.

    `issuer` makes the tokens; `clients` authenticates the callers. A client may exchange a token if it is the token's
    audience or the token was issued to it. It becomes the actor of the new token, which holds only permissions that
    both the token and the client may have. `reference` returns a short random text for each refusal, `clock` seconds
    since the epoch.
    """

    max_body: Final = MAX_BODY

    def __init__(
        self,
        issuer: Issuer,
        clients: ClientAuthentication,
        *,
        reference: Callable[[], str] = lambda: secrets.token_hex(5),
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.issuer: Issuer = issuer
        self._clients = clients
        self._reference = reference
        self._clock = clock

    @clears_locals
    def post(self, content_type: str | None, body: bytes, authorization: Sequence[str]) -> Answer:
        """Answer a POST request; `authorization` is every line of that header.

        A host need not read more than `max_body` + 1 bytes of the body: a longer body is refused.
        """
        try:
            form = read_form(content_type or "", body)
        except TokenEndpointError as error:
            return self._refuse(error, None, "")
        return self.answer(form, authorization)

    @clears_locals
    def answer(self, form: Form, authorization: Sequence[str]) -> Answer:
        """Answer a request with these parameters, each with every value that was sent (RFC 8693, section 2)."""
        # Only the fingerprint of a token is logged.
        fingerprint, client = "", None
        try:
            form = require_single_values(form)
            client = self._client(form, authorization)
            request = read_exchange_request(form)
            fingerprint = jws.fingerprint(request.token)
            return self._exchange(client, request, fingerprint)
        except TokenEndpointError as error:
            return self._refuse(error, client, fingerprint)

    def jwks(self, if_none_match: Sequence[str] = ()) -> Answer:
        """The public key set with an ETag (RFC 9110, section 13.1.2); `if_none_match` is every line of that header."""
        keys = self.issuer.jwks().get("keys")
        # INVARIANT: no private key is ever published, even if the issuer's key set contains one.
        public = (
            [key for key in keys if is_json_object(key) and _PRIVATE.isdisjoint(key)] if is_json_array(keys) else []
        )
        body = json.dumps({"keys": public}, sort_keys=True, separators=(",", ":")).encode()
        etag = f'"{hashlib.sha256(body).hexdigest()[:32]}"'
        headers = {
            "Content-Type": "application/jwk-set+json",
            "Cache-Control": f"public, max-age={JWKS_MAX_AGE}",
            "ETag": etag,
        }
        lines = [line for line in if_none_match if len(line) <= _MAX_LINE]
        etags = [part.strip().removeprefix("W/") for line in lines for part in line.split(",")]
        if etag in etags or "*" in etags:
            return Answer(int(HTTPStatus.NOT_MODIFIED), headers, b"")
        return Answer(int(HTTPStatus.OK), headers, body)

    def _client(self, form: Form, authorization: Sequence[str]) -> str:
        try:
            return self._clients.authenticate(form, authorization)
        except ClientRefused as refused:
            public = {"invalid_client": "Client authentication failed.", "temporarily_unavailable": _UNDECIDED}
            raise TokenEndpointError(
                refused.error, public.get(refused.error, refused.detail), refused.cause, refused.detail
            ) from None
        except KeysUnavailable as error:
            raise _keys_unavailable_error(error) from None

    def _exchange(self, client: str, request: ExchangeRequest, fingerprint: str) -> Answer:
        try:
            parent = self.issuer.verify(request.token)
            self._check_caller(client, parent)
            token = self.issuer.narrow(request.token, request.permissions, audience=request.audience, actor=client)
        except InvalidToken as error:
            raise TokenEndpointError("invalid_request", BAD_SUBJECT_TOKEN, error.cause, error.detail) from None
        except KeysUnavailable as error:
            raise _keys_unavailable_error(error) from None
        except PolicyError as error:
            raise _policy_error(error) from None
        claims = jws.read_json(jws.parse_compact(token).payload, "payload")
        event = {
            "client": client,
            "issuer": parent.issuer,
            "subject": parent.subject,
            "token": fingerprint,
            "audience": claims["aud"],
            "permissions": list(request.permissions),
            "made": jws.fingerprint(token),
        }
        log_event(logging.INFO, "exchanged", event)
        return _json(
            HTTPStatus.OK,
            {
                "access_token": token,
                "issued_token_type": ACCESS_TOKEN,
                "token_type": "Bearer",
                "expires_in": max(0, int(cast(int, claims["exp"]) - self._clock())),
                "scope": " ".join(request.permissions),
            },
        )

    def _check_caller(self, client: str, parent: AccessToken) -> None:
        # INVARIANT: a client cannot exchange a token that was neither made for it nor issued to it, because it may
        # have stolen it. The clients of another issuer are not ours, even if they have the same name.
        issued_to = parent.client if parent.issuer == self.issuer.issuer else None
        if client not in (issued_to, *self.issuer.audiences(parent)):
            raise TokenEndpointError(
                "unauthorized_client",
                "The subject_token was neither issued for this client as audience nor issued to it.",
                "not_its_token",
                "the client is neither an audience of the token nor its client",
            )

    def _refuse(self, refusal: TokenEndpointError, client: str | None, fingerprint: str) -> Answer:
        reference = self._reference()
        status, headers = _status(refusal)
        event = {
            "status": int(status),
            "error": refusal.error,
            "cause": refusal.cause,
            "detail": refusal.detail,
            "client": client,
            "token": fingerprint,
            "reference": reference,
        }
        log_event(logging.WARNING, "exchange-refused", event)
        description = _FORBIDDEN.sub("?", refusal.description.replace('"', "'"))[:_MAX_DESCRIPTION]
        body = {"error": refusal.error, "error_description": description, "reference": reference}
        return _json(status, body, headers)


def _status(refusal: TokenEndpointError) -> tuple[HTTPStatus, dict[str, str]]:
    """Status and headers (RFC 6749, section 5.2); 503 if nothing could be decided."""
    if refusal.error == "invalid_client":
        return HTTPStatus.UNAUTHORIZED, {"WWW-Authenticate": 'Basic realm="token endpoint"'}
    if refusal.error == "temporarily_unavailable":
        return HTTPStatus.SERVICE_UNAVAILABLE, {"Retry-After": str(whole_seconds(refusal.retry_after))}
    return HTTPStatus.BAD_REQUEST, {}


def _json(status: HTTPStatus, members: Mapping[str, object], headers: Mapping[str, str] | None = None) -> Answer:
    fixed = {"Content-Type": "application/json", "Cache-Control": "no-store"}
    return Answer(int(status), {**fixed, **(headers or {})}, json.dumps(members).encode())


def _keys_unavailable_error(error: KeysUnavailable) -> TokenEndpointError:
    return TokenEndpointError(
        "temporarily_unavailable", _UNDECIDED, error.code, str(error), retry_after=error.retry_after
    )


def _policy_error(error: PolicyError) -> TokenEndpointError:
    if error.reason == "undecided":
        return TokenEndpointError("temporarily_unavailable", _UNDECIDED, "undecided", str(error))
    if error.reason == "revoked":
        return TokenEndpointError("invalid_request", BAD_SUBJECT_TOKEN, "revoked", str(error))
    return TokenEndpointError(_CODES.get(error.reason, "invalid_request"), str(error), error.reason)
