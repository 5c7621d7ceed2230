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

from jwt_lp import jws
from jwt_lp.assertion import ASSERTION_TYPE
from jwt_lp.bearer import LONGEST, TOKEN, credential
from jwt_lp.cache import TokenCache
from jwt_lp.errors import ConfigurationError, InvalidToken, PolicyError, clears_locals
from jwt_lp.fetch import check_url, plain
from jwt_lp.issue import Issuer
from jwt_lp.jwk import SYMMETRIC
from jwt_lp.parameters import ACCESS_TOKEN, BAD_TOKEN, TOKEN_EXCHANGE
from jwt_lp.signing import SigningKey, sign

if TYPE_CHECKING:
    from httpx2 import Request, Response

ENTRIES: Final = 1024
ASSERTION_LIFE: Final = 60
# A token that is about to die is not sent: the call takes its time, and clocks differ.
MARGIN: Final = 10.0
# So many characters in a row that an endpoint says, and that it was sent, are no chance.
_ECHO: Final = 12
# How the header of every JWT begins, in base64url: `{"`.
_TOKEN: Final = re.compile(r"eyJ[A-Za-z0-9_-]{8}")
_HTTP_HOSTS: Final = "allow_http_hosts=[...] of Narrower"

_REASONS: Final[Mapping[str, str]] = MappingProxyType(
    {
        "invalid_scope": "scope",
        "invalid_target": "target",
        "unauthorized_client": "actor",
        "invalid_client": "client",
        "invalid_grant": "token",
    }
)


class Narrow(NamedTuple):
    """A narrow token, and when it is not sent any more, in seconds since the epoch."""

    token: str
    until: float

    def __repr__(self) -> str:
        return "Narrow(masked)"


class Wish(NamedTuple):
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
        return "Wish(masked)"


class Narrower:
    """Where tokens are narrowed, and what came of it: made once, for all calls of a service.

    `where` is an `Issuer` of this process, or the URL of a token endpoint. `client` is this service, by the name that
    it has in the issuer's policy: it is the actor of the narrow tokens. For an endpoint it is needed, with its `secret`
    (`client_secret_basic`) or its `key` (`private_key_jwt`); the assertion's `aud` is the endpoint's URL, or `audience`.
    Narrow tokens are kept until shortly before they expire, at most `ENTRIES` of them. `clock` gives seconds since the
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
        self._kept: TokenCache[Narrow] = TokenCache(ENTRIES)

    @property
    def is_here(self) -> bool:
        """Whether tokens are narrowed in this process."""
        return isinstance(self._where, Issuer)

    def kept(self, wish: Wish) -> Narrow | None:
        """The narrow token that is there already and lives long enough."""
        found = self._kept.get(wish.key)
        return found if found is not None and self._clock() < found.until else None

    def forget(self, wish: Wish) -> None:
        """Do not use it again."""
        self._kept.drop(wish.key)

    def check(self, url: str) -> None:
        """`ConfigurationError` for an address that no token is sent to: http, but for loopback."""
        fault = check_url(url.partition("#")[0], self._http_hosts, named=_HTTP_HOSTS)
        if fault is not None:
            raise ConfigurationError(f"no token is sent there: the address {fault}")

    @clears_locals
    def made(self, wish: Wish) -> Narrow:
        """Have it narrowed here; `PolicyError`, `InvalidToken` and `KeysUnavailable` as `Issuer.narrow` raises them."""
        token = cast(Issuer, self._where).narrow(
            wish.token, wish.permissions, audience=wish.audience, lifetime=wish.lifetime, actor=self._client
        )
        expires_at = jws.read_json(jws.read(token).payload, "payload")["exp"]
        return self._keep(wish, token, cast(int, expires_at))

    @clears_locals
    def request(self, kind: type[Request], wish: Wish, once: Callable[[bytes], Any]) -> Request:
        """What is sent to the token endpoint (RFC 8693, section 2.1); `kind` is the class of the caller's requests."""
        url = cast(str, self._where)
        form = {
            "grant_type": TOKEN_EXCHANGE,
            "subject_token": wish.token,
            "subject_token_type": ACCESS_TOKEN,
            "scope": " ".join(wish.permissions),
            **({} if wish.audience is None else {"audience": wish.audience}),
        }
        headers = {"Content-Type": "application/x-www-form-urlencoded", "Accept": "application/json"}
        if self._key is not None:
            form |= {"client_assertion_type": ASSERTION_TYPE, "client_assertion": self._assertion(self._key)}
        else:
            headers["Authorization"] = f"Basic {_basic(self._client, self._secret)}"
        body = urlencode(form).encode()
        return kind("POST", url, headers={**headers, "Content-Length": str(len(body))}, content=once(body))

    @clears_locals
    def answered(self, wish: Wish, response: Response) -> Narrow:
        """Take the narrow token out of the endpoint's answer (RFC 8693, section 2.2); `PolicyError` with what it said."""
        if (
            response.is_redirect
            or response.history
            or str(response.url) != str(type(response.url)(cast(str, self._where)))
        ):
            raise moved()
        try:
            said = jws.read_json(response.content, "answer")
        except InvalidToken:
            said = {}
        if response.status_code != 200:  # noqa: PLR2004 - an HTTP status
            _refuse(response.status_code, said, self._sent(wish))
        token, lifetime = said.get("access_token"), said.get("expires_in", 0)
        # The very token: of one that is too long only the beginning comes back.
        if (
            not isinstance(token, str)
            or credential(f"Bearer {token}") != (TOKEN, token)
            or len(token) > LONGEST
            or not token.isascii()
        ):
            raise PolicyError("the token endpoint's answer has no access_token")
        if str(said.get("token_type")).lower() != "bearer":
            raise PolicyError("the token endpoint's answer has no token_type Bearer")
        granted = str(said.get("scope", "")).split()
        # INVARIANT: what was to be narrowed is not sent because an endpoint gave it back, or gave more.
        if token == wish.token or not set(granted) <= set(wish.permissions):
            raise PolicyError("the token endpoint gave more than it was asked for", reason="scope")
        seconds = lifetime if isinstance(lifetime, int | float) else 0
        return self._keep(wish, token, self._clock() + seconds)

    def _sent(self, wish: Wish) -> tuple[str, ...]:
        """What an endpoint was sent and may not say again, in each form that it has on the way."""
        if self._secret is None:
            return (wish.token,)
        return wish.token, self._secret, quote_plus(self._secret), _basic(self._client, self._secret)

    def _keep(self, wish: Wish, token: str, expires_at: float) -> Narrow:
        narrow = Narrow(token, expires_at - MARGIN)
        if self._clock() < narrow.until:
            self._kept.put(wish.key, narrow)
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
            "exp": now + ASSERTION_LIFE,
        }
        return sign(claims, key, typ="JWT")

    def __repr__(self) -> str:
        return f"<Narrower {'here' if self.is_here else 'at ' + cast(str, self._where)}>"


def moved() -> PolicyError:
    """What to raise where the endpoint sends us elsewhere."""
    return PolicyError("the token endpoint redirects, and a token does not follow: configure its final address")


def _basic(client: str | None, secret: str | None) -> str:
    pair = f"{quote_plus(client or '')}:{quote_plus(secret or '')}"
    return base64.b64encode(pair.encode()).decode()


def _refuse(status: int, said: dict[str, object], sent: tuple[str, ...]) -> NoReturn:
    error, description = said.get("error"), said.get("error_description")
    told = f"{plain(error)}: {plain(description)}" if isinstance(error, str) else "nothing that OAuth knows"
    if _echoes(told, sent):
        told = "what it was sent, which is not repeated here"
    reason = "undecided" if status >= 500 else _REASONS.get(str(error), "policy")  # noqa: PLR2004 - an HTTP status
    # RFC 8693 has no code for it: an endpoint of ours is known by its words, another one's invalid_request is not.
    if (error, description) == ("invalid_request", BAD_TOKEN):
        reason = "token"
    raise PolicyError(f"the token endpoint answered {status} and said {told}", reason=reason)


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
        return ["an Issuer of this process asks for no secret and no key"] if secret or key else []
    fault = check_url(where, allow_http_hosts, named=_HTTP_HOSTS)
    faults = [] if fault is None else [f"the token endpoint's address {fault}"]
    if not client:
        faults.append("a token endpoint wants to know its client: pass client=")
    if (secret is None) is (key is None):
        faults.append("a client has one way to prove who it is: pass secret= or key=")
    if key is not None and key.algorithm in SYMMETRIC:
        faults.append(f"the key {key.kid} is a shared secret: an assertion needs one of an asymmetric algorithm")
    return faults
