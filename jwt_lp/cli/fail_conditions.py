"""Conditions of `jwt-lp review --fail-on`."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final, NamedTuple, get_args

from jwt_lp._support.validation import did_you_mean
from jwt_lp.cli.param_types import ParamType
from jwt_lp.review import FindingKind, Proposal, Verdict

if TYPE_CHECKING:
    from collections.abc import Iterable

    import click

    from jwt_lp.review import Finding

MAX_EXAMPLES: Final = 5
_SYNTAX: Final = re.compile(r"([a-z-]+)(?:@(low|medium|high))?(?:>(\d{1,6})(d)?)?")
_WORDS: Final = (*get_args(Verdict), *get_args(Proposal)[1:], *get_args(FindingKind)[1:])


class FailCondition(NamedTuple):
    """One condition: more than `more` findings of a verdict, proposal or kind, of a risk, idle for over `days`."""

    written: str
    what: str
    risk: str | None
    days: int | None
    more: int

    def matches(self, finding: Finding) -> bool:
        """Whether a finding meets the condition."""
        if self.risk not in (None, finding.risk):
            return False
        if self.what == "unused" and self.days is not None:
            # The number of days alone decides, not the rule of the review.
            return (
                finding.verdict in ("leaver", "used", "unused")
                and finding.idle is not None
                and finding.idle > self.days
            )
        if self.what not in (finding.verdict, finding.proposal, finding.kind):
            return False
        return self.days is None or (finding.idle is not None and finding.idle > self.days)


class MatchCount:
    """The findings of a review that meet one condition: their number, and the first few."""

    def __init__(self, condition: FailCondition) -> None:
        self.condition = condition
        self.number: int = 0
        self.examples: list[Finding] = []

    @property
    def fails(self) -> bool:
        """Whether they are more than the condition allows."""
        return self.number > self.condition.more

    def add(self, findings: Iterable[Finding]) -> None:
        """Count those that meet the condition."""
        for finding in findings:
            if self.condition.matches(finding):
                self.number += 1
                if len(self.examples) < MAX_EXAMPLES:
                    self.examples.append(finding)


class FailConditionParam(ParamType):
    """`unused>90d`, `dormant@high`, `remove>10`."""

    name = "condition"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> FailCondition:
        """Parse `VERDICT|PROPOSAL|KIND[@RISK][>NUMBER[d]]`."""
        if isinstance(value, FailCondition):
            return value
        text = str(value).strip()
        match = _SYNTAX.fullmatch(text)
        if match is None:
            return self.fail("write unused>90d, dormant@high, remove>10 or the like", param, ctx)
        if match[1] not in _WORDS:
            hint = did_you_mean(match[1], _WORDS) or f"; there are {', '.join(_WORDS)}"
            return self.fail(f"{match[1]} is not a verdict, proposal or kind of a finding{hint}", param, ctx)
        number = int(match[3] or 0)
        return FailCondition(text, match[1], match[2], number if match[4] else None, 0 if match[4] else number)
