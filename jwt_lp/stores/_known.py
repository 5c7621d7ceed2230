"""Who is known to hold what, which issuers are there, and which processes are alive?"""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING, Any, Final

import sqlalchemy as sa

from jwt_lp.stores import _tables
from jwt_lp.stores._keyed import keyed
from jwt_lp.stores._tables import beats, imports, once, revocations, sightings, upsert, usage
from jwt_lp.stores.values import Beat, Held, HeldRow

if TYPE_CHECKING:
    from collections.abc import Iterable

_CHUNK: Final = 5000
_HELD = [_tables.held.c[name] for name in Held._fields]


def hold(connection: sa.Connection, held: Iterable[Held], as_of: str, *, complete: bool) -> int:
    """Import grants in place of those of the same day."""
    table = _tables.held
    # Locks the day: of two imports for one, the second waits.
    upsert(connection, imports, [{"as_of": as_of, "complete": complete}], complete="new")
    connection.execute(table.delete().where(table.c.as_of == as_of))
    left = iter(held)
    while chunk := list(islice(left, _CHUNK)):
        rows: list[dict[str, object]] = []
        for each in chunk:
            parts = each._asdict()
            since = parts.pop("since")
            rows.append({**keyed(parts), "since": since, "as_of": as_of})
        once(connection, table, rows)
    counted = sa.select(sa.func.count()).select_from(table).where(table.c.as_of == as_of)
    return int(connection.execute(counted).scalar_one())


def holding() -> sa.Select[Any]:
    """The question for the latest complete import and what came after it."""
    table = _tables.held
    whole = imports.alias()
    latest = sa.select(sa.func.max(whole.c.as_of)).where(whole.c.complete).scalar_subquery()
    return (
        sa.select(*_HELD, imports.c.as_of, imports.c.complete)
        .join_from(table, imports, table.c.as_of == imports.c.as_of)
        .where(sa.or_(latest.is_(None), table.c.as_of >= latest))
        .order_by(*_HELD[:-1], imports.c.as_of)
    )


def held_of(row: sa.Row[Any]) -> HeldRow:
    """A row of it."""
    parts = tuple(row)
    return HeldRow(Held(*parts[:-2]), *parts[-2:])


def issuers(connection: sa.Connection) -> tuple[str, ...]:
    """Every `iss` of any table, in order."""
    found: set[str] = set(connection.execute(sa.select(revocations.c.issuer).distinct()).scalars())
    for table in (usage, sightings, _tables.held):
        # From one to the next by the index: there are few among millions of rows.
        after: str | None = connection.execute(sa.select(sa.func.min(table.c.issuer))).scalar()
        while after is not None:
            found.add(after)
            after = connection.execute(sa.select(sa.func.min(table.c.issuer)).where(table.c.issuer > after)).scalar()
    return tuple(sorted(found))


def beat(connection: sa.Connection, said: Beat) -> None:
    """Write how a process stands."""
    fields = [name for name in Beat._fields if name != "process"]
    upsert(connection, beats, [said._asdict()], **dict.fromkeys(fields, "new"))


def beating(connection: sa.Connection, since: float) -> tuple[Beat, ...]:
    """The processes that were heard of."""
    asked = sa.select(*(beats.c[name] for name in Beat._fields)).where(beats.c.at >= since)
    return tuple(Beat(*row) for row in connection.execute(asked.order_by(beats.c.service, beats.c.process)))
