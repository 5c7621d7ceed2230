"""Client of token exchange (RFC 8693): requests, answers and the cache of downscoped tokens.

Tokens are narrowed by an `Issuer` of this process or by a token endpoint, to which an HTTP library sends the requests.
"""

from __future__ import annotations

import hashlib
import json
import re
import secrets
import time
from collections.abc import Callable, Collection, Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final, NamedTuple, cast
from urllib.parse import quote_plus, urlencode

from jwt_lp.errors import ConfigurationError, InvalidToken, PolicyError, clears_locals
from jwt_lp.guard.bearer import TOKEN, parse_authorization
from jwt_lp.issuing.issuer import Issuer
from jwt_lp.jose import jws
from jwt_lp.jose.client_credentials import assertion_fields, assertion_key_fault, basic_credentials
from jwt_lp.jose.http_fetch import check_url, escape_for_log
from jwt_lp.jose.jws import MAX_TOKEN
from jwt_lp.oauth.exchange_request import ACCESS_TOKEN, BAD_SUBJECT_TOKEN, TOKEN_EXCHANGE
from jwt_lp.tokens.cache import TokenCache

if TYPE_CHECKING:
    from httpx2 import Request, Response

    from jwt_lp.jose.signing import SigningKey

MAX_ENTRIES: Final = 1024
# Seconds before its expiry in which a token is no longer used, because calls take time and clocks differ.
EXPIRY_MARGIN: Final = 10.0
# If an answer repeats this many characters in a row of what was sent, that is no coincidence.
_MIN_ECHO: Final = 12
# The start of every JWT's header, `{"`, in base64url.
_JWT_START: Final = re.compile(r"eyJ[A-Za-z0-9_-]{8}")
_HTTP_HOSTS: Final = "allow_http_hosts=[...] of ExchangeClient"

_REASONS: Final[Mapping[str, str]] = MappingProxyType(
    {
        "invalid_scope": "scope",
        "invalid_target": "target",
        "unauthorized_client": "actor",
        "invalid_client": "client",
        "invalid_grant": "token",
    }
)


class DownscopedToken(NamedTuple):
    """A downscoped token, and the time from which it is no longer sent, in seconds since the epoch."""

    token: str
    until: float

    def __repr__(self) -> str:
        return "DownscopedToken(masked)"


class DownscopingRequest(NamedTuple):
    """A token, and what the downscoped token must hold."""

    token: str
    permissions: tuple[str, ...]
    audience: str | None
    lifetime: float | None

    @property
    def key(self) -> bytes:
        """The digest under which the downscoped token is cached."""
        text = json.dumps([self.token, sorted(self.permissions), self.audience, self.lifetime])
        return hashlib.sha256(text.encode()).digest()

    def __repr__(self) -> str:
        return "DownscopingRequest(masked)"


class ExchangeClient:
    """Exchanges tokens for downscoped ones and caches them; create one for all calls of a service.

    `where` is an `Issuer` of this process, or the URL of a token endpoint. `client` is this service's name in the
    issuer's policy: it becomes the actor of the downscoped tokens. An endpoint requires it, and either its `secret`
    (`client_secret_basic`) or its `key` (`private_key_jwt`). The `aud` of the assertion is `audience`, by default the
    endpoint's URL. At most `MAX_ENTRIES` downscoped tokens are cached until shortly before they expire. `clock` returns
    seconds since the epoch, `randomness(n)` returns `n` random bytes. `ConfigurationError` lists every fault.
    """

    @clears_locals
    def __init__(
        self,
        where: Issuer | str,
        client: str | None = None,
        *,
        secret: str | None = None,
        key: SigningKey | None = None,
        audience: str | None = None,
        allow_http_hosts: Collection[str] = (),
        clock: Callable[[], float] = time.time,
        randomness: Callable[[int], bytes] = secrets.token_bytes,
    ) -> None:
        faults = _faults(where, client, secret, key, allow_http_hosts)
        if faults:
            raise ConfigurationError(*faults)
        self._where = where
        self._client = client
        self._secret = secret
        self._key = key
        self._audience = audience
        self._http_hosts = tuple(allow_http_hosts)
        self._clock = clock
        self._randomness = randomness
        self._cache: TokenCache[DownscopedToken] = TokenCache(MAX_ENTRIES)

    @property
    def is_local(self) -> bool:
        """Whether an `Issuer` of this process narrows the tokens."""
        return isinstance(self._where, Issuer)

    def cached(self, downscoping: DownscopingRequest) -> DownscopedToken | None:
        """The cached downscoped token, or None if there is none that lives long enough."""
        token = self._cache.get(downscoping.key)
        return token if token is not None and self._clock() < token.until else None

    def forget(self, downscoping: DownscopingRequest) -> None:
        """Drop the cached token."""
        self._cache.drop(downscoping.key)

    def check_address(self, url: str) -> None:
        """`ConfigurationError` for a URL to which no token is sent: http, except to loopback or an allowed host."""
        fault = check_url(url.partition("#")[0], self._http_hosts, setting=_HTTP_HOSTS)
        if fault is not None:
            raise ConfigurationError(f"no token is sent to this address: it {fault}")

    @clears_locals
    def downscope_locally(self, downscoping: DownscopingRequest) -> DownscopedToken:
        """Narrow the token with the `Issuer`; raises the errors of `Issuer.narrow`."""
        token = cast(Issuer, self._where).narrow(
            downscoping.token,
            downscoping.permissions,
            audience=downscoping.audience,
            lifetime=downscoping.lifetime,
            actor=self._client,
        )
        expires_at = jws.read_json(jws.parse_compact(token).payload, "payload")["exp"]
        return self._remember(downscoping, token, cast(int, expires_at))

    @clears_locals
    def build_request(
        self, kind: type[Request], downscoping: DownscopingRequest, once: Callable[[bytes], Any]
    ) -> Request:
        """The request to the token endpoint (RFC 8693, section 2.1).

        `kind` is the HTTP library's request class. `once` wraps the body so that it is sent only once.
        """
        url = cast(str, self._where)
        form = {
            "grant_type": TOKEN_EXCHANGE,
            "subject_token": downscoping.token,
            "subject_token_type": ACCESS_TOKEN,
            "scope": " ".join(downscoping.permissions),
            **({} if downscoping.audience is None else {"audience": downscoping.audience}),
        }
        headers = {"Content-Type": "application/x-www-form-urlencoded", "Accept": "application/json"}
        if self._key is not None:
            audience = self._audience or url
            form |= assertion_fields(str(self._client), self._key, audience, self._clock(), self._randomness(16))
        else:
            headers["Authorization"] = f"Basic {basic_credentials(str(self._client), str(self._secret))}"
        body = urlencode(form).encode()
        return kind("POST", url, headers={**headers, "Content-Length": str(len(body))}, content=once(body))

    @clears_locals
    def read_response(self, downscoping: DownscopingRequest, response: Response) -> DownscopedToken:
        """Read the token from the answer (RFC 8693, section 2.2); `PolicyError` repeats the endpoint's error."""
        if (
            response.is_redirect
            or response.history
            or str(response.url) != str(type(response.url)(cast(str, self._where)))
        ):
            raise redirect_error()
        try:
            answer = jws.read_json(response.content, "answer")
        except InvalidToken:
            answer = {}
        if response.status_code != 200:  # noqa: PLR2004 - an HTTP status
            raise _refusal_error(response.status_code, answer, self._sent(downscoping))
        token, lifetime = answer.get("access_token"), answer.get("expires_in", 0)
        # `parse_authorization` returns only the start of a token that is too long, so the result is compared.
        if (
            not isinstance(token, str)
            or parse_authorization(f"Bearer {token}") != (TOKEN, token)
            or len(token) > MAX_TOKEN
            or not token.isascii()
        ):
            raise PolicyError("the token endpoint's answer has no access_token")
        if str(answer.get("token_type")).lower() != "bearer":
            raise PolicyError("the token endpoint's answer has no token_type Bearer")
        granted = str(answer.get("scope", "")).split()
        # INVARIANT: neither the original token nor a token with more permissions than requested is ever sent.
        if token == downscoping.token or not set(granted) <= set(downscoping.permissions):
            raise PolicyError("the token endpoint granted more than was requested", reason="scope")
        seconds = lifetime if isinstance(lifetime, int | float) else 0
        return self._remember(downscoping, token, self._clock() + seconds)

    def _sent(self, downscoping: DownscopingRequest) -> tuple[str, ...]:
        """The token and the secret, in each form in which they were sent and must not be repeated."""
        if self._secret is None:
            return (downscoping.token,)
        return (
            downscoping.token,
            self._secret,
            quote_plus(self._secret),
            basic_credentials(str(self._client), self._secret),
        )

    def _remember(self, downscoping: DownscopingRequest, token: str, expires_at: float) -> DownscopedToken:
        downscoped = DownscopedToken(token, expires_at - EXPIRY_MARGIN)
        if self._clock() < downscoped.until:
            self._cache.put(downscoping.key, downscoped)
        return downscoped

    def __repr__(self) -> str:
        return f"<ExchangeClient {'here' if self.is_local else 'at ' + cast(str, self._where)}>"


def redirect_error() -> PolicyError:
    """The error for an endpoint that redirects."""
    return PolicyError(
        "the token endpoint redirects, and a token is not sent to another address: configure its final address"
    )


def _refusal_error(status: int, answer: dict[str, object], sent: tuple[str, ...]) -> PolicyError:
    error, description = answer.get("error"), answer.get("error_description")
    shown = f"{escape_for_log(error)}: {escape_for_log(description)}" if isinstance(error, str) else "no OAuth error"
    if _echoes(shown, sent):
        shown = "what it was sent, which is not repeated here"
    reason = "undecided" if status >= 500 else _REASONS.get(str(error), "policy")  # noqa: PLR2004 - an HTTP status
    # RFC 8693 has no code for a bad subject token. Our endpoints are recognised by their description; the
    # invalid_request of another endpoint may mean anything.
    if (error, description) == ("invalid_request", BAD_SUBJECT_TOKEN):
        reason = "token"
    return PolicyError(f"the token endpoint answered {status} with {shown}", reason=reason)


def _echoes(text: str, sent: tuple[str, ...]) -> bool:
    """Whether `text` contains a part of something that was sent, or looks like it contains a token."""
    sizes = [(secret, min(len(secret), _MIN_ECHO)) for secret in sent if secret]
    matches = (text[at : at + size] in secret for secret, size in sizes for at in range(len(text) - size + 1))
    return any(matches) or _JWT_START.search(text) is not None


def _faults(
    where: Issuer | str,
    client: str | None,
    secret: str | None,
    key: SigningKey | None,
    allow_http_hosts: Collection[str],
) -> list[str]:
    if isinstance(where, Issuer):
        return ["an Issuer of this process takes neither secret nor key"] if secret or key else []
    fault = check_url(where, allow_http_hosts, setting=_HTTP_HOSTS)
    faults = [] if fault is None else [f"the token endpoint's address {fault}"]
    if not client:
        faults.append("a token endpoint needs to know its client: pass client=")
    if (secret is None) is (key is None):
        faults.append("a client has exactly one credential: pass secret= or key=")
    if key is not None and (key_fault := assertion_key_fault(key)) is not None:
        faults.append(key_fault)
    return faults
