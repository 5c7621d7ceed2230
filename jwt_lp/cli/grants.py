"""The commands `jwt-lp grants`: who is known to hold what."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final

import click

from jwt_lp.cli.output import DIM, Failure, brief, count, say, text
from jwt_lp.cli.param_types import DayParam
from jwt_lp.cli.row_input import (
    default_issuer,
    file_argument,
    form_option,
    map_option,
    open_input,
    prefix_faults,
    progress_bar,
    split_pairs,
    subject_naming,
)
from jwt_lp.cli.store import StoreOptions, format_option, print_json_list, print_line, store_options
from jwt_lp.usage.assignment_import import ASSIGNMENT_FIELDS, read_assignments
from jwt_lp.usage.row_reader import read_rows
from jwt_lp.usage.usage_import import parse_mapping

if TYPE_CHECKING:
    from collections.abc import Iterator

    from jwt_lp.stores import HeldGrant, HeldGrantRow, ObservedGrantRow, Store
    from jwt_lp.usage.row_reader import RowFormat

_SHOWN: Final = 20


@click.group(short_help="Import and show who holds what.")
def grants() -> None:
    """Import and show the grants that subjects and clients are known to hold."""


@grants.command("import", short_help="Import who holds what, from a file.")
@file_argument
@click.option(
    "--as-of", type=DayParam(), metavar="DAY", required=True, help="The day on which the grants in the file were held."
)
@click.option("--complete", is_flag=True, help="The file lists all grants that exist, and replaces earlier imports.")
@form_option
@map_option
@click.option("--issuer", metavar="ISS", help="The issuer (iss) of rows without one.")
@store_options
@click.pass_context
def import_grants(
    ctx: click.Context,
    /,
    file: str,
    as_of: str,
    form: RowFormat | None,
    pairs: tuple[str, ...],
    issuer: str | None,
    *,
    complete: bool,
    **options: Any,
) -> None:
    """Import grants from FILE: CSV or JSON Lines with subject or client, and grant or role; also issuer and since.

    A row with a role and no grant stands for the whole role. An earlier import for the same day is replaced. If one row
    has a fault, nothing is imported.

    \b
      jwt-lp grants import grants.csv --as-of 2026-11-01 --complete --issuer https://login.example.com/
      jwt-lp grants import assignments.csv --as-of 2026-11-01 --map subject=user,grant=permission
    """  # noqa: D301 - a real backspace is what click looks for
    place = StoreOptions(**options)
    settings = place.settings(ctx)
    columns = parse_mapping(split_pairs(pairs), ASSIGNMENT_FIELDS)
    faults: dict[str, list[int]] = {}
    with (
        open_input(file, form) as opened,
        place.open(settings) as store,
        prefix_faults(opened.name),
        progress_bar(opened) as advance,
    ):
        rows, unread_columns = read_rows(opened.lines(advance), opened.form, ASSIGNMENT_FIELDS, columns, columns)
        issuer_of_rows = default_issuer(issuer, settings)
        grants_held = read_assignments(
            rows, issuer_of_rows, subject_naming(settings), lambda line, why: faults.setdefault(why, []).append(line)
        )
        number = store.import_grants(_all_or_nothing(grants_held, opened.name, faults), as_of=as_of, complete=complete)
        what = "the complete list" if complete else "not the complete list"
        say(f"{opened.name}: {count(number, 'grant')} as of {as_of}, {what}; added to {store.name}")
        if unread_columns:
            say(text(f"columns that are not read: {', '.join(map(brief, unread_columns[:_SHOWN]))}", DIM))


def _all_or_nothing(grants_held: Iterator[HeldGrant], name: str, faults: dict[str, list[int]]) -> Iterator[HeldGrant]:
    """Yield every row, then raise `Failure` if any had a fault, so that the store's transaction is rolled back."""
    yield from grants_held
    if faults:
        raise Failure(
            *(
                f"{name}: line {', '.join(map(str, lines[:_SHOWN]))}{' and more' * (len(lines) > _SHOWN)}: {fault}"
                for fault, lines in faults.items()
            ),
            "nothing was imported",
        )


@grants.command(short_help="Show who is known to hold what.")
@click.option("--subject", metavar="NAME", help="Only this subject.")
@click.option("--client", metavar="NAME", help="Only this client.")
@click.option("--issuer", metavar="ISS", help="Only this issuer.")
@format_option
@store_options
@click.pass_context
def show(ctx: click.Context, /, form: str, **options: Any) -> None:
    """Show the grants that were imported, and those that tokens carried, with their first and last day.

    Without an import, only holders that sent a token are known.

    \b
      jwt-lp grants show --subject alice
    """  # noqa: D301 - a real backspace is what click looks for
    wanted = {name: options.pop(name) for name in ("subject", "client", "issuer")}
    place = StoreOptions(**options)
    settings = place.settings(ctx)
    if wanted["subject"] is not None and settings is not None:
        wanted["subject"] = subject_naming(settings)(default_issuer(wanted["issuer"], settings), wanted["subject"])
    with place.open(settings) as store:
        imported = (row for row in store.held_grants() if _matches(wanted, row.held))
        observed = _observed(store, wanted)
        if form == "json":
            print_json_list(json.dumps(row) for row in _as_json(imported, observed))
            return
        numbers = [0, 0]
        for row in imported:
            numbers[0] += 1
            since = f", held since {row.held.since}" if row.held.since else ""
            print_line(f"{_who(row.held)}: imported as of {row.as_of}{since}")
        for seen in observed:
            numbers[1] += 1
            print_line(f"{_who(seen)}: seen from {seen.first_day} to {seen.last_day}")
        say(text(f"{numbers[0]} imported, {numbers[1]} seen in tokens", DIM))


def _matches(wanted: dict[str, Any], row: HeldGrant | ObservedGrantRow) -> bool:
    return all(value is None or getattr(row, name) == value for name, value in wanted.items())


def _observed(store: Store, wanted: dict[str, Any]) -> Iterator[ObservedGrantRow]:
    rows = store.observed_grants(issuer=wanted["issuer"], subject=wanted["subject"])
    return (row for row in rows if wanted["client"] is None or row.client == wanted["client"])


def _who(row: HeldGrant | ObservedGrantRow) -> str:
    who = brief(row.subject) if row.subject else f"the client {brief(row.client)}" if row.client else "(no subject)"
    what = brief(row.grant) if row.grant else "all of it"
    role = f" through the role {brief(row.role)}" if row.role else ""
    client = f" with {brief(row.client)}" if row.subject and row.client else ""
    return f"{who}{f' ({brief(row.issuer)})' * (row.issuer != '')}  {what}{role}{client}"


def _as_json(imported: Iterator[HeldGrantRow], observed: Iterator[ObservedGrantRow]) -> Iterator[dict[str, object]]:
    for row in imported:
        yield {"known": "imported", **row.held._asdict(), "as_of": row.as_of, "complete": row.complete}
    for seen in observed:
        yield {"known": "seen", **seen._asdict()}
