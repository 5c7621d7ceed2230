"""The tables of campaigns and of the audit trail.

Actors, and what a review says, are JSON where nothing looks for them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.db import models

from jwt_lp_django.fields import Exact, digest, flag, number, optional_time, text, time

if TYPE_CHECKING:
    from uuid import UUID


class Campaign(models.Model):
    """A frozen review whose decisions are made by reviewers."""

    id = Exact(primary_key=True)
    made_at = time()
    deadline = time()
    closed_at = optional_time()
    cancelled_at = optional_time()
    items = number()
    decided = number()
    name = text()
    day = text()
    undecided = text()
    split = text()
    stages = text()
    made_by = text()
    origin = text()
    summary = text()

    class Meta:  # noqa: D106 - Django's
        default_permissions = ()

    def __str__(self) -> str:
        return self.name


class CampaignPart(models.Model):
    """The items of a campaign that one reviewer decides about. `key` is the digest of the reviewer."""

    id = digest(primary_key=True)
    campaign = Exact(db_index=True)
    name = Exact()
    reminded_at = optional_time()
    items = number()
    decided = number()
    version = number()
    key: models.UUIDField[UUID | None, UUID | None] = models.UUIDField(null=True, db_index=True)
    reviewer = text()
    delegated_by = text()

    class Meta:  # noqa: D106 - Django's
        default_permissions = ()

    def __str__(self) -> str:
        return self.name


class CampaignGroup(models.Model):
    """Items of a part that one decision covers."""

    id = digest(primary_key=True)
    campaign = Exact()
    part = Exact()
    place = number()
    content = text()

    class Meta:  # noqa: D106 - Django's
        default_permissions = ()
        indexes = (models.Index(fields=("campaign", "part", "place"), name="jwt_lp_django_cgroup_order"),)

    def __str__(self) -> str:
        return self.part


class CampaignItem(models.Model):
    """A finding that needs a decision. `item` is its id, and `key` the digest of what it is about.

    `decision` is "" while nobody decided, and `decided_on` the day.
    """

    id = digest(primary_key=True)
    campaign = Exact()
    item = Exact(db_index=True)
    part = Exact()
    position = number()
    version = number()
    decided_at = optional_time()
    decided_on: models.CharField[str | None, str | None] = models.CharField(max_length=10, null=True)  # noqa: DJ001 - None groups apart
    rule = flag()
    key = digest()
    group = Exact()
    role = Exact()
    grant = Exact()
    decision = Exact(max_length=16)
    until = Exact()
    decided_group = Exact()
    comment = text()
    decided_by = text()
    finding = text()

    class Meta:  # noqa: D106 - Django's
        default_permissions = ()
        constraints = (
            models.UniqueConstraint(fields=("campaign", "part", "position"), name="jwt_lp_django_citem_order"),
        )
        indexes = (
            models.Index(fields=("campaign", "key"), name="jwt_lp_django_citem_key"),
            models.Index(fields=("campaign", "role"), name="jwt_lp_django_citem_role"),
            models.Index(fields=("campaign", "grant"), name="jwt_lp_django_citem_grant"),
            models.Index(fields=("campaign", "decided_on"), name="jwt_lp_django_citem_decided"),
        )

    def __str__(self) -> str:
        return self.item


class AuditEntry(models.Model):
    """Who did what. Entries are only added. `by` is the subject of the actor."""

    sequence = number(primary_key=True)
    at = time(db_index=True)
    by_issuer = Exact()
    by = Exact()
    by_name = Exact()
    action = Exact()
    campaign = Exact()
    object = Exact()
    details = text()
    previous = Exact(max_length=64)
    hash = Exact(max_length=64)

    class Meta:  # noqa: D106 - Django's
        default_permissions = ()
        verbose_name_plural = "audit entries"
        indexes = (
            models.Index(fields=("by", "sequence"), name="jwt_lp_django_audit_by"),
            models.Index(fields=("by_name", "sequence"), name="jwt_lp_django_audit_by_name"),
            models.Index(fields=("action", "sequence"), name="jwt_lp_django_audit_action"),
            models.Index(fields=("campaign", "sequence"), name="jwt_lp_django_audit_campaign"),
            models.Index(fields=("object", "sequence"), name="jwt_lp_django_audit_object"),
        )

    def __str__(self) -> str:
        return f"{self.sequence}: {self.action}"


class AuditHead(models.Model):
    """The last entry. A transaction that adds entries locks the one row until its commit."""

    id = number(primary_key=True)
    sequence = number()
    hash = Exact(max_length=64)

    class Meta:  # noqa: D106 - Django's
        default_permissions = ()

    def __str__(self) -> str:
        return str(self.sequence)
