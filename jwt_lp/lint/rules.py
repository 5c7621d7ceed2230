"""The rules of the linter.

The meaning of a rule's id never changes. The rules follow RFC 7519, 8725, 9068 and 9700, and the cost of carrying a
token with every request.
"""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING, Final, Literal, NamedTuple, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Mapping

Severity: TypeAlias = Literal["error", "warning", "note"]

SEVERITIES: Final[tuple[Severity, ...]] = ("error", "warning", "note")
"""All severities, the worst first."""


class LintRule(NamedTuple):
    """One rule: its usual severity, what is wrong, why it matters, and the remedy."""

    id: str
    severity: Severity
    title: str
    why: str
    remedy: str


class RuleViolation(NamedTuple):
    """A rule that a token violates, and the claim; without it, the token is `characters` shorter.

    `severity` replaces the rule's own severity, if it is not None.
    """

    id: str
    claim: str
    message: str
    characters: int = 0
    severity: Severity | None = None


_REGISTERED_RULES: Final = (
    LintRule(
        "alg-none",
        "error",
        "the token is not signed",
        "Anyone can change its content (RFC 8725, section 3.2).",
        "have the issuer sign, with ES256 or EdDSA",
    ),
    LintRule(
        "typ",
        "warning",
        "the header does not say that it is an access token",
        "Without typ at+jwt another token of the same issuer may be taken for one (RFC 9068, section 2.1).",
        "have the issuer write typ at+jwt",
    ),
    LintRule(
        "claim-twice",
        "error",
        "a member name is duplicated",
        "Two readers may each use a different one (RFC 7519, section 4).",
        "have the issuer write each name once",
    ),
    LintRule(
        "not-access-token",
        "error",
        "it has claims of ID, refresh or logout tokens",
        "Such a token is not meant for a service; RFC 9068 tells access tokens by their claims.",
        "send the access token, or leave the claim out of it",
    ),
    LintRule(
        "iss-missing",
        "error",
        "there is no iss",
        "The keys to verify it with cannot be determined (RFC 9068, section 2.2).",
        "have the issuer name itself",
    ),
    LintRule(
        "sub-missing",
        "error",
        "there is no sub",
        "Actions cannot be attributed, and the subject's grants cannot be reviewed (RFC 9068, section 2.2).",
        "have the issuer set its own identifier of the subject",
    ),
    LintRule(
        "sub-personal",
        "warning",
        "sub is a person's name, address or number",
        "It may be reassigned to another person, and it appears in every log with the subject.",
        "have the issuer set an opaque identifier, such as a UUID",
    ),
    LintRule(
        "aud-missing",
        "error",
        "there is no aud",
        "Every service that trusts the issuer accepts it (RFC 9700, section 2.3).",
        "have the issuer name the one service that the token is for",
    ),
    LintRule(
        "aud-several",
        "warning",
        "it is for several audiences",
        "Each of them can use it at the others, with all its grants (RFC 9700, section 2.3).",
        "ask for one token for each service, or narrow this one",
    ),
    LintRule(
        "aud-wildcard",
        "error",
        "its audience is a wildcard",
        "It is equivalent to a token without an audience.",
        "have the issuer name the one service that the token is for",
    ),
    LintRule(
        "client-missing",
        "warning",
        "no client is named",
        "What a client is granted can be neither reviewed nor revoked (RFC 9068, section 2.2).",
        "have the issuer write client_id",
    ),
    LintRule(
        "jti-missing",
        "warning",
        "there is no jti",
        "This token alone cannot be revoked, and it cannot be narrowed.",
        "have the issuer set a unique jti in each token",
    ),
)

_DATE_RULES: Final = (
    LintRule(
        "exp-missing", "error", "there is no exp", "It never expires.", "have the issuer write exp, minutes ahead"
    ),
    LintRule(
        "iat-missing",
        "warning",
        "there is no iat",
        "Tokens issued before a given time cannot be revoked, and the token's lifetime is unknown.",
        "have the issuer write iat",
    ),
    LintRule(
        "date-malformed",
        "error",
        "a date is not a number of seconds",
        "Readers disagree about it, or refuse it (RFC 7519, section 2: seconds since 1970).",
        "have the issuer write seconds, as a number",
    ),
    LintRule(
        "lifetime-long",
        "warning",
        "it lives longer than 15 minutes",
        "A stolen token works until it expires, and its grants are hard to revoke.",
        "have the issuer shorten the lifetime to minutes, and let clients renew the token",
    ),
    LintRule(
        "act-depth",
        "warning",
        "act has more than four actors",
        "Only the current actor counts (RFC 8693, section 4.1); the others are informational.",
        "have the issuer remove the innermost",
    ),
    LintRule(
        "size",
        "warning",
        "it has more than 1,024 characters",
        "It is sent with every request, and servers reject headers of several kilobytes.",
        "remove the claims that are reported here, grant permissions by roles, or issue compact permissions",
    ),
)

_CLAIM_RULES: Final = (
    LintRule(
        "secret-claim",
        "error",
        "a claim is named like a secret",
        "Anyone who has the token can read it: the payload is not encrypted.",
        "remove the claim, and rotate the secret",
    ),
    LintRule(
        "secret-value",
        "error",
        "a value looks like a token, a key or a password's hash",
        "Anyone who has the token can read it: the payload is not encrypted.",
        "remove the claim, and rotate the secret",
    ),
    LintRule(
        "pii-claim",
        "warning",
        "a claim is named like personal data",
        "It is copied into every cache, log and browser that sees the token.",
        "remove the claim; clients can query the issuer's userinfo endpoint",
    ),
    LintRule(
        "pii-value",
        "warning",
        "a value looks like personal data",
        "It is copied into every cache, log and browser that sees the token.",
        "remove the claim, or set an opaque identifier",
    ),
    LintRule(
        "superuser",
        "error",
        "one flag grants everything",
        "It cannot be narrowed, and its use cannot be measured.",
        "grant permissions, or a role of the policy",
    ),
    LintRule(
        "dead-claim",
        "warning",
        "no verifier reads the claim",
        "A claim that is not read is not needed.",
        "remove the claim, or add it to the audience's claims in the policy",
    ),
    LintRule(
        "nested-claim",
        "note",
        "a claim holds an object",
        "Nested content grows unnoticed, and cannot be allowed member by member.",
        "set the value that is read as a top-level claim",
    ),
    LintRule(
        "free-text",
        "note",
        "a claim holds free text",
        "No decision can depend on it, and its content is unpredictable.",
        "remove the claim, or set a short code",
    ),
)

_GRANT_RULES: Final = (
    LintRule(
        "permission-wildcard",
        "warning",
        "a wildcard is granted",
        "It also grants permissions that do not exist yet.",
        "grant the permissions that are used, or a role",
    ),
    LintRule(
        "permission-unknown",
        "warning",
        "a permission is not in the catalogue",
        "It is not described, and no route can require it.",
        "have the issuer remove it, or add it to the catalogue",
    ),
    LintRule(
        "permission-retired",
        "warning",
        "a permission is retired",
        "No policy grants it any more.",
        "have the issuer remove it",
    ),
    LintRule(
        "permission-unasked",
        "warning",
        "no route requires a permission",
        "It can only serve an unintended use.",
        "have the issuer remove it",
    ),
    LintRule(
        "permission-unused",
        "warning",
        "a permission was never used by this subject",
        "Grants that are not needed should not be held.",
        "grant less, after a review",
    ),
    LintRule(
        "role-and-permissions",
        "warning",
        "permissions are repeated beside a role that grants them",
        "They remain when the role is reduced, and add to the size of every request.",
        "issue either the role or the permissions",
    ),
    LintRule(
        "cnf-missing",
        "note",
        "a high-risk permission is in a token without proof of possession",
        "With cnf, a stolen token is useless without its key (RFC 9449, RFC 8705).",
        "bind the token to a key of its client, where a gateway checks the proof and SENDER_CONSTRAINED names the "
        "method",
    ),
    LintRule(
        "compact-unreadable",
        "error",
        "compact permissions cannot be read",
        "They do not begin with the letter of a known encoding, or are not in its canonical form.",
        "use the same policy file and release on both sides",
    ),
    LintRule(
        "exemption-expired",
        "warning",
        "an exemption has expired",
        "Its findings are reported again.",
        "fix the finding and remove the exemption, or renew it with a new date",
    ),
)

RULES: Final[Mapping[str, LintRule]] = MappingProxyType(
    {rule.id: rule for rule in (*_REGISTERED_RULES, *_DATE_RULES, *_CLAIM_RULES, *_GRANT_RULES)}
)
"""Every rule by its id."""
