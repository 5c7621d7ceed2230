"""Values of a review: findings, population, rule, backtest.

All outputs are made from these frozen values. Days are ISO dates in UTC; an unknown day is "".
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Literal, NamedTuple, TypeAlias

if TYPE_CHECKING:
    from jwt_lp.review.comparison import Comparison
    from jwt_lp.review.elevation_values import ElevatedUse, ElevationCost, JustInTime

Verdict: TypeAlias = Literal["leaver", "used", "unused", "dormant", "unobservable", "needed-but-denied"]
"""`leaver`: held by a person who has left. `used`: needed, by the rule. `unused`: used before, but not needed any more by
the rule. `dormant`: held and never used. `unobservable`: no known enforcement point requires it, so its need is unknown.
`needed-but-denied`: requested and refused."""

FindingKind: TypeAlias = Literal["grant", "wildcard", "role", "member", "split", "requirement", "permission", "regret"]
"""`grant`: one grant of a holder. `wildcard`: a pattern that is broader than its use. `role`: a role's grant.
`member`: a member who needs little of a role. `split`: a role that could be several. `requirement`: a requirement that
no request reached. `permission`: a permission of the catalogue that no route requires. `regret`: a permission that was
revoked and requested since."""

FindingTarget: TypeAlias = Literal["subject", "client", "role", "service", "catalogue"]

LAST_HOLDER: Final = "last holder"
"""The only guard that does not prevent a proposal; applying it may need an explicit option."""

USED_THROUGH_ANOTHER: Final = (
    "the same permission is in use through another grant, and a deny entry would refuse that too"
)
"""The guard of a grant or a membership whose permission the holder needs in another way."""

Proposal: TypeAlias = Literal["keep", "remove", "narrow"]
"""What the rules alone would do. No finding proposes to add a grant; `Review.elevated` is apart from the findings."""

Change: TypeAlias = Literal["", "new", "came-back", "known"]
"""What is different since an earlier review: `new` in this one, `came-back` after it was gone or revoked, `known` from
the earlier one; "" without an earlier review."""


class Reason(NamedTuple):
    """A reason that speaks for or against removal.

    `feature` is the feature of the likelihood model. `weight` is its effect on the logarithm of the odds of need,
    compared with the average past case: above 0, need is likelier, which speaks against removal.
    """

    feature: str
    direction: Literal["for", "against"]
    weight: float
    sentence: str

    def __str__(self) -> str:
        return f"{'for removal' if self.direction == 'for' else 'against'}: {self.sentence}"


class ScorePart(NamedTuple):
    """A part of a risk score: its points, the most that it can have, and what they are given for."""

    name: Literal["risk", "breadth", "idle", "holder"]
    points: int
    most: int
    sentence: str

    def __str__(self) -> str:
        return f"{self.sentence} ({self.points} of {self.most})"


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One judgement with its evidence.

    `of` and `name` identify the holder, `grant` the grant, and `role` the role that confers it ("" for a direct grant).
    For `narrow`, `instead` lists the narrower grants that would suffice. `reason` is one sentence. `guards` say why an
    otherwise due removal is not proposed. `others` are the holder's other grants with permissions in common. `uses`
    were made on `days` days; `idle` is the number of days since the last one (None for never). `likelihood` is the
    likelihood of need within the horizon, between 0 and 1, or None without a model; `because` explains it, and
    `likelihood_bound` is its upper bound: the model's weights make it higher in 1 of 20 cases. For a role, `users` of
    its `members` used the grant. `score` is the risk of leaving the grant in place, from 0 to 100, the sum of
    `score_parts`. `just_in_time` is the elevation that could serve instead of a standing grant. `person_name`, `team`,
    `manager`, `active` and `left` (the last day of a leaver) are those of the list of people.
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
    likelihood_bound: float | None = None
    because: tuple[Reason, ...] = ()
    score: int = 0
    score_parts: tuple[ScorePart, ...] = ()
    person_name: str = ""
    team: str = ""
    manager: str = ""
    active: str = ""
    left: str = ""
    change: Change = ""
    just_in_time: JustInTime | None = None

    @property
    def used_after_leaving(self) -> bool:
        """Whether a leaver's grant was used after the last day of its holder."""
        return bool(self.left) and self.verdict == "leaver" and self.last_day > self.left


class ReviewWindow(NamedTuple):
    """The days that were reviewed, both included, the last day with complete records, and what was lost."""

    first_day: str
    last_day: str
    fresh_until: str
    recorded_days: int
    dropped: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Population:
    """The holders that were reviewed. `source` is `imported` for a list of grants, `tokens` for tokens seen only.

    `complete` says whether the import had all grants. Findings that are `excluded` by an exemption or a filter were not
    approved.
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
        return f"grants imported as of {self.as_of}{'' if self.complete else ', not marked as complete'}"


class Coefficient(NamedTuple):
    """A coefficient of the likelihood model: its feature, its weight, the feature's mean and spread, the prior's weight."""

    name: str
    weight: float
    mean: float
    spread: float
    prior: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class AppliedRule:
    """The rule of the review: `fixed` with a window in days, or `likelihood` with the highest likelihood to revoke at.

    `fitted_on` is the number of past cases of the store that the coefficients were fitted on, in `pauses` pauses of a
    grant's use; 0 where they are those of the prior. `own_share` is the share of the model's certainty that comes from
    these cases, between 0 and 1; the rest comes from the prior.
    """

    rule: Literal["fixed", "likelihood"]
    threshold: float
    floor: int
    grace: int
    horizon: int
    fitted_on: int = 0
    pauses: int = 0
    own_share: float = 0.0
    coefficients: tuple[Coefficient, ...] = ()


class BacktestedSetting(NamedTuple):
    """The result of one setting of a rule, replayed over the past."""

    rule: Literal["fixed", "likelihood"]
    threshold: float
    revoked: int
    regretted: int
    days_needlessly_held: int

    @property
    def regret(self) -> float:
        """The share of revoked grants that were needed later; 0 where nothing was revoked."""
        return self.regretted / self.revoked if self.revoked else 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Backtest:
    """The results of every setting, over reviews from `first_review` on, each looking `horizon` days ahead.

    `recommended` was chosen on earlier reviews, and its results here are those of the later ones: with `regret`, by a
    share of regrets of at most that; without, by the fewest regrets at no more needless days than the window `in_force`.
    It never regrets more than the window at no fewer needless days, and without `regret` never more at all. None where
    the history is too short, or no setting was within `regret`. `interval` is the 95 % interval of its share of regrets,
    None where nothing was revoked, or where the window had to stand in for the setting that was chosen. `judged` is the
    result of the rule of the review that this backtest belongs to. `sampled` is the share of subjects that were replayed.
    `elevation` has for each setting what it costs where elevations answer.
    """

    horizon: int
    first_review: str
    last_day: str
    pairs: int
    regret: float | None
    settings: tuple[BacktestedSetting, ...]
    recommended: BacktestedSetting | None
    in_force: BacktestedSetting | None = None
    judged: BacktestedSetting | None = None
    interval: tuple[float, float] | None = None
    sampled: float = 1.0
    elevation: tuple[ElevationCost, ...] = ()


class BudgetResult(NamedTuple):
    """What a regret budget did: `inside` and `outside` count proposals, without those for leavers.

    `expected` is the expected regret of those inside, in people or grants, within `days`; 19 of 20 outcomes do not exceed
    `bound`. One more person or grant in the budget would allow `one_more` proposals.
    """

    budget: str
    days: int
    inside: int
    outside: int
    expected: float
    bound: int
    one_more: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Review:
    """The result of a review. `findings` are ordered by urgency, the first decision first.

    `elevated` is what subjects used by elevations, those first for whom a standing grant is proposed. No plan has it.
    `unlisted` is the number of grants that are used and kept, beyond the first 100,000 findings. They have no finding in
    `findings`.

    `digest` is the SHA-256 of the review's input and options, `policy` that of the policy ("" without one); `made_at`
    is in seconds since the epoch. `notes` are what a reader must know before relying on the review.
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
    comparison: Comparison | None = None
    budget: BudgetResult | None = None
    unlisted: int = 0
    elevated: tuple[ElevatedUse, ...] = ()
