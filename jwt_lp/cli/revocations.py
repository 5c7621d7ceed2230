"""The command `jwt-lp revocations`: a list of the revocations in the store."""

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
@click.option("--all", "everything", is_flag=True, help="Also list revocations that were lifted.")
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
        matching = _matching_revocations(store, wanted, everything=everything)
        if form == "json":
            print_json_list(json.dumps(_as_json(revocation)) for revocation in matching)
            return
        total = 0
        for revocation in matching:
            total += 1
            _print_revocation(revocation)
        say(text(f"{total} {'entry' if total == 1 else 'entries'}", DIM))


def _matching_revocations(
    store: Store, wanted: dict[str, str | None], *, everything: bool
) -> Iterator[StoredRevocation]:
    named = {(name, wanted[name]) for name in _OF if wanted[name] is not None}
    for revocation in store.revocations(lifted=everything):
        if wanted["issuer"] is not None and revocation.entry.issuer != wanted["issuer"]:
            continue
        if not named or (revocation.entry.of, revocation.entry.name) in named:
            yield revocation


def _print_revocation(revocation: StoredRevocation) -> None:
    entry = revocation.entry
    by = f" by {brief(revocation.by)}" if revocation.by else ""
    expired = entry.kind == "deny" and entry.until is not None and entry.until <= time.time()
    state = (
        f"lifted {moment(revocation.lifted_at)}; " if revocation.lifted_at is not None else "over; " if expired else ""
    )
    print_line(f"{brief(entry.id)}  {moment(revocation.at)}{by}: {state}{describe_entry(entry)}")
    if entry.reason:
        print_line(f"    reason: {brief(entry.reason)}")


def _as_json(revocation: StoredRevocation) -> dict[str, object]:
    entry = revocation.entry
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
        "by": revocation.by,
        "at": _time(revocation.at),
        "standing": entry.standing,
        "sequence": revocation.sequence,
        "lifted_at": _time(revocation.lifted_at),
    }


def _time(at: float | None) -> str | None:
    return None if at is None else moment(at)
