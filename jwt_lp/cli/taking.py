"""What is taken back, and what of that is lifted again?"""

from __future__ import annotations

import getpass
import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, TypeVar

import click

from jwt_lp.cli.memory import Where, store_options
from jwt_lp.cli.naming import doubts, end_of, issuer_named, name_of, sentence, token_named
from jwt_lp.cli.output import Failure, brief, notices, say, text
from jwt_lp.cli.spreading import push_option, reached, spread, usable_push, wait_option
from jwt_lp.errors import GrammarError
from jwt_lp.permissions import Permissions, check_grant
from jwt_lp.revocation import Entry

if TYPE_CHECKING:
    from jwt_lp.revocation import Of

_C = TypeVar("_C", bound=Callable[..., object])

_LONGEST: Final = 1000


@dataclass(frozen=True, slots=True, kw_only=True)
class Said:
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


def _telling(command: _C) -> _C:
    """The options that say when others hear of it."""
    return wait_option(push_option(store_options(command)))


def _saying(command: _C) -> _C:
    """The options that every entry has: those of `Said`."""
    for option in (
        click.option("--by", metavar="NAME", help="Who takes it back. Default: the user of this machine."),
        click.option("--until", metavar="DATE|SPAN", help="When it ends: 2027-01-31, a time, or 12h, 7d."),
        click.option("--reason", default="", metavar="TEXT", help="Why; kept with the entry."),
        click.option(
            "--issuer",
            metavar="ISS",
            help="The exact iss of the tokens, or its name in the settings. Default: the only one there is.",
        ),
    ):
        command = option(command)
    return _telling(command)


@click.group(short_help="Take back a token, a subject, a client, a role or a permission.")
def revoke() -> None:
    """Take something back while tokens that hold it are alive. Services refuse it within seconds.

    \b
      jwt-lp revoke permission orders:read --subject alice     this, and nothing else
      jwt-lp revoke permission "orders:**" --role clerk --keep orders:list
      jwt-lp revoke token 9f2c51d0                             a token, and what was narrowed from it
      jwt-lp revoke subject alice                              what was issued until now
      jwt-lp revoke client web --block                         everything, until it is lifted
      jwt-lp revoke role clerk                                 all that the role confers

    What it says is kept in the store, with its id: jwt-lp unrevoke lifts it.
    """  # noqa: D301 - a real backspace is what click looks for


@revoke.command(short_help="One token, and all that were narrowed from it.")
@click.argument("jti", metavar="JTI|-")
@_saying
@click.pass_context
def token(ctx: click.Context, /, jti: str, **options: Any) -> None:
    """Take back the token with this jti, and all that were narrowed from it.

    With - the token itself is read from a pipe, for its jti and iss. It is not verified, and not printed.
    """
    said = Said(**options)
    name, issuer = token_named(jti)
    if issuer is not None and said.issuer is not None:
        raise click.UsageError("the token that is piped in names its issuer: leave --issuer out")
    _take(ctx, said, "token", name, issuer=issuer)


@revoke.command(short_help="What a subject was issued until now.")
@click.argument("name", metavar="SUBJECT")
@click.option("--block", is_flag=True, help="What it is issued later too, until this is lifted.")
@_saying
@click.pass_context
def subject(ctx: click.Context, /, name: str, *, block: bool, **options: Any) -> None:
    """Take back every token that SUBJECT was issued until now, or with --block whatever it has and gets."""
    _take_all(ctx, Said(**options), "subject", name, block=block)


@revoke.command(short_help="What a client was issued until now.")
@click.argument("name", metavar="CLIENT")
@click.option("--block", is_flag=True, help="What it is issued later too, until this is lifted.")
@_saying
@click.pass_context
def client(ctx: click.Context, /, name: str, *, block: bool, **options: Any) -> None:
    """Take back every token that CLIENT was issued or acts with until now, or with --block also later ones."""
    _take_all(ctx, Said(**options), "client", name, block=block)


@revoke.command(short_help="All that a role confers.")
@click.argument("name", metavar="ROLE")
@_saying
@click.pass_context
def role(ctx: click.Context, /, name: str, **options: Any) -> None:
    """Take back all that ROLE confers. What a subject holds otherwise stays."""
    _take(ctx, Said(**options), "role", name, pattern="**")


@revoke.command(short_help="A permission, or whatever a pattern covers.")
@click.argument("pattern", metavar="PERMISSION")
@click.option("--subject", metavar="NAME", help="Whose it is.")
@click.option("--client", metavar="NAME", help="Whose it is.")
@click.option("--role", metavar="NAME", help="Which role confers it; what is held otherwise stays.")
@click.option("--keep", multiple=True, metavar="PERMISSION", help="What of it stays; repeat for more.")
@_saying
@click.pass_context
def permission(ctx: click.Context, /, pattern: str, keep: tuple[str, ...], **options: Any) -> None:
    """Take back PERMISSION, or whatever it covers where it is a pattern, from a subject, a client or a role.

    It is refused whichever grant would serve it: of who holds orders:* it takes orders:read alone.
    """
    kinds: tuple[Of, ...] = ("subject", "client", "role")
    whose: list[tuple[Of, str | None]] = [(of, options.pop(of)) for of in kinds]
    named: list[tuple[Of, str]] = [(of, name) for of, name in whose if name is not None]
    if len(named) != 1:
        raise click.UsageError("from whom? pass one of --subject, --client and --role")
    _check(pattern, keep)
    of, name = named[0]
    _take(ctx, Said(**options), of, name, pattern=pattern, keep=tuple(dict.fromkeys(keep)))


def _check(pattern: str, keep: tuple[str, ...]) -> None:
    """`Failure` for what is none, and for what would stay and was not taken."""
    faults: list[str] = []
    for each in (pattern, *keep):
        try:
            check_grant(each)
        except GrammarError as error:
            faults.append(str(error))
    if not faults:
        taken = Permissions.of([pattern], patterns=True)
        faults += [f"--keep {each}: {pattern} does not cover it" for each in keep if taken.containing(each) is None]
        faults += [f"--keep {each}: then nothing of {pattern} is taken back" for each in keep if each == pattern]
    if faults:
        raise Failure(*faults)


def _take_all(ctx: click.Context, said: Said, of: Of, name: str, *, block: bool) -> None:
    if block and said.until is not None:
        raise click.UsageError(
            f'--block stands until it is lifted; for a time: jwt-lp revoke permission "**" --{of} NAME --until ...'
        )
    _take(ctx, said, of, name, before=None if block else time.time())


def _take(ctx: click.Context, said: Said, of: Of, name: str, *, issuer: str | None = None, **more: Any) -> None:
    """Write one entry, say what it refuses, and have others hear of it."""
    now = time.time()
    name_of(name, of.upper())
    if len(said.reason) > _LONGEST:
        raise click.UsageError(f"--reason has at most {_LONGEST} characters")
    until, by = end_of(said.until, now), said.by if said.by is not None else user()
    place = Where(said.url, said.target, said.where)
    found = place.settings(ctx)
    push = said.push or (found.push if found is not None else None)
    usable_push(push)
    with place.opened(found) as store:
        issuer = issuer if issuer is not None else issuer_named(said.issuer, found, store)
        doubtful = doubts(issuer, store)
        entry = Entry(
            id=secrets.token_hex(6), of=of, issuer=issuer, name=name, until=until, reason=said.reason, at=now, **more
        )
        sequence = store.revoke([entry], at=now, by=by)
        say(text(entry.id, "bold"), f": {sentence(entry)}")
        notices(doubtful, err=True)
        spread(store, sequence, push)
        if said.wait is not None and not reached(store, sequence, said.wait):
            ctx.exit(1)


@click.command(short_help="Lift what was taken back.")
@click.argument("ids", metavar="ID...", nargs=-1, required=True)
@_telling
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

    Tokens that are still alive hold again what the entries took.
    """
    place = Where(**options)
    found = place.settings(ctx)
    push = push or (found.push if found is not None else None)
    usable_push(push)
    with place.opened(found) as store:
        sequence = store.lift(list(dict.fromkeys(ids)), at=time.time())
        for each in dict.fromkeys(ids):
            say(text(brief(each), "bold"), ": lifted")
        spread(store, sequence, push)
        if wait is not None and not reached(store, sequence, wait):
            ctx.exit(1)


def user() -> str:
    """Who runs this, as the machine knows it; empty where it does not."""
    try:
        return getpass.getuser()
    # From 3.13 on one kind, before that whatever the platform raises.
    except (OSError, KeyError, ImportError):
        return ""
