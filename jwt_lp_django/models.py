"""What does the store `django:…` keep, and in which tables?

They are Django's own, `jwt_lp_django_…`, so that one database can hold them beside those of a `postgresql:` store,
which start with `jwt_lp_` and are nobody's migrations. Nothing reads or writes them unless `STORE` names them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from uuid import UUID

from django.db import models

if TYPE_CHECKING:
    from django.db.backends.base.base import BaseDatabaseWrapper

    Chars = models.CharField[str, str]
else:
    Chars = models.CharField

_COLLATIONS = {"mysql": "utf8mb4_bin", "postgresql": "C"}


class Exact(Chars):
    """A text that is compared by code point in every database, so that no two subjects are ever taken for one."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        kwargs.setdefault("max_length", 255)
        super().__init__(*args, **kwargs)

    def db_parameters(self, connection: BaseDatabaseWrapper) -> Any:
        """Its type, with the collation of this database that does it; SQLite's own does."""
        found: dict[str, Any] = {**super().db_parameters(connection)}
        if connection.vendor in _COLLATIONS:
            found["collation"] = _COLLATIONS[connection.vendor]
        return found


def _day(**options: Any) -> models.CharField[str, str]:
    return models.CharField(max_length=10, **options)


def _time() -> models.FloatField[float, float]:
    return models.FloatField()


def _optional_time() -> models.FloatField[float | None, float | None]:
    return models.FloatField(null=True)


def _number(**options: Any) -> models.BigIntegerField[int, int]:
    return models.BigIntegerField(**options)


def _digest(**options: Any) -> models.UUIDField[UUID, UUID]:
    return models.UUIDField(**options)


def _text() -> models.TextField[str, str]:
    return models.TextField()


def _flag() -> models.BooleanField[bool, bool]:
    return models.BooleanField()


class Counter(models.Model):
    """How far the numbers of changes have come. Whoever writes revocations holds its one row until the commit."""

    id = _number(primary_key=True)
    sequence = _number()

    class Meta:  # noqa: D106 - Django's
        default_permissions = ()

    def __str__(self) -> str:
        return str(self.sequence)


class Revocation(models.Model):
    """One thing that was revoked. `changed` is the number of its last change: its writing or its lifting."""

    sequence = _number(primary_key=True)
    changed = _number(unique=True)
    at = _time()
    before = _optional_time()
    until = _optional_time()
    lifted_at = _optional_time()
    key = _digest(db_index=True)
    entry_id = Exact(unique=True)
    of = Exact(max_length=16)
    issuer = _text()
    name = _text()
    pattern = _text()
    keep = _text()
    reason = _text()
    by = _text()

    class Meta:  # noqa: D106 - Django's
        default_permissions = ("view",)

    def __str__(self) -> str:
        return self.entry_id


class Usage(models.Model):
    """How often one thing was used on one day, and when last."""

    id = _digest(primary_key=True)
    count = _number()
    last = _time()
    day = _day()
    service = Exact()
    issuer = Exact()
    subject = Exact()
    client = Exact()
    role = Exact()
    endpoint = Exact()
    method = Exact()
    requirement = Exact()
    permission = Exact()
    grant = Exact()
    outcome = Exact()

    class Meta:  # noqa: D106 - Django's
        default_permissions = ("view",)
        verbose_name_plural = "usage"
        indexes = (
            models.Index("issuer", "subject", name="jwt_lp_django_usage_who"),
            models.Index("permission", name="jwt_lp_django_usage_perm"),
            models.Index("day", name="jwt_lp_django_usage_day"),
        )

    def __str__(self) -> str:
        return f"{self.permission} on {self.day}"


class Sighting(models.Model):
    """A grant that tokens carried, with the first and the last day."""

    id = _digest(primary_key=True)
    first_day = _day()
    last_day = _day()
    issuer = Exact()
    subject = Exact()
    client = Exact()
    role = Exact()
    grant = Exact()

    class Meta:  # noqa: D106 - Django's
        default_permissions = ("view",)
        indexes = (models.Index("issuer", "subject", name="jwt_lp_django_seen_who"),)

    def __str__(self) -> str:
        return self.grant


class Point(models.Model):
    """An enforcement point, with the first and the last day."""

    id = _digest(primary_key=True)
    first_day = _day()
    last_day = _day()
    service = Exact()
    endpoint = Exact()
    method = Exact()
    requirement = Exact()

    class Meta:  # noqa: D106 - Django's
        default_permissions = ()

    def __str__(self) -> str:
        return self.endpoint


class Run(models.Model):
    """What one process recorded from when to when, and what it had to drop."""

    id = Exact(primary_key=True)
    started = _time()
    until = _time()
    recorded = _number()
    dropped = _number()
    service = Exact()
    source = Exact(max_length=16)

    class Meta:  # noqa: D106 - Django's
        default_permissions = ("view",)

    def __str__(self) -> str:
        return self.id


class Batch(models.Model):
    """A batch that was counted. `kept` are ids of imported files, asked for as long as there may be such a file."""

    id = Exact(primary_key=True)
    at = _time()
    kept = _flag()

    class Meta:  # noqa: D106 - Django's
        default_permissions = ()

    def __str__(self) -> str:
        return self.id


class Import(models.Model):
    """That grants were imported as of a day, and whether those were all there are."""

    as_of = _day(primary_key=True)
    complete = _flag()

    class Meta:  # noqa: D106 - Django's
        default_permissions = ()

    def __str__(self) -> str:
        return self.as_of


class Holding(models.Model):
    """A grant that somebody was known to hold on a day."""

    id = _digest(primary_key=True)
    as_of = _day()
    since = _day()
    issuer = Exact()
    subject = Exact()
    client = Exact()
    role = Exact()
    grant = Exact()

    class Meta:  # noqa: D106 - Django's
        default_permissions = ()
        indexes = (
            models.Index("as_of", name="jwt_lp_django_held_as_of"),
            models.Index("issuer", "subject", name="jwt_lp_django_held_who"),
        )

    def __str__(self) -> str:
        return self.grant


class Heartbeat(models.Model):
    """How one serving process stands."""

    process = Exact(primary_key=True)
    at = _time()
    age = _time()
    sequence = _number()
    pid = _number()
    service = Exact()
    host = Exact()
    policy = Exact()

    class Meta:  # noqa: D106 - Django's
        default_permissions = ("view",)

    def __str__(self) -> str:
        return self.process
