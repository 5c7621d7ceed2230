"""What does every judgement rest on?"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, NamedTuple

from jwt_lp.review.analysis.decision_rule import DEFAULT_WINDOW_DAYS, DecisionRule
from jwt_lp.review.analysis.evidence import WHOLE_ROLE
from jwt_lp.review.analysis.likelihood import GrantFeatures
from jwt_lp.review.pattern_overlap import EnforcedPermissions, covers

if TYPE_CHECKING:
    from jwt_lp.review.analysis.evidence import GrantPath, Holder
    from jwt_lp.review.analysis.likelihood import LikelihoodModel
    from jwt_lp.review.findings import Verdict

RECENT_DAYS: Final = 365


class ReviewExemption(NamedTuple):
    """A finding that somebody decided to leave alone, until a day that is included."""

    id: str
    until: str
    owner: str
    comment: str = ""


class Person(NamedTuple):
    """Who a subject is; shown, and kept nowhere."""

    name: str = ""
    team: str = ""
    manager: str = ""
    active: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class ReviewContext:
    """What every judgement rests on. Days are ordinals.

    `since` is the first day of any recording, `fresh` the last one; `data` are guards that hold for everything.
    `taken` says, of whom and what, whether a deny entry stands already.
    """

    now: int
    rule: DecisionRule
    model: LikelihoodModel | None
    grace: int
    since: int
    requested: EnforcedPermissions
    risk: Callable[[str], str]
    users: Mapping[str, int]
    active: int
    coverage_guards: tuple[str, ...] = ()
    exempt: Mapping[str, ReviewExemption] = field(default_factory=dict[str, ReviewExemption])
    people: Mapping[str, Person] = field(default_factory=dict[str, Person])
    revoked: frozenset[tuple[str, str, str, str]] = frozenset()

    @property
    def window(self) -> int:
        """For how many days something must have been there to be judged unused without any use."""
        return int(self.rule.threshold) if self.rule.kind == "fixed" else DEFAULT_WINDOW_DAYS

    def pair(self, holder: Holder, path: GrantPath) -> GrantFeatures:
        """What the rule is asked about."""
        others = [each for each in holder.paths.values() if each.grant != path.grant and each.last]
        last = max((each.last for each in others), default=0)
        recent = {each.grant for each in others if self.now - each.last <= RECENT_DAYS}
        me = self.now - path.last <= RECENT_DAYS
        rest = self.active - (me or bool(recent))
        # Of a sample of the subjects this one may be none.
        share = (self.users.get(path.grant, 0) - me) / rest if rest > 0 else 0.0
        return GrantFeatures(
            idle=self.now - path.last,
            days=path.days,
            span=path.last - path.first,
            age=self.now - path.first,
            elsewhere_idle=self.now - last if last else None,
            elsewhere_recent=len(recent),
            others=min(max(share, 0.0), 1.0),
        )

    def revokes(self, holder: Holder, path: GrantPath) -> bool:
        """Whether the rule would revoke what was used."""
        if self.rule.kind == "fixed" or self.model is None:
            # The same answer, without what nobody asks for then.
            return self.rule.is_due(self.now - path.last, None)
        return self.rule.revokes(self.pair(holder, path), self.model)

    def due(self, holder: Holder, path: GrantPath) -> bool:
        """Whether the rule would revoke it: never used for the whole window, or used and no more needed."""
        if path.days:
            return self.revokes(holder, path)
        return self.now - self.observable_since(path) >= self.window

    def observable_since(self, path: GrantPath) -> int:
        """The day from which on its use would have been seen."""
        return max(path.held_since, self.since) or self.now

    def likelihood(self, holder: Holder, path: GrantPath) -> tuple[float | None, tuple[str, ...]]:
        """How likely it is needed again, and what makes it so; None where no model says."""
        if self.model is None or not path.days:
            return None, ()
        pair = self.pair(holder, path)
        return self.model.likelihood(pair), self.model.because(pair)

    def verdict(self, path: GrantPath, *, due: bool) -> Verdict:
        """What the numbers say of a grant; `due` is whether the rule would revoke it."""
        if path.days:
            return "unused" if due else "used"
        return "dormant" if path.grant == WHOLE_ROLE or self.observable(path.grant) else "unobservable"

    def observable(self, grant: str) -> bool:
        """Whether its use would be seen: an enforcement point asks for it, or none is known at all."""
        return not self.requested or bool(self.requested.matching(grant))

    def grace_guards(self, path: GrantPath) -> tuple[str, ...]:
        """The guard of what has not been there for long enough to be judged."""
        if path.held_since and self.now - path.held_since < self.grace:
            return (f"held for {self.now - path.held_since} days only, within the grace of {self.grace}",)
        return ()

    def exceeds_need(self, grant: str, needed: Sequence[str]) -> bool:
        """Whether it covers what some enforcement point asks for and nobody needs, where anything is needed at all."""
        return bool(needed) and any(
            not any(covers(each, term) for each in needed) for term in self.requested.matching(grant)
        )
