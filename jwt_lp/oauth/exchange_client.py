"""Where is a token narrowed for a call, and what came of it?

Here, by an `Issuer` of this process, or by the token endpoint of another (RFC 8693). What is sent to an endpoint, and
what its answer means, is the same whoever carries it there.
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
import secrets
import time
from collections.abc import Callable, Collection, Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final, NamedTuple, NoReturn, cast
from urllib.parse import quote_plus, urlencode

from jwt_lp.errors import ConfigurationError, InvalidToken, PolicyError, clears_locals
from jwt_lp.guard.bearer import TOKEN, parse_authorization
from jwt_lp.issuing.issuer import Issuer
from jwt_lp.jose import jws
from jwt_lp.jose.http_fetch import check_url, escape_for_log
from jwt_lp.jose.jwk import SYMMETRIC
from jwt_lp.jose.jws import MAX_TOKEN
from jwt_lp.jose.signing import SigningKey, sign
from jwt_lp.oauth.exchange_request import ACCESS_TOKEN, BAD_SUBJECT_TOKEN, TOKEN_EXCHANGE
from jwt_lp.oauth.private_key_jwt import ASSERTION_TYPE
from jwt_lp.tokens.cache import TokenCache

if TYPE_CHECKING:
    from httpx2 import Request, Response

MAX_ENTRIES: Final = 1024
ASSERTION_LIFETIME: Final = 60
# A token that is about to die is not sent: the call takes its time, and clocks differ.
EXPIRY_MARGIN: Final = 10.0
# So many characters in a row that an endpoint says, and that it was sent, are no chance.
_ECHO: Final = 12
# How the header of every JWT begins, in base64url: `{"`.
_TOKEN: Final = re.compile(r"eyJ[A-Za-z0-9_-]{8}")
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
    """A narrow token, and when it is not sent any more, in seconds since the epoch."""

    token: str
    until: float

    def __repr__(self) -> str:
        return "DownscopedToken(masked)"


class DownscopingRequest(NamedTuple):
    """What is wanted of a token."""

    token: str
    permissions: tuple[str, ...]
    audience: str | None
    lifetime: float | None

    @property
    def key(self) -> bytes:
        """The digest under which the narrow token is kept."""
        text = json.dumps([self.token, sorted(self.permissions), self.audience, self.lifetime])
        return hashlib.sha256(text.encode()).digest()

    def __repr__(self) -> str:
        return "DownscopingRequest(masked)"


class ExchangeClient:
    """Where tokens are narrowed, and what came of it: made once, for all calls of a service.

    `where` is an `Issuer` of this process, or the URL of a token endpoint. `client` is this service, by the name that
    it has in the issuer's policy: it is the actor of the narrow tokens. For an endpoint it is needed, with its `secret`
    (`client_secret_basic`) or its `key` (`private_key_jwt`); the assertion's `aud` is the endpoint's URL, or `audience`.
    Narrow tokens are kept until shortly before they expire, at most `MAX_ENTRIES` of them. `clock` gives seconds since the
    epoch, `randomness` so many random bytes. `ConfigurationError` for what cannot work.
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
        """Whether tokens are narrowed in this process."""
        return isinstance(self._where, Issuer)

    def cached(self, wanted: DownscopingRequest) -> DownscopedToken | None:
        """The narrow token that is there already and lives long enough."""
        found = self._cache.get(wanted.key)
        return found if found is not None and self._clock() < found.until else None

    def forget(self, wanted: DownscopingRequest) -> None:
        """Do not use it again."""
        self._cache.drop(wanted.key)

    def check_address(self, url: str) -> None:
        """`ConfigurationError` for an address that no token is sent to: http, but for loopback."""
        fault = check_url(url.partition("#")[0], self._http_hosts, setting=_HTTP_HOSTS)
        if fault is not None:
            raise ConfigurationError(f"no token is sent to this address: it {fault}")

    @clears_locals
    def downscope_locally(self, wanted: DownscopingRequest) -> DownscopedToken:
        """Have it narrowed here; `PolicyError`, `InvalidToken` and `KeysUnavailable` as `Issuer.narrow` raises them."""
        token = cast(Issuer, self._where).narrow(
            wanted.token, wanted.permissions, audience=wanted.audience, lifetime=wanted.lifetime, actor=self._client
        )
        expires_at = jws.read_json(jws.parse_compact(token).payload, "payload")["exp"]
        return self._remember(wanted, token, cast(int, expires_at))

    @clears_locals
    def build_request(self, kind: type[Request], wanted: DownscopingRequest, once: Callable[[bytes], Any]) -> Request:
        """What is sent to the token endpoint (RFC 8693, section 2.1); `kind` is the class of the caller's requests."""
        url = cast(str, self._where)
        form = {
            "grant_type": TOKEN_EXCHANGE,
            "subject_token": wanted.token,
            "subject_token_type": ACCESS_TOKEN,
            "scope": " ".join(wanted.permissions),
            **({} if wanted.audience is None else {"audience": wanted.audience}),
        }
        headers = {"Content-Type": "application/x-www-form-urlencoded", "Accept": "application/json"}
        if self._key is not None:
            form |= {"client_assertion_type": ASSERTION_TYPE, "client_assertion": self._assertion(self._key)}
        else:
            headers["Authorization"] = f"Basic {_basic(self._client, self._secret)}"
        body = urlencode(form).encode()
        return kind("POST", url, headers={**headers, "Content-Length": str(len(body))}, content=once(body))

    @clears_locals
    def read_response(self, wanted: DownscopingRequest, response: Response) -> DownscopedToken:
        """Take the narrow token out of the endpoint's answer (RFC 8693, section 2.2); `PolicyError` with what it said."""
        if (
            response.is_redirect
            or response.history
            or str(response.url) != str(type(response.url)(cast(str, self._where)))
        ):
            raise redirect_error()
        try:
            said = jws.read_json(response.content, "answer")
        except InvalidToken:
            said = {}
        if response.status_code != 200:  # noqa: PLR2004 - an HTTP status
            _raise_refusal(response.status_code, said, self._sent(wanted))
        token, lifetime = said.get("access_token"), said.get("expires_in", 0)
        # The very token: of one that is too long only the beginning comes back.
        if (
            not isinstance(token, str)
            or parse_authorization(f"Bearer {token}") != (TOKEN, token)
            or len(token) > MAX_TOKEN
            or not token.isascii()
        ):
            raise PolicyError("the token endpoint's answer has no access_token")
        if str(said.get("token_type")).lower() != "bearer":
            raise PolicyError("the token endpoint's answer has no token_type Bearer")
        granted = str(said.get("scope", "")).split()
        # INVARIANT: what was to be narrowed is not sent because an endpoint gave it back, or gave more.
        if token == wanted.token or not set(granted) <= set(wanted.permissions):
            raise PolicyError("the token endpoint granted more than was requested", reason="scope")
        seconds = lifetime if isinstance(lifetime, int | float) else 0
        return self._remember(wanted, token, self._clock() + seconds)

    def _sent(self, wanted: DownscopingRequest) -> tuple[str, ...]:
        """What an endpoint was sent and may not say again, in each form that it has on the way."""
        if self._secret is None:
            return (wanted.token,)
        return wanted.token, self._secret, quote_plus(self._secret), _basic(self._client, self._secret)

    def _remember(self, wanted: DownscopingRequest, token: str, expires_at: float) -> DownscopedToken:
        narrow = DownscopedToken(token, expires_at - EXPIRY_MARGIN)
        if self._clock() < narrow.until:
            self._cache.put(wanted.key, narrow)
        return narrow

    def _assertion(self, key: SigningKey) -> str:
        """RFC 7523, section 3: one audience, one minute, one use."""
        now = int(self._clock())
        claims = {
            "iss": self._client,
            "sub": self._client,
            "aud": self._audience or self._where,
            "jti": base64.urlsafe_b64encode(self._randomness(16)).decode(),
            "iat": now,
            "exp": now + ASSERTION_LIFETIME,
        }
        return sign(claims, key, typ="JWT")

    def __repr__(self) -> str:
        return f"<ExchangeClient {'here' if self.is_local else 'at ' + cast(str, self._where)}>"


def redirect_error() -> PolicyError:
    """What to raise where the endpoint sends us elsewhere."""
    return PolicyError(
        "the token endpoint redirects, and a token is not sent to another address: configure its final address"
    )


def _basic(client: str | None, secret: str | None) -> str:
    pair = f"{quote_plus(client or '')}:{quote_plus(secret or '')}"
    return base64.b64encode(pair.encode()).decode()


def _raise_refusal(status: int, said: dict[str, object], sent: tuple[str, ...]) -> NoReturn:
    error, description = said.get("error"), said.get("error_description")
    told = f"{escape_for_log(error)}: {escape_for_log(description)}" if isinstance(error, str) else "no OAuth error"
    if _echoes(told, sent):
        told = "what it was sent, which is not repeated here"
    reason = "undecided" if status >= 500 else _REASONS.get(str(error), "policy")  # noqa: PLR2004 - an HTTP status
    # RFC 8693 has no code for it: an endpoint of ours is known by its words, another one's invalid_request is not.
    if (error, description) == ("invalid_request", BAD_SUBJECT_TOKEN):
        reason = "token"
    raise PolicyError(f"the token endpoint answered {status} with {told}", reason=reason)


def _echoes(text: str, sent: tuple[str, ...]) -> bool:
    """Whether a part of a token or of a secret stands in `text`, or what looks like another token."""
    spans = [(each, min(len(each), _ECHO)) for each in sent if each]
    pieces = (text[at : at + size] in each for each, size in spans for at in range(len(text) - size + 1))
    return any(pieces) or _TOKEN.search(text) is not None


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
    if key is not None and key.algorithm in SYMMETRIC:
        faults.append(f"the key {key.kid} is a shared secret: an assertion needs an asymmetric key")
    return faults
