"""The request of a token exchange (RFC 8693, section 2.1).

Form parameters follow RFC 6749, section 3.2 and appendix B.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final, NamedTuple, NoReturn, TypeAlias
from urllib.parse import parse_qsl

from jwt_lp.errors import JwtLpError
from jwt_lp.permissions.grants import MAX_LENGTH

Form: TypeAlias = Mapping[str, Sequence[str]]
"""Parameters of a request, each with every value that was sent."""

TOKEN_EXCHANGE: Final = "urn:ietf:params:oauth:grant-type:token-exchange"
ACCESS_TOKEN: Final = "urn:ietf:params:oauth:token-type:access_token"
JWT: Final = "urn:ietf:params:oauth:token-type:jwt"

BAD_SUBJECT_TOKEN: Final = "The subject_token is expired, revoked, malformed or not exchangeable here."
"""The description for every unusable token; `ExchangeClient` recognises it."""

MAX_BODY: Final = 64 * 1024
MAX_FIELDS: Final = 32
MAX_PERMISSIONS: Final = 100

_TYPES: Final = frozenset({ACCESS_TOKEN, JWT})
_MAX_CONTENT_TYPE: Final = 256
_FORM: Final = "application/x-www-form-urlencoded"
# RFC 8693, section 2.1, allows these two more than once.
_REPEATABLE: Final = frozenset({"audience", "resource"})


class TokenEndpointError(JwtLpError):
    """A refusal: RFC 6749 error code and description for the client; cause and detail for the log; seconds to retry."""

    def __init__(
        self, error: str, description: str, cause: str = "", detail: str = "", *, retry_after: float | None = None
    ) -> None:
        self.error = error
        self.description = description
        self.cause: str = cause or error
        self.detail: str = detail or description
        self.retry_after = retry_after
        super().__init__(error)


class ExchangeRequest(NamedTuple):
    """The content of a well-formed request."""

    token: str
    permissions: tuple[str, ...]
    audience: str | None

    def __repr__(self) -> str:
        return "ExchangeRequest(masked)"


def read_form(content_type: str, body: bytes) -> Form:
    """The parameters of a form body (RFC 6749, appendix B); `TokenEndpointError` for any other body."""
    if content_type[:_MAX_CONTENT_TYPE].partition(";")[0].strip().lower() != _FORM:
        raise TokenEndpointError("invalid_request", f"The parameters are sent in the body, as {_FORM}.", "content_type")
    if len(body) > MAX_BODY:
        raise TokenEndpointError("invalid_request", f"The body is longer than {MAX_BODY} bytes.", "too_large")
    form: dict[str, list[str]] = {}
    try:
        pairs = parse_qsl(
            body.decode("ascii"),
            keep_blank_values=True,
            strict_parsing=True,
            errors="strict",
            max_num_fields=MAX_FIELDS,
        )
    except ValueError:
        pairs = []
    if not pairs:
        raise TokenEndpointError(
            "invalid_request", f"The body is not {_FORM}, is empty or has too many parameters.", "malformed"
        )
    for name, value in pairs:
        form.setdefault(name, []).append(value)
    return form


def require_single_values(form: Form) -> Form:
    """The parameters that have a value; `TokenEndpointError` for a forbidden repetition (RFC 6749, section 3.2)."""
    if any(len(values) > 1 and name not in _REPEATABLE for name, values in form.items()):
        raise TokenEndpointError("invalid_request", "A parameter is sent more than once.", "repeated")
    non_empty = {name: [value for value in values if value] for name, values in form.items()}
    return {name: values for name, values in non_empty.items() if values}


def read_exchange_request(form: Form) -> ExchangeRequest:
    """Read the parameters of RFC 8693, section 2.1; `TokenEndpointError` if they are invalid."""
    first = {name: values[0] for name, values in form.items()}
    if first.get("grant_type") != TOKEN_EXCHANGE:
        if "grant_type" not in first:
            _invalid_request("grant_type is missing.")
        raise TokenEndpointError("unsupported_grant_type", f"The one grant_type here is {TOKEN_EXCHANGE}.")
    if "subject_token" not in first:
        _invalid_request("subject_token is missing.")
    if first.get("subject_token_type") not in _TYPES:
        _invalid_request(f"subject_token_type is {ACCESS_TOKEN} or {JWT}.")
    if first.get("requested_token_type", ACCESS_TOKEN) not in _TYPES:
        _invalid_request(f"requested_token_type is {ACCESS_TOKEN} or {JWT}.")
    # INVARIANT: the actor is the client that authenticated; it is never read from the form.
    if not {"actor_token", "actor_token_type"}.isdisjoint(first):
        _invalid_request("actor_token is not accepted: the actor is the client that authenticates.")
    return ExchangeRequest(first["subject_token"], _permissions(first.get("scope", "")), _target(form))


def _permissions(scope: str) -> tuple[str, ...]:
    permissions = tuple(dict.fromkeys(filter(None, scope.split(" "))))
    # INVARIANT: nothing is granted by default.
    if not permissions:
        raise TokenEndpointError("invalid_scope", "scope is missing: name the permissions of the new token.")
    # Each is compared with the whole catalogue, so the number is limited.
    if len(permissions) > MAX_PERMISSIONS:
        raise TokenEndpointError(
            "invalid_scope", f"At most {MAX_PERMISSIONS} permissions can be requested at once.", "too_many"
        )
    # INVARIANT: an answer or the log repeats only text as short as a permission, so never a token sent by mistake.
    if any(len(permission) > MAX_LENGTH for permission in permissions):
        raise TokenEndpointError("invalid_scope", f"A permission has at most {MAX_LENGTH} characters.", "too_long")
    return permissions


def _target(form: Form) -> str | None:
    targets = {*form.get("audience", ()), *form.get("resource", ())}
    if len(targets) > 1:
        raise TokenEndpointError("invalid_target", "A token is issued for one audience: name one.", "several_audiences")
    target = next(iter(targets), None)
    if target is not None and len(target) > MAX_LENGTH:
        raise TokenEndpointError("invalid_target", f"An audience has at most {MAX_LENGTH} characters.", "too_long")
    return target


def _invalid_request(description: str) -> NoReturn:
    raise TokenEndpointError("invalid_request", description)
