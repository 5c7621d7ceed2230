"""Who is known to hold what?"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final

import click

from jwt_lp.cli._params import Day
from jwt_lp.cli.filed import blamed, file_argument, form_option, given, naming, only_issuer, progress
from jwt_lp.cli.memory import Where, format_option, put, put_list, store_options
from jwt_lp.cli.output import FAINT, Failure, brief, count, say, text
from jwt_lp.holding import HELD, all_held
from jwt_lp.tabular import rows

if TYPE_CHECKING:
    from collections.abc import Iterator

    from jwt_lp.stores import Held, HeldRow, SightingRow, Store
    from jwt_lp.tabular import Form

_SHOWN: Final = 20


@click.group(short_help="Bring in and show who holds what.")
def grants() -> None:
    """Commands for what subjects and clients are known to hold."""


@grants.command("import", short_help="Bring in who holds what, from a file.")
@file_argument
@click.option("--as-of", type=Day(), metavar="DAY", required=True, help="The day that the file speaks of.")
@click.option("--complete", is_flag=True, help="The file has all grants that there are, and replaces earlier ones.")
@form_option
@click.option("--issuer", metavar="ISS", help="The iss of rows that name none.")
@store_options
@click.pass_context
def import_grants(
    ctx: click.Context,
    /,
    file: str,
    as_of: str,
    form: Form | None,
    issuer: str | None,
    *,
    complete: bool,
    **options: Any,
) -> None:
    """Bring in grants from FILE: CSV or JSON Lines with subject or client, and grant or role; also issuer and since.

    A row with a role and no grant is the role as a whole. An import for the same day is replaced. Where one row is at
    fault, nothing is imported.

    \b
      jwt-lp grants import grants.csv --as-of 2026-11-01 --complete --issuer https://login.example.com/
    """  # noqa: D301 - a real backspace is what click looks for
    place = Where(**options)
    found = place.settings(ctx)
    faults: dict[str, list[int]] = {}
    with given(file, form) as opened, place.opened(found) as store, blamed(opened.name), progress(opened) as seen:
        said, unread = rows(opened.lines(seen), opened.form, HELD, {}, ())
        own = only_issuer(issuer, found)
        held = all_held(said, own, naming(found), lambda line, why: faults.setdefault(why, []).append(line))
        number = store.hold(_whole(held, opened.name, faults), as_of=as_of, complete=complete)
        what = "all that there are" if complete else "some of those that there are"
        say(f"{opened.name}: {count(number, 'grant')} as of {as_of}, {what}; added to {store.name}")
        if unread:
            say(text(f"columns that nobody reads: {', '.join(map(brief, unread[:_SHOWN]))}", FAINT))


def _whole(held: Iterator[Held], name: str, faults: dict[str, list[int]]) -> Iterator[Held]:
    """All of it, or a `Failure`, within the store's transaction: half of who holds what would be wrong."""
    yield from held
    if faults:
        raise Failure(
            *(
                f"{name}: line {', '.join(map(str, at[:_SHOWN]))}{' and more' * (len(at) > _SHOWN)}: {why}"
                for why, at in faults.items()
            ),
            "nothing was imported",
        )


@grants.command(short_help="Show who is known to hold what.")
@click.option("--subject", metavar="NAME", help="Only of this subject.")
@click.option("--client", metavar="NAME", help="Only of this client.")
@click.option("--issuer", metavar="ISS", help="Only of this iss.")
@format_option
@store_options
@click.pass_context
def show(ctx: click.Context, /, form: str, **options: Any) -> None:
    """Show the grants that were imported, and those that tokens were seen to carry, with their first and last day.

    Without an import only who showed a token is known.

    \b
      jwt-lp grants show --subject alice
    """  # noqa: D301 - a real backspace is what click looks for
    wanted = {name: options.pop(name) for name in ("subject", "client", "issuer")}
    place = Where(**options)
    found = place.settings(ctx)
    if wanted["subject"] is not None and found is not None:
        wanted["subject"] = naming(found)(only_issuer(wanted["issuer"], found), wanted["subject"])
    with place.opened(found) as store:
        imported = (row for row in store.held() if _wants(wanted, row.held))
        seen = _seen(store, wanted)
        if form == "json":
            put_list(json.dumps(each) for each in _plain(imported, seen))
            return
        numbers = [0, 0]
        for row in imported:
            numbers[0] += 1
            put(
                f"{_who(row.held)}: imported as of {row.as_of}{f', held since {row.held.since}' * (row.held.since != '')}"
            )
        for sighting in seen:
            numbers[1] += 1
            put(f"{_who(sighting)}: seen from {sighting.first_day} to {sighting.last_day}")
        say(text(f"{numbers[0]} imported, {numbers[1]} seen in tokens", FAINT))


def _wants(wanted: dict[str, Any], row: Held | SightingRow) -> bool:
    return all(value is None or getattr(row, name) == value for name, value in wanted.items())


def _seen(store: Store, wanted: dict[str, Any]) -> Iterator[SightingRow]:
    found = store.sightings(issuer=wanted["issuer"], subject=wanted["subject"])
    return (row for row in found if wanted["client"] is None or row.client == wanted["client"])


def _who(row: Held | SightingRow) -> str:
    who = brief(row.subject) if row.subject else f"the client {brief(row.client)}" if row.client else "(no subject)"
    what = brief(row.grant) if row.grant else "all of it"
    role = f" through the role {brief(row.role)}" if row.role else ""
    client = f" with {brief(row.client)}" if row.subject and row.client else ""
    return f"{who}{f' ({brief(row.issuer)})' * (row.issuer != '')}  {what}{role}{client}"


def _plain(imported: Iterator[HeldRow], seen: Iterator[SightingRow]) -> Iterator[dict[str, object]]:
    for row in imported:
        yield {"known": "imported", **row.held._asdict(), "as_of": row.as_of, "complete": row.complete}
    for each in seen:
        yield {"known": "seen", **each._asdict()}
