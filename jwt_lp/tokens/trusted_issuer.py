"""Issuers whose tokens are accepted, and the limits for each."""

from __future__ import annotations

from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TYPE_CHECKING, Final

from jwt_lp.permissions.grants import Permissions

if TYPE_CHECKING:
    from collections.abc import Mapping

    from jwt_lp.jose.remote_jwks import KeySource, StaticKeys
    from jwt_lp.tokens.claims import ClaimProfile

CONFIRMATIONS: Final = frozenset({"jwk", "jwe", "jku", "kid", "x5t#S256", "jkt", "osc"})
"""The registered confirmation methods: the members of `cnf` (RFC 7800, section 6.2; RFC 8705, 9203 and 9449)."""


@dataclass(frozen=True, slots=True)
class TrustedIssuer:
    """An issuer whose tokens are accepted, and the limits for them.

    `audience` is None only where an issuer verifies its own tokens, which are for others. `own` marks one of our own
    issuers: wildcards count, and `roles` are the policy's. `ceiling` holds the patterns that it may confer at most,
    None for no limit. `clients` are the clients whose tokens are accepted, None for all. `sender_constrained` holds the confirmation methods of tokens that are accepted although the
    proof is not checked here. `leeway` and `max_lifetime` are seconds. `copy_claims` maps claims of its tokens to
    claims of ours, for when one of its tokens is downscoped. `development` holds the development key, if one is used.
    `absent_claims` (of `iss` and `aud`) are claims that its tokens need not have. `elevation` holds the patterns of what
    its subjects may hold by elevation at most; it confers nothing by default.
    """

    name: str
    issuer: str
    audience: frozenset[str] | None
    algorithms: frozenset[str]
    profile: ClaimProfile
    keys: KeySource
    own: bool = False
    patterns: bool = False
    leeway: float = 0.0
    max_lifetime: float = 86400.0
    ceiling: Permissions | None = None
    clients: frozenset[str] | None = None
    sender_constrained: frozenset[str] = frozenset()
    development: StaticKeys | None = None
    copy_claims: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    absent_claims: frozenset[str] = frozenset()
    elevation: Permissions = Permissions()  # noqa: RUF009 - immutable
