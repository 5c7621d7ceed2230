"""What did the operator say of one issuer?"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final, cast

from jwt_lp._support.json_types import is_json_object
from jwt_lp._support.validation import did_you_mean
from jwt_lp.errors import ConfigurationError, GrammarError
from jwt_lp.guard.setting_fields import SettingReader
from jwt_lp.issuing.claim_policy import copy_faults
from jwt_lp.jose.http_fetch import check_url
from jwt_lp.jose.jwk import ALGORITHMS
from jwt_lp.jose.remote_jwks import JwksKeys, StaticKeys
from jwt_lp.permissions.grants import Grant, Permissions, check_grant, is_pattern
from jwt_lp.tokens.claims import ClaimProfile
from jwt_lp.tokens.custom_profile import read_custom_profile as custom_profile
from jwt_lp.tokens.profiles import RFC9068
from jwt_lp.tokens.profiles import shipped_profile as named_profile
from jwt_lp.tokens.verification import CONFIRMATIONS, TrustedIssuer

if TYPE_CHECKING:
    from jwt_lp.jose.remote_jwks import KeySource

MAX_LEEWAY: Final = 300
ISSUER_KEYS: Final = (
    "ISSUER", "AUDIENCE", "ALGORITHMS", "PROFILE", "OWN", "JWKS", "JWKS_URL", "DISCOVERY",
    "LEEWAY", "MAX_LIFETIME", "CEILING", "PATTERNS", "SENDER_CONSTRAINED", "COPY_CLAIMS",
)  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class IssuerSettings:
    """One issuer as configured. Exactly one of `static`, `jwks_url` and `discovery` says where its keys are.

    `copy_claims` holds claims of ours by the name that this issuer has for them.
    """

    name: str
    issuer: str
    audience: frozenset[str]
    algorithms: frozenset[str]
    profile: ClaimProfile
    static: StaticKeys | None = None
    # What stands behind a question mark in an address may be secret.
    jwks_url: str | None = field(default=None, repr=False)
    discovery: str | bool = field(default=False, repr=False)
    own: bool = False
    patterns: bool = False
    leeway: float = 0.0
    max_lifetime: float = 86400.0
    ceiling: Permissions | None = None
    sender_constrained: frozenset[str] = frozenset()
    copy_claims: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))

    def key_source(self, allow_http_hosts: Collection[str] = ()) -> KeySource:
        """Where its keys come from; nothing is fetched yet."""
        if self.static is not None:
            return self.static
        return JwksKeys(
            self.jwks_url,
            algorithms=self.algorithms,
            issuer=self.issuer,
            discovery=self.discovery,
            allow_http_hosts=allow_http_hosts,
        )

    def to_trusted_issuer(self, keys: KeySource, development: StaticKeys | None = None) -> TrustedIssuer:
        """The issuer as the verifier takes it."""
        return TrustedIssuer(
            name=self.name,
            issuer=self.issuer,
            audience=self.audience,
            algorithms=self.algorithms,
            profile=self.profile,
            keys=keys,
            own=self.own,
            patterns=self.patterns,
            leeway=self.leeway,
            max_lifetime=self.max_lifetime,
            ceiling=self.ceiling,
            sender_constrained=self.sender_constrained,
            development=development,
            copy_claims=self.copy_claims,
        )


class IssuerReader(SettingReader):
    """Reads one issuer's keys of a mapping."""

    def issuer(self, name: str, *, several: bool, hosts: frozenset[str]) -> IssuerSettings | None:
        """The issuer, or None where anything is wrong with it."""
        before = len(self.faults)
        issuer = self.text("ISSUER", required='the exact "iss" of its tokens, such as "https://login.example.com/"')
        audience = self.texts("AUDIENCE", required='the "aud" that means this service, such as "orders-api"')
        algorithms = self.algorithms()
        keys = self.keys(algorithms, hosts)
        ceiling = self.ceiling(several=several)
        own = self.flag("OWN")
        profile = self.profile()
        leeway, max_lifetime = self.seconds("LEEWAY", 0.0, MAX_LEEWAY), self.seconds("MAX_LIFETIME", 86400.0, None)
        patterns = self.flag("PATTERNS")
        sender_constrained = self.sender_constrained()
        copy_claims = self.copy_claims(own=own)
        if len(self.faults) > before:
            return None
        return IssuerSettings(
            name=name,
            issuer=cast(str, issuer),
            audience=frozenset(audience),
            algorithms=algorithms,
            profile=profile,
            own=own,
            patterns=patterns,
            ceiling=ceiling,
            leeway=leeway,
            max_lifetime=max_lifetime,
            sender_constrained=sender_constrained,
            copy_claims=copy_claims,
            **keys,
        )

    def algorithms(self) -> frozenset[str]:
        """What its keys may sign with: of one kind, public keys or secrets."""
        names = frozenset(self.texts("ALGORITHMS", required='what its keys sign with, such as ["RS256"]'))
        for name in sorted(names - set(ALGORITHMS)):
            self.fault(f"ALGORITHMS: {name!a} is not supported{did_you_mean(name.upper(), ALGORITHMS)}")
        symmetric = {name for name in names if name.startswith("HS")}
        if symmetric and names - symmetric:
            # INVARIANT: a public key can never be taken for a secret where no secret is expected (RFC 8725, 3.1).
            self.fault("ALGORITHMS mixes HS… with public-key algorithms: one issuer signs with one kind")
        return names

    def keys(self, algorithms: frozenset[str], hosts: frozenset[str]) -> dict[str, Any]:
        """Where its keys are: exactly one way."""
        self.values["DISCOVERY"] = discovery = self.word("DISCOVERY")
        given = [key for key in ("JWKS", "JWKS_URL", "DISCOVERY") if self.values.get(key)]
        if len(given) != 1:
            what = "none is given" if not given else f"{' and '.join(given)} are given"
            self.fault(f"needs exactly one of JWKS, JWKS_URL and DISCOVERY, and {what}")
            return {}
        if given == ["JWKS"]:
            return self.static(algorithms)
        if any(name.startswith("HS") for name in algorithms):
            self.fault(f"{given[0]}: a secret is never fetched; HS… keys belong in JWKS")
        if discovery is True:
            return {"discovery": True, **self.url("ISSUER", hosts, keep=None)}
        return self.url(given[0], hosts, keep=given[0].lower())

    def static(self, algorithms: frozenset[str]) -> dict[str, object]:
        """Keys that stand in the settings."""
        jwks = self.values["JWKS"]
        if not is_json_object(jwks):
            self.fault('JWKS is the key set itself, a mapping {"keys": [...]}; for an address use JWKS_URL')
            return {}
        try:
            return {"static": StaticKeys.from_jwks(jwks, algorithms or None)}
        except ConfigurationError as error:
            self.faults.extend(f"{self.where}: JWKS: {fault}" for fault in error.faults)
            return {}

    def url(self, key: str, hosts: frozenset[str], *, keep: str | None) -> dict[str, object]:
        """An address that keys may be fetched from."""
        url = self.text(key)
        fault = check_url(url, hosts) if url else None
        if fault:
            self.fault(f"{key}: {fault}")
        return {keep: url} if keep else {}

    def ceiling(self, *, several: bool) -> Permissions | None:
        """What it may confer at all; needed where there are several issuers."""
        grants = self.texts("CEILING")
        for grant in grants:
            try:
                check_grant(grant)
            except GrammarError as error:
                self.fault(f"CEILING: {error}")
        # An empty list is a ceiling that holds everything back; None and empty text are none at all.
        if self.values.get("CEILING") not in (None, ""):
            return Permissions.of(Grant(grant, "CEILING", pattern=is_pattern(grant)) for grant in grants)
        if several:
            self.fault(
                'CEILING is needed with several issuers: the most that this one may grant, such as ["orders:**"]'
            )
        return None

    def sender_constrained(self) -> frozenset[str]:
        """The confirmation methods whose tokens are taken as plain bearer tokens."""
        names = frozenset(self.texts("SENDER_CONSTRAINED"))
        for name in sorted(names - CONFIRMATIONS):
            known = did_you_mean(name, CONFIRMATIONS) or f"; there are {', '.join(sorted(CONFIRMATIONS))}"
            self.fault(f"SENDER_CONSTRAINED: {name!a} is no confirmation method{known}")
        return names

    def copy_claims(self, *, own: bool) -> Mapping[str, str]:
        """Which of its claims become which of ours where its tokens are narrowed; none unless said."""
        value: object = self.values.get("COPY_CLAIMS") or cast("dict[str, str]", {})
        if not is_json_object(value) or not all(
            isinstance(each, str) and each for pair in value.items() for each in pair
        ):
            self.fault('COPY_CLAIMS is a mapping from a claim of this issuer to one of ours, as {"org_id": "tenant"}')
            return {}
        if own and value:
            self.fault(
                "COPY_CLAIMS: this issuer is OWN, and its tokens keep their claims: it belongs to another issuer"
            )
        copied = cast("Mapping[str, str]", value)
        self.faults += [f"{self.where}: COPY_CLAIMS: {each}" for each in copy_faults(copied)]
        return MappingProxyType(dict(copied))

    def profile(self) -> ClaimProfile:
        """How its tokens are shaped: a shipped profile's name, or a profile of the operator's own."""
        value = self.values.get("PROFILE", "rfc9068")
        if isinstance(value, ClaimProfile):
            return value
        try:
            return custom_profile(value) if is_json_object(value) else named_profile(str(value))
        except ConfigurationError as error:
            self.faults.extend(f"{self.where}: PROFILE: {fault}" for fault in error.faults)
            return RFC9068
