"""When is a review's outcome a failure?"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final, NamedTuple, get_args

import click

from jwt_lp._support.validation import did_you_mean
from jwt_lp.review import FindingKind, Proposal, Verdict

if TYPE_CHECKING:
    from collections.abc import Iterable

    from jwt_lp.review import Finding

_SYNTAX: Final = re.compile(r"([a-z-]+)(?:@(low|medium|high))?(?:>(\d{1,6})(d)?)?")
_WORDS: Final = (*get_args(Verdict), *get_args(Proposal)[1:], *get_args(FindingKind)[1:])


class FailCondition(NamedTuple):
    """What fails: findings of one verdict, proposal or kind, of one risk, of some idle days, more than so many."""

    written: str
    what: str
    risk: str | None
    days: int | None
    more: int

    def failing_findings(self, found: Iterable[Finding]) -> list[Finding]:
        """The findings that make it fail; none where it passes."""
        hit = [each for each in found if self._matches(each)]
        return hit if len(hit) > self.more else []

    def _matches(self, found: Finding) -> bool:
        if self.risk not in (None, found.risk):
            return False
        if self.what == "unused" and self.days is not None:
            # Whatever the rule of the review says: so many days are so many days.
            return found.verdict in ("used", "unused") and found.idle is not None and found.idle > self.days
        if self.what not in (found.verdict, found.proposal, found.kind):
            return False
        return self.days is None or (found.idle is not None and found.idle > self.days)


class FailConditionParam(click.ParamType):  # type: ignore[type-arg]  # generic from click 8.4 on only
    """`unused>90d`, `dormant@high`, `remove>10`."""

    name = "condition"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> FailCondition:
        """What is written, as a gate."""
        if isinstance(value, FailCondition):
            return value
        said = str(value).strip()
        found = _SYNTAX.fullmatch(said)
        if found is None:
            return self.fail("write unused>90d, dormant@high, remove>10 or the like", param, ctx)
        if found[1] not in _WORDS:
            hint = did_you_mean(found[1], _WORDS) or f"; there are {', '.join(_WORDS)}"
            return self.fail(f"{found[1]} is not a verdict, proposal or kind of a finding{hint}", param, ctx)
        number = int(found[3] or 0)
        return FailCondition(said, found[1], found[2], number if found[4] else None, 0 if found[4] else number)
