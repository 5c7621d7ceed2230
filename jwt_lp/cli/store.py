"""The options that name the store, and the commands `jwt-lp store`."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Generator, Iterable
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Final, TypeVar

import click

from jwt_lp.cli.output import OK, count, say, text
from jwt_lp.cli.target import app_option, named_settings, settings_option
from jwt_lp.stores import open_store

if TYPE_CHECKING:
    from jwt_lp.guard.settings import Settings
    from jwt_lp.stores import Store

_C = TypeVar("_C", bound=Callable[..., object])

STORE_VARIABLE: Final = "JWT_LP_STORE"
DEFAULT_KEEP_DAYS: Final = 400
_NOUNS: Final = {
    "usage": "row of usage", "observed_grants": "observed grant", "enforcement_points": "enforcement point",
    "revocations": "revocation",
    "recording_periods": "recording period", "heartbeats": "heartbeat", "batches": "batch id",
    "families": "family of refresh tokens",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class StoreOptions:
    """The options that name the store and the settings."""

    url: str | None
    target: str | None
    where: str | None

    def settings(self, ctx: click.Context) -> Settings | None:
        """The settings that were named, or those of the application that the host passed, or None."""
        return named_settings(ctx.obj, self.target, self.where)

    @contextmanager
    def open(self, settings: Settings | None) -> Generator[Store]:
        """Open the store of `--store`, of `JWT_LP_STORE`, or of `STORE` in the settings; close it afterwards."""
        named = self.url or (settings.store if settings is not None else "")
        if not named:
            raise click.UsageError(
                f"which store? pass --store URL, such as sqlite:///jwt-lp.db, set {STORE_VARIABLE}, or pass --settings "
                "that have STORE"
            )
        store = open_store(named) if isinstance(named, str) else named
        try:
            yield store
        finally:
            store.close()


def store_options(command: _C) -> _C:
    """Add the options of `StoreOptions`: `url`, `target` and `where`."""
    for option in (
        settings_option,
        app_option,
        click.option(
            "--store",
            "url",
            metavar="URL",
            envvar=STORE_VARIABLE,
            help="The store: sqlite:///file.db or postgresql://user@host/database. "
            f"Default: {STORE_VARIABLE}, or STORE in the settings.",
        ),
    ):
        command = option(command)
    return command


format_option: Final = click.option(
    "--format",
    "form",
    type=click.Choice(["text", "json"]),
    default="text",
    show_default=True,
    help="The output format.",
)


def print_line(line: str) -> None:
    """Print one line that is already escaped. Fast, because there may be millions."""
    encoding = sys.stdout.encoding or "utf-8"
    click.echo(line.encode(encoding, "backslashreplace").decode(encoding))


def print_json_list(objects: Iterable[str]) -> None:
    """Print a JSON list of objects that are already encoded, without keeping them in memory."""
    separator = "["
    for item in objects:
        click.echo(f"{separator}\n  {item}", nl=False)
        separator = ","
    click.echo("[]" if separator == "[" else "\n]")


@click.group(short_help="Create or migrate the tables of the store, and delete old rows.")
def store() -> None:
    """Create or migrate the tables of the store of usage and revocations, and delete old rows."""


@store.command(short_help="Create the tables of the store, or migrate them to this release.")
@store_options
@click.pass_context
def migrate(ctx: click.Context, url: str | None, target: str | None, where: str | None) -> None:
    """Create the tables of the store, or migrate them to this release.

    Services and other commands never do this: run it after you install or upgrade jwt-lp. An SQLite file is created if
    it does not exist. Running the command again changes nothing.

    \b
      jwt-lp store migrate --store postgresql://jwt_lp@db.example.com/jwt_lp
    """  # noqa: D301 - a real backspace is what click looks for
    place = StoreOptions(url, target, where)
    with place.open(place.settings(ctx)) as opened:
        before, after = opened.migrate()
        if before == after:
            say(f"{opened.name}: the tables already have version {after}")
        elif before == 0:
            say(f"{opened.name}: tables of version {after} were created")
        else:
            say(f"{opened.name}: the tables were migrated from version {before} to {after}")


@store.command(short_help="Delete old rows.")
@click.option(
    "--keep-days",
    "days",
    type=click.IntRange(1, 36500),
    default=DEFAULT_KEEP_DAYS,
    show_default=True,
    help="Keep usage of this many days.",
)
@store_options
@click.pass_context
def purge(ctx: click.Context, days: int, url: str | None, target: str | None, where: str | None) -> None:
    """Delete usage, observed grants and recording periods that ended more than --keep-days ago.

    Revocations are deleted once they refuse nothing any more or were lifted long ago, independent of --keep-days.
    Imported grants and the ids of imported files stay.

    \b
      jwt-lp store purge --keep-days 200
    """  # noqa: D301 - a real backspace is what click looks for
    place, now = StoreOptions(url, target, where), time.time()
    before = (datetime.fromtimestamp(now, UTC).date() - timedelta(days=days)).isoformat()
    with place.open(place.settings(ctx)) as opened:
        deleted = opened.purge(before=before, now=now)
        say(f"{opened.name}: rows that ended before {before} were deleted")
    counts = [(noun, getattr(deleted, name)) for name, noun in _NOUNS.items()]
    parts = [_count_text(number, noun) for noun, number in counts if number]
    say(", ".join(parts) if parts else text("there was nothing to delete", OK))


def _count_text(number: int, noun: str) -> str:
    head, of, rest = noun.partition(" of ")
    return f"{count(number, head)}{of}{rest}"
