"""The command `jwt-lp inspect`: the contents of a token of any issuer, without verification.

Only claims that identify, grant or date are shown with their values; of all others only the name and size.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import click

from jwt_lp._support.json_types import is_json_array, is_json_object
from jwt_lp.cli.issue import load_policy
from jwt_lp.cli.output import brief, count, emit, grid, moment, notices, span, text
from jwt_lp.cli.target import app_option, named_settings, named_settings_option
from jwt_lp.cli.token_input import read_token, reject_file_argument, token_file_option
from jwt_lp.errors import GrammarError, InvalidToken, PolicyError
from jwt_lp.guard.issuer_lookup import issuer_of
from jwt_lp.jose import jws
from jwt_lp.tokens.claims import COMPACT_CLAIM, ROLE_SCOPE_CLAIM
from jwt_lp.tokens.delegation import Lineage, actors
from jwt_lp.tokens.profiles import RFC9068

if TYPE_CHECKING:
    from jwt_lp.guard.settings import Settings
    from jwt_lp.policy.file import Policy
    from jwt_lp.tokens.claims import ClaimProfile

UNVERIFIED: Final = "not verified: anybody can make such a token; jwt-lp explain says whether it is valid"
_TIMES: Final = {"iat": "issued", "nbf": "valid from", "exp": "expires"}


@dataclass(frozen=True, slots=True)
class GrantClaim:
    """The permissions or roles in one claim; `fault` says why they cannot be read."""

    claim: str
    values: tuple[str, ...]
    fault: str | None = None


@click.command("inspect", short_help="Show the contents of a token, without verifying it.")
@click.argument("words", metavar="[-]", nargs=-1)
@token_file_option
@click.option(
    "--policy",
    "file_of_policy",
    metavar="FILE",
    help="The least-privilege.toml, for reading compact permissions (cperm).",
)
@app_option
@named_settings_option
@click.option("--json", "as_json", is_flag=True, help="One object on standard output, and nothing else there.")
@click.pass_context
def inspect_token(
    ctx: click.Context,
    /,
    words: tuple[str, ...],
    file: str | None,
    file_of_policy: str | None,
    target: str | None,
    where: str | None,
    *,
    as_json: bool,
) -> None:
    """Show a token's issuer, subject, audience, client, times, permissions, lineage, and the size of each claim.

    Nothing is verified. The token is read from standard input (-), from --token-file or from JWT_LP_TOKEN. Values of
    other claims are not shown.

    \b
      jwt-lp issue alice orders:read --settings settings.toml --client web | jwt-lp inspect -
    """  # noqa: D301 - a real backspace is what click looks for
    if words not in {(), ("-",)}:
        reject_file_argument(words)
        raise click.UsageError("others can read a token given as an argument: pass - and pipe it in")
    if words and file is not None:
        raise click.UsageError("- and --token-file exclude each other: pass one")
    token = read_token("-" if words else file)
    compact = jws.parse_compact(token)
    claims: dict[str, Any] = jws.read_json(compact.payload, "payload")
    settings = named_settings(ctx.obj, target, where)
    profile = _profile(settings, claims)
    grants = tuple(_grant_claims(profile, claims, load_policy(file_of_policy, settings)))
    if as_json:
        emit(_as_json(token, compact.header, claims, profile, grants))
    else:
        _show(token, compact.header, claims, profile, grants)


def _profile(settings: Settings | None, claims: Mapping[str, object]) -> ClaimProfile:
    """The profile of the token's issuer in the settings, otherwise RFC 9068."""
    issuer = issuer_of(settings.issuers, claims) if settings is not None else None
    return RFC9068 if issuer is None else issuer.profile


def _grant_claims(profile: ClaimProfile, claims: Mapping[str, object], policy: Policy) -> Iterator[GrantClaim]:
    try:
        granted = profile.read_grants(claims)
    except InvalidToken as error:
        yield GrantClaim("permissions", (), error.detail)
    else:
        for claim, _, values in (*granted.permissions, *granted.external_roles):
            yield GrantClaim(claim, values)
    if COMPACT_CLAIM in claims:
        yield _compact_claim(claims[COMPACT_CLAIM], policy)
    if ROLE_SCOPE_CLAIM in claims:
        yield from _role_scope_claims(claims[ROLE_SCOPE_CLAIM])


def _compact_claim(value: object, policy: Policy) -> GrantClaim:
    if not isinstance(value, str):
        return GrantClaim(COMPACT_CLAIM, (), "it is not a string")
    if not policy.catalogue:
        return GrantClaim(COMPACT_CLAIM, (), "positions in a catalogue: pass --policy or --settings to read them")
    try:
        return GrantClaim(COMPACT_CLAIM, policy.decode(value))
    except (GrammarError, PolicyError) as error:
        return GrantClaim(COMPACT_CLAIM, (), str(error))


def _role_scope_claims(value: object) -> Iterator[GrantClaim]:
    if not is_json_object(value):
        yield GrantClaim(ROLE_SCOPE_CLAIM, (), "it is not an object")
        return
    for role, texts in value.items():
        claim = f"{ROLE_SCOPE_CLAIM} {role}"
        yield (
            GrantClaim(claim, tuple(texts.split()))
            if isinstance(texts, str)
            else GrantClaim(claim, (), "it is not a string")
        )


def _identity(profile: ClaimProfile, claims: Mapping[str, object]) -> dict[str, object]:
    """Issuer, subject, audience, client and id; None for an absent claim."""
    _, audience = profile.audience_claim(claims)
    client = next((claims[name] for name in profile.client if name in claims), None)
    identity = {
        "issuer": claims.get("iss"),
        "subject": claims.get(profile.subject),
        "audience": audience,
        "client": client,
        "id": claims.get(profile.token_id),
    }
    return {
        name: value if _is_text(value) else f"not a string ({type(value).__name__})" for name, value in identity.items()
    }


def _is_text(value: object) -> bool:
    return (
        value is None
        or isinstance(value, str)
        or (is_json_array(value) and all(isinstance(member, str) for member in value))
    )


def _descent(claims: Mapping[str, object]) -> dict[str, object]:
    """The tokens that it was downscoped from, and its actors."""
    try:
        lineage = Lineage.from_claims(claims, str(claims.get("iss")))
    except InvalidToken as error:
        # A token of another issuer may have actors, but no lineage.
        try:
            acting = [*actors(claims.get("act"))]
        except InvalidToken:
            acting = []
        return {"actors": acting} if acting and "lineage" not in claims else {"fault": error.detail}
    if lineage is None:
        return {}
    members: dict[str, object] = {
        "first_issued": moment(lineage.issued_at),
        "ancestors": [name for _, name in lineage.ancestors],
        "clients": [*lineage.clients],
        "actors": [*lineage.actors],
        "original_issuer": lineage.subject[0] if lineage.subject is not None else None,
        "original_subject": lineage.subject[1] if lineage.subject is not None else None,
    }
    return {name: value for name, value in members.items() if value}


def _bound(claims: Mapping[str, object]) -> list[str] | None:
    """The confirmation methods of `cnf` (RFC 7800, section 3); None for a bearer token."""
    if "cnf" not in claims:
        return None
    return sorted(claims["cnf"]) if is_json_object(claims["cnf"]) else []


def _sizes(token: str, claims: Mapping[str, object]) -> dict[str, int]:
    """The characters that each claim, the header and the signature take, the largest first."""
    head, _, signature = token.split(".")
    sizes = {name: _encoded_size({name: value}) for name, value in claims.items()}
    sizes |= {"(header)": len(head), "(signature)": len(signature)}
    return dict(sorted(sizes.items(), key=lambda item: (-item[1], item[0])))


def _encoded_size(member: Mapping[str, object]) -> int:
    # One comma instead of two braces. Base64 makes four characters of three bytes.
    encoded = json.dumps(member, separators=(",", ":"), ensure_ascii=False).encode()
    return -(-(len(encoded) - 1) * 4 // 3)


def _time(value: object, now: float) -> str:
    if not isinstance(value, int | float) or isinstance(value, bool):
        return "no date"
    distance = value - now
    return f"{moment(value)} ({f'in {span(distance)}' if distance > 0 else f'{span(distance)} ago'})"


def _identity_text(value: object) -> str:
    """A string, or the members of a list, as text."""
    if value is None:
        return "none"
    return ", ".join(map(brief, value if is_json_array(value) else [value]))


def _show(
    token: str,
    header: Mapping[str, object],
    claims: Mapping[str, object],
    profile: ClaimProfile,
    grants: tuple[GrantClaim, ...],
) -> None:
    now = time.time()
    notices([UNVERIFIED])
    rows = [("token", f"{jws.fingerprint(token)}, {count(len(token), 'character')}"), ("header", _header(header))]
    rows += [(name, _identity_text(value)) for name, value in _identity(profile, claims).items()]
    rows += [(label, _time(claims[name], now)) for name, label in _TIMES.items() if name in claims]
    rows += [
        (
            claim.claim,
            claim.fault if claim.fault is not None else f"{len(claim.values)}: {' '.join(claim.values) or 'none'}",
        )
        for claim in grants
    ]
    rows += [(name.replace("_", " "), _identity_text(value)) for name, value in _descent(claims).items()]
    bound = _bound(claims)
    if bound is not None:
        methods = ", ".join(map(brief, bound)) or "no method"
        rows += [("bound", f"to a key ({methods}): refused unless SENDER_CONSTRAINED names the method")]
    rows += [("size", ", ".join(f"{brief(name)} {size}" for name, size in _sizes(token, claims).items()))]
    grid([(text(brief(name)), text(value)) for name, value in rows], fixed=1)


def _header(header: Mapping[str, object]) -> str:
    parameters = [f"{name} {brief(header[name])!r}" for name in ("alg", "kid", "typ") if name in header]
    others = sorted(header.keys() - {"alg", "kid", "typ"})
    return ", ".join([*parameters, *(f"{brief(name)}" for name in others)])


def _as_json(
    token: str,
    header: Mapping[str, object],
    claims: Mapping[str, object],
    profile: ClaimProfile,
    grants: tuple[GrantClaim, ...],
) -> dict[str, object]:
    return {
        "verified": False,
        "fingerprint": jws.fingerprint(token),
        "characters": len(token),
        "header": {name: header.get(name) for name in ("alg", "kid", "typ")},
        "identity": _identity(profile, claims),
        "times": {name: moment(claims[name]) for name in _TIMES if name in claims},
        "permissions": [{"claim": claim.claim, "values": [*claim.values], "fault": claim.fault} for claim in grants],
        "descent": _descent(claims),
        "bound": _bound(claims),
        "sizes": _sizes(token, claims),
    }
