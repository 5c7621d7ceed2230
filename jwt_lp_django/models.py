"""The tables of the store `django:…`.

Their names start with `jwt_lp_django_`. So one database can also hold the tables of a `postgresql:` store, whose names
start with `jwt_lp_` and which Django does not migrate. Nothing reads or writes these tables unless `STORE` names them.
"""

from __future__ import annotations

from django.db import models

from jwt_lp_django.campaign_models import AuditEntry, AuditHead, Campaign, CampaignGroup, CampaignItem, CampaignPart
from jwt_lp_django.fields import Exact, day, digest, flag, number, optional_time, text, time

__all__ = [
    "AuditEntry",
    "AuditHead",
    "Batch",
    "Campaign",
    "CampaignGroup",
    "CampaignItem",
    "CampaignPart",
    "Counter",
    "DailySum",
    "Elevation",
    "ElevationStep",
    "Exact",
    "Family",
    "Heartbeat",
    "HolderSum",
    "Holding",
    "Import",
    "Point",
    "Revocation",
    "Run",
    "Sighting",
    "Usage",
]


class Counter(models.Model):
    """The number of the last change. A transaction that writes revocations locks the one row until its commit."""

    id = number(primary_key=True)
    sequence = number()

    class Meta:  # noqa: D106 - Django's
        default_permissions = ()

    def __str__(self) -> str:
        return str(self.sequence)


class Revocation(models.Model):
    """One revocation. `changed` is the number of its last change: when it was written, or when it was lifted."""

    sequence = number(primary_key=True)
    changed = number(unique=True)
    at = time()
    before = optional_time()
    until = optional_time()
    lifted_at = optional_time()
    key = digest(db_index=True)
    entry_id = Exact(unique=True)
    of = Exact(max_length=16)
    issuer = text()
    name = text()
    pattern = text()
    keep = text()
    reason = text()
    by = text()
    # With a default of the database, so that a process of an older release can still write.
    standing: models.BooleanField[bool, bool] = models.BooleanField(default=False, db_default=False)

    class Meta:  # noqa: D106 - Django's
        default_permissions = ("view",)

    def __str__(self) -> str:
        return self.entry_id


class Family(models.Model):
    """A family of refresh tokens. `key` is the digest of issuer and subject."""

    id = Exact(primary_key=True)
    counter = number()
    created_at = time()
    rotated_at = time()
    expires_at = time(db_index=True)
    ended_at = optional_time()
    key = digest(db_index=True)
    issuer = text()
    subject = text()
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
    asked_at = time()
    answer_by = time()
    closes_at = time(db_index=True)
    since = optional_time()
    until = optional_time()
    denied_at = optional_time()
    ended_at = optional_time()
    reviewed_at = optional_time()
    seconds = number()
    needed = number()
    approvals = number()
    break_glass = flag()
    key = digest(db_index=True)
    # None is another value than "": all clients.
    client: models.TextField[str | None, str | None] = models.TextField(null=True)  # noqa: DJ001
    issuer = text()
    subject = text()
    permission = text()
    reason = text()
    ticket = text()
    person = text()
    known_as = text()

    class Meta:  # noqa: D106 - Django's
        default_permissions = ()
        indexes = (models.Index("asked_at", "id", name="jwt_lp_django_elevation_asked"),)

    def __str__(self) -> str:
        return self.id


class ElevationStep(models.Model):
    """A step of an elevation. `deliver_at` is when webhooks are to be told of it; None once they were."""

    id = Exact(primary_key=True)
    elevation = Exact(db_index=True)
    number = number()
    at = time()
    deliver_at: models.FloatField[float | None, float | None] = models.FloatField(null=True, db_index=True)
    action = Exact(max_length=16)
    issuer = text()
    subject = text()
    reason = text()
    person = text()
    digest = text()

    class Meta:  # noqa: D106 - Django's
        default_permissions = ()

    def __str__(self) -> str:
        return self.id


class Usage(models.Model):
    """How often a permission was used on one day, and when last."""

    id = digest(primary_key=True)
    count = number()
    last = time()
    day = day()
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

    id = digest(primary_key=True)
    uses = number()
    rows = number()
    last = time()
    first_day = day()
    last_day = day()
    issuer = Exact()
    subject = Exact()
    client = Exact()
    role = Exact()
    permission = Exact()
    grant = Exact()
    outcome = Exact()

    class Meta:  # noqa: D106 - Django's
        default_permissions = ()
        indexes = (
            models.Index("issuer", "subject", name="jwt_lp_django_holder_sum_who"),
            models.Index(fields=("issuer", "client"), name="jwt_lp_django_holder_sum_clie"),
            models.Index(fields=("permission",), name="jwt_lp_django_holder_sum_perm"),
        )

    def __str__(self) -> str:
        return f"{self.permission} until {self.last_day}"


class DailySum(models.Model):
    """The sum of the rows of usage of one day, enforcement point, permission and outcome."""

    id = digest(primary_key=True)
    uses = number()
    rows = number()
    day = day()
    service = Exact()
    endpoint = Exact()
    method = Exact()
    requirement = Exact()
    permission = Exact()
    outcome = Exact()

    class Meta:  # noqa: D106 - Django's
        default_permissions = ()
        indexes = (
            models.Index("day", name="jwt_lp_django_daily_sum_day"),
            models.Index(fields=("permission", "day"), name="jwt_lp_django_daily_sum_perm"),
        )

    def __str__(self) -> str:
        return f"{self.permission} on {self.day}"


class Sighting(models.Model):
    """A grant that tokens carried, with the first and the last day on which it was seen."""

    id = digest(primary_key=True)
    first_day = day()
    last_day = day()
    issuer = Exact()
    subject = Exact()
    client = Exact()
    role = Exact()
    grant = Exact()

    class Meta:  # noqa: D106 - Django's
        default_permissions = ("view",)
        indexes = (
            models.Index("issuer", "subject", name="jwt_lp_django_seen_who"),
            models.Index(fields=("issuer", "client"), name="jwt_lp_django_seen_client"),
            models.Index(fields=("role",), name="jwt_lp_django_seen_role"),
            models.Index(fields=("grant",), name="jwt_lp_django_seen_grant"),
        )

    def __str__(self) -> str:
        return self.grant


class Point(models.Model):
    """An enforcement point, with the first and the last day on which it was seen."""

    id = digest(primary_key=True)
    first_day = day()
    last_day = day()
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
    started = time()
    until = time()
    recorded = number()
    dropped = number()
    service = Exact()
    source = Exact(max_length=16)

    class Meta:  # noqa: D106 - Django's
        default_permissions = ("view",)

    def __str__(self) -> str:
        return self.id


class Batch(models.Model):
    """A batch that was added. `kept` marks the ids of imported files, which are never deleted."""

    id = Exact(primary_key=True)
    at = time()
    kept = flag()

    class Meta:  # noqa: D106 - Django's
        default_permissions = ()

    def __str__(self) -> str:
        return self.id


class Import(models.Model):
    """An import of grants as of a day; `complete` if it contained all grants."""

    as_of = day(primary_key=True)
    complete = flag()

    class Meta:  # noqa: D106 - Django's
        default_permissions = ()

    def __str__(self) -> str:
        return self.as_of


class Holding(models.Model):
    """An imported grant that a subject held on a day."""

    id = digest(primary_key=True)
    as_of = day()
    since = day()
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
            models.Index(fields=("role",), name="jwt_lp_django_held_role"),
            models.Index(fields=("grant",), name="jwt_lp_django_held_grant"),
        )

    def __str__(self) -> str:
        return self.grant


class Heartbeat(models.Model):
    """The state of one serving process."""

    process = Exact(primary_key=True)
    at = time()
    age = time()
    sequence = number()
    pid = number()
    service = Exact()
    host = Exact()
    policy = Exact()

    class Meta:  # noqa: D106 - Django's
        default_permissions = ("view",)

    def __str__(self) -> str:
        return self.process
