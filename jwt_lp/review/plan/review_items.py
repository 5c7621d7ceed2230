"""What has to be decided, and which review does the question come from?"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from jwt_lp.review.findings import Finding, Review

_DECIDABLE_KINDS: Final = frozenset(("grant", "wildcard", "role", "member"))
_HOLDERS: Final = frozenset(("subject", "client", "role"))
_SETTLED_GUARDS: Final = ("revoked already", "exempt ")


class ReviewOrigin(NamedTuple):
    """The review that a decision rests on.

    `review` and `policy` are digests ("" for no policy), `path` is where the policy was; `made_at` is in seconds since
    the epoch. `source` and `complete` say who was looked at, `grants` how many grants they held.
    """

    review: str
    policy: str
    path: str
    made_at: float
    source: str
    complete: bool
    grants: int

    @classmethod
    def from_review(cls, review: Review) -> ReviewOrigin:
        """That of a review."""
        population = review.population
        return cls(
            review.digest,
            review.policy,
            review.policy_path,
            review.made_at,
            population.source,
            population.complete,
            population.grants,
        )


class ReviewItem(NamedTuple):
    """One finding, as far as a decision needs it. `touches` is how many holders lose something by it."""

    id: str
    of: str
    issuer: str
    name: str
    role: str
    grant: str
    instead: tuple[str, ...]
    proposal: str
    guards: tuple[str, ...]
    uses: int
    last_day: str
    touches: int

    @classmethod
    def from_finding(cls, found: Finding) -> ReviewItem:
        """That of a finding."""
        return cls(
            found.id,
            found.of,
            found.issuer,
            found.name,
            found.role,
            found.grant,
            found.instead,
            found.proposal,
            found.guards,
            found.uses,
            found.last_day,
            max(found.members, 1) if found.of == "role" else 1,
        )


def undecided_findings(findings: Iterable[Finding]) -> Iterator[Finding]:
    """Those that ask for a decision: what is proposed, and what only a guard holds back."""
    for found in findings:
        if found.kind not in _DECIDABLE_KINDS or found.of not in _HOLDERS:
            continue
        settled = any(guard.startswith(_SETTLED_GUARDS) for guard in found.guards)
        if not settled and (found.proposal != "keep" or found.guards):
            yield found
