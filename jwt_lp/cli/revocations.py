"""Which revocations are there?"""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING, Any, Final

import click

from jwt_lp.cli.holder_options import describe_entry
from jwt_lp.cli.output import DIM, brief, moment, say, text
from jwt_lp.cli.store import StoreOptions, format_option, print_json_list, print_line, store_options

if TYPE_CHECKING:
    from collections.abc import Iterator

    from jwt_lp.stores import Store, StoredRevocation

_OF: Final = ("token", "subject", "client", "role")


@click.command(short_help="List revocations.")
@click.option("--all", "everything", is_flag=True, help="Also those that were lifted.")
@click.option("--issuer", metavar="ISS", help="Only this issuer.")
@click.option("--token", metavar="JTI", help="Only this token.")
@click.option("--subject", metavar="NAME", help="Only this subject.")
@click.option("--client", metavar="NAME", help="Only this client.")
@click.option("--role", metavar="NAME", help="Only this role.")
@format_option
@store_options
@click.pass_context
def revocations(ctx: click.Context, /, form: str, *, everything: bool, **options: Any) -> None:
    """List the revocations in force, in the order in which they were written.

    \b
      jwt-lp revocations --subject alice
      jwt-lp revocations --all --format json
    """  # noqa: D301 - a real backspace is what click looks for
    wanted = {name: options.pop(name) for name in (*_OF, "issuer")}
    place = StoreOptions(**options)
    with place.open(place.settings(ctx)) as store:
        found = _matching_revocations(store, wanted, everything=everything)
        if form == "json":
            print_json_list(json.dumps(_as_json(each)) for each in found)
            return
        number = 0
        for each in found:
            number += 1
            _print_revocation(each)
        say(text(f"{number} {'entry' if number == 1 else 'entries'}", DIM))


def _matching_revocations(
    store: Store, wanted: dict[str, str | None], *, everything: bool
) -> Iterator[StoredRevocation]:
    about = {(name, wanted[name]) for name in _OF if wanted[name] is not None}
    for each in store.revocations(lifted=everything):
        if wanted["issuer"] is not None and each.entry.issuer != wanted["issuer"]:
            continue
        if not about or (each.entry.of, each.entry.name) in about:
            yield each


def _print_revocation(found: StoredRevocation) -> None:
    entry = found.entry
    by = f" by {brief(found.by)}" if found.by else ""
    over = entry.kind == "deny" and entry.until is not None and entry.until <= time.time()
    said = f"lifted {moment(found.lifted_at)}; " if found.lifted_at is not None else "over; " if over else ""
    print_line(f"{brief(entry.id)}  {moment(found.at)}{by}: {said}{describe_entry(entry)}")
    if entry.reason:
        print_line(f"    reason: {brief(entry.reason)}")


def _as_json(found: StoredRevocation) -> dict[str, object]:
    entry = found.entry
    return {
        "id": entry.id,
        "kind": entry.kind,
        "of": entry.of,
        "issuer": entry.issuer,
        "name": entry.name,
        "pattern": entry.pattern or None,
        "keep": list(entry.keep),
        "before": _time(entry.before),
        "until": _time(entry.until),
        "reason": entry.reason,
        "by": found.by,
        "at": _time(found.at),
        "sequence": found.sequence,
        "lifted_at": _time(found.lifted_at),
    }


def _time(at: float | None) -> str | None:
    return None if at is None else moment(at)
