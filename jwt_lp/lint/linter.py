"""The linter for access tokens: options, findings and `lint`.

It reads tokens of any issuer, signed or not, and verifies none. Findings hold names of claims, never their values.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime
from types import MappingProxyType
from typing import TYPE_CHECKING, Final, NamedTuple, Self, cast

from jwt_lp._support.json_types import is_json_object
from jwt_lp._support.validation import Fault, TableReader, did_you_mean, format_fault, quote_text
from jwt_lp.errors import ConfigurationError, clears_locals
from jwt_lp.lint.excess_grants import check_excess_grants
from jwt_lp.lint.registered_claims import audiences, check_dates, check_header, check_parties, check_size
from jwt_lp.lint.rules import RULES, SEVERITIES, LintRule, RuleViolation, Severity
from jwt_lp.lint.unused_claims import check_unused_claims
from jwt_lp.lint.unverified_token import read_unverified
from jwt_lp.policy.file import EMPTY_POLICY, Policy

if TYPE_CHECKING:
    from jwt_lp.lint.unverified_token import UnverifiedToken

__all__ = [
    "RULES",
    "SEVERITIES",
    "ExemptedFinding",
    "Exemption",
    "LintFinding",
    "LintOptions",
    "LintReport",
    "LintRule",
    "Severity",
    "lint",
]

_OFF: Final = "off"
_KEYS: Final = ("severity", "exempt", "read")
_EXEMPT_KEYS: Final = ("id", "claim", "until", "reason")


class LintFinding(NamedTuple):
    """One fault of a token.

    `id` is the rule's. `claim` is the place, such as `email`, `org.email` or `header.typ`; "" is the whole token.
    `characters` is the number of characters that the token is shorter without it.
    """

    id: str
    severity: Severity
    claim: str
    message: str
    remedy: str
    characters: int


@dataclass(frozen=True, slots=True)
class Exemption:
    """An exemption from a rule until the end of a day (UTC), with a reason. Without a `claim` it covers all claims."""

    id: str
    until: date
    reason: str
    claim: str = ""

    def covers(self, finding: LintFinding) -> bool:
        """Whether it covers this finding; an exemption for a claim covers the members inside the claim too."""
        inside = f"{finding.claim}.".startswith(f"{self.claim}.")
        return finding.id == self.id and (inside or not self.claim)

    def is_expired(self, now: float) -> bool:
        """Whether its last day has passed."""
        return self.until < datetime.fromtimestamp(now, UTC).date()


class ExemptedFinding(NamedTuple):
    """A finding that an exemption covers."""

    finding: LintFinding
    exemption: Exemption


@dataclass(frozen=True, slots=True, kw_only=True)
class LintOptions:
    """The input of the linter besides the token and the policy.

    `required` are the permissions and templates that routes require, and `used` those that the token's subject has
    used; None if unknown. `read` are claims that a verifier reads besides the usual ones. `severity` gives a rule
    another severity, or switches it `off`. `exempt` are the exemptions.
    """

    required: Collection[str] | None = None
    used: Collection[str] | None = None
    read: frozenset[str] = frozenset()
    severity: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    exempt: tuple[Exemption, ...] = ()

    @classmethod
    def from_mapping(cls, mapping: object, where: str = "LINT") -> Self:
        """Read the setting `LINT`, or a table `[lint]`: `severity`, `exempt` and `read`.

        `ConfigurationError` holds all faults, each with its place; for an unknown name it suggests the nearest one.
        """
        faults: list[Fault] = []
        if is_json_object(mapping):
            mapping = {str(name).lower(): value for name, value in mapping.items()}
        top = TableReader.read((where,), mapping, faults, _KEYS)
        options = cls(
            read=frozenset(claim for _, claim in top.texts("read")),
            severity=MappingProxyType(dict(_severities(top))),
            exempt=tuple(_exemptions(top)),
        )
        if faults:
            raise ConfigurationError(*map(format_fault, faults))
        return options

    def without_expired(self, now: float) -> Self:
        """The same options without expired exemptions, so that these are not reported again."""
        return replace(self, exempt=tuple(item for item in self.exempt if not item.is_expired(now)))

    @property
    def off(self) -> tuple[str, ...]:
        """The rules that are switched off."""
        return tuple(rule for rule, severity in self.severity.items() if severity == _OFF)


@dataclass(frozen=True, slots=True)
class LintReport:
    """The findings in one token, the worst first.

    `size` is the token's number of characters. `exempt` are the findings that an exemption covers, and `off` the rules
    that were switched off.
    """

    findings: tuple[LintFinding, ...]
    size: int
    exempt: tuple[ExemptedFinding, ...] = ()
    off: tuple[str, ...] = ()

    @property
    def worst(self) -> Severity | None:
        """The highest severity among the findings; None if there are none."""
        return self.findings[0].severity if self.findings else None

    @property
    def saved(self) -> int:
        """About how many characters shorter the token would be without all findings; each claim counts once."""
        claims: dict[str, int] = {}
        for finding in self.findings:
            claims[finding.claim] = max(claims.get(finding.claim, 0), finding.characters)
        return sum(claims.values())

    def reaches(self, severity: Severity) -> bool:
        """Whether there is a finding of at least this severity."""
        return self.worst is not None and SEVERITIES.index(self.worst) <= SEVERITIES.index(severity)


@clears_locals
def lint(token: object, *, now: float, policy: Policy = EMPTY_POLICY, options: LintOptions | None = None) -> LintReport:
    """Report what `token`, str or bytes, carries without need; `now` is seconds since the epoch.

    Nothing is verified, and the token may have expired. Card numbers and IBANs in values are found only if
    python-stdnum is installed (extra `cli`). `GrammarError` if the token has more than 256 KiB, is encrypted, or is not
    JSON in base64url.
    """
    return _report(read_unverified(token), now, policy, options or LintOptions())


def _report(unverified: UnverifiedToken, now: float, policy: Policy, options: LintOptions) -> LintReport:
    findings: list[LintFinding] = []
    exempt: list[ExemptedFinding] = []
    live = options.without_expired(now).exempt
    for violation in (*_violations(unverified, now, policy, options), *_expired_exemptions(options, now)):
        rule = RULES[violation.id]
        severity = options.severity.get(rule.id, violation.severity or rule.severity)
        if severity == _OFF:
            continue
        finding = LintFinding(
            rule.id, cast(Severity, severity), violation.claim, violation.message, rule.remedy, violation.characters
        )
        exemption = next((item for item in live if item.covers(finding)), None)
        if exemption is None:
            findings.append(finding)
        else:
            exempt.append(ExemptedFinding(finding, exemption))
    findings.sort(key=lambda finding: SEVERITIES.index(finding.severity))
    return LintReport(tuple(findings), unverified.size, tuple(exempt), options.off)


def _violations(
    unverified: UnverifiedToken, now: float, policy: Policy, options: LintOptions
) -> Iterator[RuleViolation]:
    yield from check_header(unverified)
    yield from check_parties(unverified)
    yield from check_dates(unverified, now)
    yield from check_size(unverified)
    names = set(audiences(unverified.claims))
    listed = [policy.audiences[name] for name in sorted(names) if name in policy.audiences]
    yield from check_unused_claims(unverified, options.read.union(*(audience.claims for audience in listed)))
    # What the policy allows one audience does not excuse a token that is for another one too.
    only = listed[0] if len(names) == len(listed) == 1 else None
    yield from check_excess_grants(unverified, policy, options.required, options.used, only)


def _expired_exemptions(options: LintOptions, now: float) -> Iterator[RuleViolation]:
    for exemption in options.exempt:
        if exemption.is_expired(now):
            message = f"the exemption from {exemption.id} ended on {exemption.until.isoformat()}: {exemption.reason}"
            yield RuleViolation("exemption-expired", exemption.claim, message)


def _severities(top: TableReader) -> Iterator[tuple[str, str]]:
    table = TableReader.read((*top.path, "severity"), top.data.get("severity", {}), top.faults, tuple(RULES))
    for rule in table.data:
        yield rule, table.choice(rule, (*SEVERITIES, _OFF), _OFF)


def _exemptions(top: TableReader) -> Iterator[Exemption]:
    value = top.data.get("exempt", ())
    if not isinstance(value, list | tuple):
        top.fault(f"must be a list of tables, not {type(value).__name__}", "exempt")
        return
    for index, item in enumerate(cast("list[object] | tuple[object, ...]", value)):
        table = TableReader.read((*top.path, "exempt", index), item, top.faults, _EXEMPT_KEYS)
        rule, reason, until = table.text("id"), table.text("reason"), _until(table)
        if rule not in RULES:
            table.fault(f"there is no check {quote_text(rule)}{did_you_mean(rule, RULES)}", "id")
        if not reason.strip():
            table.fault('needs a reason, such as "the support desk reads it until it is moved"', "reason")
        if until is not None:
            yield Exemption(rule, until, reason, table.text("claim"))


def _until(table: TableReader) -> date | None:
    value = table.data.get("until")
    try:
        value = date.fromisoformat(value) if isinstance(value, str) else value
    except ValueError:
        value = None
    # The exact type, because a datetime is a date too.
    if type(value) is date:
        return value
    table.fault("needs its last day, such as 2027-03-31", "until")
    return None
