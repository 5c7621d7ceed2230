"""The commands `jwt-lp revoke` and `jwt-lp unrevoke`: writing and lifting revocations."""

from __future__ import annotations

import getpass
import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

import click

from jwt_lp.cli.holder_options import (
    check_name,
    describe_entry,
    issuer_warnings,
    parse_end,
    resolve_issuer,
    token_identity,
)
from jwt_lp.cli.output import Failure, brief, notices, say, text
from jwt_lp.cli.propagation import announce, check_push_url, push_option, wait_option, wait_until_known
from jwt_lp.cli.store import StoreOptions, store_options
from jwt_lp.revocation.entries import RevocationEntry
from jwt_lp.revocation.wanted import MAX_REASON, pattern_faults

if TYPE_CHECKING:
    from jwt_lp.revocation.entries import TargetKind

_C = TypeVar("_C", bound=Callable[..., object])


@dataclass(frozen=True, slots=True, kw_only=True)
class RevokeOptions:
    """The options that all `revoke` commands have."""

    issuer: str | None
    reason: str
    until: str | None
    by: str | None
    push: str | None
    wait: float | None
    url: str | None
    target: str | None
    where: str | None


def _propagation_options(command: _C) -> _C:
    """Add the options of the store, of pushing and of waiting."""
    return wait_option(push_option(store_options(command)))


def _entry_options(command: _C) -> _C:
    """Add the options of `RevokeOptions`."""
    for option in (
        click.option("--by", metavar="NAME", help="Your name, for the record. Default: the current user."),
        click.option("--until", metavar="DATE|SPAN", help="When the revocation ends: 2027-01-31, a time, or 12h, 7d."),
        click.option("--reason", default="", metavar="TEXT", help="The reason, stored with the revocation."),
        click.option(
            "--issuer",
            metavar="ISS",
            help="The exact iss of the tokens, or its name in the settings. Default: the only known issuer.",
        ),
    ):
        command = option(command)
    return _propagation_options(command)


@click.group(short_help="Revoke a token, a subject, a client, a role or a permission.")
def revoke() -> None:
    """Revoke a permission or a token before the token expires. Services refuse it within seconds.

    \b
      jwt-lp revoke permission orders:read --subject alice     only this permission
      jwt-lp revoke permission "orders:**" --role clerk --keep orders:list
      jwt-lp revoke token 9f2c51d0                             a token, and all downscoped from it
      jwt-lp revoke subject alice                              all tokens issued to alice until now
      jwt-lp revoke client web --block                         all tokens of web, until it is lifted
      jwt-lp revoke role clerk                                 every permission that the role confers

    The store keeps the revocation under its id: jwt-lp unrevoke ID lifts it.
    """  # noqa: D301 - a real backspace is what click looks for


@revoke.command(short_help="Revoke one token, and every token downscoped from it.")
@click.argument("jti", metavar="JTI|-")
@_entry_options
@click.pass_context
def token(ctx: click.Context, /, jti: str, **options: Any) -> None:
    """Revoke the token with this jti, and every token that was downscoped from it.

    With - the token is read from standard input, and its jti and iss are used. It is not verified and not printed.
    """
    common = RevokeOptions(**options)
    name, issuer = token_identity(jti)
    if issuer is not None and common.issuer is not None:
        raise click.UsageError("the token on standard input names its issuer: leave --issuer out")
    _write_entry(ctx, common, "token", name, issuer=issuer)


@revoke.command(short_help="Revoke all tokens that a subject was issued until now.")
@click.argument("name", metavar="SUBJECT")
@click.option("--block", is_flag=True, help="Also refuse tokens that are issued later, until the revocation is lifted.")
@_entry_options
@click.pass_context
def subject(ctx: click.Context, /, name: str, *, block: bool, **options: Any) -> None:
    """Revoke every token that SUBJECT was issued until now; with --block also every later token."""
    _revoke_all(ctx, RevokeOptions(**options), "subject", name, block=block)


@revoke.command(short_help="Revoke all tokens that a client was issued until now.")
@click.argument("name", metavar="CLIENT")
@click.option("--block", is_flag=True, help="Also refuse tokens that are issued later, until the revocation is lifted.")
@_entry_options
@click.pass_context
def client(ctx: click.Context, /, name: str, *, block: bool, **options: Any) -> None:
    """Revoke every token that CLIENT was issued or acts with until now; with --block also every later token."""
    _revoke_all(ctx, RevokeOptions(**options), "client", name, block=block)


@revoke.command(short_help="Revoke every permission that a role confers.")
@click.argument("name", metavar="ROLE")
@_entry_options
@click.pass_context
def role(ctx: click.Context, /, name: str, **options: Any) -> None:
    """Revoke every permission that ROLE confers. Permissions that a subject holds otherwise stay."""
    _write_entry(ctx, RevokeOptions(**options), "role", name, pattern="**")


@revoke.command(short_help="Revoke a permission, or everything that a pattern covers.")
@click.argument("pattern", metavar="PERMISSION")
@click.option("--subject", metavar="NAME", help="Revoke it from this subject.")
@click.option("--client", metavar="NAME", help="Revoke it from this client.")
@click.option("--role", metavar="NAME", help="Revoke it from this role; holders keep it if they hold it otherwise.")
@click.option("--keep", multiple=True, metavar="PERMISSION", help="An exception that stays granted. Repeatable.")
@_entry_options
@click.pass_context
def permission(ctx: click.Context, /, pattern: str, keep: tuple[str, ...], **options: Any) -> None:
    """Revoke PERMISSION, or everything that it covers if it is a pattern, from a subject, a client or a role.

    It is refused even if another grant covers it; holders of orders:* lose only orders:read.
    """
    kinds: tuple[TargetKind, ...] = ("subject", "client", "role")
    holders: list[tuple[TargetKind, str | None]] = [(of, options.pop(of)) for of in kinds]
    named: list[tuple[TargetKind, str]] = [(of, name) for of, name in holders if name is not None]
    if len(named) != 1:
        raise click.UsageError("pass one of --subject, --client and --role")
    _check_patterns(pattern, keep)
    of, name = named[0]
    _write_entry(ctx, RevokeOptions(**options), of, name, pattern=pattern, keep=tuple(dict.fromkeys(keep)))


def _check_patterns(pattern: str, keep: tuple[str, ...]) -> None:
    """`Failure` for an invalid pattern, and for an exception that the pattern does not cover."""
    if faults := [*pattern_faults(pattern, keep, "--keep")]:
        raise Failure(*faults)


def _revoke_all(ctx: click.Context, common: RevokeOptions, of: TargetKind, name: str, *, block: bool) -> None:
    if block and common.until is not None:
        raise click.UsageError(
            f'--block has no end; for a limited time: jwt-lp revoke permission "**" --{of} NAME --until ...'
        )
    _write_entry(ctx, common, of, name, before=None if block else time.time())


def _write_entry(
    ctx: click.Context, common: RevokeOptions, of: TargetKind, name: str, *, issuer: str | None = None, **more: Any
) -> None:
    """Write one entry, print what it refuses, and announce it to services."""
    now = time.time()
    check_name(name, of.upper())
    if len(common.reason) > MAX_REASON:
        raise click.UsageError(f"--reason has at most {MAX_REASON} characters")
    until, by = parse_end(common.until, now), common.by if common.by is not None else current_user()
    place = StoreOptions(common.url, common.target, common.where)
    settings = place.settings(ctx)
    push = common.push or (settings.push if settings is not None else None)
    check_push_url(push)
    with place.open(settings) as store:
        issuer = issuer if issuer is not None else resolve_issuer(common.issuer, settings, store)
        warnings = issuer_warnings(issuer, store)
        entry = RevocationEntry(
            id=secrets.token_hex(6), of=of, issuer=issuer, name=name, until=until, reason=common.reason, at=now, **more
        )
        sequence = store.revoke([entry], at=now, by=by)
        say(text(entry.id, "bold"), f": {describe_entry(entry)}")
        notices(warnings, err=True)
        announce(store, sequence, push)
        if common.wait is not None and not wait_until_known(store, sequence, common.wait):
            ctx.exit(1)


@click.command(short_help="Lift revocations.")
@click.argument("ids", metavar="ID...", nargs=-1, required=True)
@_propagation_options
@click.pass_context
def unrevoke(
    ctx: click.Context,
    /,
    ids: tuple[str, ...],
    push: str | None,
    wait: float | None,
    **options: Any,
) -> None:
    """Lift the revocations with these ids, all of them or none; jwt-lp revocations lists them.

    Tokens that have not expired hold again what was revoked.
    """
    place = StoreOptions(**options)
    settings = place.settings(ctx)
    push = push or (settings.push if settings is not None else None)
    check_push_url(push)
    with place.open(settings) as store:
        sequence = store.lift(list(dict.fromkeys(ids)), at=time.time())
        for revocation_id in dict.fromkeys(ids):
            say(text(brief(revocation_id), "bold"), ": lifted")
        announce(store, sequence, push)
        if wait is not None and not wait_until_known(store, sequence, wait):
            ctx.exit(1)


def current_user() -> str:
    """The name of the current user; "" if it is not known."""
    try:
        return getpass.getuser()
    # Python 3.13 raises OSError only; earlier releases raise whatever the platform raises.
    except (OSError, KeyError, ImportError):
        return ""
