"""Who is known to hold what, which issuers are there, and which processes are alive?"""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING, Any, Final

import sqlalchemy as sa

from jwt_lp.stores import schema
from jwt_lp.stores.row_keys import with_row_key
from jwt_lp.stores.rows import HeldGrant, HeldGrantRow, ProcessHeartbeat
from jwt_lp.stores.schema import grant_imports, heartbeats, insert_missing, observed_grants, revocations, upsert, usage

if TYPE_CHECKING:
    from collections.abc import Iterable

_CHUNK: Final = 5000
_HELD = [schema.held_grants.c[name] for name in HeldGrant._fields]


def import_held(connection: sa.Connection, held: Iterable[HeldGrant], as_of: str, *, complete: bool) -> int:
    """Import grants in place of those of the same day."""
    table = schema.held_grants
    # Locks the day: of two imports for one, the second waits.
    upsert(connection, grant_imports, [{"as_of": as_of, "complete": complete}], complete="new")
    connection.execute(table.delete().where(table.c.as_of == as_of))
    left = iter(held)
    while chunk := list(islice(left, _CHUNK)):
        rows: list[dict[str, object]] = []
        for each in chunk:
            parts = each._asdict()
            since = parts.pop("since")
            rows.append({**with_row_key(parts), "since": since, "as_of": as_of})
        insert_missing(connection, table, rows)
    counted = sa.select(sa.func.count()).select_from(table).where(table.c.as_of == as_of)
    return int(connection.execute(counted).scalar_one())


def select_held() -> sa.Select[Any]:
    """The question for the latest complete import and what came after it."""
    table = schema.held_grants
    whole = grant_imports.alias()
    latest = sa.select(sa.func.max(whole.c.as_of)).where(whole.c.complete).scalar_subquery()
    return (
        sa.select(*_HELD, grant_imports.c.as_of, grant_imports.c.complete)
        .join_from(table, grant_imports, table.c.as_of == grant_imports.c.as_of)
        .where(sa.or_(latest.is_(None), table.c.as_of >= latest))
        .order_by(*_HELD[:-1], grant_imports.c.as_of)
    )


def held_row(row: sa.Row[Any]) -> HeldGrantRow:
    """A row of it."""
    parts = tuple(row)
    return HeldGrantRow(HeldGrant(*parts[:-2]), *parts[-2:])


def list_issuers(connection: sa.Connection) -> tuple[str, ...]:
    """Every `iss` of any table, in order."""
    found: set[str] = set(connection.execute(sa.select(revocations.c.issuer).distinct()).scalars())
    for table in (usage, observed_grants, schema.held_grants):
        # From one to the next by the index: there are few among millions of rows.
        after: str | None = connection.execute(sa.select(sa.func.min(table.c.issuer))).scalar()
        while after is not None:
            found.add(after)
            after = connection.execute(sa.select(sa.func.min(table.c.issuer)).where(table.c.issuer > after)).scalar()
    return tuple(sorted(found))


def write_heartbeat(connection: sa.Connection, said: ProcessHeartbeat) -> None:
    """Write how a process stands."""
    fields = [name for name in ProcessHeartbeat._fields if name != "process"]
    upsert(connection, heartbeats, [said._asdict()], **dict.fromkeys(fields, "new"))


def recent_heartbeats(connection: sa.Connection, since: float) -> tuple[ProcessHeartbeat, ...]:
    """The processes that were heard of."""
    asked = sa.select(*(heartbeats.c[name] for name in ProcessHeartbeat._fields)).where(heartbeats.c.at >= since)
    return tuple(
        ProcessHeartbeat(*row) for row in connection.execute(asked.order_by(heartbeats.c.service, heartbeats.c.process))
    )
