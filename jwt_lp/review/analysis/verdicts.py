"""Verdicts on grants: the rule and the data that every judgement uses."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, NamedTuple

from jwt_lp.policy.file import EMPTY_POLICY
from jwt_lp.review.analysis.decision_rule import DEFAULT_WINDOW_DAYS, DecisionRule
from jwt_lp.review.analysis.evidence import WHOLE_ROLE, GrantPath, iso_day
from jwt_lp.review.analysis.grant_features import GrantFeatures
from jwt_lp.review.analysis.people import NOBODY, Person
from jwt_lp.review.analysis.reasons import explain_likelihood
from jwt_lp.review.analysis.risk_score import GrantRisks
from jwt_lp.review.pattern_overlap import EnforcedPermissions, covers
from jwt_lp.review.quantities import count_noun

if TYPE_CHECKING:
    from jwt_lp.policy.elevation_rules import ElevationRule
    from jwt_lp.policy.file import Policy
    from jwt_lp.review.analysis.evidence import Holder
    from jwt_lp.review.analysis.likelihood import LikelihoodModel
    from jwt_lp.review.findings import Reason, Verdict

RECENT_DAYS: Final = 365


class ReviewExemption(NamedTuple):
    """A finding that a reviewer exempted until a day, which is included."""

    id: str
    until: str
    owner: str
    comment: str = ""


class JudgedHolder(NamedTuple):
    """A holder, its paths by role and grant, and for each role and grant whether the rule would revoke it.

    `person` is who the holder is; everything that a leaver holds is due. `powers` is the number of its patterns and
    grants of high risk.
    """

    holder: Holder
    paths: Sequence[GrantPath]
    due: Mapping[tuple[str, str], bool]
    person: Person = NOBODY
    has_left: bool = False
    powers: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class ReviewContext:
    """The rule and the data that every judgement uses. Days are ordinals.

    `since` is the first day of any recording. `coverage_guards` hold for every finding. `revoked` has the kind, issuer,
    name and pattern of each deny entry in force. `issuer_names` are the names of issuers in the settings.
    """

    now: int
    rule: DecisionRule
    model: LikelihoodModel | None
    grace: int
    since: int
    requested: EnforcedPermissions
    users: Mapping[str, int]
    active: int
    risks: GrantRisks = field(default_factory=GrantRisks)
    coverage_guards: tuple[str, ...] = ()
    exempt: Mapping[str, ReviewExemption] = field(default_factory=dict[str, ReviewExemption])
    people: Mapping[str, Person] = field(default_factory=dict[str, Person])
    revoked: frozenset[tuple[str, str, str, str]] = frozenset()
    policy: Policy = EMPTY_POLICY
    issuer_names: Mapping[str, str] = field(default_factory=dict[str, str])

    @property
    def _by_window(self) -> bool:
        return self.rule.kind == "fixed" or self.model is None

    @property
    def window(self) -> int:
        """The number of days for which a grant must have been observable to be due without any use."""
        return int(self.rule.threshold) if self.rule.kind == "fixed" else DEFAULT_WINDOW_DAYS

    def pair(self, holder: Holder, path: GrantPath) -> GrantFeatures:
        """The features of a grant that the rule judges by."""
        others = [other for other in holder.paths.values() if other.grant != path.grant and other.last]
        last = max((other.last for other in others), default=0)
        recent = {other.grant for other in others if self.now - other.last <= RECENT_DAYS}
        me = self.now - path.last <= RECENT_DAYS
        rest = self.active - (me or bool(recent))
        # The history may be a sample of the subjects that lacks this one, so the share is clamped below.
        share = (self.users.get(path.grant, 0) - me) / rest if rest > 0 else 0.0
        return GrantFeatures(
            idle=self.now - path.last,
            days=path.days,
            span=path.last - path.first,
            age=self.now - path.first,
            elsewhere_idle=self.now - last if last else None,
            elsewhere_recent=len(recent),
            others=min(max(share, 0.0), 1.0),
            holder_age=self.now - min([path.first, *(other.first for other in others)]),
            elsewhere_days=sum(other.days for other in others),
            elsewhere_grants=len({other.grant for other in others}),
        )

    def revokes(self, holder: Holder, path: GrantPath) -> bool:
        """Whether the rule would revoke a grant that was used."""
        if self._by_window or self.now - path.last < self.rule.floor:
            # The same answer, without the features that only a model needs.
            return self.rule.is_due(self.now - path.last, None)
        return self.rule.revokes(self.pair(holder, path), self.model)

    def revokes_permission(self, holder: Holder, path: GrantPath, last: int) -> bool:
        """Whether the rule would revoke a grant that was used like this one, but last on the day `last`."""
        return self.revokes(
            holder,
            GrantPath(
                path.role, path.grant, path.granted, path.since, path.seen, path.uses, path.days, path.first, last
            ),
        )

    def risk(self, grant: str) -> str:
        """The highest risk of the permissions that the grant covers."""
        return self.risks.level(grant)

    def elevation_rule(self, grant: str) -> ElevationRule | None:
        """The rule of the policy for elevations of a permission; None for a pattern."""
        return self.policy.elevation_rule(grant)

    @property
    def today(self) -> str:
        """The day of the review, an ISO day."""
        return iso_day(self.now)

    def judge(self, holder: Holder) -> JudgedHolder:
        """A holder with what the rule says about its grants."""
        person = self.people.get(holder.subject, NOBODY)
        has_left = person is not NOBODY and person.has_left(self.today)
        due = {key: has_left or self.due(holder, path) for key, path in holder.paths.items()}
        powers = sum(self.risks.is_powerful(path.grant) for path in holder.paths.values())
        return JudgedHolder(holder, [holder.paths[key] for key in sorted(due)], due, person, has_left, powers)

    def due(self, holder: Holder, path: GrantPath) -> bool:
        """Whether the rule would revoke it: never used for the whole window, or used and not needed any more."""
        if path.days:
            return self.revokes(holder, path)
        return self.now - self.observable_since(path) >= self.window

    def observable_since(self, path: GrantPath) -> int:
        """The first day on which its use would have been recorded."""
        return max(path.held_since, self.since) or self.now

    def likelihood(self, holder: Holder, path: GrantPath) -> tuple[float | None, tuple[Reason, ...]]:
        """The likelihood that it is needed again, and the reasons; None without a model."""
        if self.model is None or not path.days:
            return None, ()
        pair = self.pair(holder, path)
        return self.model.likelihood(pair), explain_likelihood(self.model.contributions(pair), pair)

    def likelihood_bound(self, holder: Holder, path: GrantPath) -> float | None:
        """The upper bound of that likelihood; None without a model."""
        if self.model is None or not path.days:
            return None
        return self.model.bound(self.pair(holder, path))

    def verdict(self, path: GrantPath, *, due: bool) -> Verdict:
        """The verdict on a grant; `due` is whether the rule would revoke it."""
        if path.days:
            return "unused" if due else "used"
        return "dormant" if path.grant == WHOLE_ROLE or self.observable(path.grant) else "unobservable"

    def observable(self, grant: str) -> bool:
        """Whether its use would be recorded: an enforcement point requires it, or none is known at all."""
        return not self.requested or bool(self.requested.matching(grant))

    def in_grace(self, path: GrantPath) -> bool:
        """Whether it has not been held for long enough to be judged."""
        return bool(path.held_since) and self.now - path.held_since < self.grace

    def grace_guards(self, path: GrantPath) -> tuple[str, ...]:
        """The guard of a grant that has not been held for long enough to be judged."""
        if self.in_grace(path):
            held = count_noun(self.now - path.held_since, "day")
            return (f"held for only {held}, within the grace period of {count_noun(self.grace, 'day')}",)
        return ()

    def may_exceed_need(self, grant: str, needed: Collection[str]) -> bool:
        """Whether a required permission that it covers in part, or that is not needed itself, is left to look at."""
        return any(term not in needed or not covers(grant, term) for term in self.requested.matching(grant))

    def exceeds_need(self, grant: str, needed: Sequence[str]) -> bool:
        """Whether it covers a required permission that `needed` does not cover; False where nothing is needed."""
        return bool(needed) and any(
            not any(covers(pattern, term) for pattern in needed) for term in self.requested.matching(grant)
        )
