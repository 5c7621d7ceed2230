"""The part of the SQL store for look-ups of pages."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

from jwt_lp.stores import lookup_queries, name_queries

if TYPE_CHECKING:
    from collections.abc import Generator

    import sqlalchemy as sa

    from jwt_lp.stores.database import SqlDatabase
    from jwt_lp.stores.lookups import (
        EndpointUse,
        FoundHolder,
        FoundName,
        FoundUses,
        HolderCount,
        HolderGrant,
        NameKind,
        PermissionDay,
        RevocationFilter,
        UseDay,
    )
    from jwt_lp.stores.rows import StoredRevocation

# For this transaction only: workers and compiled expressions take longer to start than a look-up takes, and the best plan
# depends on the values.
_PLANNER_SETTINGS: Final = (
    "SELECT set_config('max_parallel_workers_per_gather', '0', true), set_config('jit', 'off', true), "
    "set_config('plan_cache_mode', 'force_custom_plan', true)"
)


class SqlLookups:
    """The methods of `LookupStore`, for `SqlStore`."""

    _database: SqlDatabase

    @contextmanager
    def _look_up(self) -> Generator[sa.Connection]:
        """A transaction for one look-up."""
        with self._database.read() as connection:
            if not self._database.is_sqlite:
                connection.exec_driver_sql(_PLANNER_SETTINGS)
            yield connection

    def find_names(self, kind: NameKind, text: str, *, limit: int = 50) -> tuple[FoundName, ...]:
        """The names that contain `text`, in order."""
        with self._look_up() as connection:
            return name_queries.find(connection, kind, text, limit)

    def holder_grants(
        self, *, issuer: str, subject: str | None = None, client: str | None = None, limit: int = 1000
    ) -> tuple[HolderGrant, ...]:
        """What a subject or a client holds, by role and grant."""
        with self._look_up() as connection:
            return lookup_queries.holder_grants(connection, issuer, subject, client, limit)

    def holder_uses(
        self, *, issuer: str, subject: str | None = None, client: str | None = None, limit: int = 1000
    ) -> FoundUses:
        """What a subject, or a client, or a subject by one client, used."""
        with self._look_up() as connection:
            parts = {"issuer": issuer, "subject": subject, "client": client}
            return lookup_queries.find_uses(connection, parts, limit)

    def permission_uses(self, permission: str, *, limit: int = 100) -> FoundUses:
        """Who used a permission."""
        with self._look_up() as connection:
            return lookup_queries.find_uses(connection, {"permission": permission}, limit)

    def grant_holders(
        self, grant: str, *, limit: int = 100, after: FoundHolder | None = None
    ) -> tuple[FoundHolder, ...]:
        """Who holds a grant, in order."""
        with self._look_up() as connection:
            return lookup_queries.holders(connection, "grant", grant, limit, after)

    def role_members(self, role: str, *, limit: int = 100, after: FoundHolder | None = None) -> tuple[FoundHolder, ...]:
        """Who holds a role, or a grant through it, in order."""
        with self._look_up() as connection:
            return lookup_queries.holders(connection, "role", role, limit, after)

    def count_grant_holders(self, grant: str) -> HolderCount:
        """How many hold a grant."""
        with self._look_up() as connection:
            return lookup_queries.count_holders(connection, "grant", grant)

    def count_role_members(self, role: str) -> HolderCount:
        """How many hold a role, or a grant through it."""
        with self._look_up() as connection:
            return lookup_queries.count_holders(connection, "role", role)

    def use_days(
        self,
        *,
        issuer: str,
        subject: str,
        client: str | None = None,
        permission: str | None = None,
        grant: str | None = None,
        since: str,
        limit: int = 1000,
    ) -> tuple[UseDay, ...]:
        """What a subject used on each day, the most recent first."""
        parts = {"issuer": issuer, "subject": subject, "client": client, "permission": permission, "grant": grant}
        with self._look_up() as connection:
            return lookup_queries.use_days(connection, parts, since, limit)

    def permission_days(self, permission: str, *, since: str) -> tuple[PermissionDay, ...]:
        """The uses of a permission on each day, in order."""
        with self._look_up() as connection:
            return lookup_queries.permission_days(connection, permission, since)

    def endpoint_uses(self, permission: str, *, limit: int = 100) -> tuple[EndpointUse, ...]:
        """Where a permission was used, the most recent first."""
        with self._look_up() as connection:
            return lookup_queries.endpoint_uses(connection, permission, limit)

    def revocation_page(self, which: RevocationFilter) -> tuple[StoredRevocation, ...]:
        """The entries that match, the newest first."""
        with self._look_up() as connection:
            return lookup_queries.revocation_page(connection, which)

    def latest_import(self) -> tuple[str, bool] | None:
        """The day of the latest import of grants, and whether it was complete."""
        with self._look_up() as connection:
            return lookup_queries.latest_import(connection)

    def recorded_until(self) -> tuple[tuple[str, float], ...]:
        """The services, and until when the store has their recorded usage."""
        with self._look_up() as connection:
            return lookup_queries.recorded_until(connection)
