"""Queries for look-ups: each reads at most `MAX_READ` rows by an index."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import sqlalchemy as sa

from jwt_lp.revocation.snapshot import digest
from jwt_lp.stores import revocation_rows
from jwt_lp.stores.lookup_values import CurrentImports, HeldRow, SeenRow, merge_grants
from jwt_lp.stores.lookups import (
    MAX_READ,
    EndpointUse,
    FoundHolder,
    FoundUses,
    HolderCount,
    HolderUse,
    PermissionDay,
    UseDay,
)
from jwt_lp.stores.row_keys import ELEVATED_ROLE, fit_text, iso_day, storable_text
from jwt_lp.stores.schema import (
    daily_sums,
    grant_imports,
    held_grants,
    holder_sums,
    observed_grants,
    recording_periods,
    revocations,
    usage,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from jwt_lp.stores.lookups import HolderGrant, RevocationFilter
    from jwt_lp.stores.rows import StoredRevocation


def current_imports(connection: sa.Connection) -> CurrentImports:
    """The imports that count."""
    row = grant_imports.c
    first = connection.execute(sa.select(sa.func.max(row.as_of)).where(row.complete)).scalar()
    last = connection.execute(sa.select(sa.func.max(row.as_of))).scalar()
    return CurrentImports(first or "", last or "", first is not None)


def latest_import(connection: sa.Connection) -> tuple[str, bool] | None:
    """The day of the latest import, and whether it was complete."""
    row = grant_imports.c
    found = connection.execute(sa.select(row.as_of, row.complete).order_by(row.as_of.desc()).limit(1)).first()
    return None if found is None else (found.as_of, bool(found.complete))


def recorded_until(connection: sa.Connection) -> tuple[tuple[str, float], ...]:
    """Until when the store has the usage of each service."""
    row = recording_periods.c
    query = sa.select(row.service, sa.func.max(row.until)).group_by(row.service).order_by(row.service)
    return tuple((service, until) for service, until in connection.execute(query))


def holder_grants(
    connection: sa.Connection, issuer: str, subject: str | None, client: str | None, limit: int
) -> tuple[HolderGrant, ...]:
    """What a holder has, by role and grant."""
    imports = current_imports(connection)
    # A client that holds grants itself is listed without a subject.
    held = _of_holder(held_grants, HeldRow._fields, issuer, "" if subject is None else subject, client)
    if imports.first:
        held = held.where(held_grants.c.as_of >= imports.first)
    some = _of_holder(observed_grants, SeenRow._fields, issuer, subject, client)
    some = some.where(_is_standing(observed_grants.c.role)).limit(MAX_READ).subquery().c
    seen: Any = sa.select(some.role, some.grant, sa.func.min(some.first_day), sa.func.max(some.last_day))
    return merge_grants(
        [HeldRow._make(row) for row in connection.execute(held.limit(MAX_READ))],
        [SeenRow._make(row) for row in connection.execute(seen.group_by(some.role, some.grant))],
        imports,
        limit,
        ever=subject is None,
    )


def _of_holder(table: sa.Table, names: Iterable[str], issuer: str, subject: str | None, client: str | None) -> Any:
    query: Any = sa.select(*(table.c[name] for name in names)).where(table.c.issuer == fit_text(issuer))
    for name, value in (("subject", subject), ("client", client)):
        if value is not None:
            query = query.where(table.c[name] == fit_text(value))
    return query


def find_uses(connection: sa.Connection, parts: Mapping[str, str | None], limit: int) -> FoundUses:
    """The uses with these parts, the most recent first."""
    sums = holder_sums.c
    matching = [sums[name] == fit_text(value) for name, value in parts.items() if value is not None]
    columns = [sums[name] for name in HolderUse._fields]
    some = sa.select(*columns).where(*matching).limit(MAX_READ + 1).subquery()
    order = [some.c.last_day.desc(), *(some.c[name] for name in HolderUse._fields)]
    rows = connection.execute(sa.select(some, sa.func.count().over()).order_by(*order).limit(limit)).all()
    uses = tuple(HolderUse._make(tuple(found)[:-1]) for found in rows)
    return FoundUses(uses, not rows or int(rows[0][-1]) <= MAX_READ)


def holders(
    connection: sa.Connection, name: str, value: str, limit: int, after: FoundHolder | None
) -> tuple[FoundHolder, ...]:
    """Who holds a role or a grant, in order; those behind `after`."""
    pages: list[Any] = []
    for query in _select_holders(connection, name, value):
        columns = list(query.selected_columns)
        if after is not None:
            query = query.where(sa.tuple_(*columns) > sa.tuple_(*map(fit_text, after)))  # noqa: PLW2901 - a step of it
        pages.append(sa.select(query.distinct().order_by(*columns).limit(limit).subquery()))
    both = sa.union(*pages).subquery()
    found = sa.select(both).order_by(*(both.c[part] for part in FoundHolder._fields)).limit(limit)
    return tuple(FoundHolder._make(found) for found in connection.execute(found))


def count_holders(connection: sa.Connection, name: str, value: str) -> HolderCount:
    """How many hold a role or a grant."""
    pages = [query.limit(MAX_READ + 1).subquery() for query in _select_holders(connection, name, value)]
    both = sa.union(*(sa.select(page) for page in pages)).subquery()
    read = [sa.select(sa.func.count()).select_from(page).scalar_subquery() for page in pages]
    number, *numbers = connection.execute(
        sa.select(sa.select(sa.func.count()).select_from(both).scalar_subquery(), *read)
    ).one()
    return HolderCount(number, max(numbers) <= MAX_READ)


def _select_holders(connection: sa.Connection, name: str, value: str) -> list[sa.Select[Any]]:
    """The queries for who holds it by an import, and by a token."""
    imports = current_imports(connection)
    held, seen = held_grants.c, observed_grants.c
    by_import: Any = sa.select(*(held[part] for part in FoundHolder._fields)).where(held[name] == fit_text(value))
    if imports.first:
        by_import = by_import.where(held.as_of >= imports.first)
    by_token: Any = sa.select(*(seen[part] for part in FoundHolder._fields)).where(seen[name] == fit_text(value))
    return [by_import, by_token.where(_is_standing(seen.role), *_is_counted(seen.last_day, imports))]


def _is_standing(role: Any) -> Any:
    """The condition that a role is not an elevation."""
    # Not by LIKE, which ignores the case in SQLite.
    return sa.func.substr(role, 1, len(ELEVATED_ROLE)) != ELEVATED_ROLE


def _is_counted(last_day: Any, imports: CurrentImports) -> list[Any]:
    """The condition that what tokens carried until a day counts beside the imports."""
    return [last_day > imports.last] if imports.complete else []


def use_days(connection: sa.Connection, parts: Mapping[str, str | None], since: str, limit: int) -> tuple[UseDay, ...]:
    """The uses with these parts on each day, the most recent first."""
    row = usage.c
    matching = [row[name] == fit_text(value) for name, value in parts.items() if value is not None]
    columns = [row[name] for name in UseDay._fields[:-1]]
    some = sa.select(*columns, row["count"]).where(*matching, row.day >= iso_day(since)).limit(MAX_READ).subquery()
    group = [some.c[name] for name in UseDay._fields[:-1]]
    query = sa.select(*group, sa.cast(sa.func.sum(some.c["count"]), sa.BigInteger)).group_by(*group)
    query = query.order_by(some.c.day.desc(), *group[1:]).limit(limit)
    return tuple(UseDay._make(found) for found in connection.execute(query))


def permission_days(connection: sa.Connection, permission: str, since: str) -> tuple[PermissionDay, ...]:
    """The uses of a permission on each day, in order."""
    row = daily_sums.c
    query = sa.select(row.day, *_granted_and_refused()).group_by(row.day).order_by(row.day)
    query = query.where(row.permission == fit_text(permission), row.day >= iso_day(since))
    return tuple(PermissionDay._make(found) for found in connection.execute(query))


def endpoint_uses(connection: sa.Connection, permission: str, limit: int) -> tuple[EndpointUse, ...]:
    """Where a permission was used, the most recent first."""
    row = daily_sums.c
    where = [row[name] for name in EndpointUse._fields[:3]]
    last = sa.func.max(row.day)
    query = sa.select(*where, *_granted_and_refused(), last).group_by(*where)
    query = query.where(row.permission == fit_text(permission)).order_by(last.desc(), *where).limit(limit)
    return tuple(EndpointUse._make(found) for found in connection.execute(query))


def _granted_and_refused() -> list[Any]:
    uses, outcome = daily_sums.c.uses, daily_sums.c.outcome
    granted = sa.case((outcome == "granted", uses), else_=0)
    refused = sa.case((outcome.in_(("denied", "revoked")), uses), else_=0)
    return [sa.cast(sa.func.sum(each), sa.BigInteger) for each in (granted, refused)]


def revocation_page(connection: sa.Connection, which: RevocationFilter) -> tuple[StoredRevocation, ...]:
    """The entries that match, the newest first."""
    row = revocations.c
    query = sa.select(revocations).order_by(row.sequence.desc()).limit(which.limit)
    if which.lifted is not None:
        query = query.where(row.lifted_at.is_not(None) if which.lifted else row.lifted_at.is_(None))
    for name in ("of", "issuer", "name", "id"):
        if (value := getattr(which, name)) is not None:
            query = query.where(row[name] == storable_text(value))
    if which.of is not None and which.issuer is not None and which.name is not None:
        query = query.where(row.key == digest(which.of, which.issuer, which.name))
    if which.before is not None:
        query = query.where(row.sequence < which.before)
    return tuple(map(revocation_rows.stored_revocation, connection.execute(query)))
