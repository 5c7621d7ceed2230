"""What may a token for this audience be?

Everything that is asked for is held against the policy before a token is made; `PolicyError` names all that is at
fault, and what to do.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Self

from jwt_lp.claims import COMPACT, ROLE_SCOPE
from jwt_lp.errors import GrammarError, InvalidToken, PolicyError
from jwt_lp.jws import MAX_TOKEN, read_json
from jwt_lp.lineage import DESCENT
from jwt_lp.narrowing import named
from jwt_lp.permissions import check_grant, is_pattern
from jwt_lp.verify import MAX_GRANTS, MAX_PATTERNS

if TYPE_CHECKING:
    from jwt_lp.policy import Audience, Policy

MAX_LIFETIME: Final = 3600.0
MAX_SIZE: Final = 4096

# What the issuer itself writes, and no caller.
OURS: Final = frozenset(
    {"iss", "sub", "aud", "iat", "exp", "nbf", "jti", "client_id", "scope", "roles", COMPACT, ROLE_SCOPE} | DESCENT
)


@dataclass(frozen=True, slots=True, kw_only=True)
class ClaimPolicy:
    """What a token for one audience may be.

    `claims` are those that may stand in it beside the issuer's own; `max_lifetime` is seconds, `max_size`
    characters of the whole token; `wildcards` says whether it may carry patterns.
    """

    claims: frozenset[str] = frozenset()
    max_lifetime: float = MAX_LIFETIME
    max_size: int = MAX_SIZE
    wildcards: bool = False

    @classmethod
    def of(cls, audience: Audience) -> Self:
        """What the policy file says of an audience; an hour and 4,096 characters where it says nothing."""
        return cls(
            claims=frozenset(audience.claims),
            max_lifetime=audience.max_lifetime or MAX_LIFETIME,
            max_size=audience.max_size or MAX_SIZE,
            wildcards=audience.wildcards,
        )

    @property
    def limit(self) -> int:
        """How many characters a token may have; never more than any guard reads."""
        return min(self.max_size, MAX_TOKEN)

    def lifetime(self, asked: object, usual: float, audience: str) -> float:
        """How many seconds a token lives: as asked, or as usual where nothing is."""
        if asked is None:
            return min(usual, self.max_lifetime)
        if isinstance(asked, bool) or not isinstance(asked, int | float) or not 1 <= asked < math.inf:
            raise PolicyError("a token lives for a number of seconds, one at least", reason="lifetime")
        if asked > self.max_lifetime:
            raise PolicyError(
                f"{asked:.0f} s is too long: a token for {audience} lives {self.max_lifetime:.0f} s at most; "
                "ask for less, or raise max_lifetime of that audience",
                reason="lifetime",
            )
        return asked

    def check_grants(self, asked: Sequence[str], policy: Policy, audience: str) -> None:
        """Refuse what is no permission, what the catalogue does not have, and what no guard would read."""
        faults: list[str] = []
        malformed: list[str] = []
        patterns: list[str] = []
        for text in asked:
            try:
                check_grant(text)
            except GrammarError as error:
                malformed.append(str(error))
            else:
                if is_pattern(text):
                    patterns.append(text)
        if malformed:
            faults.append(named(malformed))
        if patterns and not self.wildcards:
            faults.append(
                f"a token for {audience} carries no wildcards, and {named(patterns)} has: name what is needed"
            )
        if len(asked) > MAX_GRANTS or len(patterns) > MAX_PATTERNS:
            faults.append(
                f"{len(asked)} permissions, {len(patterns)} of them patterns, are more than any guard reads "
                f"({MAX_GRANTS}, {MAX_PATTERNS}): put them into a role"
            )
        unknown = [] if faults else [text for text in asked if not policy.lists(text)]
        if unknown:
            faults.append(f"{named(unknown)} is not in the catalogue, or retired there: add it under [permissions]")
        if faults:
            raise PolicyError("; ".join(faults), reason="scope")

    def check_claims(self, extra: Mapping[str, object], audience: str) -> None:
        """Refuse claims that are not on the list, that the issuer writes itself, and that no verifier would read."""
        ours = [name for name in extra if name in OURS]
        if ours:
            raise PolicyError(f"{named(ours)} is set by the issuer: leave it out of claims", reason="claims")
        unlisted = [ascii(name) for name in extra if name not in self.claims]
        if unlisted:
            raise PolicyError(
                f"a token for {audience} does not carry {named(unlisted)}: add it to claims of that audience if its "
                "service reads it, and leave it out otherwise",
                reason="claims",
            )
        if extra:
            try:
                read_json(as_json(extra), "claims")
            except InvalidToken as error:
                raise PolicyError(f"no verifier would read these claims: {error.detail}", reason="claims") from None


def check_roles(roles: Sequence[str], policy: Policy) -> None:
    """Refuse roles that the policy does not have."""
    unknown = [role for role in roles if role not in policy.roles]
    if unknown:
        raise PolicyError(
            f"the policy has no role {named(map(ascii, unknown))}; its roles are: {named(policy.roles) or 'none'}",
            reason="scope",
        )


def as_json(claims: Mapping[str, object]) -> bytes:
    """The claims as they are signed."""
    try:
        return json.dumps(claims, separators=(",", ":"), ensure_ascii=False, allow_nan=False).encode()
    except (TypeError, ValueError, RecursionError):
        raise PolicyError("the claims are not JSON", reason="claims") from None
