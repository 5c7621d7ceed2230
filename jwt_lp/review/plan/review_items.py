"""Review items: the findings that need a decision, and the review that they come from."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from jwt_lp.review.findings import Finding, Review

_DECIDABLE_KINDS: Final = frozenset(("grant", "wildcard", "role", "member"))
_HOLDERS: Final = frozenset(("subject", "client", "role"))
_SETTLED_GUARDS: Final = ("revoked already", "exempt ")


class ReviewOrigin(NamedTuple):
    """The review that a decision is based on.

    `review` and `policy` are digests ("" for no policy), `path` is the path of the policy; `made_at` is in seconds
    since the epoch. `source` and `complete` describe the population, `grants` is the number of its grants.
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
        """The origin of a review's findings."""
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
    """The parts of a finding that a decision needs. `touches` is the number of holders who would lose a grant.

    `person` and `manager` are the names of the holder and of the manager, "" where no list of people says them.
    """

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
    person: str = ""
    manager: str = ""

    @classmethod
    def from_finding(cls, finding: Finding) -> ReviewItem:
        """The item of a finding."""
        return cls(
            finding.id,
            finding.of,
            finding.issuer,
            finding.name,
            finding.role,
            finding.grant,
            finding.instead,
            finding.proposal,
            finding.guards,
            finding.uses,
            finding.last_day,
            max(finding.members, 1) if finding.of == "role" else 1,
            finding.person_name,
            finding.manager,
        )


def undecided_findings(findings: Iterable[Finding]) -> Iterator[Finding]:
    """The findings that need a decision: those with a proposal, and those that only a guard holds back."""
    for finding in findings:
        if finding.kind not in _DECIDABLE_KINDS or finding.of not in _HOLDERS:
            continue
        settled = any(guard.startswith(_SETTLED_GUARDS) for guard in finding.guards)
        if not settled and (finding.proposal != "keep" or finding.guards):
            yield finding
