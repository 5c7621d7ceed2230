"""Claim policies: what a token for an audience may contain.

Each request is checked against the policy before a token is made. `PolicyError` names every fault and the remedy.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

from jwt_lp._support.validation import join_names
from jwt_lp.errors import GrammarError, InvalidToken, PolicyError
from jwt_lp.issuing.limits import MAX_LIFETIME, MAX_SIZE
from jwt_lp.issuing.reserved_claims import ISSUER_CLAIMS
from jwt_lp.jose.jws import MAX_TOKEN, read_json
from jwt_lp.permissions.grants import check_grant, is_pattern
from jwt_lp.tokens.claim_checks import MAX_GRANTS, MAX_PATTERNS

if TYPE_CHECKING:
    from jwt_lp.policy.entries import Audience
    from jwt_lp.policy.file import Policy


@dataclass(frozen=True, slots=True, kw_only=True)
class ClaimPolicy:
    """The limits of a token for one audience.

    `claims` are the additional claims that it may have; `max_lifetime` is in seconds, `max_size` in characters of the
    whole token; `wildcards` says whether it may carry patterns.
    """

    claims: frozenset[str] = frozenset()
    max_lifetime: float = MAX_LIFETIME
    max_size: int = MAX_SIZE
    wildcards: bool = False

    @classmethod
    def of(cls, audience: Audience) -> Self:
        """Make the claim policy of an audience in the policy file; the defaults are an hour and 4,096 characters."""
        return cls(
            claims=frozenset(audience.claims),
            max_lifetime=audience.max_lifetime or MAX_LIFETIME,
            max_size=audience.max_size or MAX_SIZE,
            wildcards=audience.wildcards,
        )

    @property
    def size_limit(self) -> int:
        """The maximum number of characters of a token; never more than a guard reads."""
        return min(self.max_size, MAX_TOKEN)

    def lifetime(self, requested: object, default: float, audience: str) -> float:
        """Return the lifetime of a token in seconds: the requested one, or the default if that is None."""
        if requested is None:
            return min(default, self.max_lifetime)
        if isinstance(requested, bool) or not isinstance(requested, int | float) or not 1 <= requested < math.inf:
            raise PolicyError("the lifetime of a token is a number of seconds, at least one", reason="lifetime")
        if requested > self.max_lifetime:
            raise PolicyError(
                f"{requested:.0f} s is too long: a token for {audience} lives {self.max_lifetime:.0f} s at most; "
                "ask for less, or raise max_lifetime of that audience",
                reason="lifetime",
            )
        return requested

    def check_grants(self, texts: Sequence[str], policy: Policy, audience: str) -> None:
        """Refuse malformed permissions, permissions that are not in the catalogue, and more than a guard reads."""
        faults: list[str] = []
        malformed: list[str] = []
        patterns: list[str] = []
        for text in texts:
            try:
                check_grant(text)
            except GrammarError as error:
                malformed.append(str(error))
            else:
                if is_pattern(text):
                    patterns.append(text)
        if malformed:
            faults.append(join_names(malformed))
        if patterns and not self.wildcards:
            faults.append(
                f"a token for {audience} may not carry wildcards such as {join_names(patterns)}: name the permissions "
                "that are needed"
            )
        if len(texts) > MAX_GRANTS or len(patterns) > MAX_PATTERNS:
            faults.append(
                f"{len(texts)} permissions, {len(patterns)} of them patterns, are more than a guard reads "
                f"({MAX_GRANTS}, {MAX_PATTERNS}): put them into a role"
            )
        unknown = [] if faults else [text for text in texts if not policy.catalogue_has(text)]
        if unknown:
            faults.append(
                f"{join_names(unknown)} is not in the catalogue, or retired there: add it under [permissions]"
            )
        if faults:
            raise PolicyError("; ".join(faults), reason="scope")

    def check_claims(self, extra: Mapping[str, object], audience: str) -> None:
        """Refuse claims that are not on the list, that the issuer sets itself, and that a verifier would refuse."""
        issuer_claims = [name for name in extra if name in ISSUER_CLAIMS]
        if issuer_claims:
            raise PolicyError(
                f"{join_names(issuer_claims)} is set by the issuer: remove it from claims", reason="claims"
            )
        unlisted = [ascii(name) for name in extra if name not in self.claims]
        if unlisted:
            raise PolicyError(
                f"a token for {audience} may not carry {join_names(unlisted)}: add it to claims of that audience if "
                "its service reads it, and remove it otherwise",
                reason="claims",
            )
        if extra:
            try:
                read_json(encode_claims(extra), "claims")
            except InvalidToken as error:
                raise PolicyError(f"no verifier would accept these claims: {error.detail}", reason="claims") from None


def check_roles(roles: Sequence[str], policy: Policy) -> None:
    """Refuse roles that the policy does not have."""
    unknown = [role for role in roles if role not in policy.roles]
    if unknown:
        raise PolicyError(
            f"the policy has no role {join_names(map(ascii, unknown))}; its roles are: "
            f"{join_names(policy.roles) or 'none'}",
            reason="scope",
        )


def encode_claims(claims: Mapping[str, object]) -> bytes:
    """Return the claims as the JSON that is signed."""
    try:
        return json.dumps(claims, separators=(",", ":"), ensure_ascii=False, allow_nan=False).encode()
    except (TypeError, ValueError, RecursionError):
        raise PolicyError("the claims are not JSON", reason="claims") from None
