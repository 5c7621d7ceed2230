"""Read-only pages of the store in Django's admin.

Nothing can be added, changed or deleted there: recording writes the rows, and `jwt-lp unrevoke`, which numbers the
change, lifts a revocation. Django's view permissions decide who may read the pages.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from django.contrib import admin
from django.contrib.admin.sites import site
from django.http import HttpRequest

from jwt_lp_django.models import Heartbeat, Revocation, Run, Sighting, Usage


def _time(seconds: float | None) -> datetime | None:
    return None if seconds is None else datetime.fromtimestamp(seconds, UTC)


class ReadOnlyAdmin(admin.ModelAdmin):  # type: ignore[type-arg,unused-ignore]
    """A page that only shows rows."""

    actions = None
    # The full count would count millions of rows a second time.
    show_full_result_count = False
    list_per_page = 50

    def has_add_permission(self, request: HttpRequest, *_: Any) -> bool:
        """False for everybody."""
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """False for everybody."""
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """False for everybody."""
        return False


class UsageAdmin(ReadOnlyAdmin):
    """Usage: who used which permission, through which grant."""

    list_display = (
        "day", "permission", "outcome", "subject", "client", "role", "grant", "service", "method", "endpoint", "count",
        "last_time",
    )  # fmt: skip
    list_filter = ("outcome", "service", "method")
    search_fields = ("subject", "client", "role", "permission", "grant", "endpoint")
    search_help_text = "subject, client, role, permission, grant or endpoint"
    ordering = ("-day", "id")
    readonly_fields = ("last_time",)
    exclude = ("last",)

    @admin.display(description="last", ordering="last")
    def last_time(self, row: Usage) -> datetime | None:
        """The time of the last use."""
        return _time(row.last)


class SightingAdmin(ReadOnlyAdmin):
    """The grants that tokens carried."""

    list_display = ("grant", "role", "subject", "client", "issuer", "first_day", "last_day")
    list_filter = ("issuer",)
    search_fields = ("subject", "client", "role", "grant")
    search_help_text = "subject, client, role or grant"
    ordering = ("-last_day", "id")


class RevocationStateFilter(admin.SimpleListFilter):
    """A filter for entries in force and for lifted ones."""

    title = "state"
    parameter_name = "state"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        """The two states."""
        return [("standing", "In force"), ("lifted", "Lifted")]

    def queryset(self, request: HttpRequest, queryset: Any) -> Any:
        """The rows in the chosen state."""
        state = self.value()
        if state not in {"standing", "lifted"}:
            return queryset
        return queryset.filter(lifted_at__isnull=state == "standing")


class RevocationAdmin(ReadOnlyAdmin):
    """The revocations."""

    list_display = (
        "sequence",
        "of",
        "name",
        "pattern",
        "issuer",
        "reason",
        "by",
        "at_time",
        "until_time",
        "lifted_time",
    )
    list_filter = (RevocationStateFilter, "of")
    search_fields = ("entry_id", "name", "pattern", "reason", "by")
    search_help_text = "id, name, pattern, reason or who revoked it"
    ordering = ("-sequence",)
    readonly_fields = ("at_time", "before_time", "until_time", "lifted_time")
    exclude = ("at", "before", "until", "lifted_at", "key")

    @admin.display(description="at", ordering="at")
    def at_time(self, row: Revocation) -> datetime | None:
        """The time at which it was written."""
        return _time(row.at)

    @admin.display(description="refuses tokens issued until")
    def before_time(self, row: Revocation) -> datetime | None:
        """The latest `iat` that it refuses."""
        return _time(row.before)

    @admin.display(description="until", ordering="until")
    def until_time(self, row: Revocation) -> datetime | None:
        """The time at which it ends."""
        return _time(row.until)

    @admin.display(description="lifted", ordering="lifted_at")
    def lifted_time(self, row: Revocation) -> datetime | None:
        """The time at which it was lifted."""
        return _time(row.lifted_at)


class RunAdmin(ReadOnlyAdmin):
    """The periods of recording, with the number of dropped uses."""

    list_display = ("id", "service", "source", "started_time", "until_time", "recorded", "dropped")
    list_filter = ("service", "source")
    search_fields = ("id", "service")
    ordering = ("-started", "id")
    readonly_fields = ("started_time", "until_time")
    exclude = ("started", "until")

    @admin.display(description="started", ordering="started")
    def started_time(self, row: Run) -> datetime | None:
        """The start of the period."""
        return _time(row.started)

    @admin.display(description="until", ordering="until")
    def until_time(self, row: Run) -> datetime | None:
        """The time up to which everything is in the store."""
        return _time(row.until)


class HeartbeatAdmin(ReadOnlyAdmin):
    """The state of the serving processes."""

    list_display = ("process", "service", "host", "pid", "sequence", "age", "policy", "at_time")
    list_filter = ("service", "host")
    search_fields = ("process", "service", "host", "policy")
    ordering = ("-at", "process")
    readonly_fields = ("at_time",)
    exclude = ("at",)

    @admin.display(description="at", ordering="at")
    def at_time(self, row: Heartbeat) -> datetime | None:
        """The time of the last heartbeat."""
        return _time(row.at)


site.register(Usage, UsageAdmin)
site.register(Sighting, SightingAdmin)
site.register(Revocation, RevocationAdmin)
site.register(Run, RunAdmin)
site.register(Heartbeat, HeartbeatAdmin)
