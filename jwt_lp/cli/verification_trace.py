"""The verification of one token as a list of steps, with the remedy for the step that failed.

The guard's own verifier decides; this module lays its answer out as the steps that it takes, in its order. Of the
token only the fingerprint, three header parameters, issuer, audience, times, subject and client are shown, as in the
log.
"""

from __future__ import annotations

from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, Final, Literal, NamedTuple, cast

from jwt_lp.cli.output import brief, count, moment, span
from jwt_lp.errors import InvalidToken, KeysUnavailable
from jwt_lp.guard.development import PREFIX
from jwt_lp.guard.issuer_lookup import issuer_of
from jwt_lp.jose import jws

if TYPE_CHECKING:
    from collections.abc import Mapping

    from jwt_lp.guard.guard import Guard
    from jwt_lp.guard.settings import IssuerSettings
    from jwt_lp.tokens.claims import AccessToken

STEPS: Final = ("header", "issuer", "key", "signature", "type", "audience", "times", "grants")


class CauseHelp(NamedTuple):
    """The step that refuses with a cause, and what the verifier's message does not say yet about the remedy."""

    step: str
    remedy: str = ""


CAUSES: Final[Mapping[str, CauseHelp]] = MappingProxyType(
    {
        "malformed": CauseHelp(
            "header", "pass the whole access token and nothing else: three parts joined by dots, on one line"
        ),
        "too_large": CauseHelp("header", "have the issuer put less into the token"),
        "header": CauseHelp("header", "have the issuer sign plain access tokens (RFC 9068)"),
        "issuer": CauseHelp(
            "issuer", "send a token of the configured issuer, or set ISSUER to exactly what its tokens say in iss"
        ),
        "algorithm": CauseHelp("key", "add it to ALGORITHMS if the issuer signs with it"),
        "unknown_key": CauseHelp(
            "key", "check that the token is of the same tenant and environment as the configured key set"
        ),
        "keys_unavailable": CauseHelp(
            "key", "check the address of the key set and the network; until it can be fetched, answers are 503"
        ),
        "inactive": CauseHelp("key", "get a new token: the issuer says that this one is not, or no longer, active"),
        "introspection_unavailable": CauseHelp(
            "key", "check URL, CLIENT and the credential in INTROSPECTION; until the endpoint answers, answers are 503"
        ),
        "signature": CauseHelp("signature", "get a new token: this one was altered, or signed in another environment"),
        "typ": CauseHelp("type"),
        "not_access_token": CauseHelp("type"),
        "sender_constrained": CauseHelp(
            "type",
            "have the issuer make bearer tokens for this client; SENDER_CONSTRAINED is only for services behind a "
            "gateway that checks the proof and cannot be bypassed",
        ),
        "subject": CauseHelp("type"),
        "client": CauseHelp("type"),
        "client_not_accepted": CauseHelp("type", "add the client to CLIENTS if it may call this service"),
        "audience": CauseHelp("audience"),
        "date": CauseHelp("times", "have the issuer send iat and exp as numbers"),
        "expired": CauseHelp("times", "get a new token; a client renews before exp"),
        "not_yet_valid": CauseHelp("times", "synchronise the clocks of both machines by NTP"),
        "lifetime": CauseHelp("times", "have the issuer make shorter-lived tokens, or raise MAX_LIFETIME"),
        "claim_type": CauseHelp("grants"),
        "too_many_grants": CauseHelp("grants", "put the grants into a role of the policy"),
        "grant_too_long": CauseHelp("grants", "have the issuer write shorter permissions"),
        "compact": CauseHelp(
            "grants", "first deploy to this service the policy file that the issuer has, or a newer one"
        ),
        "too_many_patterns": CauseHelp("grants", "put the patterns into a role of the policy"),
    }
)
_DEVELOPMENT: Final = "this is a development token: set JWT_LP_DEV=1 for this command and where the service runs"

# The details of these steps are shown even if the step failed: they only repeat what the token says.
_STEPS_WITH_TOKEN_TEXT: Final = frozenset({"header", "audience", "times"})


@dataclass(frozen=True, slots=True)
class VerificationStep:
    """One step: `ok`, `no`, or `-` if it was not reached, with lines that explain it."""

    name: str
    state: Literal["ok", "no", "-"]
    lines: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class VerificationTrace:
    """The steps of a verification, and the access token if all of them passed.

    `cause` and `detail` come from the verifier, `remedy` says what to change. All three are "" for a valid token.
    """

    steps: tuple[VerificationStep, ...]
    token: AccessToken | None
    issuer: IssuerSettings | None = None
    cause: str = ""
    detail: str = ""
    remedy: str = ""


def trace_verification(guard: Guard, token: str, now: float) -> VerificationTrace:
    """Verify `token` as the guard does. `now`, in seconds since the epoch, is only for the time left in the output."""
    header, claims = _decode_unverified(token)
    issuer = issuer_of(guard.settings.issuers, claims)
    verified, cause, detail = _verify(guard, token)
    failed = _failed_step(cause, header, claims, issuer)
    details = _step_details(header, claims, issuer, verified, now)
    passed = STEPS if failed is None else STEPS[: STEPS.index(failed)]
    steps = [VerificationStep(name, "ok", details.get(name, ())) for name in passed]
    if failed is not None:
        from_token = details.get(failed, ()) if failed in _STEPS_WITH_TOKEN_TEXT else ()
        steps.append(VerificationStep(failed, "no", (brief(detail), *from_token)))
        steps += [VerificationStep(name, "-") for name in STEPS[len(steps) :]]
    return VerificationTrace(
        tuple(steps), verified, issuer, cause, brief(detail), _remedy(guard, cause, header, issuer)
    )


def _remedy(guard: Guard, cause: str, header: Mapping[str, object], issuer: IssuerSettings | None) -> str:
    key_refused = cause in CAUSES and CAUSES[cause].step == "key"
    if key_refused and str(header.get("kid")).startswith(PREFIX) and not guard.settings.development:
        return _DEVELOPMENT
    remedy = CAUSES[cause].remedy if cause in CAUSES else ""
    if remedy or issuer is None:
        return remedy
    return issuer.profile.remedy(cause, ", ".join(sorted(issuer.audience)))


def _verify(guard: Guard, token: str) -> tuple[AccessToken | None, str, str]:
    try:
        return guard.verifier.verify(token), "", ""
    except InvalidToken as error:
        return None, error.cause, error.detail
    except KeysUnavailable as error:
        return None, error.code, str(error)


def _decode_unverified(token: str) -> tuple[Mapping[str, object], Mapping[str, object]]:
    try:
        compact = jws.parse_compact(token)
        return compact.header, jws.read_json(compact.payload, "payload")
    except InvalidToken:
        return {}, {}


def _failed_step(
    cause: str, header: Mapping[str, object], claims: Mapping[str, object], issuer: IssuerSettings | None
) -> str | None:
    if not cause:
        return None
    if cause == "claim_type" and issuer is not None and issuer.profile.fault(header.get("typ"), claims) is not None:
        return "type"
    # An unlisted cause must not look like a verified token.
    return CAUSES[cause].step if cause in CAUSES else STEPS[0]


def _step_details(
    header: Mapping[str, object],
    claims: Mapping[str, object],
    issuer: IssuerSettings | None,
    token: AccessToken | None,
    now: float,
) -> dict[str, tuple[str, ...]]:
    """The lines of each step. Before the signature is verified, they only repeat what the token says."""
    details: dict[str, tuple[str, ...]] = {}
    if header:
        parameters = (f"{name} {brief(repr(header[name]))}" for name in ("alg", "kid", "typ") if name in header)
        details["header"] = (", ".join(parameters),)
        details["times"] = _time_details(claims, now)
    if issuer is not None:
        name, value = issuer.profile.audience_claim(claims)
        details["issuer"] = (f"{brief(issuer.issuer)}: {issuer.name}, profile {issuer.profile.name}",)
        details["key"] = ("the issuer has this key",)
        details["signature"] = ("good",)
        details["type"] = ("an access token of this issuer",)
        details["audience"] = (
            f"{name} is {brief(_audience_text(value))}; AUDIENCE is {brief(', '.join(sorted(issuer.audience)))}",
        )
    if token is not None:
        details["type"] = (_subject_details(token),)
        details["grants"] = _grant_details(token)
        if token.development:
            details["key"] = ("the development key, accepted with JWT_LP_DEV=1 from this machine only",)
    return details


def _audience_text(value: object) -> str:
    if isinstance(value, list):
        return ", ".join(map(repr, cast("list[object]", value)))
    return "absent" if value is None else repr(value)


def _time_details(claims: Mapping[str, object], now: float) -> tuple[str, ...]:
    issued, expires = claims.get("iat"), claims.get("exp")
    line = f"iat {moment(issued)}, exp {moment(expires)}"
    remaining = expires - now if isinstance(expires, int | float) else 0
    return (f"{line}: expires in {span(remaining)}" if remaining > 0 else line,)


def _subject_details(token: AccessToken) -> str:
    client = f", client {brief(token.client)}" if token.client else ""
    return f"subject {brief(token.subject)}{client}; {'an application' if token.app else 'a user'}"


def _grant_details(token: AccessToken) -> tuple[str, ...]:
    parts = [count(sum(1 for _ in token.permissions), "grant")]
    if token.roles:
        parts.append(f"roles of the policy: {brief(', '.join(token.roles))}")
    if token.ignored_roles:
        parts.append(f"{count(token.ignored_roles, 'role')} ignored: not listed in the policy")
    return ("; ".join(parts),)
