"""Client authentication at a token endpoint (RFC 6749, section 2.3), and client secrets (section 2.3.1).

`jwt_lp.oauth.private_key_jwt` authenticates clients by signed assertions.
"""

from __future__ import annotations

import binascii
import hashlib
import hmac
import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Final, Protocol, final
from urllib.parse import unquote_plus

from jwt_lp.errors import ConfigurationError, JwtLpError, clears_locals

if TYPE_CHECKING:
    from jwt_lp.oauth.exchange_request import Form

BASIC: Final = "client_secret_basic"
POST: Final = "client_secret_post"
ASSERTION: Final = "private_key_jwt"

MAX_CLIENT_ID: Final = 256
_MAX_HEADER: Final = 4096
# 128 bits in base64url, because a secret must not be guessable (RFC 6749, section 10.10).
_MIN_SECRET_LENGTH: Final = 22
_DIGEST: Final = re.compile(r"sha256:([0-9a-f]{64})")
_BAD_ESCAPE: Final = re.compile(r"%(?![0-9A-Fa-f]{2})")
_UNKNOWN_CLIENT_DIGESTS: Final = (bytes(32),)


class ClientRefused(JwtLpError):
    """The client did not prove its identity.

    `error` is `invalid_client`, `invalid_request` or `temporarily_unavailable`. `cause` is a stable slug and `detail`
    an explanation for the operator. Neither contains a secret, nor a name that could be one.
    """

    code = "invalid_client"

    def __init__(self, error: str, cause: str, detail: str) -> None:
        self.error = error
        self.cause = cause
        self.detail = detail
        super().__init__(error, cause, detail)

    def __str__(self) -> str:
        return f"{self.cause}: {self.detail}"


class ClientAuthentication(Protocol):
    """The interface by which a token endpoint authenticates its clients."""

    def authenticate(self, form: Form, authorization: Sequence[str]) -> str:
        """Return the client's id; `ClientRefused` if it is not proven, `KeysUnavailable` if no key could be loaded.

        `form` holds the request's parameters, `authorization` every line of that header.
        """
        ...


class ClientMethod(ClientAuthentication, Protocol):
    """A `ClientAuthentication` that names its methods, so that `ClientMethods` can combine several."""

    @property
    def auth_methods(self) -> frozenset[str]:
        """Their registered names (RFC 7591, section 2)."""
        ...


def auth_method_of(form: Form, authorization: Sequence[str]) -> str:
    """The registered name of the method by which the request authenticates its client (RFC 7591, section 2).

    `ClientRefused` for no method, and for more than one (RFC 6749, section 2.3).
    """
    header = single_value("Authorization header", authorization)
    auth_methods = [BASIC] if header else []
    auth_methods += [POST] if "client_secret" in form else []
    auth_methods += [ASSERTION] if not {"client_assertion", "client_assertion_type"}.isdisjoint(form) else []
    # A comma means that a server has joined two lines of the header.
    if len(auth_methods) > 1 or (header is not None and "," in header):
        raise ClientRefused(
            "invalid_request", "several_methods", "the client authenticates by more than one method: use one"
        )
    if not auth_methods:
        raise ClientRefused("invalid_client", "no_method", "the client did not authenticate")
    return auth_methods[0]


def single_value(what: str, values: Sequence[str]) -> str | None:
    """The one value, or None if there is none or it is empty; `ClientRefused` for more (RFC 6749, section 3.2)."""
    if len(values) > 1:
        raise ClientRefused("invalid_request", "repeated", f"{what} was sent more than once")
    return values[0] if values and values[0] else None


@final
class ClientMethods:
    """Several methods, chosen by how the request authenticates: `ClientMethods(secrets, assertions)`."""

    def __init__(self, *methods: ClientMethod) -> None:
        self._methods = {auth_method: method for method in reversed(methods) for auth_method in method.auth_methods}

    @clears_locals
    def authenticate(self, form: Form, authorization: Sequence[str]) -> str:
        """Authenticate the client as `ClientAuthentication` promises."""
        auth_method = auth_method_of(form, authorization)
        method = self._methods.get(auth_method)
        if method is None:
            raise unsupported_method(auth_method)
        return method.authenticate(form, authorization)

    def __repr__(self) -> str:
        return f"<ClientMethods {', '.join(sorted(self._methods))}>"


@final
class ClientSecrets:
    """Clients that have a secret, sent by Basic authentication or in the form.

    `secrets` holds one secret for each client id, or several while one replaces another. Each is a random text of at
    least 22 characters (`secrets.token_urlsafe(32)`), or its digest: `sha256:` and 64 lower-case hexadecimal digits.
    Only digests are kept. `ConfigurationError` for anything else.
    """

    auth_methods: frozenset[str] = frozenset({BASIC, POST})

    @clears_locals
    def __init__(self, secrets: Mapping[str, str | Sequence[str]]) -> None:
        self._digests: dict[str, tuple[bytes, ...]] = {}
        faults = [fault for fault in map(client_id_fault, secrets) if fault]
        for client, given in secrets.items():
            texts = (given,) if isinstance(given, str) else tuple(given)
            if not texts or not all(len(text) >= _MIN_SECRET_LENGTH for text in texts):
                faults.append(
                    f"the secret of the client {client!a} is shorter than {_MIN_SECRET_LENGTH} characters: "
                    "make one with secrets.token_urlsafe(32)"
                )
            # Otherwise a mistyped digest, which is no secret, would be accepted as one.
            if any(text.lower().startswith("sha256:") and not _DIGEST.fullmatch(text) for text in texts):
                faults.append(
                    f"the digest of the client {client!a} is not sha256: and 64 lower-case hexadecimal digits"
                )
            self._digests[client] = tuple(map(_stored_digest, texts))
        if faults:
            raise ConfigurationError(*faults)

    @clears_locals
    def authenticate(self, form: Form, authorization: Sequence[str]) -> str:
        """Authenticate the client as `ClientAuthentication` promises.

        An unknown client takes as long as a wrong secret.
        """
        auth_method = auth_method_of(form, authorization)
        if auth_method not in self.auth_methods:
            raise unsupported_method(auth_method)
        client, proven = self._check_secret(form, authorization if auth_method == BASIC else ())
        if proven:
            return client
        raise ClientRefused("invalid_client", "secret", self._detail(client))

    def _detail(self, client: str) -> str:
        if client in self._digests:
            return f"the client {client} sent a wrong secret"
        if not client:
            return "the client did not send a readable id and secret"
        # INVARIANT: a secret that was sent in place of the id is never shown, because it is longer than this limit.
        shown = (
            f" {client!a}" if len(client) < _MIN_SECRET_LENGTH and client_id_fault(client) is None else " of that name"
        )
        return f"there is no client{shown} here: add it to ClientSecrets or PrivateKeyJwt"

    def _check_secret(self, form: Form, authorization: Sequence[str]) -> tuple[str, bool]:
        """The client that the request names ("" for none), and whether its secret is right."""
        client_id = single_value("client_id", form.get("client_id", ()))
        credential = (
            _parse_basic(authorization[0])
            if authorization
            else (client_id, single_value("client_secret", form["client_secret"]))
        )
        client, secret = credential or (None, None)
        if not client or not secret or client_id not in (None, client):
            return "", False
        digest = _digest(secret)
        expected = self._digests.get(client, _UNKNOWN_CLIENT_DIGESTS)
        # INVARIANT: every digest is compared, in constant time; the digest for unknown clients never counts.
        matches = [hmac.compare_digest(digest, each) for each in expected]
        return client, client in self._digests and any(matches)

    def __repr__(self) -> str:
        return f"<ClientSecrets of {len(self._digests)} clients>"


def unsupported_method(auth_method: str) -> ClientRefused:
    """The error for a method by which no client authenticates."""
    return ClientRefused("invalid_client", "method", f"no client authenticates by {auth_method} here")


def _parse_basic(header: str) -> tuple[str, str] | None:
    """The id and the secret of a Basic credential (form-encoded, RFC 6749, section 2.3.1), or None if it is none."""
    if len(header) > _MAX_HEADER:
        return None
    scheme, _, encoded = header.partition(" ")
    if scheme.lower() != "basic":
        return None
    try:
        text = binascii.a2b_base64(encoded, strict_mode=True).decode("ascii")
        client, _, secret = text.partition(":")
        return None if _BAD_ESCAPE.search(text) else (_form_decode(client), _form_decode(secret))
    except ValueError:
        return None


def _form_decode(text: str) -> str:
    return unquote_plus(text, errors="strict")


def _digest(secret: str) -> bytes:
    return hashlib.sha256(secret.encode("utf-8", "surrogatepass")).digest()


def _stored_digest(secret: str) -> bytes:
    match = _DIGEST.fullmatch(secret)
    return bytes.fromhex(match[1]) if match else _digest(secret)


def client_id_fault(client: str) -> str | None:
    """The fault of a client id, or None."""
    # RFC 6749, appendix A.1.
    if 0 < len(client) <= MAX_CLIENT_ID and client.isascii() and client.isprintable():
        return None
    return f"a client id is one or more printable ASCII characters, at most {MAX_CLIENT_ID}: {client!a} is not"
