"""The setting `INTROSPECTION`: where an issuer's opaque tokens are introspected (RFC 7662), and as which client."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, cast

from jwt_lp._support.json_types import is_json_object
from jwt_lp.errors import ConfigurationError
from jwt_lp.guard.setting_fields import SettingReader
from jwt_lp.jose.client_credentials import assertion_key_fault
from jwt_lp.jose.http_fetch import check_url
from jwt_lp.jose.signing import SigningKey
from jwt_lp.tokens.introspection import IntrospectingVerifier
from jwt_lp.tokens.introspection_endpoint import ClientCredentials, IntrospectionEndpoint

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from jwt_lp._support.worker import Worker
    from jwt_lp.policy.file import Policy
    from jwt_lp.tokens.trusted_issuer import TrustedIssuer

INTROSPECTION_KEYS: Final = ("URL", "CLIENT", "SECRET", "KEY", "TTL", "ABSENT_CLAIMS")
DEFAULT_TTL: Final = 30.0
MIN_TTL: Final = 1.0
MAX_TTL: Final = 300.0


@dataclass(frozen=True, slots=True)
class IntrospectionSettings:
    """The endpoint, the client that this service is there, and for how many seconds an answer is used at most."""

    # The query of a URL may hold a secret.
    url: str = field(repr=False)
    credentials: ClientCredentials
    ttl: float = DEFAULT_TTL
    absent_claims: frozenset[str] = frozenset()

    def verifier(
        self,
        issuers: Sequence[TrustedIssuer],
        issuer: TrustedIssuer,
        policy: Policy,
        worker: Worker,
        *,
        allow_http_hosts: Collection[str],
        clock: Callable[[], float],
    ) -> IntrospectingVerifier:
        """The verifier of all issuers' tokens that introspects the opaque tokens of `issuer`."""
        endpoint = IntrospectionEndpoint(
            self.url, self.credentials, worker, allow_http_hosts=allow_http_hosts, now=clock
        )
        return IntrospectingVerifier(
            issuers, policy, issuer, endpoint, ttl=self.ttl, absent_claims=self.absent_claims, clock=clock
        )


class IntrospectionSettingsReader(SettingReader):
    """Reads the mapping and collects its faults."""

    def introspection(self, hosts: frozenset[str]) -> IntrospectionSettings | None:
        """The settings, or None if they have a fault."""
        self.reject_unknown(INTROSPECTION_KEYS)
        url = self.text("URL", required="the issuer's introspection_endpoint")
        fault = check_url(url, hosts) if url else None
        if fault:
            self.fault(f"URL {fault}")
        client = self.text("CLIENT", required="the client that this service is at that endpoint")
        secret, key = self.text("SECRET"), self.key()
        if bool(secret) is bool(self.values.get("KEY")):
            self.fault("give exactly one of SECRET and KEY: the endpoint has to know who asks")
        ttl = self.seconds("TTL", DEFAULT_TTL, MAX_TTL)
        if ttl < MIN_TTL:
            self.fault(f"TTL is at least {MIN_TTL:.0f} second")
        absent = frozenset(self.texts("ABSENT_CLAIMS"))
        for name in sorted(absent - {"iss", "aud", "iat"}):
            self.fault(f"ABSENT_CLAIMS: {name!a} cannot be absent: only iss, aud and iat can")
        if self.faults:
            return None
        credentials = ClientCredentials(cast(str, client), secret, key)
        return IntrospectionSettings(cast(str, url), credentials, ttl, absent)

    def key(self) -> SigningKey | None:
        """The key of `private_key_jwt`: a `SigningKey`, or a private JWK with `kid` and `alg`."""
        value = self.values.get("KEY")
        if value is None or value == "":
            return None
        try:
            key = value if isinstance(value, SigningKey) else SigningKey.from_jwk(value)
        except ConfigurationError as error:
            self.faults.extend(f"{self.where}: KEY: {fault}" for fault in error.faults)
            return None
        fault = assertion_key_fault(key)
        if fault is not None:
            self.fault(f"KEY: {fault}")
        return key


def read_introspection(
    value: object, where: str, hosts: frozenset[str], *, own: bool
) -> tuple[IntrospectionSettings | None, list[str]]:
    """The settings of one issuer, and their faults."""
    where = f"{where}['INTROSPECTION']"
    if not is_json_object(value):
        return None, [f'{where}: is a mapping, as {{"URL": "…", "CLIENT": "…", "SECRET": "…"}}']
    reader = IntrospectionSettingsReader(value, where)
    settings = reader.introspection(hosts)
    if own:
        reader.fault("this issuer is OWN, and its tokens are JWTs, which are never introspected")
    return settings, reader.faults
