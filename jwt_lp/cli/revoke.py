"""How is something revoked, and how is a revocation lifted?"""

from __future__ import annotations

import getpass
import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, TypeVar

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
from jwt_lp.errors import GrammarError
from jwt_lp.permissions.grants import Permissions, check_grant
from jwt_lp.revocation.entries import RevocationEntry

if TYPE_CHECKING:
    from jwt_lp.revocation.entries import TargetKind

_C = TypeVar("_C", bound=Callable[..., object])

_MAX_REASON: Final = 1000


@dataclass(frozen=True, slots=True, kw_only=True)
class RevokeOptions:
    """What the command line says of every entry, whatever it is about."""

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
    """The options that say when others hear of it."""
    return wait_option(push_option(store_options(command)))


def _entry_options(command: _C) -> _C:
    """The options that every entry has: those of `Said`."""
    for option in (
        click.option("--by", metavar="NAME", help="Who revokes it, for the record. Default: the user of this machine."),
        click.option("--until", metavar="DATE|SPAN", help="When the entry ends: 2027-01-31, a time, or 12h, 7d."),
        click.option("--reason", default="", metavar="TEXT", help="The reason, kept with the entry."),
        click.option(
            "--issuer",
            metavar="ISS",
            help="The exact iss of the tokens, or its name in the settings. Default: the only one there is.",
        ),
    ):
        command = option(command)
    return _propagation_options(command)


@click.group(short_help="Revoke a token, a subject, a client, a role or a permission.")
def revoke() -> None:
    """Revoke something while tokens that hold it are alive. Services refuse it within seconds.

    \b
      jwt-lp revoke permission orders:read --subject alice     this, and nothing else
      jwt-lp revoke permission "orders:**" --role clerk --keep orders:list
      jwt-lp revoke token 9f2c51d0                             a token, and what was narrowed from it
      jwt-lp revoke subject alice                              what was issued until now
      jwt-lp revoke client web --block                         everything, until it is lifted
      jwt-lp revoke role clerk                                 all that the role confers

    The entry is kept in the store under its id: jwt-lp unrevoke lifts it.
    """  # noqa: D301 - a real backspace is what click looks for


@revoke.command(short_help="One token, and all that were narrowed from it.")
@click.argument("jti", metavar="JTI|-")
@_entry_options
@click.pass_context
def token(ctx: click.Context, /, jti: str, **options: Any) -> None:
    """Revoke the token with this jti, and all that were narrowed from it.

    With - the token itself is read from a pipe, for its jti and iss. It is not verified, and not printed.
    """
    said = RevokeOptions(**options)
    name, issuer = token_identity(jti)
    if issuer is not None and said.issuer is not None:
        raise click.UsageError("the token that is piped in names its issuer: leave --issuer out")
    _write_entry(ctx, said, "token", name, issuer=issuer)


@revoke.command(short_help="The tokens that a subject was issued until now.")
@click.argument("name", metavar="SUBJECT")
@click.option("--block", is_flag=True, help="Also tokens that are issued later, until this is lifted.")
@_entry_options
@click.pass_context
def subject(ctx: click.Context, /, name: str, *, block: bool, **options: Any) -> None:
    """Revoke every token that SUBJECT was issued until now, or with --block whatever it has and gets."""
    _revoke_all(ctx, RevokeOptions(**options), "subject", name, block=block)


@revoke.command(short_help="The tokens that a client was issued until now.")
@click.argument("name", metavar="CLIENT")
@click.option("--block", is_flag=True, help="Also tokens that are issued later, until this is lifted.")
@_entry_options
@click.pass_context
def client(ctx: click.Context, /, name: str, *, block: bool, **options: Any) -> None:
    """Revoke every token that CLIENT was issued or acts with until now, or with --block also later ones."""
    _revoke_all(ctx, RevokeOptions(**options), "client", name, block=block)


@revoke.command(short_help="All that a role confers.")
@click.argument("name", metavar="ROLE")
@_entry_options
@click.pass_context
def role(ctx: click.Context, /, name: str, **options: Any) -> None:
    """Revoke all that ROLE confers. What a subject holds otherwise stays."""
    _write_entry(ctx, RevokeOptions(**options), "role", name, pattern="**")


@revoke.command(short_help="A permission, or whatever a pattern covers.")
@click.argument("pattern", metavar="PERMISSION")
@click.option("--subject", metavar="NAME", help="Whose permission it is.")
@click.option("--client", metavar="NAME", help="Whose permission it is.")
@click.option("--role", metavar="NAME", help="Which role confers it; what is held otherwise stays.")
@click.option("--keep", multiple=True, metavar="PERMISSION", help="What of it to keep; repeat for more.")
@_entry_options
@click.pass_context
def permission(ctx: click.Context, /, pattern: str, keep: tuple[str, ...], **options: Any) -> None:
    """Revoke PERMISSION, or whatever it covers where it is a pattern, from a subject, a client or a role.

    It is refused whichever grant would serve it: a holder of orders:* loses orders:read alone.
    """
    kinds: tuple[TargetKind, ...] = ("subject", "client", "role")
    whose: list[tuple[TargetKind, str | None]] = [(of, options.pop(of)) for of in kinds]
    named: list[tuple[TargetKind, str]] = [(of, name) for of, name in whose if name is not None]
    if len(named) != 1:
        raise click.UsageError("from whom? pass one of --subject, --client and --role")
    _check_patterns(pattern, keep)
    of, name = named[0]
    _write_entry(ctx, RevokeOptions(**options), of, name, pattern=pattern, keep=tuple(dict.fromkeys(keep)))


def _check_patterns(pattern: str, keep: tuple[str, ...]) -> None:
    """`Failure` for what is none, and for what would stay and was not taken."""
    faults: list[str] = []
    for each in (pattern, *keep):
        try:
            check_grant(each)
        except GrammarError as error:
            faults.append(str(error))
    if not faults:
        taken = Permissions.of([pattern], patterns=True)
        faults += [
            f"--keep {each}: {pattern} does not cover it" for each in keep if taken.find_containing(each) is None
        ]
        faults += [f"--keep {each}: then nothing of {pattern} is revoked" for each in keep if each == pattern]
    if faults:
        raise Failure(*faults)


def _revoke_all(ctx: click.Context, said: RevokeOptions, of: TargetKind, name: str, *, block: bool) -> None:
    if block and said.until is not None:
        raise click.UsageError(
            f'--block stands until it is lifted; for a time: jwt-lp revoke permission "**" --{of} NAME --until ...'
        )
    _write_entry(ctx, said, of, name, before=None if block else time.time())


def _write_entry(
    ctx: click.Context, said: RevokeOptions, of: TargetKind, name: str, *, issuer: str | None = None, **more: Any
) -> None:
    """Write one entry, say what it refuses, and have others hear of it."""
    now = time.time()
    check_name(name, of.upper())
    if len(said.reason) > _MAX_REASON:
        raise click.UsageError(f"--reason has at most {_MAX_REASON} characters")
    until, by = parse_end(said.until, now), said.by if said.by is not None else current_user()
    place = StoreOptions(said.url, said.target, said.where)
    found = place.settings(ctx)
    push = said.push or (found.push if found is not None else None)
    check_push_url(push)
    with place.open(found) as store:
        issuer = issuer if issuer is not None else resolve_issuer(said.issuer, found, store)
        doubtful = issuer_warnings(issuer, store)
        entry = RevocationEntry(
            id=secrets.token_hex(6), of=of, issuer=issuer, name=name, until=until, reason=said.reason, at=now, **more
        )
        sequence = store.revoke([entry], at=now, by=by)
        say(text(entry.id, "bold"), f": {describe_entry(entry)}")
        notices(doubtful, err=True)
        announce(store, sequence, push)
        if said.wait is not None and not wait_until_known(store, sequence, said.wait):
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
    """Lift the entries with these ids, all of them or none; jwt-lp revocations lists them.

    Tokens that are still alive hold again what the entries denied.
    """
    place = StoreOptions(**options)
    found = place.settings(ctx)
    push = push or (found.push if found is not None else None)
    check_push_url(push)
    with place.open(found) as store:
        sequence = store.lift(list(dict.fromkeys(ids)), at=time.time())
        for each in dict.fromkeys(ids):
            say(text(brief(each), "bold"), ": lifted")
        announce(store, sequence, push)
        if wait is not None and not wait_until_known(store, sequence, wait):
            ctx.exit(1)


def current_user() -> str:
    """Who runs this, as the machine knows it; empty where it does not."""
    try:
        return getpass.getuser()
    # From 3.13 on one kind, before that whatever the platform raises.
    except (OSError, KeyError, ImportError):
        return ""
