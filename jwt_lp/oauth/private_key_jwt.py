"""Did this client sign that it is itself?

RFC 7523, section 3; OpenID Connect Core, section 9 (`private_key_jwt`).
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
from jwt_lp.jose.jwk import ALGORITHMS, SYMMETRIC
from jwt_lp.jose.remote_jwks import StaticKeys
from jwt_lp.oauth.client_authentication import (
    ASSERTION,
    MAX_ID,
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

ASSERTION_TYPE: Final = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
MAX_ASSERTION_LIFETIME: Final = 300.0
LEEWAY: Final = 10.0
MAX_REMEMBERED: Final = 100_000

_TYPES: Final = frozenset({"jwt", "client-authentication+jwt"})
_LAST_DATE: Final = 10**15
# How far a clock may be put back, in seconds, where others remember.
_STEP: Final = 3600.0


@final
class PrivateKeyJwt:
    """Clients that have a key of their own and sign an assertion with it.

    `keys` has the public keys of each client id: a JWK Set as a mapping, `StaticKeys`, or `JwksKeys` at the client's
    address. `audience` is the one text that has to be the assertion's `aud`, or several: the issuer's identifier, and
    the token endpoint's URL. An assertion lives at most five minutes and serves once.

    `once` is told a key and until when it matters (seconds since the epoch), and says whether it is new; left out, it
    is remembered in this process, at most `MAX_REMEMBERED` for each client. Several processes need one that they share. A
    key matters for an hour longer than its assertion lives: so far the clock can be put back and nothing serves twice.
    What this process remembers by itself serves once wherever the clock is put; then what ends before the last that
    was forgotten is refused.
    `clock` gives seconds since the epoch.
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
        self._keys = {client: _source(client, given) for client, given in keys.items()}
        self._replay_caches = {client: _ReplayCache(clock) for client in keys}
        self._once = once
        self._clock = clock

    @clears_locals
    def authenticate(self, form: Form, authorization: Sequence[str]) -> str:
        """As `ClientAuthentication` says."""
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
        # INVARIANT: a public key is never taken for a secret.
        if compact.algorithm not in ALGORITHMS - SYMMETRIC:
            raise InvalidToken("algorithm", f"an assertion of {client} has an algorithm that is not asymmetric")
        header, payload = verify_signature(assertion, keys)
        self._check_claims(client, header, claims := jws.read_json(payload, "payload"))
        if single_value("client_id", form.get("client_id", ())) not in (None, client):
            raise InvalidToken("client_id", f"client_id differs from {client}, which signed the assertion")
        self._check_new(client, claims)
        return client

    def _check_claims(self, client: str, header: Mapping[str, object], claims: Mapping[str, object]) -> None:
        """Hold the claims against RFC 7523, section 3, and refuse what could have been made for somebody else."""
        typ = header.get("typ", "JWT")
        # INVARIANT: an access token that a client was given is no assertion of it (RFC 8725, section 3.11).
        if not isinstance(typ, str) or typ.lower().removeprefix("application/") not in _TYPES:
            raise InvalidToken("typ", f"typ of an assertion of {client} is neither JWT nor client-authentication+jwt")
        if claims.get("sub") != client:
            raise InvalidToken("subject", f"sub is not {client}, which is the iss")
        audience = claims.get("aud")
        # INVARIANT: for us and nobody else. An assertion with several audiences could be used by each of them.
        if not isinstance(audience, str) or audience not in self._audience:
            wanted = " or ".join(sorted(self._audience))
            raise InvalidToken("audience", f"aud of an assertion of {client} is not one string, {wanted}")
        now = self._clock()
        expires_at = _date(claims, "exp")
        if expires_at <= now:
            raise InvalidToken("expired", f"an assertion of {client} expired {now - expires_at:.0f} s ago")
        if expires_at > now + MAX_ASSERTION_LIFETIME + LEEWAY:
            raise InvalidToken("lifetime", f"an assertion of {client} lives longer than {MAX_ASSERTION_LIFETIME:.0f} s")
        if any(name in claims and _date(claims, name) > now + LEEWAY for name in ("iat", "nbf")):
            raise InvalidToken("not_yet_valid", f"an assertion of {client} is not valid yet: compare the clocks")

    def _check_new(self, client: str, claims: Mapping[str, object]) -> None:
        token_id = claims.get("jti")
        if not isinstance(token_id, str) or not 0 < len(token_id) <= MAX_ID:
            raise InvalidToken("jti", f"an assertion of {client} has no jti of at most {MAX_ID} characters")
        key = hashlib.sha256(f"{client}\0{token_id}".encode("utf-8", "surrogatepass")).hexdigest()
        ends = _date(claims, "exp")
        # INVARIANT: asked last, so that only what is genuine is remembered.
        new = self._replay_caches[client].add(key, ends) if self._once is None else self._once(key, ends + _STEP)
        if not new:
            raise InvalidToken("replayed", f"an assertion of {client} was sent again, or the clock was put back")

    def __repr__(self) -> str:
        return f"<PrivateKeyJwt of {len(self._keys)} clients>"


class _ReplayCache:
    """What was seen and still matters, of one client."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._lock = PerProcess(Lock)
        self._keys: set[str] = set()
        self._ends: list[tuple[float, str]] = []
        self._forgotten = -math.inf

    def add(self, key: str, until: float) -> bool:
        with self._lock.get():
            now = self._clock()
            while self._ends and self._ends[0][0] <= now:
                end, gone = heapq.heappop(self._ends)
                self._keys.discard(gone)
                self._forgotten = max(self._forgotten, end)
            # INVARIANT: the end of what was forgotten has passed, and does not lie ahead again for a clock put back.
            if key in self._keys or until <= self._forgotten:
                return False
            # INVARIANT: nothing is forgotten before its time to make room.
            if len(self._keys) >= MAX_REMEMBERED:
                raise ClientRefused(
                    "temporarily_unavailable",
                    "assertions_full",
                    "the client sends more assertions than can be remembered",
                )
            self._keys.add(key)
            heapq.heappush(self._ends, (until, key))
            return True


def _source(client: str, given: KeySource | Mapping[str, object]) -> KeySource:
    if not isinstance(given, Mapping):
        return given
    try:
        return StaticKeys.from_jwks(given)
    except ConfigurationError as error:
        raise ConfigurationError(*(f"the client {client!a}: {fault}" for fault in error.faults)) from None


def _date(claims: Mapping[str, object], name: str) -> float:
    value = claims.get(name)
    if isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value < _LAST_DATE:
        return value
    raise InvalidToken("date", f"{name} is missing or not a date (a number of seconds since 1970)")
