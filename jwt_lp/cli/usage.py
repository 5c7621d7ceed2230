"""What was used: how is it brought in, taken out and shown?"""

from __future__ import annotations

import json
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from jwt_lp.cli.filed import blamed, file_argument, form_option, given, naming, only_issuer, progress
from jwt_lp.cli.memory import Where, store_options
from jwt_lp.cli.output import FAINT, GOOD, LOUD, Failure, brief, grid, notices, say, text
from jwt_lp.cli.used import export, show
from jwt_lp.importing import Tally, batches, identity, mapping
from jwt_lp.located import Map
from jwt_lp.tabular import rows
from jwt_lp.telling import FIELDS, LOGGED, NEEDED, NEEDED_LOGGED, Logged, Uses

if TYPE_CHECKING:
    from jwt_lp.cli.filed import Given
    from jwt_lp.settings import Settings
    from jwt_lp.stores import Store
    from jwt_lp.tabular import Form

_MOST: Final = 64 * 1024 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """How a file is to be read, as the command line says it."""

    form: Form | None
    pairs: tuple[str, ...]
    routes: str | None
    issuer: str | None
    service: str | None


@click.group(short_help="Bring in, take out and show what was used.")
def usage() -> None:
    """Commands for the record of who used what."""


@usage.command("import", short_help="Bring in what was used, from a file.")
@file_argument
@form_option
@click.option(
    "--map",
    "pairs",
    multiple=True,
    metavar="FIELD=COLUMN,...",
    help="What the file calls a field; with path= and status= it is an access log.",
)
@click.option("--routes", metavar="FILE", help="What jwt-lp routes --json prints, to read an access log with.")
@click.option("--issuer", metavar="ISS", help="The iss of rows that name none.")
@click.option("--service", metavar="NAME", help="The service of rows that name none.")
@store_options
@click.pass_context
def import_usage(ctx: click.Context, /, file: str, url: str | None, **options: Any) -> None:
    """Bring in uses from FILE: CSV or JSON Lines with subject, permission and day.

    Also read are issuer, service, client, role, endpoint, method, count, outcome and grant. With --map and --routes
    an access log becomes uses and denials. A row that cannot be read is left out, counted and shown by its line. A
    file counts once, however often it is imported, and an import that was interrupted goes on.

    \b
      jwt-lp usage import used.csv --issuer https://login.example.com/ --service orders-api
      jwt-lp routes shop.main:app --json > routes.json
      jwt-lp usage import access.jsonl --map subject=user,time=ts,method=verb,path=uri,status=code --routes routes.json

    The exit code is 1 when rows were at fault.
    """  # noqa: D301 - a real backspace is what click looks for
    place = Where(url, options.pop("target"), options.pop("where"))
    how = Reading(**options)
    found = place.settings(ctx)
    with given(file, how.form) as opened, place.opened(found) as store:
        tally = _bring(opened, how, found, store)
    ctx.exit(1 if tally.bad else 0)


def _bring(opened: Given, how: Reading, found: Settings | None, store: Store) -> Tally:
    pairs = [each for pair in how.pairs for each in pair.split(",") if each.strip()]
    logged = how.routes is not None
    fields, needed = (LOGGED, NEEDED_LOGGED) if logged else (FIELDS, NEEDED)
    columns = mapping(pairs, dict.fromkeys((*FIELDS, *LOGGED)))
    if not logged and {"path", "status"} & columns.keys():
        raise click.UsageError("to read an access log, pass --routes FILE with what jwt-lp routes --json prints")
    name, issuer = naming(found), only_issuer(how.issuer, found)
    service = how.service if how.service is not None else found.service if found is not None else ""
    read: Any = Uses(issuer, service, name, time.time())
    depends: dict[str, object] = {
        "form": opened.form,
        "columns": columns,
        "issuer": issuer,
        "service": service,
        "name": name("", ""),
    }
    if how.routes is not None:
        routes = _routes(how.routes)
        read = Logged(Map(routes), issuer, service, name, time.time())
        depends["routes"] = routes
    digest = identity(opened.digest, depends)
    tally = Tally()
    with blamed(opened.name), progress(opened) as seen:
        found_rows, unread = rows(opened.lines(seen), opened.form, fields, columns, needed)
        for batch in batches(found_rows, read.read, digest, tally):
            tally.batches += 1
            tally.added += store.record(batch)
    _tell(opened, tally, unread, store)
    return tally


def _routes(file: str) -> object:
    try:
        with Path(file).open("rb") as opened:
            data = opened.read(_MOST + 1)
    except OSError as error:
        raise Failure(f"{brief(file)} cannot be read: {error.strerror}") from None
    if len(data) > _MOST:
        raise Failure(f"{brief(file)} is longer than {_MOST} bytes")
    try:
        found: object = json.loads(data)
    except (ValueError, RecursionError):
        raise Failure(f"{brief(file)} is no JSON: write it with jwt-lp routes --json > {brief(file)}") from None
    with blamed(brief(file)):
        Map(found)
    return found


def _tell(opened: Given, tally: Tally, unread: tuple[str, ...], store: Store) -> None:
    counted = sum(tally.outcomes.values())
    outcomes = ", ".join(f"{number} {name}" for name, number in sorted(tally.outcomes.items())) or "nothing"
    days = f", from {tally.first} to {tally.last}" if counted else ""
    say(f"{opened.name}: {tally.rows} rows, {outcomes}{days}")
    if tally.batches and not tally.added:
        say(text(f"it was imported before: nothing changed in {store.name}", LOUD))
    elif tally.added < tally.batches:
        say(f"an earlier import had {tally.batches - tally.added} of {tally.batches} parts already; the rest was added")
    elif counted:
        say(text(f"added to {store.name}", GOOD))
    if unread:
        say(text(f"columns that nobody reads: {', '.join(map(brief, unread[:20]))}", FAINT))
    if tally.several:
        notices([f"{tally.several} rows are of routes that ask for any of several: each of these was counted"])
    if tally.reasons:
        say("left out:")
        grid(
            [
                (text("  !!" if bad else "    ", LOUD), text(number), text(reason), text(f"such as line {line}", FAINT))
                for reason, (number, line, bad) in sorted(tally.reasons.items(), key=lambda each: -each[1][0])
            ],
            fixed=2,
        )


usage.add_command(export)
usage.add_command(show)
