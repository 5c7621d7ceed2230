"""What does this token carry that it does not need?

Reads tokens of any issuer, signed or not, and verifies none: what it says of a token is about what the token says.
No claim's value is in what comes out, only names of claims.
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
    """One thing that is wrong with a token.

    `id` is the rule's. `claim` says where, as `email`, `org.email` or `header.typ`; "" for the token as a whole.
    `characters` are those that the token is shorter by without it.
    """

    id: str
    severity: Severity
    claim: str
    message: str
    remedy: str
    characters: int


@dataclass(frozen=True, slots=True)
class Exemption:
    """What is not to be reported, until the end of a day (UTC), and why. Without a `claim` it is for all of them."""

    id: str
    until: date
    reason: str
    claim: str = ""

    def covers(self, finding: LintFinding) -> bool:
        """Whether it is for this finding; one for a claim is for what stands in that as well."""
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
    """How findings are judged.

    `asked` are the permissions and templates that routes ask for, `used` those that the token's subject has used;
    None where nobody knows. `read` are claims that a verifier reads besides the usual ones. `severity` says what a
    rule's findings are, `off` that there are none.
    """

    required: Collection[str] | None = None
    used: Collection[str] | None = None
    read: frozenset[str] = frozenset()
    severity: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    exempt: tuple[Exemption, ...] = ()

    @classmethod
    def from_mapping(cls, mapping: object, where: str = "LINT") -> Self:
        """Read the setting `LINT`, or a table `[lint]`: `severity`, `exempt` and `read`.

        `ConfigurationError` holds every fault, each with its place, and names the nearest for what is not known.
        """
        faults: list[Fault] = []
        if is_json_object(mapping):
            mapping = {str(name).lower(): value for name, value in mapping.items()}
        top = TableReader.read((where,), mapping, faults, _KEYS)
        options = cls(
            read=frozenset(each for _, each in top.texts("read")),
            severity=MappingProxyType(dict(_severities(top))),
            exempt=tuple(_exemptions(top)),
        )
        if faults:
            raise ConfigurationError(*map(format_fault, faults))
        return options

    def current(self, now: float) -> Self:
        """The same without the exemptions that are over, which somebody has been told of."""
        return replace(self, exempt=tuple(each for each in self.exempt if not each.is_expired(now)))

    @property
    def off(self) -> tuple[str, ...]:
        """The rules that are left out."""
        return tuple(rule for rule, severity in self.severity.items() if severity == _OFF)


@dataclass(frozen=True, slots=True)
class LintReport:
    """What is wrong with one token, the worst first.

    `size` is its characters. `exempt` are findings that an exemption covers, `off` the rules that were left out:
    what they would have found is not known.
    """

    findings: tuple[LintFinding, ...]
    size: int
    exempt: tuple[ExemptedFinding, ...] = ()
    off: tuple[str, ...] = ()

    @property
    def worst(self) -> Severity | None:
        """The highest severity among the findings; None where there is none."""
        return self.findings[0].severity if self.findings else None

    @property
    def saved(self) -> int:
        """About how many characters less it had, were every finding mended; each claim counts once."""
        claims: dict[str, int] = {}
        for finding in self.findings:
            claims[finding.claim] = max(claims.get(finding.claim, 0), finding.characters)
        return sum(claims.values())

    def reaches(self, severity: Severity) -> bool:
        """Whether there is a finding of at least this severity."""
        return self.worst is not None and SEVERITIES.index(self.worst) <= SEVERITIES.index(severity)


@clears_locals
def lint(token: object, *, now: float, policy: Policy = EMPTY_POLICY, options: LintOptions | None = None) -> LintReport:
    """Say what `token`, text or bytes, need not carry; `now` is seconds since the epoch.

    `GrammarError` for what is no JWT: more than 256 KiB, encrypted, or no JSON in base64url. Nothing is verified,
    and it does not matter whether the token has expired.
    """
    return _report(read_unverified(token), now, policy, options or LintOptions())


def _report(unverified: UnverifiedToken, now: float, policy: Policy, options: LintOptions) -> LintReport:
    findings: list[LintFinding] = []
    exempt: list[ExemptedFinding] = []
    live = options.current(now).exempt
    for found in (*_violations(unverified, now, policy, options), *_expired_exemptions(options, now)):
        rule = RULES[found.id]
        severity = options.severity.get(rule.id, found.severity or rule.severity)
        if severity == _OFF:
            continue
        finding = LintFinding(
            rule.id, cast(Severity, severity), found.claim, found.message, rule.remedy, found.characters
        )
        exemption = next((each for each in live if each.covers(finding)), None)
        if exemption is None:
            findings.append(finding)
        else:
            exempt.append(ExemptedFinding(finding, exemption))
    findings.sort(key=lambda each: SEVERITIES.index(each.severity))
    return LintReport(tuple(findings), unverified.size, tuple(exempt), options.off)


def _violations(
    unverified: UnverifiedToken, now: float, policy: Policy, options: LintOptions
) -> Iterator[RuleViolation]:
    yield from check_header(unverified)
    yield from check_parties(unverified)
    yield from check_dates(unverified, now)
    yield from check_size(unverified)
    named_there = set(audiences(unverified.claims))
    intended = [policy.audiences[each] for each in sorted(named_there) if each in policy.audiences]
    yield from check_unused_claims(unverified, options.read.union(*(each.claims for each in intended)))
    # One that is for another service as well is not excused by what the policy allows this one.
    alone = intended[0] if len(named_there) == len(intended) == 1 else None
    yield from check_excess_grants(unverified, policy, options.required, options.used, alone)


def _expired_exemptions(options: LintOptions, now: float) -> Iterator[RuleViolation]:
    for each in options.exempt:
        if each.is_expired(now):
            message = f"the exemption from {each.id} ended on {each.until.isoformat()}: {each.reason}"
            yield RuleViolation("exemption-expired", each.claim, message)


def _severities(top: TableReader) -> Iterator[tuple[str, str]]:
    table = TableReader.read((*top.path, "severity"), top.data.get("severity", {}), top.faults, tuple(RULES))
    for rule in table.data:
        yield rule, table.choice(rule, (*SEVERITIES, _OFF), _OFF)


def _exemptions(top: TableReader) -> Iterator[Exemption]:
    value = top.data.get("exempt", ())
    if not isinstance(value, list | tuple):
        top.fault(f"must be a list of tables, not {type(value).__name__}", "exempt")
        return
    for index, each in enumerate(cast("list[object] | tuple[object, ...]", value)):
        table = TableReader.read((*top.path, "exempt", index), each, top.faults, _EXEMPT_KEYS)
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
    # The exact type: a datetime is a date too, and has hours that nobody asks for.
    if type(value) is date:
        return value
    table.fault("needs its last day, such as 2027-03-31", "until")
    return None
