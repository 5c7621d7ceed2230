"""What is looked for in a token?

Each rule has an id that never changes its meaning. They follow RFC 7519, 9068, 9700 and 8725, and what a token
costs whoever carries it.
"""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING, Final, Literal, NamedTuple, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Mapping

Severity: TypeAlias = Literal["error", "warning", "note"]

SEVERITIES: Final[tuple[Severity, ...]] = ("error", "warning", "note")
"""The worst first."""


class Rule(NamedTuple):
    """One thing that may be wrong: how bad it usually is, what it is, why it matters, and what to do."""

    id: str
    severity: Severity
    title: str
    why: str
    remedy: str


class Found(NamedTuple):
    """A rule that a token breaks, at the claim where it does; `characters` of it need not be there.

    `severity` is what it is here, where that is worse than the rule's own.
    """

    id: str
    claim: str
    message: str
    characters: int = 0
    severity: Severity | None = None


_MADE: Final = (
    Rule(
        "alg-none",
        "error",
        "the token is not signed",
        "Whoever has it may write anything into it (RFC 8725, section 3.2).",
        "have the issuer sign, with ES256 or EdDSA",
    ),
    Rule(
        "typ",
        "warning",
        "the header does not say that it is an access token",
        "Without typ at+jwt another token of the same issuer may be taken for one (RFC 9068, section 2.1).",
        "have the issuer write typ at+jwt",
    ),
    Rule(
        "claim-twice",
        "error",
        "a name stands twice",
        "Two readers may each believe another one of them (RFC 7519, section 4).",
        "have the issuer write each name once",
    ),
    Rule(
        "not-access-token",
        "error",
        "it has what ID, refresh and logout tokens have",
        "Such a token is not for a service; RFC 9068 knows access tokens by their claims.",
        "send the access token, or leave the claim out of it",
    ),
    Rule(
        "iss-missing",
        "error",
        "there is no iss",
        "Nobody can know whose keys to ask (RFC 9068, section 2.2).",
        "have the issuer name itself",
    ),
    Rule(
        "sub-missing",
        "error",
        "there is no sub",
        "Nobody can say who did what, nor review what the subject holds (RFC 9068, section 2.2).",
        "have the issuer write an identifier of its own",
    ),
    Rule(
        "sub-personal",
        "warning",
        "sub is a person's name, address or number",
        "It is given to somebody else one day, and stands in every log that has the subject.",
        "have the issuer write an identifier that means nothing, such as a UUID",
    ),
    Rule(
        "aud-missing",
        "error",
        "there is no aud",
        "Every service that trusts the issuer takes it (RFC 9700, section 2.3).",
        "have the issuer name the one service that it is for",
    ),
    Rule(
        "aud-several",
        "warning",
        "it is for several audiences",
        "Each of them can use it at the others, with all that it holds (RFC 9700, section 2.3).",
        "ask for one token for each service, or narrow this one",
    ),
    Rule(
        "aud-wildcard",
        "error",
        "its audience is a wildcard",
        "It is as good as a token without an audience.",
        "have the issuer name the one service that it is for",
    ),
    Rule(
        "client-missing",
        "warning",
        "no client is named",
        "What a client is given can neither be reviewed nor taken back (RFC 9068, section 2.2).",
        "have the issuer write client_id",
    ),
    Rule(
        "jti-missing",
        "warning",
        "there is no jti",
        "This one token cannot be taken back, and no narrower one can be made of it.",
        "have the issuer write a jti of its own for each token",
    ),
)

_DATED: Final = (
    Rule("exp-missing", "error", "there is no exp", "It is good for ever.", "have the issuer write exp, minutes ahead"),
    Rule(
        "iat-missing",
        "warning",
        "there is no iat",
        "Tokens from before a moment cannot be taken back, and how long it lives cannot be told.",
        "have the issuer write iat",
    ),
    Rule(
        "date-malformed",
        "error",
        "a date is no number of seconds",
        "Readers disagree about it, or refuse it (RFC 7519, section 2: seconds since 1970).",
        "have the issuer write seconds, as a number",
    ),
    Rule(
        "lifetime-long",
        "warning",
        "it lives longer than 15 minutes",
        "Until it expires, a stolen one is good, and what it holds is hard to take back.",
        "have the issuer let it live for minutes, and clients get a new one",
    ),
    Rule(
        "act-depth",
        "warning",
        "more than four actors stand in act",
        "Only the current actor counts (RFC 8693, section 4.1); the others are there to be read.",
        "have the issuer leave out the innermost",
    ),
    Rule(
        "size",
        "warning",
        "it has more than 1,024 characters",
        "It is sent with every request, and servers refuse headers of some kilobytes.",
        "leave out what is named here, put permissions into roles, or issue compact ones",
    ),
)

_CARRIED: Final = (
    Rule(
        "secret-claim",
        "error",
        "a claim is named like a secret",
        "Whoever has the token reads it: the payload is not encrypted.",
        "leave it out, and change the secret",
    ),
    Rule(
        "secret-value",
        "error",
        "a value looks like a token, a key or a password's hash",
        "Whoever has the token reads it: the payload is not encrypted.",
        "leave it out, and change the secret",
    ),
    Rule(
        "pii-claim",
        "warning",
        "a claim is named like personal data",
        "It is copied into every cache, log and browser that sees the token.",
        "leave it out; who needs it asks the issuer's userinfo",
    ),
    Rule(
        "pii-value",
        "warning",
        "a value looks like personal data",
        "It is copied into every cache, log and browser that sees the token.",
        "leave it out, or write an identifier that means nothing",
    ),
    Rule(
        "superuser",
        "error",
        "one flag gives everything",
        "It cannot be narrowed, nor can anybody see what of it is used.",
        "grant permissions, or a role of the policy",
    ),
    Rule(
        "dead-claim",
        "warning",
        "no verifier reads the claim",
        "What nobody reads need not be there.",
        "leave it out, or add it to the audience's claims in the policy",
    ),
    Rule(
        "nested-claim",
        "note",
        "a claim holds an object",
        "What is nested grows unseen, and is hard to allow piece by piece.",
        "write the one value that is read as a claim of its own",
    ),
    Rule(
        "free-text",
        "note",
        "a claim holds prose",
        "Nothing can be decided by it, and nobody knows what it will hold tomorrow.",
        "leave it out, or write a short code",
    ),
)

_HELD: Final = (
    Rule(
        "permission-wildcard",
        "warning",
        "a wildcard is granted",
        "It holds what is yet to be invented too.",
        "grant the permissions that are used, or a role",
    ),
    Rule(
        "permission-unknown",
        "warning",
        "a permission is not in the catalogue",
        "Nobody has described it, and nothing can ask for it.",
        "have the issuer leave it out, or add it to the catalogue",
    ),
    Rule(
        "permission-retired",
        "warning",
        "a permission is retired",
        "No policy grants it any more.",
        "have the issuer leave it out",
    ),
    Rule(
        "permission-unasked",
        "warning",
        "no route asks for a permission",
        "It can only serve somebody whom nobody thought of.",
        "have the issuer leave it out",
    ),
    Rule(
        "permission-unused",
        "warning",
        "a permission was never used by this subject",
        "What is not needed should not be held.",
        "grant less, after a review",
    ),
    Rule(
        "role-and-permissions",
        "warning",
        "permissions stand beside a role that grants them",
        "They stay when the role is made smaller, and cost their characters with every request.",
        "write the role alone, or the permissions alone",
    ),
    Rule(
        "cnf-missing",
        "note",
        "a permission of high risk is held by whoever has the token",
        "With cnf a stolen token is of no use without its key (RFC 9449, RFC 8705).",
        "bind the token to a key of its client, where a gateway checks the proof and SENDER_CONSTRAINED names the method",
    ),
    Rule(
        "compact-unreadable",
        "error",
        "compact permissions cannot be read",
        "They do not begin with the letter of an encoding and its version, or are not what it writes.",
        "have one policy file and one release on both sides",
    ),
    Rule(
        "exemption-expired",
        "warning",
        "an exemption is over",
        "What it was for is reported again.",
        "mend what it was for and take it out, or decide anew and say until when",
    ),
)

RULES: Final[Mapping[str, Rule]] = MappingProxyType({rule.id: rule for rule in (*_MADE, *_DATED, *_CARRIED, *_HELD)})
"""Every rule by its id."""
