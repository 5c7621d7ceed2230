"""How do I make a production token, and a narrower one?"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeVar

import click

from jwt_lp.cli.keys import keys_option
from jwt_lp.cli.output import Failure, count, moment, notices, say
from jwt_lp.cli.param_types import ClaimParam, DurationParam
from jwt_lp.cli.target import app_option, named_settings, named_settings_option, silence_logs
from jwt_lp.cli.token_input import read_token, token_file_option
from jwt_lp.issuing.issuer import Issuer
from jwt_lp.jose import jws
from jwt_lp.jose.key_files import read_ring
from jwt_lp.jose.key_rotation import KeyRing
from jwt_lp.policy.file import EMPTY_POLICY, Policy

if TYPE_CHECKING:
    from jwt_lp.guard.settings import IssuerSettings, Settings

_C = TypeVar("_C", bound=Callable[..., object])

_RESERVED_CLAIMS: Final[Mapping[str, str]] = {
    "iss": "--issuer", "sub": "SUBJECT", "aud": "--audience", "client_id": "--client", "iat": "--for", "exp": "--for",
    "scope": "PERMISSION", "roles": "--role",
}  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class IssuerOptions:
    """Who issues, as the command line and the settings say it."""

    folder: str
    name: str | None
    policy: str | None
    target: str | None
    where: str | None
    compact: bool


def _issuer_options(command: _C) -> _C:
    """The options that say who issues."""
    for option in (
        named_settings_option,
        app_option,
        click.option("--compact", is_flag=True, help="Write permissions as positions in the policy's catalogue."),
        click.option("--policy", metavar="FILE", help="The least-privilege.toml. Default: the settings' POLICY."),
        click.option(
            "--issuer",
            "name",
            metavar="URL",
            help="The iss of the token. Default: the issuer that is OWN in the settings.",
        ),
        keys_option,
    ):
        command = option(command)
    return command


_for_option: Final = click.option(
    "--for",
    "lifetime",
    type=DurationParam(),
    help="How long it lives: 90s, 5m. Default: 5m, or less where the audience has less.",
)


@click.command(short_help="Make a token with the signing keys.")
@click.argument("subject")
@click.argument("permissions", nargs=-1, metavar="[PERMISSION]...")
@click.option("--role", "roles", multiple=True, help="A role of the policy; repeat for more.")
@click.option("--audience", metavar="NAME", help="Whom it is for. Default: the settings' AUDIENCE, where it is one.")
@click.option("--client", required=True, metavar="NAME", help="The client that it is issued to.")
@_for_option
@click.option(
    "--claim",
    "claims",
    type=ClaimParam(_RESERVED_CLAIMS),
    multiple=True,
    metavar="NAME=TEXT",
    help="A claim of the audience's list; NAME:=JSON for other than text.",
)
@_issuer_options
@click.pass_context
def issue(
    ctx: click.Context,
    /,
    subject: str,
    permissions: tuple[str, ...],
    roles: tuple[str, ...],
    audience: str | None,
    client: str,
    lifetime: int | None,
    claims: tuple[tuple[str, object], ...],
    **options: Any,
) -> None:
    """Make an access token for SUBJECT with the PERMISSIONs, signed with the current key of the ring.

    The token alone is printed on standard output. What the policy does not allow is refused with exit code 1.

    \b
      jwt-lp issue job:nightly orders:read --issuer https://id.example.com/ --audience orders --client scheduler
      jwt-lp issue alice --role clerk --settings settings.toml --client support --for 10m
    """  # noqa: D301 - a real backspace is what click looks for
    issuing = IssuerOptions(**options)
    with silence_logs():
        issuer, default = _issuer(ctx, issuing)
        made = issuer.issue(
            subject,
            permissions=permissions,
            roles=roles,
            audience=_audience(audience, default),
            client=client,
            lifetime=lifetime,
            claims=dict(claims),
        )
        _report_token(issuer, made, issuing.folder)
    click.echo(made)


@click.command(short_help="Make a narrower token from one that is good.")
@click.argument("permissions", nargs=-1, metavar="[PERMISSION]...")
@token_file_option
@click.option("--audience", metavar="NAME", help="Whom it is for. Default: the token's own audience.")
@click.option("--actor", metavar="CLIENT", help="The client of the policy that acts for the token's subject.")
@_for_option
@_issuer_options
@click.pass_context
def narrow(
    ctx: click.Context,
    /,
    permissions: tuple[str, ...],
    file: str | None,
    audience: str | None,
    actor: str | None,
    lifetime: int | None,
    **options: Any,
) -> None:
    """Make a token that holds the PERMISSIONs of another one, nothing else, and dies no later.

    The other token is read from a pipe, from --token-file or from JWT_LP_TOKEN, and is one of this issuer, or of
    another one in the settings. It is verified; whether it was revoked is not asked. The narrower token alone is
    printed on standard output. What it does not hold is refused with exit code 1, and so is a token that is no good.

    \b
      jwt-lp narrow orders:7:read --settings settings.toml --for 1m < token.txt
    """  # noqa: D301 - a real backspace is what click looks for
    issuing = IssuerOptions(**options)
    parent = read_token(file)
    with silence_logs():
        issuer, _ = _issuer(ctx, issuing)
        made = issuer.narrow(parent, permissions, audience=audience, lifetime=lifetime, actor=actor)
        say(f"narrowed from the token {jws.fingerprint(parent)}", err=True)
        _report_token(issuer, made, issuing.folder)
    click.echo(made)


def load_policy(file: str | None, found: Settings | None) -> Policy:
    """The policy in the file, or else that of the settings."""
    if file is not None:
        return Policy.load(file)
    return EMPTY_POLICY if found is None else found.policy


def _issuer(ctx: click.Context, issuing: IssuerOptions) -> tuple[Issuer, IssuerSettings | None]:
    """Who issues, and what the settings say of it."""
    found = named_settings(ctx.obj, issuing.target, issuing.where)
    own = _own_issuer(found, issuing.name)
    name = own.issuer if own is not None else issuing.name
    if name is None:
        raise click.UsageError("which issuer? pass --issuer URL, or --settings with an issuer that is OWN")
    others = [each for each in found.issuers if each.issuer != name] if found is not None else []
    hosts = found.allow_http_hosts if found is not None else ()
    issuer = Issuer(
        name,
        KeyRing(issuing.folder),
        policy=load_policy(issuing.policy, found),
        claims=found.claims if found is not None else None,
        compact=issuing.compact,
        trusts=[each.to_trusted_issuer(each.key_source(hosts)) for each in others if not each.own],
    )
    return issuer, own


def _own_issuer(found: Settings | None, name: str | None) -> IssuerSettings | None:
    if found is None:
        return None
    own = [each for each in found.issuers if each.own and name in {None, each.issuer, each.name}]
    if len(own) == 1:
        return own[0]
    if name is not None and not own:
        if any(name in {each.issuer, each.name} for each in found.issuers):
            raise Failure(f"the settings do not mark the issuer {name} as OWN: tokens are made in one's own name only")
        return None
    raise Failure(f"the settings have {count(len(own), 'issuer')} with OWN = true: pass --issuer URL")


def _audience(said: str | None, own: IssuerSettings | None) -> str:
    if said is not None:
        return said
    if own is not None and len(own.audience) == 1:
        return min(own.audience)
    raise click.UsageError(
        "which audience? pass --audience" + (f", one of {', '.join(sorted(own.audience))}" if own is not None else "")
    )


def _report_token(issuer: Issuer, made: str, folder: str) -> None:
    """Say what was made, on standard error."""
    token = issuer.verify(made)
    acting = token.lineage.actors[:1] if token.lineage is not None else ()
    by = f", {acting[0]} acting" if acting else ""
    say(f"signed with {jws.parse_compact(made).kid} in {folder}/", err=True)
    say(f"for {token.subject}{by}, until {moment(token.expires_at)}; {len(made)} characters", err=True)
    if not [*token.permissions]:
        notices(["it holds no permission"], err=True)
    stays = read_ring(Path(folder)).lifetime
    if token.expires_at - token.issued_at > stays:
        said = f"it lives longer than the key ring expects, {stays:.0f} s, so a rotation may cut it short"
        notices([f"{said}: set the longest lifetime once, with jwt-lp keys rotate --lifetime"], err=True)
