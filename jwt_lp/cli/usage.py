"""The commands `jwt-lp usage`: import, export and display of recorded usage."""

from __future__ import annotations

import json
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, cast

import click

from jwt_lp.cli.output import DIM, OK, WARNING, Failure, brief, count, grid, notices, say, text
from jwt_lp.cli.row_input import (
    RowFile,
    default_issuer,
    file_argument,
    open_file,
    open_input,
    prefix_faults,
    progress_bar,
    split_pairs,
    subject_naming,
)
from jwt_lp.cli.store import StoreOptions, store_options
from jwt_lp.cli.usage_view import export, show
from jwt_lp.usage.log_formats import LOG_FORMATS, SYNONYMS
from jwt_lp.usage.log_reader import choose_log_format, read_log
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
    from collections.abc import Iterator

    from jwt_lp.cli.row_input import InputFile
    from jwt_lp.guard.settings import Settings
    from jwt_lp.stores import Store
    from jwt_lp.usage.log_formats import LogFormat
    from jwt_lp.usage.row_reader import Row, RowFormat

_LOG_FORMATS: Final = (*(each.name for each in LOG_FORMATS), *SYNONYMS)
_MAX_ROUTES_FILE: Final = 64 * 1024 * 1024
_NEEDS_ROUTES: Final = "to read an access log, pass --routes FILE with what jwt-lp routes --json prints"


@dataclass(frozen=True, slots=True, kw_only=True)
class ImportOptions:
    """The options that say how to read a file."""

    form: str | None
    pairs: tuple[str, ...]
    routes: str | None
    issuer: str | None
    service: str | None


@click.group(short_help="Import, export and show recorded usage.")
def usage() -> None:
    """Import, export and show the record of who used which permission."""


@usage.command("import", short_help="Import recorded usage from a file.")
@file_argument
@click.option(
    "--format",
    "form",
    type=click.Choice(["csv", "jsonl", "auto", *_LOG_FORMATS]),
    metavar="NAME",
    help=f"The format of the file: csv, jsonl, or that of an access log: {', '.join(_LOG_FORMATS)}, or auto to detect "
    "it from the first lines. Default: by the ending of its name.",
)
@click.option(
    "--map",
    "pairs",
    multiple=True,
    metavar="FIELD=COLUMN,...",
    help="The column of each field. An access log as CSV or JSON Lines also needs path= and status=.",
)
@click.option("--routes", metavar="FILE", help="The output of jwt-lp routes --json, for reading an access log.")
@click.option("--issuer", metavar="ISS", help="The issuer (iss) of rows without one.")
@click.option("--service", metavar="NAME", help="The service of rows without one.")
@store_options
@click.pass_context
def import_usage(ctx: click.Context, /, file: str, url: str | None, **options: Any) -> None:
    """Import usage from FILE: CSV or JSON Lines with subject, permission and day.

    Optional columns are issuer, service, client, role, endpoint, method, count, outcome and grant. With --routes, the
    requests of an access log are imported as granted or denied uses: --format says which server wrote it, or --map
    names the columns. Rows that cannot be read are left out, counted and shown with a line number. A file counts only
    once, even if it is imported again, and an interrupted import is continued.

    \b
      jwt-lp usage import used.csv --issuer https://login.example.com/ --service orders-api
      jwt-lp routes shop.main:app --json > routes.json
      jwt-lp usage import access.log --format nginx --routes routes.json
      jwt-lp usage import access.jsonl --map subject=user,time=ts,method=verb,path=uri,status=code --routes routes.json

    The exit code is 1 if rows have faults.
    """  # noqa: D301 - a real backspace is what click looks for
    place = StoreOptions(url, options.pop("target"), options.pop("where"))
    how = ImportOptions(**options)
    settings = place.settings(ctx)
    named_log = how.form == "auto" or how.form in _LOG_FORMATS
    if named_log and how.routes is None:
        raise click.UsageError(_NEEDS_ROUTES)
    opening = open_file(file) if named_log else open_input(file, cast("RowFormat | None", how.form))
    with opening as opened, place.open(settings) as store:
        summary = _import(opened, how, settings, store)
    ctx.exit(1 if summary.fault_count else 0)


def _import(opened: InputFile, how: ImportOptions, settings: Settings | None, store: Store) -> ImportSummary:
    columns = parse_mapping(split_pairs(how.pairs), dict.fromkeys((*USAGE_FIELDS, *LOG_FIELDS)))
    if how.routes is None and {"path", "status"} & columns.keys():
        raise click.UsageError(_NEEDS_ROUTES)
    form = _row_or_log_format(opened, how)
    naming, issuer = subject_naming(settings), default_issuer(how.issuer, settings)
    service = how.service if how.service is not None else settings.service if settings is not None else ""
    reader: Any = UsageRowReader(issuer, service, naming, time.time())
    parameters: dict[str, object] = {
        "form": form if isinstance(form, str) else form.name,
        "columns": columns,
        "issuer": issuer,
        "service": service,
        "name": naming("", ""),
    }
    if how.routes is not None:
        routes = _read_routes(how.routes)
        reader = AccessLogReader(RouteMatcher(routes), issuer, service, naming, time.time())
        parameters["routes"] = routes
    digest = import_id(opened.digest, parameters)
    summary = ImportSummary()
    with prefix_faults(opened.name), progress_bar(opened) as advance:
        rows, unread_columns = _read(opened.lines(advance), form, columns, is_access_log=how.routes is not None)
        for batch in build_batches(rows, reader.read, digest, summary):
            summary.batches += 1
            summary.added += store.record(batch)
    _report_import(opened, summary, unread_columns, store)
    return summary


def _row_or_log_format(opened: InputFile, how: ImportOptions) -> RowFormat | LogFormat:
    """The format of the rows, or of the lines of a log; a detected one is told."""
    if isinstance(opened, RowFile):
        return opened.form
    with prefix_faults(opened.name):
        form = choose_log_format(str(how.form), opened.lines())
    if how.form == "auto":
        say(text(f"{opened.name}: the format is {form.name}, as {form.writers} write it", DIM))
    return form


def _read(
    lines: Iterator[str], form: RowFormat | LogFormat, columns: dict[str, str], *, is_access_log: bool
) -> tuple[Iterator[Row], tuple[str, ...]]:
    if not isinstance(form, str):
        return read_log(lines, form, columns), ()
    fields, required = (LOG_FIELDS, REQUIRED_LOG_FIELDS) if is_access_log else (USAGE_FIELDS, REQUIRED_USAGE_FIELDS)
    return read_rows(lines, form, fields, columns, required)


def _read_routes(file: str) -> object:
    try:
        with Path(file).open("rb") as opened:
            data = opened.read(_MAX_ROUTES_FILE + 1)
    except OSError as error:
        raise Failure(f"{brief(file)} cannot be read: {error.strerror}") from None
    if len(data) > _MAX_ROUTES_FILE:
        raise Failure(f"{brief(file)} is longer than {_MAX_ROUTES_FILE} bytes")
    try:
        routes: object = json.loads(data)
    except (ValueError, RecursionError):
        raise Failure(f"{brief(file)} is not JSON: write it with jwt-lp routes --json > {brief(file)}") from None
    with prefix_faults(brief(file)):
        RouteMatcher(routes)
    return routes


def _report_import(opened: InputFile, summary: ImportSummary, unread_columns: tuple[str, ...], store: Store) -> None:
    total = sum(summary.outcomes.values())
    outcomes = ", ".join(f"{number} {name}" for name, number in sorted(summary.outcomes.items())) or "nothing"
    days = f", from {summary.first} to {summary.last}" if total else ""
    say(f"{opened.name}: {summary.rows} rows, {outcomes}{days}")
    if summary.batches and not summary.added:
        say(text(f"the file was imported before: nothing changed in {store.name}", WARNING))
    elif summary.added < summary.batches:
        earlier = summary.batches - summary.added
        say(f"an earlier import had added {earlier} of {summary.batches} parts; the rest was added now")
    elif total:
        say(text(f"added to {store.name}", OK))
    if unread_columns:
        say(text(f"columns that are not read: {', '.join(map(brief, unread_columns[:20]))}", DIM))
    if summary.alternative_count:
        routes = "rows belong to routes that accept any of several permissions"
        notices([f"{summary.alternative_count} {routes}: each of these was counted"])
    if summary.reasons:
        say("left out:")
        grid(
            [
                (
                    text("  !!" if bad else "    ", WARNING),
                    text(number),
                    text(reason),
                    text(f"such as line {line}", DIM),
                )
                for reason, (number, line, bad) in sorted(summary.reasons.items(), key=lambda item: -item[1][0])
            ],
            fixed=2,
        )


@usage.command(short_help="Check the sums that reviews read, or make them anew.")
@click.option("--check", "mode", flag_value="check", help="Compare the sums with the rows. It reads every row.")
@click.option("--rebuild", "mode", flag_value="rebuild", help="Make the sums anew from the rows, while services write.")
@store_options
@click.pass_context
def sums(ctx: click.Context, mode: str | None, url: str | None, target: str | None, where: str | None) -> None:
    """Check the sums over usage that reviews read, or make them anew from the rows.

    The store keeps the sums itself, whoever records, imports or deletes usage. They can only differ from the rows if
    something else changed its tables: a restored backup of some tables, or a service of an earlier release that was
    still running after jwt-lp store migrate.

    \b
      jwt-lp usage sums --check --store postgresql://jwt_lp@db.example.com/jwt_lp
      jwt-lp usage sums --rebuild

    The exit code is 1 if --check finds a difference.
    """  # noqa: D301 - a real backspace is what click looks for
    if mode is None:
        raise click.UsageError("pass --check or --rebuild")
    place = StoreOptions(url, target, where)
    with place.open(place.settings(ctx)) as store:
        if mode == "rebuild":
            store.rebuild_sums()
            say(text(f"{store.name}: the sums were made anew", OK))
            return
        different = store.check_sums()
    if different:
        found = f"{store.name}: {count(different, 'sum')} with other totals than the rows"
        say(text(f"{found}: run jwt-lp usage sums --rebuild", WARNING))
        ctx.exit(1)
    say(text(f"{store.name}: every sum is that of its rows", OK))


usage.add_command(export)
usage.add_command(show)
