"""How far does this token get?

The guard's own verifier decides; what it said is laid out here as the steps it takes, in its order. Of the token
nothing is shown but its fingerprint, its header's names, whom it is from and for, its times and the subject, as
in the log.
"""

from __future__ import annotations

from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, Final, Literal, cast

from jwt_lp.cli.output import brief, count, moment, span
from jwt_lp.errors import InvalidToken, KeysUnavailable
from jwt_lp.guard.development import PREFIX
from jwt_lp.jose import jws

if TYPE_CHECKING:
    from collections.abc import Mapping

    from jwt_lp.guard.guard import Guard
    from jwt_lp.guard.settings import IssuerSettings
    from jwt_lp.tokens.claims import AccessToken

STEPS: Final = ("header", "issuer", "key", "signature", "type", "audience", "times", "grants")

_STEP_BY_CAUSE: Final[Mapping[str, str]] = MappingProxyType(
    {
        "malformed": "header",
        "too_large": "header",
        "header": "header",
        "issuer": "issuer",
        "algorithm": "key",
        "unknown_key": "key",
        "keys_unavailable": "key",
        "signature": "signature",
        "typ": "type",
        "not_access_token": "type",
        "sender_constrained": "type",
        "subject": "type",
        "client": "type",
        "audience": "audience",
        "date": "times",
        "expired": "times",
        "not_yet_valid": "times",
        "lifetime": "times",
        "claim_type": "grants",
        "too_many_grants": "grants",
        "grant_too_long": "grants",
        "compact": "grants",
        "too_many_patterns": "grants",
    }
)

# What the verifier's own sentence does not say yet.
_REMEDIES: Final[Mapping[str, str]] = MappingProxyType(
    {
        "malformed": "pass the whole access token and nothing else: three parts joined by dots, on one line",
        "too_large": "have the issuer put less into the token",
        "header": "have the issuer sign plain access tokens (RFC 9068)",
        "issuer": "send a token of the configured issuer, or set ISSUER to exactly what its tokens say in iss",
        "algorithm": "add it to ALGORITHMS if that is what the issuer signs with",
        "unknown_key": "check that the token is of the same tenant and environment as the configured key set",
        "keys_unavailable": "check the address of the key set and the way to it; until it is there, answers are 503",
        "signature": "get a fresh token: this one was altered, or signed in another environment",
        "sender_constrained": "have the issuer make bearer tokens for this client; SENDER_CONSTRAINED is for services that "
        "are reached through a gateway alone, which checks the proof",
        "expired": "get a new token; a client renews before exp",
        "not_yet_valid": "set the clocks of both machines by NTP",
        "date": "have the issuer send iat and exp as numbers",
        "lifetime": "have the issuer make shorter-lived tokens, or raise MAX_LIFETIME",
        "too_many_grants": "put the grants into a role of the policy",
        "compact": "deploy the policy file that the issuer has, or a newer one, to this service first",
        "too_many_patterns": "put the patterns into a role of the policy",
        "grant_too_long": "have the issuer write shorter permissions",
    }
)
_DEVELOPMENT: Final = "it is a development token: set JWT_LP_DEV=1 where the service runs, on this machine"

# What is said of these steps is what the token says; of the others it is what was found to be so.
_STEPS_WITH_TOKEN_TEXT: Final = frozenset({"header", "audience", "times"})


@dataclass(frozen=True, slots=True)
class VerificationStep:
    """One step: `ok`, `no`, or `-` where it was not reached, with what there is to say."""

    name: str
    state: Literal["ok", "no", "-"]
    lines: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class VerificationTrace:
    """The steps that a token took, and the access token if it took them all.

    `cause` and `detail` are the verifier's, `remedy` says what to change; all three are "" for a good token.
    """

    steps: tuple[VerificationStep, ...]
    token: AccessToken | None
    issuer: IssuerSettings | None = None
    cause: str = ""
    detail: str = ""
    remedy: str = ""


def trace_verification(guard: Guard, token: str, now: float) -> VerificationTrace:
    """Verify `token` as the guard does, and say how far it got."""
    header, claims = _decode_unverified(token)
    issuer = next((each for each in guard.settings.issuers if each.issuer == claims.get("iss")), None)
    verified, cause, detail = _verify(guard, token)
    failed = _failed_step(cause, header, claims, issuer)
    said = _step_details(header, claims, issuer, verified, now)
    steps: list[VerificationStep] = []
    for name in STEPS:
        if failed not in {step.name for step in steps}:
            lines = said.get(name, ())
            if name == failed:
                lines = (brief(detail), *(lines if name in _STEPS_WITH_TOKEN_TEXT else ()))
            steps.append(VerificationStep(name, "no" if name == failed else "ok", lines))
        else:
            steps.append(VerificationStep(name, "-"))
    return VerificationTrace(
        tuple(steps), verified, issuer, cause, brief(detail), _remedy(guard, cause, header, issuer)
    )


def _remedy(guard: Guard, cause: str, header: Mapping[str, object], issuer: IssuerSettings | None) -> str:
    if cause == "unknown_key" and str(header.get("kid")).startswith(PREFIX) and not guard.settings.development:
        return _DEVELOPMENT
    if cause in _REMEDIES or issuer is None:
        return _REMEDIES.get(cause, "")
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
    # A cause that is not known here must not look like a step that was passed.
    return _STEP_BY_CAUSE.get(cause, "header")


def _step_details(
    header: Mapping[str, object],
    claims: Mapping[str, object],
    issuer: IssuerSettings | None,
    token: AccessToken | None,
    now: float,
) -> dict[str, tuple[str, ...]]:
    """What can be said of each step. Until the signature is known to be good, it is only what the token says."""
    said: dict[str, tuple[str, ...]] = {}
    if header:
        named = (f"{name} {brief(repr(header[name]))}" for name in ("alg", "kid", "typ") if name in header)
        said["header"] = (", ".join(named),)
        said["times"] = _time_details(claims, now)
    if issuer is not None:
        name, value = issuer.profile.audience_claim(claims)
        said["issuer"] = (f"{brief(issuer.issuer)}: {issuer.name}, profile {issuer.profile.name}",)
        said["key"] = ("the issuer has this key",)
        said["signature"] = ("good",)
        said["type"] = ("an access token of this issuer",)
        said["audience"] = (
            f"{name} is {brief(_audience_text(value))}; AUDIENCE is {brief(', '.join(sorted(issuer.audience)))}",
        )
    if token is not None:
        said["type"] = (_subject_details(token),)
        said["grants"] = _grant_details(token)
        if token.development:
            said["key"] = ("the development key, taken with JWT_LP_DEV=1 from this machine only",)
    return said


def _audience_text(value: object) -> str:
    if isinstance(value, list):
        return ", ".join(map(repr, cast("list[object]", value)))
    return "absent" if value is None else repr(value)


def _time_details(claims: Mapping[str, object], now: float) -> tuple[str, ...]:
    issued, expires = claims.get("iat"), claims.get("exp")
    line = f"iat {moment(issued)}, exp {moment(expires)}"
    left = expires - now if isinstance(expires, int | float) else 0
    return (f"{line}: expires in {span(left)}" if left > 0 else line,)


def _subject_details(token: AccessToken) -> str:
    client = f", client {brief(token.client)}" if token.client else ""
    return f"subject {brief(token.subject)}{client}; {'an application' if token.app else 'a user'}"


def _grant_details(token: AccessToken) -> tuple[str, ...]:
    said = [count(sum(1 for _ in token.permissions), "grant")]
    if token.roles:
        said.append(f"roles of the policy: {brief(', '.join(token.roles))}")
    if token.ignored_roles:
        said.append(f"{count(token.ignored_roles, 'role')} ignored, which the policy does not list")
    return ("; ".join(said),)
