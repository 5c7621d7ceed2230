"""Which store is meant, and what is done to it as a whole?"""

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
    "usage": "row of usage", "observed_grants": "observed grant", "enforcement_points": "enforcement point", "revocations": "revocation",
    "recording_periods": "recording period", "heartbeats": "heartbeat", "batches": "batch id",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class StoreOptions:
    """Which store, and which settings, the command line means."""

    url: str | None
    target: str | None
    where: str | None

    def settings(self, ctx: click.Context) -> Settings | None:
        """The settings that were named, or those of the application that a host passed; None for neither."""
        return named_settings(ctx.obj, self.target, self.where)

    @contextmanager
    def open(self, found: Settings | None) -> Generator[Store]:
        """The store: that of `--store`, else of `JWT_LP_STORE`, else the `STORE` of the settings."""
        named = self.url or (found.store if found is not None else "")
        if not named:
            raise click.UsageError(
                f"which store? pass --store URL, such as sqlite:///jwt-lp.db, set {STORE_VARIABLE}, or name --settings that "
                "have STORE"
            )
        store = open_store(named) if isinstance(named, str) else named
        try:
            yield store
        finally:
            store.close()


def store_options(command: _C) -> _C:
    """The options that say which store: `url`, `target` and `where`."""
    for option in (
        settings_option,
        app_option,
        click.option(
            "--store",
            "url",
            metavar="URL",
            envvar=STORE_VARIABLE,
            help=f"sqlite:///file.db or postgresql://user@host/database. Default: {STORE_VARIABLE}, or the settings' STORE.",
        ),
    ):
        command = option(command)
    return command


format_option: Final = click.option(
    "--format", "form", type=click.Choice(["text", "json"]), default="text", show_default=True, help="How to print it."
)


def print_line(line: str) -> None:
    """Print one line that was made safe, of which there may be millions."""
    encoding = sys.stdout.encoding or "utf-8"
    click.echo(line.encode(encoding, "backslashreplace").decode(encoding))


def print_json_list(objects: Iterable[str]) -> None:
    """Print a JSON list of objects that are JSON already, one after the other."""
    before = "["
    for each in objects:
        click.echo(f"{before}\n  {each}", nl=False)
        before = ","
    click.echo("[]" if before == "[" else "\n]")


@click.group(short_help="Prepare the store of usage and revocations, and delete old rows.")
def store() -> None:
    """Commands for the store of usage and revocations."""


@store.command(short_help="Create the store's tables, or migrate them to this release.")
@store_options
@click.pass_context
def migrate(ctx: click.Context, url: str | None, target: str | None, where: str | None) -> None:
    """Create the tables of the store, or migrate them to those of this release.

    Services and other commands never do: run it when jwt-lp is installed and after an upgrade. A file of SQLite is
    made by itself. Running it again changes nothing.

    \b
      jwt-lp store migrate --store postgresql://jwt_lp@db.example.com/jwt_lp
    """  # noqa: D301 - a real backspace is what click looks for
    place = StoreOptions(url, target, where)
    with place.open(place.settings(ctx)) as kept:
        before, after = kept.migrate()
        if before == after:
            say(f"{kept.name}: the tables have version {after} already")
        elif before == 0:
            say(f"{kept.name}: tables of version {after} were made")
        else:
            say(f"{kept.name}: the tables went from version {before} to {after}")


@store.command(short_help="Delete old rows.")
@click.option(
    "--keep-days",
    "days",
    type=click.IntRange(1, 36500),
    default=DEFAULT_KEEP_DAYS,
    show_default=True,
    help="How many days of usage to keep.",
)
@store_options
@click.pass_context
def purge(ctx: click.Context, days: int, url: str | None, target: str | None, where: str | None) -> None:
    """Delete usage, observed grants and recording periods that ended more than --keep-days ago.

    Revocations go once they refuse nothing any more, or were lifted long ago, whatever --keep-days says. Imported
    grants and the ids of imported files stay.

    \b
      jwt-lp store purge --keep-days 200
    """  # noqa: D301 - a real backspace is what click looks for
    place, now = StoreOptions(url, target, where), time.time()
    before = (datetime.fromtimestamp(now, UTC).date() - timedelta(days=days)).isoformat()
    with place.open(place.settings(ctx)) as kept:
        taken = kept.purge(before=before, now=now)
        say(f"{kept.name}: what ended before {before} was deleted")
    counted = [(noun, getattr(taken, name)) for name, noun in _NOUNS.items()]
    said = [_count_text(number, noun) for noun, number in counted if number]
    say(", ".join(said) if said else text("there was nothing to delete", OK))


def _count_text(number: int, noun: str) -> str:
    head, of, rest = noun.partition(" of ")
    return f"{count(number, head)}{of}{rest}"
