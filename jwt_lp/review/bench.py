"""What does every judgement rest on?"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, NamedTuple

from jwt_lp.review._ways import Asked, covers
from jwt_lp.review.evidence import WHOLE
from jwt_lp.review.judging import WINDOW, Rule
from jwt_lp.review.likelihood import Pair

if TYPE_CHECKING:
    from jwt_lp.review.evidence import Holder, Way
    from jwt_lp.review.likelihood import Model
    from jwt_lp.review.values import Verdict

RECENT: Final = 365


class Exemption(NamedTuple):
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
class Bench:
    """What every judgement rests on. Days are ordinals.

    `since` is the first day of any recording, `fresh` the last one; `data` are guards that hold for everything.
    `taken` says, of whom and what, whether a deny entry stands already.
    """

    now: int
    rule: Rule
    model: Model | None
    grace: int
    since: int
    asked: Asked
    risk: Callable[[str], str]
    users: Mapping[str, int]
    active: int
    data: tuple[str, ...] = ()
    exempt: Mapping[str, Exemption] = field(default_factory=dict[str, Exemption])
    people: Mapping[str, Person] = field(default_factory=dict[str, Person])
    taken: frozenset[tuple[str, str, str, str]] = frozenset()

    @property
    def window(self) -> int:
        """For how many days something must have been there to be judged unused without any use."""
        return int(self.rule.threshold) if self.rule.kind == "fixed" else WINDOW

    def pair(self, holder: Holder, way: Way) -> Pair:
        """What the rule is asked about."""
        others = [each for each in holder.ways.values() if each.grant != way.grant and each.last]
        last = max((each.last for each in others), default=0)
        recent = {each.grant for each in others if self.now - each.last <= RECENT}
        me = self.now - way.last <= RECENT
        rest = self.active - (me or bool(recent))
        # Of a sample of the subjects this one may be none.
        share = (self.users.get(way.grant, 0) - me) / rest if rest > 0 else 0.0
        return Pair(
            idle=self.now - way.last,
            days=way.days,
            span=way.last - way.first,
            age=self.now - way.first,
            elsewhere_idle=self.now - last if last else None,
            elsewhere_recent=len(recent),
            others=min(max(share, 0.0), 1.0),
        )

    def takes(self, holder: Holder, way: Way) -> bool:
        """Whether the rule would take back what was used."""
        if self.rule.kind == "fixed" or self.model is None:
            # The same answer, without what nobody asks for then.
            return self.rule.judges(self.now - way.last, None)
        return self.rule.takes(self.pair(holder, way), self.model)

    def due(self, holder: Holder, way: Way) -> bool:
        """Whether the rule would take it back: never used for the whole window, or used and no more needed."""
        if way.days:
            return self.takes(holder, way)
        return self.now - self.watched(way) >= self.window

    def watched(self, way: Way) -> int:
        """The day from which on its use would have been seen."""
        return max(way.held, self.since) or self.now

    def likelihood(self, holder: Holder, way: Way) -> tuple[float | None, tuple[str, ...]]:
        """How likely it is needed again, and what makes it so; None where no model says."""
        if self.model is None or not way.days:
            return None, ()
        pair = self.pair(holder, way)
        return self.model.likelihood(pair), self.model.because(pair)

    def verdict(self, way: Way, *, due: bool) -> Verdict:
        """What the numbers say of a grant; `due` is whether the rule would take it back."""
        if way.days:
            return "unused" if due else "used"
        return "dormant" if way.grant == WHOLE or self.observable(way.grant) else "unobservable"

    def observable(self, grant: str) -> bool:
        """Whether its use would be seen: an enforcement point asks for it, or none is known at all."""
        return not self.asked or bool(self.asked.met(grant))

    def new(self, way: Way) -> tuple[str, ...]:
        """The guard of what has not been there for long enough to be judged."""
        if way.held and self.now - way.held < self.grace:
            return (f"held for {self.now - way.held} days only, within the grace of {self.grace}",)
        return ()

    def wider(self, grant: str, needed: Sequence[str]) -> bool:
        """Whether it covers what some enforcement point asks for and nobody needs, where anything is needed at all."""
        return bool(needed) and any(not any(covers(each, term) for each in needed) for term in self.asked.met(grant))
