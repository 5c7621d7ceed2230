"""Client authentication by signed assertions (`private_key_jwt`).

RFC 7523, section 3; OpenID Connect Core, section 9.
"""

from __future__ import annotations

import hashlib
import heapq
import math
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from threading import Lock
from typing import TYPE_CHECKING, Final, final

from jwt_lp._support.worker import PerProcess
from jwt_lp.errors import ConfigurationError, InvalidToken, clears_locals
from jwt_lp.jose import jws
from jwt_lp.jose.client_credentials import ASSERTION_TYPE
from jwt_lp.jose.jwk import ALGORITHMS, SYMMETRIC
from jwt_lp.jose.jwks import StaticKeys
from jwt_lp.oauth.client_authentication import (
    ASSERTION,
    MAX_CLIENT_ID,
    ClientRefused,
    auth_method_of,
    client_id_fault,
    single_value,
    unsupported_method,
)
from jwt_lp.tokens.verification import verify_signature

if TYPE_CHECKING:
    from jwt_lp.jose.remote_jwks import KeySource
    from jwt_lp.oauth.exchange_request import Form

MAX_ASSERTION_LIFETIME: Final = 300.0
LEEWAY: Final = 10.0
MAX_REMEMBERED: Final = 100_000

_TYPES: Final = frozenset({"jwt", "client-authentication+jwt"})
_LAST_DATE: Final = 10**15
# How far the clock may be set back, in seconds, before a shared `once` could accept an assertion twice.
_CLOCK_STEP: Final = 3600.0


@final
class PrivateKeyJwt:
    """Clients that have their own key and sign an assertion with it.

    `keys` holds the public keys of each client id: a JWK Set as a mapping, `StaticKeys`, or `JwksKeys` at the client's
    URL. `audience` is the text that the assertion's `aud` must be, or several of which it must be one: the issuer's
    identifier and the token endpoint's URL. An assertion lives at most five minutes and is accepted once.

    `once` receives a key and the time until which it must be remembered (seconds since the epoch), and returns whether
    the key is new. Several processes need a `once` that they share. That time is one hour after the assertion expires,
    so the clock may be set back by one hour and no assertion is accepted twice. Without `once`, this process remembers
    at most `MAX_REMEMBERED` assertions for each client. Then no assertion is accepted twice however the clock is set:
    one that expires before the latest forgotten one is refused. `clock` returns seconds since the epoch.
    """

    auth_methods: frozenset[str] = frozenset({ASSERTION})

    @clears_locals
    def __init__(
        self,
        keys: Mapping[str, KeySource | Mapping[str, object]],
        audience: str | Collection[str],
        *,
        once: Callable[[str, float], bool] | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._audience = frozenset([audience] if isinstance(audience, str) else audience)
        faults = [fault for fault in map(client_id_fault, keys) if fault]
        if not self._audience or "" in self._audience:
            faults.append("an assertion needs an audience: the issuer's identifier, or the token endpoint's URL")
        if faults:
            raise ConfigurationError(*faults)
        self._keys = {client: _key_source(client, source) for client, source in keys.items()}
        self._replay_caches = {client: _ReplayCache(clock) for client in keys}
        self._once = once
        self._clock = clock

    @clears_locals
    def authenticate(self, form: Form, authorization: Sequence[str]) -> str:
        """Authenticate the client as `ClientAuthentication` promises."""
        auth_method = auth_method_of(form, authorization)
        if auth_method not in self.auth_methods:
            raise unsupported_method(auth_method)
        try:
            return self._verify_assertion(form)
        except InvalidToken as error:
            raise ClientRefused("invalid_client", error.cause, f"the client's assertion: {error.detail}") from None

    def _verify_assertion(self, form: Form) -> str:
        if single_value("client_assertion_type", form.get("client_assertion_type", ())) != ASSERTION_TYPE:
            raise InvalidToken("assertion_type", f"client_assertion_type is not {ASSERTION_TYPE}")
        assertion = single_value("client_assertion", form.get("client_assertion", ())) or ""
        compact = jws.parse_compact(assertion)
        client = jws.read_json(compact.payload, "payload").get("iss")
        keys = self._keys.get(client) if isinstance(client, str) else None
        if not isinstance(client, str) or keys is None:
            raise InvalidToken("issuer", "iss is not a client that has keys here")
        # INVARIANT: a public key is never used as a shared secret.
        if compact.algorithm not in ALGORITHMS - SYMMETRIC:
            raise InvalidToken("algorithm", f"an assertion of {client} has an algorithm that is not asymmetric")
        header, payload = verify_signature(assertion, keys)
        self._check_claims(client, header, claims := jws.read_json(payload, "payload"))
        if single_value("client_id", form.get("client_id", ())) not in (None, client):
            raise InvalidToken("client_id", f"client_id differs from {client}, which signed the assertion")
        self._check_new(client, claims)
        return client

    def _check_claims(self, client: str, header: Mapping[str, object], claims: Mapping[str, object]) -> None:
        """Check the claims (RFC 7523, section 3), and refuse an assertion that may have been made for somebody else."""
        typ = header.get("typ", "JWT")
        # INVARIANT: an access token that a client received is never accepted as its assertion (RFC 8725, section 3.11).
        if not isinstance(typ, str) or typ.lower().removeprefix("application/") not in _TYPES:
            raise InvalidToken("typ", f"typ of an assertion of {client} is neither JWT nor client-authentication+jwt")
        if claims.get("sub") != client:
            raise InvalidToken("subject", f"sub is not {client}, which is the iss")
        audience = claims.get("aud")
        # INVARIANT: the only audience is this endpoint. With several, each of them could use the assertion here.
        if not isinstance(audience, str) or audience not in self._audience:
            expected = " or ".join(sorted(self._audience))
            raise InvalidToken("audience", f"aud of an assertion of {client} is not one string, {expected}")
        now = self._clock()
        expires_at = _date(claims, "exp")
        if expires_at <= now:
            raise InvalidToken("expired", f"an assertion of {client} expired {now - expires_at:.0f} s ago")
        if expires_at > now + MAX_ASSERTION_LIFETIME + LEEWAY:
            raise InvalidToken("lifetime", f"an assertion of {client} lives longer than {MAX_ASSERTION_LIFETIME:.0f} s")
        if any(name in claims and _date(claims, name) > now + LEEWAY for name in ("iat", "nbf")):
            raise InvalidToken("not_yet_valid", f"an assertion of {client} is not valid yet: compare the clocks")

    def _check_new(self, client: str, claims: Mapping[str, object]) -> None:
        """Refuse an assertion that was accepted before."""
        token_id = claims.get("jti")
        if not isinstance(token_id, str) or not 0 < len(token_id) <= MAX_CLIENT_ID:
            raise InvalidToken("jti", f"an assertion of {client} has no jti of at most {MAX_CLIENT_ID} characters")
        key = hashlib.sha256(f"{client}\0{token_id}".encode("utf-8", "surrogatepass")).hexdigest()
        ends = _date(claims, "exp")
        # INVARIANT: this check comes last, so that only genuine assertions are remembered.
        new = self._replay_caches[client].add(key, ends) if self._once is None else self._once(key, ends + _CLOCK_STEP)
        if not new:
            raise InvalidToken("replayed", f"an assertion of {client} was sent again, or the clock was put back")

    def __repr__(self) -> str:
        return f"<PrivateKeyJwt of {len(self._keys)} clients>"


class _ReplayCache:
    """The assertions of one client that were accepted and have not expired."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._lock = PerProcess(Lock)
        self._keys: set[str] = set()
        self._ends: list[tuple[float, str]] = []
        self._forgotten_until = -math.inf

    def add(self, key: str, until: float) -> bool:
        """Remember a key and return whether it is new; `ClientRefused` if there is no room."""
        with self._lock.get():
            now = self._clock()
            while self._ends and self._ends[0][0] <= now:
                end, expired = heapq.heappop(self._ends)
                self._keys.discard(expired)
                self._forgotten_until = max(self._forgotten_until, end)
            # INVARIANT: a forgotten key is never new again, even if the clock is set back to before its end.
            if key in self._keys or until <= self._forgotten_until:
                return False
            # INVARIANT: no key is forgotten early to make room.
            if len(self._keys) >= MAX_REMEMBERED:
                raise ClientRefused(
                    "temporarily_unavailable",
                    "assertions_full",
                    "the client sends more assertions than can be remembered",
                )
            self._keys.add(key)
            heapq.heappush(self._ends, (until, key))
            return True


def _key_source(client: str, keys: KeySource | Mapping[str, object]) -> KeySource:
    if not isinstance(keys, Mapping):
        return keys
    try:
        return StaticKeys.from_jwks(keys)
    except ConfigurationError as error:
        raise ConfigurationError(*(f"the client {client!a}: {fault}" for fault in error.faults)) from None


def _date(claims: Mapping[str, object], name: str) -> float:
    """A date claim in seconds since the epoch."""
    value = claims.get(name)
    if isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value < _LAST_DATE:
        return value
    raise InvalidToken("date", f"{name} is missing or not a date (a number of seconds since 1970)")
