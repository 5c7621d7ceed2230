"""Queries for held grants, issuers and process heartbeats."""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING, Any, Final

import sqlalchemy as sa

from jwt_lp.stores import schema
from jwt_lp.stores.row_keys import iso_day, with_row_key
from jwt_lp.stores.rows import HeldGrant, HeldGrantRow, ProcessHeartbeat
from jwt_lp.stores.schema import grant_imports, heartbeats, observed_grants, revocations, usage
from jwt_lp.stores.upserts import insert_missing, replace

if TYPE_CHECKING:
    from collections.abc import Iterable

_CHUNK: Final = 5000
_HELD_COLUMNS = [schema.held_grants.c[name] for name in HeldGrant._fields]


def import_held(connection: sa.Connection, held: Iterable[HeldGrant], as_of: str, *, complete: bool) -> int:
    """Import grants, replacing those of the same day; return how many the day has now."""
    table, as_of = schema.held_grants, iso_day(as_of)
    # This locks the day, so a second import for the same day waits.
    replace(connection, grant_imports, [{"as_of": as_of, "complete": complete}], ["complete"])
    connection.execute(table.delete().where(table.c.as_of == as_of))
    remaining = iter(held)
    while chunk := list(islice(remaining, _CHUNK)):
        rows: list[dict[str, object]] = []
        for grant in chunk:
            parts = grant._asdict()
            since = parts.pop("since")
            rows.append({**with_row_key(parts), "since": since, "as_of": as_of})
        insert_missing(connection, table, rows)
    count = sa.select(sa.func.count()).select_from(table).where(table.c.as_of == as_of)
    return int(connection.execute(count).scalar_one())


def select_held() -> sa.Select[Any]:
    """The query for the grants of the latest complete import and of later ones."""
    table = schema.held_grants
    imports = grant_imports.alias()
    latest = sa.select(sa.func.max(imports.c.as_of)).where(imports.c.complete).scalar_subquery()
    return (
        sa.select(*_HELD_COLUMNS, grant_imports.c.as_of, grant_imports.c.complete)
        .join_from(table, grant_imports, table.c.as_of == grant_imports.c.as_of)
        .where(sa.or_(latest.is_(None), table.c.as_of >= latest))
        .order_by(*_HELD_COLUMNS[:-1], grant_imports.c.as_of)
    )


def held_row(row: sa.Row[Any]) -> HeldGrantRow:
    """The held grant in a row of `select_held`."""
    parts = tuple(row)
    return HeldGrantRow(HeldGrant(*parts[:-2]), *parts[-2:])


def list_issuers(connection: sa.Connection) -> tuple[str, ...]:
    """Every `iss` of any table, in order."""
    issuers: set[str] = set(connection.execute(sa.select(revocations.c.issuer).distinct()).scalars())
    for table in (usage, observed_grants, schema.held_grants):
        # Go from one issuer to the next by the index: there are few among millions of rows.
        after: str | None = connection.execute(sa.select(sa.func.min(table.c.issuer))).scalar()
        while after is not None:
            issuers.add(after)
            after = connection.execute(sa.select(sa.func.min(table.c.issuer)).where(table.c.issuer > after)).scalar()
    return tuple(sorted(issuers))


def write_heartbeat(connection: sa.Connection, beat: ProcessHeartbeat) -> None:
    """Write the status of a process."""
    fields = [name for name in ProcessHeartbeat._fields if name != "process"]
    replace(connection, heartbeats, [beat._asdict()], fields)


def recent_heartbeats(connection: sa.Connection, since: float) -> tuple[ProcessHeartbeat, ...]:
    """The latest status of each process that wrote one at `since` or later."""
    query = sa.select(*(heartbeats.c[name] for name in ProcessHeartbeat._fields)).where(heartbeats.c.at >= since)
    return tuple(
        ProcessHeartbeat(*row) for row in connection.execute(query.order_by(heartbeats.c.service, heartbeats.c.process))
    )
