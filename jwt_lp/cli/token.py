"""How do I get a token on my own machine?"""

from __future__ import annotations

import os
import secrets
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import click

from jwt_lp.cli.output import Failure, moment, say
from jwt_lp.cli.param_types import ClaimParam, DurationParam
from jwt_lp.cli.target import app_option, named_settings, settings, settings_option
from jwt_lp.errors import InvalidToken
from jwt_lp.guard.development import FOLDER, development_key, development_keys
from jwt_lp.jose.signing import SigningKey, sign
from jwt_lp.permissions.grants import is_pattern, is_scope_token
from jwt_lp.tokens.provider_claims import shape_claims
from jwt_lp.tokens.verification import Verifier

if TYPE_CHECKING:
    from collections.abc import Mapping

    from jwt_lp.guard.settings import IssuerSettings, Settings
    from jwt_lp.tokens.claims import AccessToken

_DEFAULT_LIFETIME: Final = "15m"
_RESERVED_CLAIMS: Final[Mapping[str, str]] = {"iss": "--issuer", "sub": "SUBJECT", "iat": "--for", "exp": "--for"}


@dataclass(frozen=True, slots=True)
class TokenRequest:
    """What the token shall be, as the command line says it."""

    subject: str
    permissions: tuple[str, ...]
    roles: tuple[str, ...]
    lifetime: int
    client: str
    claims: tuple[tuple[str, object], ...]
    name: str | None
    target: str | None
    where: str | None


@click.command(short_help="Make a token for development, on this machine only.")
@click.argument("subject")
@click.argument("permissions", nargs=-1, metavar="[PERMISSION]...")
@click.option("--role", "roles", multiple=True, help="A role of the policy; repeat for more.")
@click.option(
    "--for",
    "lifetime",
    type=DurationParam(),
    default=_DEFAULT_LIFETIME,
    show_default=True,
    help="How long it lives: 90s, 15m, 1h.",
)
@click.option("--client", default="jwt-lp", show_default=True, help="The client that the token names.")
@click.option(
    "--claim",
    "claims",
    type=ClaimParam(_RESERVED_CLAIMS),
    multiple=True,
    metavar="NAME=TEXT",
    help="One more claim; NAME:=JSON for other than text.",
)
@click.option("--issuer", "name", help="The issuer's name in the settings, where there are several.")
@app_option
@settings_option
@click.pass_context
def token(ctx: click.Context, /, **options: Any) -> None:
    """Make an access token for SUBJECT with the PERMISSIONs, shaped as the configured issuer shapes its own.

    It is signed with the development key of this folder (.jwt-lp/, kept out of version control). A guard takes it
    only where JWT_LP_DEV=1 is set, and only from a caller on the same machine. The token alone is printed on
    standard output.

    \b
      export JWT_LP_DEV=1
      curl -H "Authorization: Bearer $(jwt-lp token alice orders:read --app shop.main:app)" http://127.0.0.1:8000/orders
      jwt-lp token alice --role clerk --for 1h --claim tenant_id=acme
    """  # noqa: D301 - a real backspace is what click looks for
    if os.environ.get("JWT_LP_DEV") != "1":
        raise Failure("development tokens are made and taken only where JWT_LP_DEV=1 is set: export JWT_LP_DEV=1")
    _make_token(ctx, TokenRequest(**options))


def _make_token(ctx: click.Context, wanted: TokenRequest) -> None:
    found = named_settings(ctx.obj, wanted.target, wanted.where) or settings(wanted.where)
    issuer = _issuer(found, wanted.name)
    faults = _faults(issuer, wanted.permissions, wanted.lifetime)
    if faults:
        raise Failure(*faults)
    key = development_key()
    now = int(time.time())
    registered = {
        "iss": issuer.issuer,
        "sub": wanted.subject,
        "aud": min(issuer.audience),
        "iat": now,
        "exp": now + wanted.lifetime,
        "jti": secrets.token_hex(8),
        "client_id": wanted.client,
    }
    unknown = [role for role in wanted.roles if role not in found.policy.roles]
    if unknown:
        known = ", ".join(found.policy.roles) or "none"
        raise Failure(f"the policy has no role {unknown[0]!a}; its roles are: {known}")
    outside = [found.external_role_name(role, issuer) for role in wanted.roles]
    body, typ = shape_claims(issuer.profile, registered, wanted.permissions, outside)
    made = sign({**body, **dict(wanted.claims)}, key, typ=typ)
    _report_token(made, key, issuer, found, wanted)
    click.echo(made)


def _issuer(found: Settings, name: str | None) -> IssuerSettings:
    fitting = [each for each in found.issuers if name is None or each.name == name.lower()]
    if len(fitting) == 1:
        return fitting[0]
    known = ", ".join(each.name for each in found.issuers)
    raise Failure(f"--issuer is one of {known}")


def _faults(issuer: IssuerSettings, permissions: tuple[str, ...], lifetime: int) -> list[str]:
    faults = [
        f"{each!a} is not a permission: it has a character that is not allowed"
        for each in permissions
        if not is_scope_token(each)
    ]
    if not (issuer.own or issuer.patterns):
        faults += [
            f"{each}: wildcards do not count in tokens of {issuer.name}, which is neither OWN nor PATTERNS"
            for each in permissions
            if is_pattern(each)
        ]
    if lifetime > issuer.max_lifetime:
        faults.append(
            f"--for is longer than MAX_LIFETIME, {issuer.max_lifetime:.0f} s: the guard would refuse the token"
        )
    return faults


def _report_token(made: str, key: SigningKey, issuer: IssuerSettings, found: Settings, wanted: TokenRequest) -> None:
    """Say what was made, and hold it against what the guard will make of it."""
    say(f"signed with the development key {key.kid} in {FOLDER}/", err=True)
    try:
        keys = development_keys()
        token = Verifier([issuer.to_trusted_issuer(keys, keys)], found.policy).verify(made)
    except InvalidToken as error:
        say(f"warning: the guard will refuse this token: {error.detail}", err=True)
        return
    for lost in _unconferred(token, wanted):
        say(f"warning: {lost}", err=True)
    say(f"for {token.subject} until {moment(token.expires_at)}; use it as", err=True)
    say('  curl -H "Authorization: Bearer $TOKEN" http://127.0.0.1:8000/', err=True)


def _unconferred(token: AccessToken, wanted: TokenRequest) -> list[str]:
    held = {grant.text for grant in token.permissions}
    lost = [
        f"{each} is not conferred: a ceiling cuts it, or the profile has no claim for it"
        for each in wanted.permissions
        if each not in held or (not is_pattern(each) and each not in token.permissions)
    ]
    lost += [
        f"the role {each} is not conferred: the profile has no claim for it"
        for each in wanted.roles
        if each not in token.roles
    ]
    cut = [
        grant.text
        for grant in token.permissions
        if grant.role is not None and not is_pattern(grant.text) and grant.text not in token.permissions
    ]
    if cut:
        lost.append(f"a ceiling cuts {', '.join(cut)}, which a role grants: name it as a PERMISSION too")
    return lost
