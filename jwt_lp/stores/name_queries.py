"""Queries for the names that the store has, each made by steps from one name to the next in an index."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import sqlalchemy as sa

from jwt_lp.stores.lookup_values import STANDING_ROLES, lower_text, merge_names
from jwt_lp.stores.lookups import MAX_READ, FoundName
from jwt_lp.stores.schema import daily_sums, held_grants, holder_sums, observed_grants

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from jwt_lp.stores.lookups import NameKind

_SUBJECTS: Final = (holder_sums.c.subject, observed_grants.c.subject, held_grants.c.subject)
_CLIENTS: Final = (holder_sums.c.client, observed_grants.c.client)
_ROLES: Final = (observed_grants.c.role, held_grants.c.role)
# The sums by day count every row of usage, too, and there are fewer of them.
_PERMISSIONS: Final = (daily_sums.c.permission,)


def find(connection: sa.Connection, kind: NameKind, text: str, limit: int) -> tuple[FoundName, ...]:
    """The first names that contain a text."""
    wanted = lower_text(text)
    if kind == "role":
        # Every elevation is a role in tokens: they are stepped over as a whole.
        ranges = [(column, bounds) for column in _ROLES for bounds in STANDING_ROLES]
        return merge_names("", (_names(connection, column, wanted, limit, bounds) for column, bounds in ranges), limit)
    if kind == "permission":
        return merge_names("", (_names(connection, column, wanted, limit) for column in _PERMISSIONS), limit)
    found: list[FoundName] = []
    columns = _SUBJECTS if kind == "subject" else _CLIENTS
    for issuer in _issuers(connection):
        more = limit - len(found)
        lists = [_names(connection, column, wanted, more, issuer=issuer) for column in columns]
        if kind == "client":
            lists.append(_held_clients(connection, issuer, wanted, more))
        found += merge_names(issuer, lists, more)
        if len(found) >= limit:
            break
    return tuple(found)


def _issuers(connection: sa.Connection) -> Iterator[str]:
    """The issuers of the tables that name holders, in order, up to a bound."""
    after: str | None = None
    columns = [table.c.issuer for table in (holder_sums, observed_grants, held_grants)]
    for _ in range(MAX_READ):
        query = sa.union_all(
            *(sa.select(sa.func.min(each).label("least")).where(_is_behind(each, after)) for each in columns)
        )
        after = connection.execute(sa.select(sa.func.min(query.subquery().c.least))).scalar()
        if after is None:
            return
        yield after


def _is_behind(column: sa.Column[str], after: str | None) -> Any:
    return sa.true() if after is None else column > after


def _names(
    connection: sa.Connection,
    column: sa.Column[str],
    wanted: str,
    limit: int,
    bounds: tuple[str | None, str | None] = (None, None),
    issuer: str | None = None,
) -> Iterable[str]:
    """The names in a column of an index, between bounds or of an issuer, that contain a text."""
    low, high = bounds
    within = [column != ""]
    within += [column >= low] if low is not None else []
    within += [column < high] if high is not None else []
    within += [column.table.c.issuer == issuer] if issuer is not None else []
    least = sa.select(sa.func.min(column)).where(*within)
    steps = sa.select(least.scalar_subquery().label("name"), sa.literal(1).label("step")).cte("steps", recursive=True)
    next_one = sa.select(sa.func.min(column)).where(*within, column > steps.c.name).scalar_subquery()
    going_on = steps.c.name.is_not(None), steps.c.step < MAX_READ
    steps = steps.union_all(sa.select(next_one, steps.c.step + 1).where(*going_on))
    name = steps.c.name
    query = sa.select(name).where(name.is_not(None), _contains(name, wanted)).limit(limit)
    return connection.execute(query).scalars().all()


def _held_clients(connection: sa.Connection, issuer: str, wanted: str, limit: int) -> Iterable[str]:
    """The clients of an issuer that hold grants themselves."""
    row = held_grants.c
    rows = sa.select(row.client).where(row.issuer == issuer, row.subject == "", row.client != "")
    name = rows.limit(MAX_READ).subquery().c.client
    query = sa.select(name).where(_contains(name, wanted)).distinct().order_by(name).limit(limit)
    return connection.execute(query).scalars().all()


def _contains(name: Any, wanted: str) -> Any:
    return sa.func.lower(name).contains(wanted, autoescape=True) if wanted else sa.true()
