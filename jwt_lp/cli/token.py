"""The command `jwt-lp token`: development tokens for this machine."""

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
from jwt_lp.guard.development_key import FOLDER, development_key, development_keys
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
    """The arguments and options of the command."""

    subject: str
    permissions: tuple[str, ...]
    roles: tuple[str, ...]
    lifetime: int
    client: str | None
    claims: tuple[tuple[str, object], ...]
    name: str | None
    target: str | None
    where: str | None


@click.command(short_help="Make a development token, for this machine only.")
@click.argument("subject")
@click.argument("permissions", nargs=-1, metavar="[PERMISSION]...")
@click.option("--role", "roles", multiple=True, help="A role of the policy. Repeatable.")
@click.option(
    "--for",
    "lifetime",
    type=DurationParam(),
    default=_DEFAULT_LIFETIME,
    show_default=True,
    help="The lifetime: 90s, 15m, 1h.",
)
@click.option("--client", help="The client that the token names; by default jwt-lp, or the first of CLIENTS.")
@click.option(
    "--claim",
    "claims",
    type=ClaimParam(_RESERVED_CLAIMS),
    multiple=True,
    metavar="NAME=TEXT",
    help="An additional claim; NAME:=JSON if it is not text. Repeatable.",
)
@click.option("--issuer", "name", help="The issuer's name in the settings, if there are several.")
@app_option
@settings_option
@click.pass_context
def token(ctx: click.Context, /, **options: Any) -> None:
    """Make an access token for SUBJECT with the PERMISSIONs, in the form of the configured issuer's tokens.

    It is signed with the development key of this folder (.jwt-lp/, kept out of version control). A guard accepts it
    only if JWT_LP_DEV=1 is set, and only from a caller on the same machine. Standard output has only the token.

    \b
      export JWT_LP_DEV=1
      curl -H "Authorization: Bearer $(jwt-lp token alice orders:read --app shop.main:app)" http://127.0.0.1:8000/orders
      jwt-lp token alice --role clerk --for 1h --claim tenant_id=acme
    """  # noqa: D301 - a real backspace is what click looks for
    if os.environ.get("JWT_LP_DEV") != "1":
        raise Failure("development tokens are made and accepted only if JWT_LP_DEV=1 is set: export JWT_LP_DEV=1")
    _make_token(ctx, TokenRequest(**options))


def _make_token(ctx: click.Context, wanted: TokenRequest) -> None:
    resolved = named_settings(ctx.obj, wanted.target, wanted.where) or settings(wanted.where)
    issuer = _issuer(resolved, wanted.name)
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
        "client_id": wanted.client or (min(issuer.clients) if issuer.clients else "jwt-lp"),
    }
    unknown = [role for role in wanted.roles if role not in resolved.policy.roles]
    if unknown:
        known = ", ".join(resolved.policy.roles) or "none"
        raise Failure(f"the policy has no role {unknown[0]!a}; its roles are: {known}")
    external_roles = [resolved.external_role_name(role, issuer) for role in wanted.roles]
    claims, typ = shape_claims(issuer.profile, registered, wanted.permissions, external_roles)
    text = sign({**claims, **dict(wanted.claims)}, key, typ=typ)
    _report_token(text, key, issuer, resolved, wanted)
    click.echo(text)


def _issuer(settings: Settings, name: str | None) -> IssuerSettings:
    matches = [issuer for issuer in settings.issuers if name is None or issuer.name == name.lower()]
    if len(matches) == 1:
        return matches[0]
    known = ", ".join(issuer.name for issuer in settings.issuers)
    raise Failure(f"--issuer must be one of {known}")


def _faults(issuer: IssuerSettings, permissions: tuple[str, ...], lifetime: int) -> list[str]:
    faults = [
        f"{permission!a} is not a permission: it has a character that is not allowed"
        for permission in permissions
        if not is_scope_token(permission)
    ]
    if not (issuer.own or issuer.patterns):
        faults += [
            f"{permission}: wildcards have no effect in tokens of {issuer.name}, which has neither OWN nor PATTERNS"
            for permission in permissions
            if is_pattern(permission)
        ]
    if lifetime > issuer.max_lifetime:
        faults.append(
            f"--for is longer than MAX_LIFETIME, {issuer.max_lifetime:.0f} s: the guard would refuse the token"
        )
    return faults


def _report_token(text: str, key: SigningKey, issuer: IssuerSettings, settings: Settings, wanted: TokenRequest) -> None:
    """Describe the token on standard error, and warn about everything that the guard will not accept in it."""
    say(f"signed with the development key {key.kid} in {FOLDER}/", err=True)
    try:
        keys = development_keys()
        token = Verifier([issuer.to_trusted_issuer(keys, keys)], settings.policy).verify(text)
    except InvalidToken as error:
        say(f"warning: the guard will refuse this token: {error.detail}", err=True)
        return
    for warning in _unconferred(token, wanted):
        say(f"warning: {warning}", err=True)
    until = moment(token.expires_at)
    say(f"for {token.subject} until {until}; send it to a server that runs in this folder with JWT_LP_DEV=1:", err=True)
    say('  curl -H "Authorization: Bearer TOKEN" http://127.0.0.1:PORT/', err=True)


def _unconferred(token: AccessToken, wanted: TokenRequest) -> list[str]:
    texts = {grant.text for grant in token.permissions}
    warnings = [
        f"{name} is not conferred: a ceiling cuts it, or the profile has no claim for it"
        for name in wanted.permissions
        if name not in texts or (not is_pattern(name) and name not in token.permissions)
    ]
    warnings += [
        f"the role {name} is not conferred: the profile has no claim for it"
        for name in wanted.roles
        if name not in token.roles
    ]
    cut = [
        grant.text
        for grant in token.permissions
        if grant.role is not None and not is_pattern(grant.text) and grant.text not in token.permissions
    ]
    if cut:
        warnings.append(f"a ceiling cuts {', '.join(cut)}, which a role grants: name it as a PERMISSION too")
    return warnings
