"""What does a review say?

Frozen values, from which every output is made. Days are ISO dates in UTC; a day that is not known is "".
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal, NamedTuple, TypeAlias

Verdict: TypeAlias = Literal["used", "unused", "dormant", "unobservable", "needed-but-denied"]
"""Used within the rule; used before and not since; held and never used; asked for by no enforcement point that is
known, so that nobody can say; asked for and refused."""

FindingKind: TypeAlias = Literal["grant", "wildcard", "role", "member", "split", "requirement", "permission", "regret"]
"""One grant of a holder; one that is broader than its use; a role's grant; a member who needs little of a role; a role
that is two; a requirement that no request reached; a permission of the catalogue that no route asks for; a permission that was
revoked and asked for since."""

FindingTarget: TypeAlias = Literal["subject", "client", "role", "service", "catalogue"]

LAST_HOLDER: Final = "last holder"
"""The one guard of what is proposed all the same: it can be lifted, and only by saying so."""

Proposal: TypeAlias = Literal["keep", "remove", "narrow"]
"""What the rules alone would do. Never to add."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One judgement, with all that it rests on.

    `of` and `name` say whose it is, `grant` what, `role` what confers it ("" directly). For `narrow`, `instead` is the
    list that would do. `reason` is one sentence; `guards` are what keeps an otherwise due removal from being proposed;
    `others` are the other ways in which the holder comes to the same permissions. `uses` were made on `days` days,
    `idle` is how many days ago the last one was (None for never). `likelihood`, between 0 and 1, is that of need
    within the horizon, None where no model judged; `because` says what made it so. Of a role, `users` of its
    `members` used the grant.
    """

    id: str
    kind: FindingKind
    verdict: Verdict
    proposal: Proposal
    of: FindingTarget
    issuer: str
    name: str
    role: str
    grant: str
    instead: tuple[str, ...] = ()
    reason: str
    guards: tuple[str, ...] = ()
    others: tuple[str, ...] = ()
    risk: str = "medium"
    uses: int = 0
    days: int = 0
    first_day: str = ""
    last_day: str = ""
    idle: int | None = None
    held_since: str = ""
    denied: int = 0
    refused_since: int = 0
    members: int = 0
    users: int = 0
    likelihood: float | None = None
    because: tuple[str, ...] = ()
    owner: str = ""
    team: str = ""
    active: str = ""


class ReviewWindow(NamedTuple):
    """The days that were looked at, both included, and until when the store has all of it."""

    first_day: str
    last_day: str
    fresh_until: str
    recorded_days: int
    dropped: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Population:
    """Who was looked at. `source` is `imported` for a list of grants, `tokens` for what tokens carried alone.

    `complete` says whether the import was of everything there is. What is `excluded` (an exemption, a filter) was not
    judged clean.
    """

    source: Literal["imported", "tokens"]
    as_of: str
    complete: bool
    subjects: int
    clients: int
    roles: int
    grants: int
    excluded: int

    def __str__(self) -> str:
        if self.source == "tokens":
            return "tokens seen only"
        return f"grants imported as of {self.as_of}{'' if self.complete else ', not said to be complete'}"


class Coefficient(NamedTuple):
    """A coefficient of the likelihood: what it is about, by how much it weighs, and of which mean and spread."""

    name: str
    weight: float
    mean: float
    spread: float


@dataclass(frozen=True, slots=True, kw_only=True)
class AppliedRule:
    """The rule that judged: `fixed` with a window in days, or `likelihood` with what is too unlikely to be kept.

    `fitted_on` says how many past cases the coefficients come from; 0 with a plain window.
    """

    rule: Literal["fixed", "likelihood"]
    threshold: float
    floor: int
    grace: int
    horizon: int
    fitted_on: int = 0
    coefficients: tuple[Coefficient, ...] = ()


class BacktestedSetting(NamedTuple):
    """What one setting of a rule would have cost in the past."""

    rule: Literal["fixed", "likelihood"]
    threshold: float
    revoked: int
    regretted: int
    days_needlessly_held: int

    @property
    def regret(self) -> float:
        """The share of what was revoked that was needed after all; 0 where nothing was."""
        return self.regretted / self.revoked if self.revoked else 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Backtest:
    """The trade-off of every setting, over reviews from `first_review` on, each looking `horizon` days ahead.

    `recommended` is the one that holds least needlessly at no more than `regret`; None where the history is too short.
    `sampled` is the share of subjects that were replayed.
    """

    horizon: int
    first_review: str
    last_day: str
    pairs: int
    regret: float
    settings: tuple[BacktestedSetting, ...]
    recommended: BacktestedSetting | None
    sampled: float = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Review:
    """All that a review found. `findings` are in order: what is to be decided first, first.

    `digest` is the SHA-256 of what it was made from and how, `policy` that of the policy ("" without one); `made_at` is
    in seconds since the epoch. `notes` say what a reader has to know before believing it.
    """

    made_at: float
    store: str
    now: str
    window: ReviewWindow
    population: Population
    judging: AppliedRule
    findings: tuple[Finding, ...]
    notes: tuple[str, ...]
    digest: str
    policy: str = ""
    policy_path: str = ""
    timeline: tuple[tuple[str, int, int, int], ...] = ()
    """Per month: its first day, granted, denied and revoked decisions."""
    backtest: Backtest | None = None
