"""The part of the store in Django's database for look-ups of pages."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable

    from jwt_lp.stores import (
        EndpointUse,
        FoundHolder,
        FoundName,
        FoundUses,
        HolderCount,
        HolderGrant,
        PermissionDay,
        RevocationFilter,
        StoredRevocation,
        UseDay,
    )
    from jwt_lp.stores.lookups import NameKind
    from jwt_lp_django.database import DjangoDatabase

T = TypeVar("T")


class DjangoLookups:
    """The methods of `LookupStore`, for `DjangoStore`."""

    _alias: str
    _database: DjangoDatabase

    def find_names(self, kind: NameKind, text: str, *, limit: int = 50) -> tuple[FoundName, ...]:
        """The names that contain `text`, in order."""
        return self._look_up(lambda rows: rows.find_names(self._alias, kind, text, limit))

    def holder_grants(
        self, *, issuer: str, subject: str | None = None, client: str | None = None, limit: int = 1000
    ) -> tuple[HolderGrant, ...]:
        """What a subject or a client holds, by role and grant."""
        return self._look_up(lambda rows: rows.holder_grants(self._alias, issuer, subject, client, limit))

    def holder_uses(
        self, *, issuer: str, subject: str | None = None, client: str | None = None, limit: int = 1000
    ) -> FoundUses:
        """What a subject, or a client, or a subject by one client, used."""
        parts = {"issuer": issuer, "subject": subject, "client": client}
        found: FoundUses = self._look_up(lambda rows: rows.find_uses(self._alias, parts, limit))
        return found

    def permission_uses(self, permission: str, *, limit: int = 100) -> FoundUses:
        """Who used a permission."""
        found: FoundUses = self._look_up(lambda rows: rows.find_uses(self._alias, {"permission": permission}, limit))
        return found

    def grant_holders(
        self, grant: str, *, limit: int = 100, after: FoundHolder | None = None
    ) -> tuple[FoundHolder, ...]:
        """Who holds a grant, in order."""
        return self._look_up(lambda rows: rows.holders(self._alias, "grant", grant, limit, after))

    def role_members(self, role: str, *, limit: int = 100, after: FoundHolder | None = None) -> tuple[FoundHolder, ...]:
        """Who holds a role, or a grant through it, in order."""
        return self._look_up(lambda rows: rows.holders(self._alias, "role", role, limit, after))

    def count_grant_holders(self, grant: str) -> HolderCount:
        """How many hold a grant."""
        found: HolderCount = self._look_up(lambda rows: rows.count_holders(self._alias, "grant", grant))
        return found

    def count_role_members(self, role: str) -> HolderCount:
        """How many hold a role, or a grant through it."""
        found: HolderCount = self._look_up(lambda rows: rows.count_holders(self._alias, "role", role))
        return found

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
        return self._look_up(lambda rows: rows.use_days(self._alias, parts, since, limit))

    def permission_days(self, permission: str, *, since: str) -> tuple[PermissionDay, ...]:
        """The uses of a permission on each day, in order."""
        return self._look_up(lambda rows: rows.permission_days(self._alias, permission, since))

    def endpoint_uses(self, permission: str, *, limit: int = 100) -> tuple[EndpointUse, ...]:
        """Where a permission was used, the most recent first."""
        return self._look_up(lambda rows: rows.endpoint_uses(self._alias, permission, limit))

    def revocation_page(self, which: RevocationFilter) -> tuple[StoredRevocation, ...]:
        """The entries that match, the newest first."""
        return self._look_up(lambda rows: rows.revocation_page(self._alias, which))

    def latest_import(self) -> tuple[str, bool] | None:
        """The day of the latest import of grants, and whether it was complete."""
        found: tuple[str, bool] | None = self._look_up(lambda rows: rows.latest_import(self._alias))
        return found

    def recorded_until(self) -> tuple[tuple[str, float], ...]:
        """The services, and until when the store has their recorded usage."""
        return self._look_up(lambda rows: rows.recorded_until(self._alias))

    def _look_up(self, query: Callable[[Any], T]) -> T:
        """The result of a query with the module of look-ups, which imports models: Django is set up first."""
        self._database.ensure_ready()
        from jwt_lp_django import lookup_rows

        return self._database.read(lambda: query(lookup_rows))
