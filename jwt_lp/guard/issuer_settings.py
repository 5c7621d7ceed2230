"""The settings of one issuer, as values, and what they mean for tokens of our own."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TYPE_CHECKING, Literal

from jwt_lp.issuing.reserved_claims import ISSUER_CLAIMS
from jwt_lp.permissions.grants import Permissions
from jwt_lp.tokens.trusted_issuer import TrustedIssuer

if TYPE_CHECKING:
    from jwt_lp.guard.introspection_settings import IntrospectionSettings
    from jwt_lp.jose.jwks import KeySource, StaticKeys
    from jwt_lp.permissions.requirements import Binding
    from jwt_lp.tokens.claims import ClaimProfile


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class IssuerSettings:
    """The settings of one issuer. Exactly one of `static`, `jwks_url` and `discovery` says where its keys are.

    An issuer whose tokens are all opaque has `introspection`, no algorithms and an empty `static`. `copy_claims` maps a
    claim of this issuer to the claim of ours that it becomes. `elevation` holds the patterns of what its subjects may
    hold by elevation, beside what their tokens grant. `dpop` says whether its tokens may, or must, be bound by
    DPoP, and `dpop_max_age` how many seconds old a proof is at most.
    """

    name: str
    issuer: str
    audience: frozenset[str]
    algorithms: frozenset[str]
    profile: ClaimProfile
    static: StaticKeys | None = None
    # The query of a URL may hold a secret.
    jwks_url: str | None = field(default=None, repr=False)
    discovery: str | bool = field(default=False, repr=False)
    own: bool = False
    patterns: bool = False
    leeway: float = 0.0
    max_lifetime: float = 86400.0
    ceiling: Permissions | None = None
    clients: frozenset[str] | None = None
    sender_constrained: frozenset[str] = frozenset()
    dpop: bool | Literal["required"] = False
    dpop_max_age: float = 60.0
    copy_claims: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    absent_claims: frozenset[str] = frozenset()
    introspection: IntrospectionSettings | None = None
    elevation: tuple[str, ...] = ()

    def key_source(self, allow_http_hosts: Collection[str] = ()) -> KeySource:
        """The source of its keys; nothing is fetched yet."""
        if self.static is not None:
            return self.static
        # Only keys at a URL need it, and only when a guard starts.
        from jwt_lp.jose.remote_jwks import JwksKeys

        return JwksKeys(
            self.jwks_url,
            algorithms=self.algorithms,
            issuer=self.issuer,
            discovery=self.discovery,
            allow_http_hosts=allow_http_hosts,
        )

    def to_trusted_issuer(self, keys: KeySource, development: StaticKeys | None = None) -> TrustedIssuer:
        """The issuer as the verifier needs it."""
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
            clients=self.clients,
            # The proof of such a token is checked where its request is.
            sender_constrained=self.sender_constrained.union(("jkt",) if self.dpop else ()),
            development=development,
            copy_claims=self.copy_claims,
            absent_claims=self.absent_claims,
            elevation=Permissions.of(self.elevation, patterns=True),
        )


def unvouched_faults(binding: Binding, issuers: Sequence[IssuerSettings]) -> list[str]:
    """A fault where the binding compares a `sub_id` of our tokens, which another issuer may have chosen."""
    own = {issuer.name for issuer in issuers if issuer.own}
    names = {*own, ""} if own and len(issuers) == 1 else own
    return [
        f"{binding}: sub_id is a subject of whichever issuer made the first token: have that issuer's sub copied into "
        "a claim of its own, COPY_CLAIMS where the token is narrowed, and compare that"
        for name, path in binding.paths
        if name in names and path[0] == "sub_id"
    ]


def own_meaningful_claims(issuer: IssuerSettings, listed: frozenset[str]) -> frozenset[str]:
    """Which of the claims that audiences list decide what a token of this `OWN` issuer means: none of another's."""
    if not issuer.own:
        return frozenset()
    profile = issuer.profile
    # Of the claims for roles, only the first counts in a token of our own.
    paths = [source.path for source in profile.sources if source.kind == "permissions"]
    paths += [source.path for source in profile.sources if source.kind == "roles"][:1]
    names = {path[0] for path in paths} | {profile.subject, profile.audience, profile.token_id, *profile.client[:1]}
    return (listed if "*" in names else listed & names) - ISSUER_CLAIMS
