"""May this caller have a narrower token?

The token endpoint of RFC 8693, for exchanging a token for one that holds less. Every host hands over the same plain
values and sends back the same answer; the endpoint authenticates its callers itself.
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

from jwt_lp._support.json_types import is_json_array, is_json_object
from jwt_lp.errors import InvalidToken, KeysUnavailable, PolicyError, clears_locals
from jwt_lp.guard.decisions import whole_seconds
from jwt_lp.guard.refusals import log_event
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
# What RFC 6749, section 5.2, keeps out of a description.
_UNFIT: Final = re.compile(r"[^ !#-\[\]-~]")
_LONGEST: Final = 400
# A longer line of validators is not looked through; the key set is sent again.
_LONGEST_LINE: Final = 4096

_UNDECIDED: Final = "It cannot be decided right now; try again."
_CODES: Final[Mapping[str, str]] = MappingProxyType(
    {"scope": "invalid_scope", "target": "invalid_target", "actor": "unauthorized_client"}
)


class Answer(NamedTuple):
    """What a host sends back as it is."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    def __repr__(self) -> str:
        return f"Answer({self.status}, masked)"


class TokenExchange:
    """A token endpoint that narrows tokens, and the key set that goes with it.

    `issuer` makes the tokens, `clients` says who is calling. A client may exchange a token that was made for it (it is
    the token's audience), or issued to it; either way it is the actor of the new token, which holds what both may.
    `reference` gives a short random text for each refusal, `clock` seconds since the epoch.
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
        """Answer a POST as it came, with every line of its Authorization header.

        Of a body that is longer, `max_body` + 1 bytes are enough to say so.
        """
        try:
            form = read_form(content_type or "", body)
        except TokenEndpointError as no:
            return self._refuse(no, None, "")
        return self.answer(form, authorization)

    @clears_locals
    def answer(self, form: Form, authorization: Sequence[str]) -> Answer:
        """Answer a request with these parameters, each with every value it was sent with (RFC 8693, section 2)."""
        # Only digests are kept of a token for the log; it is not shown in what is raised either.
        shown, client = "", None
        try:
            kept = require_single_values(form)
            client = self._client(kept, authorization)
            asked = read_exchange_request(kept)
            shown = jws.fingerprint(asked.token)
            return self._exchange(client, asked, shown)
        except TokenEndpointError as no:
            return self._refuse(no, client, shown)

    def jwks(self, if_none_match: Sequence[str] = ()) -> Answer:
        """The key set to publish, with a validator (RFC 9110, section 13.1.2); `if_none_match` is every such line."""
        keys = self.issuer.jwks().get("keys")
        # INVARIANT: nothing that signs is ever published, whoever made the set.
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
        lines = [line for line in if_none_match if len(line) <= _LONGEST_LINE]
        known = [each.strip().removeprefix("W/") for line in lines for each in line.split(",")]
        if etag in known or "*" in known:
            return Answer(int(HTTPStatus.NOT_MODIFIED), headers, b"")
        return Answer(int(HTTPStatus.OK), headers, body)

    def _client(self, form: Form, authorization: Sequence[str]) -> str:
        try:
            return self._clients.authenticate(form, authorization)
        except ClientRefused as refused:
            told = {"invalid_client": "Client authentication failed.", "temporarily_unavailable": _UNDECIDED}
            raise TokenEndpointError(
                refused.error, told.get(refused.error, refused.detail), refused.cause, refused.detail
            ) from None
        except KeysUnavailable as error:
            raise _later(error) from None

    def _exchange(self, client: str, asked: ExchangeRequest, shown: str) -> Answer:
        try:
            parent = self.issuer.verify(asked.token)
            self._check_caller(client, parent)
            token = self.issuer.narrow(asked.token, asked.permissions, audience=asked.audience, actor=client)
        except InvalidToken as error:
            raise TokenEndpointError("invalid_request", BAD_SUBJECT_TOKEN, error.cause, error.detail) from None
        except KeysUnavailable as error:
            raise _later(error) from None
        except PolicyError as error:
            raise _refusal(error) from None
        claims = jws.read_json(jws.parse_compact(token).payload, "payload")
        event = {
            "client": client,
            "issuer": parent.issuer,
            "subject": parent.subject,
            "token": shown,
            "audience": claims["aud"],
            "permissions": list(asked.permissions),
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
                "scope": " ".join(asked.permissions),
            },
        )

    def _check_caller(self, client: str, parent: AccessToken) -> None:
        # INVARIANT: who holds a token that was neither made for it nor issued to it has got hold of it elsewhere.
        # Another issuer's clients are not ours, even where they have the same name.
        issued_to = parent.client if parent.issuer == self.issuer.issuer else None
        if client not in (issued_to, *self.issuer.audiences(parent)):
            raise TokenEndpointError(
                "unauthorized_client",
                "The subject_token was neither issued for this client as audience nor issued to it.",
                "not_its_token",
                "the client is neither an audience of the token nor its client",
            )

    def _refuse(self, no: TokenEndpointError, client: str | None, shown: str) -> Answer:
        reference = self._reference()
        status, headers = _status(no)
        event = {
            "status": int(status),
            "error": no.error,
            "cause": no.cause,
            "detail": no.detail,
            "client": client,
            "token": shown,
            "reference": reference,
        }
        log_event(logging.WARNING, "exchange-refused", event)
        told = _UNFIT.sub("?", no.description.replace('"', "'"))[:_LONGEST]
        return _json(status, {"error": no.error, "error_description": told, "reference": reference}, headers)


def _status(no: TokenEndpointError) -> tuple[HTTPStatus, dict[str, str]]:
    """RFC 6749, section 5.2; what could not be decided is 503."""
    if no.error == "invalid_client":
        return HTTPStatus.UNAUTHORIZED, {"WWW-Authenticate": 'Basic realm="token endpoint"'}
    if no.error == "temporarily_unavailable":
        return HTTPStatus.SERVICE_UNAVAILABLE, {"Retry-After": str(whole_seconds(no.retry_after))}
    return HTTPStatus.BAD_REQUEST, {}


def _json(status: HTTPStatus, members: Mapping[str, object], headers: Mapping[str, str] | None = None) -> Answer:
    fixed = {"Content-Type": "application/json", "Cache-Control": "no-store"}
    return Answer(int(status), {**fixed, **(headers or {})}, json.dumps(members).encode())


def _later(error: KeysUnavailable) -> TokenEndpointError:
    return TokenEndpointError(
        "temporarily_unavailable", _UNDECIDED, error.code, str(error), retry_after=error.retry_after
    )


def _refusal(error: PolicyError) -> TokenEndpointError:
    if error.reason == "undecided":
        return TokenEndpointError("temporarily_unavailable", _UNDECIDED, "undecided", str(error))
    if error.reason == "revoked":
        return TokenEndpointError("invalid_request", BAD_SUBJECT_TOKEN, "revoked", str(error))
    return TokenEndpointError(_CODES.get(error.reason, "invalid_request"), str(error), error.reason)
