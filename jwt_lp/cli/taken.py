"""What was taken back?"""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING, Any, Final

import click

from jwt_lp.cli.memory import Where, format_option, put, put_list, store_options
from jwt_lp.cli.naming import sentence
from jwt_lp.cli.output import FAINT, brief, moment, say, text

if TYPE_CHECKING:
    from collections.abc import Iterator

    from jwt_lp.stores import Recorded, Store

_OF: Final = ("token", "subject", "client", "role")


@click.command(short_help="List what was taken back.")
@click.option("--all", "everything", is_flag=True, help="What was lifted, too.")
@click.option("--issuer", metavar="ISS", help="Only of this iss.")
@click.option("--token", metavar="JTI", help="Only of this token.")
@click.option("--subject", metavar="NAME", help="Only of this subject.")
@click.option("--client", metavar="NAME", help="Only of this client.")
@click.option("--role", metavar="NAME", help="Only of this role.")
@format_option
@store_options
@click.pass_context
def revocations(ctx: click.Context, /, form: str, *, everything: bool, **options: Any) -> None:
    """List what was taken back and stands, in the order in which it was written.

    \b
      jwt-lp revocations --subject alice
      jwt-lp revocations --all --format json
    """  # noqa: D301 - a real backspace is what click looks for
    wanted = {name: options.pop(name) for name in (*_OF, "issuer")}
    place = Where(**options)
    with place.opened(place.settings(ctx)) as store:
        found = _matching(store, wanted, everything=everything)
        if form == "json":
            put_list(json.dumps(_plain(each)) for each in found)
            return
        number = 0
        for each in found:
            number += 1
            _show(each)
        say(text(f"{number} {'entry' if number == 1 else 'entries'}", FAINT))


def _matching(store: Store, wanted: dict[str, str | None], *, everything: bool) -> Iterator[Recorded]:
    about = {(name, wanted[name]) for name in _OF if wanted[name] is not None}
    for each in store.revocations(lifted=everything):
        if wanted["issuer"] is not None and each.entry.issuer != wanted["issuer"]:
            continue
        if not about or (each.entry.of, each.entry.name) in about:
            yield each


def _show(found: Recorded) -> None:
    entry = found.entry
    by = f" by {brief(found.by)}" if found.by else ""
    over = entry.kind == "deny" and entry.until is not None and entry.until <= time.time()
    said = f"lifted {moment(found.lifted_at)}; " if found.lifted_at is not None else "over; " if over else ""
    put(f"{brief(entry.id)}  {moment(found.at)}{by}: {said}{sentence(entry)}")
    if entry.reason:
        put(f"    reason: {brief(entry.reason)}")


def _plain(found: Recorded) -> dict[str, object]:
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
