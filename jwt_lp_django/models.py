"""The tables of the store `django:…`.

Their names start with `jwt_lp_django_`. So one database can also hold the tables of a `postgresql:` store, whose names
start with `jwt_lp_` and which Django does not migrate. Nothing reads or writes these tables unless `STORE` names them.
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
    """A text that every database compares by code point, so that two subjects are never treated as one."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        kwargs.setdefault("max_length", 255)
        super().__init__(*args, **kwargs)

    def db_parameters(self, connection: BaseDatabaseWrapper) -> Any:
        """The column's type, with the collation for it. SQLite compares by code point without one."""
        parameters: dict[str, Any] = {**super().db_parameters(connection)}
        if connection.vendor in _COLLATIONS:
            parameters["collation"] = _COLLATIONS[connection.vendor]
        return parameters


def _day(**options: Any) -> models.CharField[str, str]:
    return models.CharField(max_length=10, **options)


def _time(**options: Any) -> models.FloatField[float, float]:
    return models.FloatField(**options)


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
    """The number of the last change. A transaction that writes revocations locks the one row until its commit."""

    id = _number(primary_key=True)
    sequence = _number()

    class Meta:  # noqa: D106 - Django's
        default_permissions = ()

    def __str__(self) -> str:
        return str(self.sequence)


class Revocation(models.Model):
    """One revocation. `changed` is the number of its last change: when it was written, or when it was lifted."""

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
    # With a default of the database, so that a process of an older release can still write.
    standing: models.BooleanField[bool, bool] = models.BooleanField(default=False, db_default=False)

    class Meta:  # noqa: D106 - Django's
        default_permissions = ("view",)

    def __str__(self) -> str:
        return self.entry_id


class Family(models.Model):
    """A family of refresh tokens. `key` is the digest of issuer and subject."""

    id = Exact(primary_key=True)
    counter = _number()
    created_at = _time()
    rotated_at = _time()
    expires_at = _time(db_index=True)
    ended_at = _optional_time()
    key = _digest(db_index=True)
    issuer = _text()
    subject = _text()
    reason = Exact(max_length=32)

    class Meta:  # noqa: D106 - Django's
        default_permissions = ()
        verbose_name_plural = "families"

    def __str__(self) -> str:
        return self.id


class Elevation(models.Model):
    """A permission that a subject asked to hold for a bounded time.

    `changed` is the number of the last change that guards have to know, and `closes_at` when nothing comes of it any
    more. `key` is the digest of issuer and subject.
    """

    id = Exact(primary_key=True)
    changed: models.BigIntegerField[int | None, int | None] = models.BigIntegerField(null=True, db_index=True)
    asked_at = _time()
    answer_by = _time()
    closes_at = _time(db_index=True)
    since = _optional_time()
    until = _optional_time()
    denied_at = _optional_time()
    ended_at = _optional_time()
    reviewed_at = _optional_time()
    seconds = _number()
    needed = _number()
    approvals = _number()
    break_glass = _flag()
    key = _digest(db_index=True)
    # None is another value than "": all clients.
    client: models.TextField[str | None, str | None] = models.TextField(null=True)  # noqa: DJ001
    issuer = _text()
    subject = _text()
    permission = _text()
    reason = _text()
    ticket = _text()
    person = _text()
    known_as = _text()

    class Meta:  # noqa: D106 - Django's
        default_permissions = ()
        indexes = (models.Index("asked_at", "id", name="jwt_lp_django_elevation_asked"),)

    def __str__(self) -> str:
        return self.id


class ElevationStep(models.Model):
    """A step of an elevation. `deliver_at` is when webhooks are to be told of it; None once they were."""

    id = Exact(primary_key=True)
    elevation = Exact(db_index=True)
    number = _number()
    at = _time()
    deliver_at: models.FloatField[float | None, float | None] = models.FloatField(null=True, db_index=True)
    action = Exact(max_length=16)
    issuer = _text()
    subject = _text()
    reason = _text()
    person = _text()
    digest = _text()

    class Meta:  # noqa: D106 - Django's
        default_permissions = ()

    def __str__(self) -> str:
        return self.id


class Usage(models.Model):
    """How often a permission was used on one day, and when last."""

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


class HolderSum(models.Model):
    """The sum of the rows of usage of one holder, permission, grant and outcome."""

    id = _digest(primary_key=True)
    uses = _number()
    rows = _number()
    last = _time()
    first_day = _day()
    last_day = _day()
    issuer = Exact()
    subject = Exact()
    client = Exact()
    role = Exact()
    permission = Exact()
    grant = Exact()
    outcome = Exact()

    class Meta:  # noqa: D106 - Django's
        default_permissions = ()
        indexes = (models.Index("issuer", "subject", name="jwt_lp_django_holder_sum_who"),)

    def __str__(self) -> str:
        return f"{self.permission} until {self.last_day}"


class DailySum(models.Model):
    """The sum of the rows of usage of one day, enforcement point, permission and outcome."""

    id = _digest(primary_key=True)
    uses = _number()
    rows = _number()
    day = _day()
    service = Exact()
    endpoint = Exact()
    method = Exact()
    requirement = Exact()
    permission = Exact()
    outcome = Exact()

    class Meta:  # noqa: D106 - Django's
        default_permissions = ()
        indexes = (models.Index("day", name="jwt_lp_django_daily_sum_day"),)

    def __str__(self) -> str:
        return f"{self.permission} on {self.day}"


class Sighting(models.Model):
    """A grant that tokens carried, with the first and the last day on which it was seen."""

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
    """An enforcement point, with the first and the last day on which it was seen."""

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
    """A period in which one process recorded usage, with the numbers of recorded and dropped uses."""

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
    """A batch that was added. `kept` marks the ids of imported files, which are never deleted."""

    id = Exact(primary_key=True)
    at = _time()
    kept = _flag()

    class Meta:  # noqa: D106 - Django's
        default_permissions = ()

    def __str__(self) -> str:
        return self.id


class Import(models.Model):
    """An import of grants as of a day; `complete` if it contained all grants."""

    as_of = _day(primary_key=True)
    complete = _flag()

    class Meta:  # noqa: D106 - Django's
        default_permissions = ()

    def __str__(self) -> str:
        return self.as_of


class Holding(models.Model):
    """An imported grant that a subject held on a day."""

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
    """The state of one serving process."""

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
