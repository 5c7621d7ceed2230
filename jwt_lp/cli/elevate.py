"""The commands `jwt-lp elevate`: asking for a permission for a bounded time, and deciding about requests."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final, TypeVar

import click

from jwt_lp.cli.deliver import deliver
from jwt_lp.cli.elevation_view import print_elevation, print_list, print_one
from jwt_lp.cli.output import CheckFailed, Failure, brief, say, text
from jwt_lp.cli.param_types import DurationParam
from jwt_lp.cli.revoke import current_user
from jwt_lp.cli.store import StoreOptions, format_option, store_options
from jwt_lp.cli.target import silence_logs
from jwt_lp.cli.token_input import read_token, token_file_option
from jwt_lp.elevation.elevations import Elevations
from jwt_lp.elevation.identities import Operator
from jwt_lp.guard.guard import Guard
from jwt_lp.stores.elevations import ElevationFilter

if TYPE_CHECKING:
    from collections.abc import Generator

    from jwt_lp.guard.settings import Settings
    from jwt_lp.stores.elevations import Elevation
    from jwt_lp.tokens.claims import AccessToken

_C = TypeVar("_C", bound=Callable[..., object])

DEFAULT_WAIT: Final = 3600.0
_CHECK_INTERVAL: Final = 1.0

_wait_option: Final = click.option(
    "--wait",
    type=click.FloatRange(0, 86400),
    is_flag=False,
    flag_value=DEFAULT_WAIT,
    metavar="[SECONDS]",
    help=f"Wait until somebody has decided, at most SECONDS ({DEFAULT_WAIT:.0f} if left out).",
)
_by_option: Final = click.option(
    "--by", metavar="NAME", help="Your name, for the record, where no token says it. Default: the current user."
)
_as_option: Final = click.option("--with-token", is_flag=True, help="Act as the bearer of a token, not as an operator.")


_reason_option: Final = click.option("--reason", default="", metavar="TEXT", help="The reason, for the record.")


def _common_options(command: _C) -> _C:
    return format_option(store_options(command))


@click.group(short_help="Ask for a permission for a bounded time, and decide about requests.")
def elevate() -> None:
    """Ask for a permission for a bounded time, and decide about what others ask for.

    \b
      jwt-lp elevate request orders:export --reason "ticket 4711" --wait < token.txt
      jwt-lp elevate list --waiting
      jwt-lp elevate approve 9f2c51d0 < token.txt
      jwt-lp elevate end 9f2c51d0 --reason "done"

    The policy says who may ask and who decides, so request and approve need the token of the person; --settings
    verifies it. Whoever has the store may deny and end without a token, and is recorded by name.
    """  # noqa: D301 - a real backspace is what click looks for


@elevate.command(short_help="Ask for a permission.")
@click.argument("permission")
@click.option("--reason", default="", metavar="TEXT", help="Why it is needed.")
@click.option("--ticket", default="", metavar="TEXT", help="The number of a ticket, if the policy wants one.")
@click.option("--for", "seconds", type=DurationParam(), help="How long: 90s, 30m, 2h. Default: the longest allowed.")
@click.option("--key", default="", metavar="TEXT", help="Asking again with the same key makes no second request.")
@click.option("--break-glass", is_flag=True, help="Take it without an approval, if the policy allows; it is reviewed.")
@_wait_option
@token_file_option
@_common_options
@click.pass_context
def request(ctx: click.Context, /, permission: str, wait: float | None, form: str, **options: Any) -> None:
    """Ask for PERMISSION in the name of the subject of a token.

    With --wait the exit code is 0 if it was approved, and 1 if it was denied, has lapsed or nobody decided in time.
    """
    file = options.pop("file")
    with _opened(ctx, _place(options)) as (elevations, settings):
        made = elevations.request(_bearer(settings, file), permission, **options)
        if wait is not None:
            made = _wait_for(elevations, made, wait)
        print_one(elevations, made, form)
        if wait is not None and made.state(elevations.now()) != "approved":
            ctx.exit(1)


@elevate.command(short_help="Approve a request.")
@click.argument("elevation_id", metavar="ID")
@click.option("--digest", metavar="TEXT", help="The digest that show has printed. Default: what is shown now.")
@_reason_option
@token_file_option
@_common_options
@click.pass_context
def approve(
    ctx: click.Context, /, elevation_id: str, digest: str | None, reason: str, form: str, **options: Any
) -> None:
    """Approve the request ID as the bearer of a token that may decide about it."""
    file = options.pop("file")
    with _opened(ctx, _place(options)) as (elevations, settings):
        token = _bearer(settings, file)
        seen = elevations.show(token, elevation_id)
        approved = elevations.approve(token, elevation_id, digest=digest or seen.digest, reason=reason)
        print_one(elevations, approved, form)


def _decision(name: str, done: str, help_text: str) -> click.Command:
    """The command `name`, which an operator of the store may give without a token."""

    @_as_option
    @_by_option
    @_reason_option
    @token_file_option
    @_common_options
    @click.argument("elevation_id", metavar="ID")
    @click.pass_context
    def command(ctx: click.Context, /, elevation_id: str, reason: str, form: str, **options: Any) -> None:
        by, file, with_token = (options.pop(each) for each in ("by", "file", "with_token"))
        with _opened(ctx, _place(options)) as (elevations, settings):
            who = _bearer(settings, file) if with_token or file is not None else _operator(by)
            changed: Elevation = getattr(elevations, name)(who, elevation_id, reason=reason)
            print_one(elevations, changed, form)
            if form == "text":
                say(text(f"{done} by {brief(who.subject)}"))

    return elevate.command(name, short_help=help_text, help=f"{help_text[:-1]} ID.")(command)


deny: click.Command = _decision("deny", "denied", "Deny a request.")
end: click.Command = _decision("end", "ended", "Withdraw a request, or end an elevation early.")
review: click.Command = _decision(
    "review", "reviewed", "Note that a permission taken without an approval was reviewed."
)


@elevate.command("list", short_help="List elevations.")
@click.option("--waiting", is_flag=True, help="Only requests that nobody has decided about.")
@click.option("--held", is_flag=True, help="Only permissions that are held now.")
@click.option("--unreviewed", is_flag=True, help="Only permissions taken without an approval that nobody has reviewed.")
@click.option("--issuer", metavar="ISS", help="Only of this issuer.")
@click.option("--subject", metavar="NAME", help="Only of this subject.")
@click.option("--permission", metavar="PERMISSION", help="Only of this permission.")
@_common_options
@click.pass_context
def list_elevations(
    ctx: click.Context, /, form: str, *, waiting: bool, held: bool, unreviewed: bool, **options: Any
) -> None:
    """List elevations, the oldest request first."""
    place = _place(options)
    now = time.time()
    which = ElevationFilter(
        open_at=now if waiting else None, held_at=now if held else None, unreviewed=unreviewed, **options
    )
    with place.open(place.settings(ctx)) as store:
        print_list(store.elevations(which), now, form)


@elevate.command(short_help="Show an elevation with its steps.")
@click.argument("elevation_id", metavar="ID")
@_common_options
@click.pass_context
def show(ctx: click.Context, /, elevation_id: str, form: str, **options: Any) -> None:
    """Show the elevation ID: what was asked, by whom, and every step since."""
    place = StoreOptions(**options)
    with place.open(place.settings(ctx)) as store:
        elevation = store.elevation(elevation_id)
        if elevation is None:
            raise CheckFailed(f"there is no elevation {elevation_id}")
        print_elevation(elevation, store.elevation_steps(elevation_id), time.time(), form)


elevate.add_command(deliver)


def _place(options: dict[str, Any]) -> StoreOptions:
    """The store and the settings among the options, which are removed from them."""
    return StoreOptions(*(options.pop(name) for name in ("url", "target", "where")))


@contextmanager
def _opened(ctx: click.Context, place: StoreOptions) -> Generator[tuple[Elevations, Settings]]:
    """The elevations by the policy of the settings; `Failure` without settings, because these verify the token."""
    settings = place.settings(ctx)
    if settings is None:
        raise Failure("which settings? pass --settings or --app: their POLICY says who may ask and who decides")
    with place.open(settings) as store:
        yield Elevations(settings.policy, store, push=settings.push or None), settings


def _bearer(settings: Settings, file: str | None) -> AccessToken:
    """The token, verified and without what was revoked; `CheckFailed` if a service would refuse it."""
    with silence_logs(), Guard(settings) as guard:
        decision = guard.authenticate(f"Bearer {read_token(file)}")
    if decision.token is None:
        code = "no_token" if decision.refusal is None else decision.refusal.code
        raise CheckFailed(f"the token is refused ({code}): jwt-lp explain says why")
    return decision.token


def _operator(by: str | None) -> Operator:
    """Whoever has the store: the command itself, with a name for the record."""
    return Operator("", by if by is not None else current_user())


def _wait_for(elevations: Elevations, elevation: Elevation, limit: float) -> Elevation:
    """The elevation once it does not wait for an answer any more, or after `limit` seconds."""
    end_at = time.monotonic() + limit
    while elevation.state(elevations.now()) == "requested" and (left := end_at - time.monotonic()) > 0:
        time.sleep(min(_CHECK_INTERVAL, left))
        elevation = elevations.store.elevation(elevation.id) or elevation
    return elevation
