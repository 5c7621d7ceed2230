"""The commands `jwt-lp issue` and `jwt-lp narrow`: tokens signed with the keys of your own issuer."""

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
    """The options that name the issuer, its keys and its policy."""

    folder: str
    name: str | None
    policy: str | None
    target: str | None
    where: str | None
    compact: bool


def _issuer_options(command: _C) -> _C:
    """Add the options of `IssuerOptions`."""
    for option in (
        named_settings_option,
        app_option,
        click.option(
            "--compact", is_flag=True, help="Write permissions in compact form: positions in the policy's catalogue."
        ),
        click.option("--policy", metavar="FILE", help="The policy file. Default: POLICY in the settings."),
        click.option(
            "--issuer",
            "name",
            metavar="URL",
            help="The iss of the token. Default: the issuer with OWN in the settings.",
        ),
        keys_option,
    ):
        command = option(command)
    return command


_for_option: Final = click.option(
    "--for",
    "lifetime",
    type=DurationParam(),
    help="The lifetime: 90s, 5m. Default: 5m, or the audience's max_lifetime if that is shorter.",
)


@click.command(short_help="Make a token, signed with your own signing keys.")
@click.argument("subject")
@click.argument("permissions", nargs=-1, metavar="[PERMISSION]...")
@click.option("--role", "roles", multiple=True, help="A role of the policy. Repeatable.")
@click.option(
    "--audience", metavar="NAME", help="The audience. Default: AUDIENCE in the settings, if it is a single one."
)
@click.option("--client", required=True, metavar="NAME", help="The client that gets the token.")
@_for_option
@click.option(
    "--claim",
    "claims",
    type=ClaimParam(_RESERVED_CLAIMS),
    multiple=True,
    metavar="NAME=TEXT",
    help="A claim that the policy allows for the audience; NAME:=JSON if it is not text. Repeatable.",
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

    Standard output has only the token. The exit code is 1 if the policy does not allow the token.

    \b
      jwt-lp issue job:nightly orders:read --issuer https://id.example.com/ --audience orders --client scheduler
      jwt-lp issue alice --role clerk --settings settings.toml --client support --for 10m
    """  # noqa: D301 - a real backspace is what click looks for
    issuer_options = IssuerOptions(**options)
    with silence_logs():
        issuer, issuer_settings = _issuer(ctx, issuer_options)
        token = issuer.issue(
            subject,
            permissions=permissions,
            roles=roles,
            audience=_audience(audience, issuer_settings),
            client=client,
            lifetime=lifetime,
            claims=dict(claims),
        )
        _report_token(issuer, token, issuer_options.folder)
    click.echo(token)


@click.command(short_help="Make a downscoped token from a valid one.")
@click.argument("permissions", nargs=-1, metavar="[PERMISSION]...")
@token_file_option
@click.option("--audience", metavar="NAME", help="The audience of the new token. Default: that of the original token.")
@click.option("--actor", metavar="CLIENT", help="The client in the policy that acts for the token's subject.")
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
    """Make a downscoped token that holds only the PERMISSIONs and expires no later than the original token.

    The original token is read from standard input, from --token-file or from JWT_LP_TOKEN. Its issuer is this one, or
    another one in the settings. It is verified, but revocations are not checked. Standard output has only the new
    token. The exit code is 1 if the original token is invalid or does not hold a PERMISSION.

    \b
      jwt-lp narrow orders:7:read --settings settings.toml --for 1m < token.txt
    """  # noqa: D301 - a real backspace is what click looks for
    issuer_options = IssuerOptions(**options)
    parent = read_token(file)
    with silence_logs():
        issuer, _ = _issuer(ctx, issuer_options)
        token = issuer.narrow(parent, permissions, audience=audience, lifetime=lifetime, actor=actor)
        say(f"downscoped from the token {jws.fingerprint(parent)}", err=True)
        _report_token(issuer, token, issuer_options.folder)
    click.echo(token)


def load_policy(file: str | None, settings: Settings | None) -> Policy:
    """The policy in the file, otherwise that of the settings, otherwise an empty one."""
    if file is not None:
        return Policy.load(file)
    return EMPTY_POLICY if settings is None else settings.policy


def _issuer(ctx: click.Context, options: IssuerOptions) -> tuple[Issuer, IssuerSettings | None]:
    """The issuer, and its settings if there are any."""
    settings = named_settings(ctx.obj, options.target, options.where)
    own = _own_issuer(settings, options.name)
    name = own.issuer if own is not None else options.name
    if name is None:
        raise click.UsageError("which issuer? pass --issuer URL, or --settings with an issuer that is OWN")
    others = [trusted for trusted in settings.issuers if trusted.issuer != name] if settings is not None else []
    hosts = settings.allow_http_hosts if settings is not None else ()
    issuer = Issuer(
        name,
        KeyRing(options.folder),
        policy=load_policy(options.policy, settings),
        claims=settings.claims if settings is not None else None,
        compact=options.compact,
        trusts=[trusted.to_trusted_issuer(trusted.key_source(hosts)) for trusted in others if not trusted.own],
    )
    return issuer, own


def _own_issuer(settings: Settings | None, name: str | None) -> IssuerSettings | None:
    if settings is None:
        return None
    own = [issuer for issuer in settings.issuers if issuer.own and name in {None, issuer.issuer, issuer.name}]
    if len(own) == 1:
        return own[0]
    if name is not None and not own:
        if any(name in {issuer.issuer, issuer.name} for issuer in settings.issuers):
            raise Failure(
                f"the settings do not mark the issuer {name} as OWN: tokens can only be made for an issuer of your own"
            )
        return None
    raise Failure(f"the settings have {count(len(own), 'issuer')} with OWN = true: pass --issuer URL")


def _audience(name: str | None, own: IssuerSettings | None) -> str:
    if name is not None:
        return name
    if own is not None and len(own.audience) == 1:
        return min(own.audience)
    raise click.UsageError(
        "which audience? pass --audience" + (f", one of {', '.join(sorted(own.audience))}" if own is not None else "")
    )


def _report_token(issuer: Issuer, text: str, folder: str) -> None:
    """Describe the new token on standard error."""
    token = issuer.verify(text)
    acting = token.lineage.actors[:1] if token.lineage is not None else ()
    by = f", {acting[0]} acting" if acting else ""
    say(f"signed with {jws.parse_compact(text).kid} in {folder}/", err=True)
    say(f"for {token.subject}{by}, until {moment(token.expires_at)}; {len(text)} characters", err=True)
    if not [*token.permissions]:
        notices(["the token holds no permission"], err=True)
    longest = read_ring(Path(folder)).lifetime
    if token.expires_at - token.issued_at > longest:
        warning = f"the token lives longer than the key ring expects, {longest:.0f} s, so a rotation may end it early"
        notices([f"{warning}: set the longest lifetime once, with jwt-lp keys rotate --lifetime"], err=True)
