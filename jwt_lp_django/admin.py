"""What do people see of the store in Django's admin?

Pages to read: nothing can be added, changed or deleted there, since rows come from recording, and what was revoked
is lifted by `jwt-lp unrevoke`, which numbers the change. Who may look is up to Django's view permissions.
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
    """Rows to look at."""

    actions = None
    # Counting millions of rows a second time would help nobody.
    show_full_result_count = False
    list_per_page = 50

    def has_add_permission(self, request: HttpRequest, *_: Any) -> bool:
        """Nobody."""
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Nobody."""
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Nobody."""
        return False


class UsageAdmin(ReadOnlyAdmin):
    """Who used what, through which grant."""

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
        """When last."""
        return _time(row.last)


class SightingAdmin(ReadOnlyAdmin):
    """Which grants tokens carried."""

    list_display = ("grant", "role", "subject", "client", "issuer", "first_day", "last_day")
    list_filter = ("issuer",)
    search_fields = ("subject", "client", "role", "grant")
    search_help_text = "subject, client, role or grant"
    ordering = ("-last_day", "id")


class RevocationStateFilter(admin.SimpleListFilter):
    """Whether an entry stands."""

    title = "state"
    parameter_name = "state"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        """The two there are."""
        return [("standing", "In force"), ("lifted", "Lifted")]

    def queryset(self, request: HttpRequest, queryset: Any) -> Any:
        """The rows of one."""
        asked = self.value()
        return (
            queryset if asked not in {"standing", "lifted"} else queryset.filter(lifted_at__isnull=asked == "standing")
        )


class RevocationAdmin(ReadOnlyAdmin):
    """Revocations."""

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
        """When it was written."""
        return _time(row.at)

    @admin.display(description="refuses tokens issued until")
    def before_time(self, row: Revocation) -> datetime | None:
        """Until which `iat`."""
        return _time(row.before)

    @admin.display(description="until", ordering="until")
    def until_time(self, row: Revocation) -> datetime | None:
        """When it ends."""
        return _time(row.until)

    @admin.display(description="lifted", ordering="lifted_at")
    def lifted_time(self, row: Revocation) -> datetime | None:
        """When it was lifted."""
        return _time(row.lifted_at)


class RunAdmin(ReadOnlyAdmin):
    """What was recorded when, and what was dropped."""

    list_display = ("id", "service", "source", "started_time", "until_time", "recorded", "dropped")
    list_filter = ("service", "source")
    search_fields = ("id", "service")
    ordering = ("-started", "id")
    readonly_fields = ("started_time", "until_time")
    exclude = ("started", "until")

    @admin.display(description="started", ordering="started")
    def started_time(self, row: Run) -> datetime | None:
        """When it began."""
        return _time(row.started)

    @admin.display(description="until", ordering="until")
    def until_time(self, row: Run) -> datetime | None:
        """Until when all of it is here."""
        return _time(row.until)


class HeartbeatAdmin(ReadOnlyAdmin):
    """How the serving processes stand."""

    list_display = ("process", "service", "host", "pid", "sequence", "age", "policy", "at_time")
    list_filter = ("service", "host")
    search_fields = ("process", "service", "host", "policy")
    ordering = ("-at", "process")
    readonly_fields = ("at_time",)
    exclude = ("at",)

    @admin.display(description="at", ordering="at")
    def at_time(self, row: Heartbeat) -> datetime | None:
        """When it was heard of."""
        return _time(row.at)


site.register(Usage, UsageAdmin)
site.register(Sighting, SightingAdmin)
site.register(Revocation, RevocationAdmin)
site.register(Run, RunAdmin)
site.register(Heartbeat, HeartbeatAdmin)
