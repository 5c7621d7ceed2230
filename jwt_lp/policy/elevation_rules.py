"""Elevation rules: who may ask to hold which permission for a bounded time, and who decides."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import TYPE_CHECKING, Final, NamedTuple

from jwt_lp.permissions.grants import Grant
from jwt_lp.permissions.patterns import Pattern
from jwt_lp.policy.matching import parse_role_source

if TYPE_CHECKING:
    from collections.abc import Iterable

DEFAULT_LONGEST: Final = 3600
"""Seconds for which a permission is held at most, if the rule does not say."""

DEFAULT_ANSWER: Final = 86400
"""Seconds in which a request must be answered, if the rule does not say."""

ANYONE: Final = "anyone"
"""The only entry of `ask` in a rule that lets every subject ask."""


class ElevationRule(NamedTuple):
    """The rule for elevations of the permissions that `pattern`, a permission or a pattern, covers.

    `ask` names who may ask: `("anyone",)`, or entries such as `role:support` and `staff/subject:ana`. Holders of the
    permission `approve` decide, `approvals` of them. `own` says whether the asker counts as one. Of issuers other than
    the asker's, only those whose names are in `approver_issuers` have approvers. With `approver_since`, the store must
    have seen an approver hold `approve` for that many seconds when the request was made.

    A permission is held for `longest` seconds at most, and a request lapses `answer` seconds after it was made. `ticket`
    is a regular expression that the whole ticket must match, "" if none is required. With `break_glass`, the asker may
    have the permission at once, and somebody must review that afterwards.
    """

    pattern: str
    ask: tuple[str, ...]
    approve: str
    approvals: int = 1
    own: bool = False
    longest: int = DEFAULT_LONGEST
    answer: int = DEFAULT_ANSWER
    reason: bool = True
    ticket: str = ""
    break_glass: bool = False
    approver_issuers: tuple[str, ...] = ()
    approver_since: int = 0

    def may_ask(self, subject: str, roles: Iterable[str], issuer: str = "") -> bool:
        """Whether a subject that holds these roles of the policy may ask.

        `issuer` is the name that the settings give to the subject's issuer, in upper or lower case. An entry
        `subject:ana` without an issuer is that subject of any issuer.
        """
        if self.ask == (ANYONE,):
            return True
        held = set(roles)
        for entry in self.ask:
            kind, _, name = entry.partition(":")
            if (kind == "role" and name in held) or _is_subject(entry, issuer, subject):
                return True
        return False

    def accepts_ticket(self, ticket: str) -> bool:
        """Whether a request with this ticket may be made."""
        return not self.ticket or re.fullmatch(self.ticket, ticket) is not None

    def covers(self, permission: str) -> bool:
        """Whether the rule is about `permission`, which is no pattern."""
        return self.pattern == permission or _split(self.pattern).covers(tuple(permission.split(":")))

    def contains(self, text: str) -> bool:
        """Whether the rule is about everything that `text`, a permission or a pattern, covers."""
        return self.pattern == text or _split(self.pattern).contains(_split(text))


def most_specific(rules: Iterable[ElevationRule]) -> ElevationRule | None:
    """The rule that decides if all of these are about a permission: the one with the fewest wildcards.

    Of several, the one without `**` and then the one whose pattern is first by its text; None if there is no rule.
    """
    return min(rules, key=_specificity, default=None)


def _specificity(rule: ElevationRule) -> tuple[bool, int, int, str]:
    segments = rule.pattern.split(":")
    literals = sum("*" not in segment for segment in segments)
    return "*" in rule.pattern, -literals, int(segments[-1] == "**"), rule.pattern


def _is_subject(entry: str, issuer: str, subject: str) -> bool:
    source = parse_role_source(entry)
    return source is not None and source[1] == f"subject:{subject}" and source[0] in (None, issuer.lower())


@lru_cache(maxsize=1024)
def _split(text: str) -> Pattern:
    return Pattern.of(Grant(text, "", pattern=True))
