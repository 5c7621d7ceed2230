"""Reader of one issuer's settings, which collects their faults."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final, Literal, cast

from jwt_lp._support.json_types import is_json_object
from jwt_lp._support.validation import did_you_mean
from jwt_lp.errors import ConfigurationError, GrammarError
from jwt_lp.guard.issuer_settings import IssuerSettings
from jwt_lp.guard.setting_fields import SettingReader
from jwt_lp.issuing.reserved_claims import copy_faults
from jwt_lp.jose.jwk import ALGORITHMS
from jwt_lp.jose.jwks import KeySet, StaticKeys
from jwt_lp.permissions.grants import Grant, Permissions, check_grant, is_pattern
from jwt_lp.tokens.claims import ClaimProfile
from jwt_lp.tokens.profiles import RFC9068, shipped_profile
from jwt_lp.tokens.trusted_issuer import CONFIRMATIONS

if TYPE_CHECKING:
    from jwt_lp.guard.introspection_settings import IntrospectionSettings

MAX_LEEWAY: Final = 300
MAX_PROOF_AGE: Final = 300
# What other libraries call a shared secret, and where it belongs here. The value is never shown.
SECRET_KEYS: Final[Mapping[str, str]] = MappingProxyType(
    dict.fromkeys(
        ("SECRET", "SECRET_KEY", "SIGNING_KEY", "JWT_SECRET_KEY", "KEY"),
        ': a shared secret is a key in JWKS, as {"kty": "oct", "alg": "HS256", "k": the secret in base64url}',
    )
)
ABSENT_CLAIMS: Final = frozenset({"iss", "aud"})
ISSUER_KEYS: Final = (
    "ISSUER", "AUDIENCE", "ALGORITHMS", "PROFILE", "OWN", "JWKS", "JWKS_URL", "DISCOVERY",
    "LEEWAY", "MAX_LIFETIME", "CEILING", "CLIENTS", "PATTERNS", "SENDER_CONSTRAINED", "DPOP", "DPOP_MAX_AGE", "COPY_CLAIMS",
    "ABSENT_CLAIMS", "INTROSPECTION", "ELEVATION",
)  # fmt: skip


class IssuerReader(SettingReader):
    """Reads one issuer's settings and collects their faults."""

    def issuer(self, name: str, *, several: bool, hosts: frozenset[str]) -> IssuerSettings | None:
        """The issuer, or None if it has a fault."""
        before = len(self.faults)
        issuer = self.text("ISSUER", required='the exact "iss" of its tokens, such as "https://login.example.com/"')
        audience = self.texts("AUDIENCE", required='the "aud" that means this service, such as "orders-api"')
        own = self.flag("OWN")
        introspection = self.introspection(hosts, own=own)
        algorithms, keys = self.algorithms_and_keys(hosts)
        ceiling = self.ceiling(several=several)
        profile = self.profile()
        clients = self.clients(profile)
        leeway, max_lifetime = self.seconds("LEEWAY", 0.0, MAX_LEEWAY), self.seconds("MAX_LIFETIME", 86400.0, None)
        patterns = self.flag("PATTERNS")
        sender_constrained = self.sender_constrained()
        dpop, dpop_max_age = self.dpop(sender_constrained), self.proof_age()
        copy_claims = self.copy_claims(own=own)
        absent_claims = self.absent_claims(own=own)
        elevation = self.elevation(own=own)
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
            clients=clients,
            leeway=leeway,
            max_lifetime=max_lifetime,
            sender_constrained=sender_constrained,
            dpop=dpop,
            dpop_max_age=dpop_max_age,
            copy_claims=copy_claims,
            absent_claims=absent_claims,
            introspection=introspection,
            elevation=elevation,
            **keys,
        )

    def introspection(self, hosts: frozenset[str], *, own: bool) -> IntrospectionSettings | None:
        """Where its opaque tokens are introspected; None if they are not."""
        value = self.values.get("INTROSPECTION")
        if value in (None, "") or value == {}:
            return None
        # Most services introspect nothing: only settings with this key load what does.
        from jwt_lp.guard.introspection_settings import read_introspection

        introspection, faults = read_introspection(value, self.where, hosts, own=own)
        self.faults.extend(faults)
        return introspection

    def algorithms_and_keys(self, hosts: frozenset[str]) -> tuple[frozenset[str], dict[str, Any]]:
        """How its JWTs are verified: with no algorithm and no key if all its tokens are introspected."""
        given = [key for key in ("ALGORITHMS", "JWKS", "JWKS_URL", "DISCOVERY") if self.word(key)]
        if self.values.get("INTROSPECTION") and not given:
            return frozenset(), {"static": StaticKeys(KeySet.of(()))}
        algorithms = self.algorithms()
        return algorithms, self.keys(algorithms, hosts)

    def algorithms(self) -> frozenset[str]:
        """The algorithms of its keys: all for public keys, or all for shared secrets."""
        names = frozenset(self.texts("ALGORITHMS", required='what its keys sign with, such as ["RS256"]'))
        for name in sorted(names - set(ALGORITHMS)):
            self.fault(f"ALGORITHMS: {name!a} is not supported{did_you_mean(name.upper(), ALGORITHMS)}")
        symmetric = {name for name in names if name.startswith("HS")}
        if symmetric and names - symmetric:
            # INVARIANT: no public key can be used as a shared secret (RFC 8725, section 3.1).
            self.fault("ALGORITHMS mixes HS… with public-key algorithms: one issuer signs with one kind")
        return names

    def keys(self, algorithms: frozenset[str], hosts: frozenset[str]) -> dict[str, Any]:
        """The one place where its keys are."""
        self.values["DISCOVERY"] = discovery = self.word("DISCOVERY")
        given = [key for key in ("JWKS", "JWKS_URL", "DISCOVERY") if self.values.get(key)]
        if len(given) != 1:
            present = "none is given" if not given else f"{' and '.join(given)} are given"
            self.fault(f"give the issuer's keys in exactly one of JWKS, JWKS_URL and DISCOVERY: {present}")
            return {}
        if given == ["JWKS"]:
            return self.static(algorithms)
        secret = sorted(name for name in algorithms if name.startswith("HS"))
        if secret:
            self.fault(f"ALGORITHMS: {secret[0]} is a shared secret, which is never fetched: use JWKS, not {given[0]}")
        if discovery is True:
            return {"discovery": True, **self.url("ISSUER", hosts, keep=None)}
        return self.url(given[0], hosts, keep=given[0].lower())

    def static(self, algorithms: frozenset[str]) -> dict[str, object]:
        """The key set that the settings hold."""
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
        """A URL from which keys may be fetched, under the field name `keep` if one is given."""
        from jwt_lp.jose.http_fetch import check_url

        url = self.text(key)
        fault = check_url(url, hosts) if url else None
        if fault:
            self.fault(f"{key} {fault}")
        return {keep: url} if keep else {}

    def ceiling(self, *, several: bool) -> Permissions | None:
        """The most that its tokens may grant; required with several issuers."""
        grants = self.grants("CEILING")
        # An empty list is a ceiling that grants nothing; None and empty text mean no ceiling.
        if self.values.get("CEILING") not in (None, ""):
            return Permissions.of(Grant(grant, "CEILING", pattern=is_pattern(grant)) for grant in grants)
        if several:
            self.fault(
                'CEILING is needed with several issuers: the most that this one may grant, such as ["orders:**"]'
            )
        return None

    def elevation(self, *, own: bool) -> tuple[str, ...]:
        """The most that its subjects may hold by elevation; by default nothing."""
        grants = self.grants("ELEVATION")
        if grants and own:
            self.fault(
                "ELEVATION: this issuer is OWN, and puts what was approved into its next token: it belongs to another issuer"
            )
        return tuple(dict.fromkeys(grants))

    def grants(self, key: str) -> Sequence[str]:
        """A list of permissions and patterns."""
        grants = self.texts(key)
        for grant in grants:
            try:
                check_grant(grant)
            except GrammarError as error:
                self.fault(f"{key}: {error}")
        return grants

    def clients(self, profile: ClaimProfile) -> frozenset[str] | None:
        """The clients whose tokens are accepted; None for all."""
        clients = self.texts("CLIENTS")
        if clients and not profile.client:
            self.fault("CLIENTS: the profile names no claim for the client, so every token would be refused")
        if not clients and self.values.get("CLIENTS") not in (None, ""):
            # INVARIANT: a list that came out empty does not accept every client.
            self.fault("CLIENTS is empty, so every token would be refused: list a client, or leave CLIENTS out for all")
        return frozenset(clients) or None

    def sender_constrained(self) -> frozenset[str]:
        """The confirmation methods (RFC 7800) whose tokens are accepted as plain bearer tokens."""
        names = frozenset(self.texts("SENDER_CONSTRAINED"))
        for name in sorted(names - CONFIRMATIONS):
            known = did_you_mean(name, CONFIRMATIONS) or f"; there are {', '.join(sorted(CONFIRMATIONS))}"
            self.fault(f"SENDER_CONSTRAINED: {name!a} is not a confirmation method{known}")
        return names

    def dpop(self, sender_constrained: frozenset[str]) -> bool | Literal["required"]:
        """Whether its tokens may be bound by DPoP, and then need a proof; "required" if all of them have to be."""
        value = self.word("DPOP")
        # By type, because 1 equals True.
        if not (value is None or isinstance(value, bool) or value in ("", "required")):
            self.fault('DPOP is True, False or "required"')
        if value and "jkt" in sender_constrained:
            self.fault("SENDER_CONSTRAINED lists jkt, whose proof DPOP has checked here: set only one of them")
        if not value and "DPOP_MAX_AGE" in self.values:
            self.fault("DPOP_MAX_AGE is for DPOP, which is not set")
        return "required" if value == "required" else value is True

    def proof_age(self) -> float:
        """How many seconds old a proof is at most."""
        seconds = self.seconds("DPOP_MAX_AGE", 60.0, MAX_PROOF_AGE)
        if seconds < 1:
            # The iat of most proofs is a whole second.
            self.fault("DPOP_MAX_AGE is a second at least, or no proof would be new enough")
        return seconds

    def copy_claims(self, *, own: bool) -> Mapping[str, str]:
        """Which of its claims become which of ours when its tokens are narrowed; by default none."""
        value: object = self.values.get("COPY_CLAIMS") or cast("dict[str, str]", {})
        if not is_json_object(value) or not all(
            isinstance(name, str) and name for pair in value.items() for name in pair
        ):
            self.fault('COPY_CLAIMS is a mapping from a claim of this issuer to one of ours, as {"org_id": "tenant"}')
            return {}
        if own and value:
            self.fault(
                "COPY_CLAIMS: this issuer is OWN, and its tokens keep their claims: it belongs to another issuer"
            )
        copied = cast("Mapping[str, str]", value)
        self.faults.extend(f"{self.where}: COPY_CLAIMS: {fault}" for fault in copy_faults(copied))
        return MappingProxyType(dict(copied))

    def absent_claims(self, *, own: bool) -> frozenset[str]:
        """The claims, `iss` and `aud`, that its tokens need not have."""
        names = frozenset(self.texts("ABSENT_CLAIMS"))
        for name in sorted(names - ABSENT_CLAIMS):
            self.fault(f"ABSENT_CLAIMS: {name!a} cannot be absent: only iss and aud can")
        # INVARIANT: the key alone says whose token it is, so no one else may have it: a provider's keys sign for others.
        if names and not self.values.get("JWKS"):
            self.fault(
                "ABSENT_CLAIMS is for an issuer with a key of its own in JWKS: a key that is fetched signs tokens for "
                "others too, and without iss and aud they would be accepted here"
            )
        if names and own:
            self.fault("ABSENT_CLAIMS: this issuer is OWN, and its tokens have iss and aud")
        return names

    def profile(self) -> ClaimProfile:
        """The profile of its tokens: a shipped profile's name, or a custom profile."""
        value = self.values.get("PROFILE", "rfc9068")
        if isinstance(value, ClaimProfile):
            return value
        try:
            if not is_json_object(value):
                return shipped_profile(str(value))
            from jwt_lp.tokens.custom_profile import read_custom_profile

            return read_custom_profile(value)
        except ConfigurationError as error:
            self.faults.extend(f"{self.where}: PROFILE: {fault}" for fault in error.faults)
            return RFC9068
