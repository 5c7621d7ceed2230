"""What was used: how is it brought in, taken out and shown?"""

from __future__ import annotations

import json
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from jwt_lp.cli.output import DIM, OK, WARNING, Failure, brief, grid, notices, say, text
from jwt_lp.cli.row_input import (
    default_issuer,
    file_argument,
    form_option,
    open_input,
    prefix_faults,
    progress_bar,
    subject_naming,
)
from jwt_lp.cli.store import StoreOptions, store_options
from jwt_lp.cli.usage_view import export, show
from jwt_lp.usage.route_matcher import RouteMatcher
from jwt_lp.usage.row_reader import read_rows
from jwt_lp.usage.usage_import import ImportSummary, build_batches, import_id, parse_mapping
from jwt_lp.usage.usage_records import (
    LOG_FIELDS,
    REQUIRED_LOG_FIELDS,
    REQUIRED_USAGE_FIELDS,
    USAGE_FIELDS,
    AccessLogReader,
    UsageRowReader,
)

if TYPE_CHECKING:
    from jwt_lp.cli.row_input import InputFile
    from jwt_lp.guard.settings import Settings
    from jwt_lp.stores import Store
    from jwt_lp.usage.row_reader import RowFormat

_MAX_ROUTES_FILE: Final = 64 * 1024 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class ImportOptions:
    """How a file is to be read, as the command line says it."""

    form: RowFormat | None
    pairs: tuple[str, ...]
    routes: str | None
    issuer: str | None
    service: str | None


@click.group(short_help="Import, export and show recorded usage.")
def usage() -> None:
    """Commands for the record of who used what."""


@usage.command("import", short_help="Import recorded usage from a file.")
@file_argument
@form_option
@click.option(
    "--map",
    "pairs",
    multiple=True,
    metavar="FIELD=COLUMN,...",
    help="The column that holds a field; with path= and status= the file is an access log.",
)
@click.option("--routes", metavar="FILE", help="What jwt-lp routes --json prints, to read an access log with.")
@click.option("--issuer", metavar="ISS", help="The iss of rows that name none.")
@click.option("--service", metavar="NAME", help="The service of rows that name none.")
@store_options
@click.pass_context
def import_usage(ctx: click.Context, /, file: str, url: str | None, **options: Any) -> None:
    """Import uses from FILE: CSV or JSON Lines with subject, permission and day.

    Also read are issuer, service, client, role, endpoint, method, count, outcome and grant. With --map and --routes
    an access log becomes uses and denials. A row that cannot be read is left out, counted and shown by its line. A
    file counts once, however often it is imported, and an interrupted import continues.

    \b
      jwt-lp usage import used.csv --issuer https://login.example.com/ --service orders-api
      jwt-lp routes shop.main:app --json > routes.json
      jwt-lp usage import access.jsonl --map subject=user,time=ts,method=verb,path=uri,status=code --routes routes.json

    The exit code is 1 when rows were at fault.
    """  # noqa: D301 - a real backspace is what click looks for
    place = StoreOptions(url, options.pop("target"), options.pop("where"))
    how = ImportOptions(**options)
    found = place.settings(ctx)
    with open_input(file, how.form) as opened, place.open(found) as store:
        tally = _import(opened, how, found, store)
    ctx.exit(1 if tally.fault_count else 0)


def _import(opened: InputFile, how: ImportOptions, found: Settings | None, store: Store) -> ImportSummary:
    pairs = [each for pair in how.pairs for each in pair.split(",") if each.strip()]
    logged = how.routes is not None
    fields, needed = (LOG_FIELDS, REQUIRED_LOG_FIELDS) if logged else (USAGE_FIELDS, REQUIRED_USAGE_FIELDS)
    columns = parse_mapping(pairs, dict.fromkeys((*USAGE_FIELDS, *LOG_FIELDS)))
    if not logged and {"path", "status"} & columns.keys():
        raise click.UsageError("to read an access log, pass --routes FILE with what jwt-lp routes --json prints")
    name, issuer = subject_naming(found), default_issuer(how.issuer, found)
    service = how.service if how.service is not None else found.service if found is not None else ""
    read: Any = UsageRowReader(issuer, service, name, time.time())
    depends: dict[str, object] = {
        "form": opened.form,
        "columns": columns,
        "issuer": issuer,
        "service": service,
        "name": name("", ""),
    }
    if how.routes is not None:
        routes = _read_routes(how.routes)
        read = AccessLogReader(RouteMatcher(routes), issuer, service, name, time.time())
        depends["routes"] = routes
    digest = import_id(opened.digest, depends)
    tally = ImportSummary()
    with prefix_faults(opened.name), progress_bar(opened) as seen:
        found_rows, unread = read_rows(opened.lines(seen), opened.form, fields, columns, needed)
        for batch in build_batches(found_rows, read.read, digest, tally):
            tally.batches += 1
            tally.added += store.record(batch)
    _report_import(opened, tally, unread, store)
    return tally


def _read_routes(file: str) -> object:
    try:
        with Path(file).open("rb") as opened:
            data = opened.read(_MAX_ROUTES_FILE + 1)
    except OSError as error:
        raise Failure(f"{brief(file)} cannot be read: {error.strerror}") from None
    if len(data) > _MAX_ROUTES_FILE:
        raise Failure(f"{brief(file)} is longer than {_MAX_ROUTES_FILE} bytes")
    try:
        found: object = json.loads(data)
    except (ValueError, RecursionError):
        raise Failure(f"{brief(file)} is not JSON: write it with jwt-lp routes --json > {brief(file)}") from None
    with prefix_faults(brief(file)):
        RouteMatcher(found)
    return found


def _report_import(opened: InputFile, tally: ImportSummary, unread: tuple[str, ...], store: Store) -> None:
    counted = sum(tally.outcomes.values())
    outcomes = ", ".join(f"{number} {name}" for name, number in sorted(tally.outcomes.items())) or "nothing"
    days = f", from {tally.first} to {tally.last}" if counted else ""
    say(f"{opened.name}: {tally.rows} rows, {outcomes}{days}")
    if tally.batches and not tally.added:
        say(text(f"it was imported before: nothing changed in {store.name}", WARNING))
    elif tally.added < tally.batches:
        say(f"an earlier import had {tally.batches - tally.added} of {tally.batches} parts already; the rest was added")
    elif counted:
        say(text(f"added to {store.name}", OK))
    if unread:
        say(text(f"columns that are not read: {', '.join(map(brief, unread[:20]))}", DIM))
    if tally.alternative_count:
        notices(
            [
                f"{tally.alternative_count} rows belong to routes that accept any of several permissions: each of these was counted"
            ]
        )
    if tally.reasons:
        say("left out:")
        grid(
            [
                (
                    text("  !!" if bad else "    ", WARNING),
                    text(number),
                    text(reason),
                    text(f"such as line {line}", DIM),
                )
                for reason, (number, line, bad) in sorted(tally.reasons.items(), key=lambda each: -each[1][0])
            ],
            fixed=2,
        )


usage.add_command(export)
usage.add_command(show)
