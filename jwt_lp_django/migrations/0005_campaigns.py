"""The tables of campaigns and of the audit trail, and the indexes that pages need."""

# ruff: noqa: D101, RUF012 - as Django writes them

from django.db import migrations, models

import jwt_lp_django.models


class Migration(migrations.Migration):
    dependencies = [
        ("jwt_lp_django", "0004_elevations"),
    ]

    operations = [
        migrations.CreateModel(
            name="AuditEntry",
            fields=[
                ("sequence", models.BigIntegerField(primary_key=True, serialize=False)),
                ("at", models.FloatField(db_index=True)),
                ("by_issuer", jwt_lp_django.models.Exact(max_length=255)),
                ("by", jwt_lp_django.models.Exact(max_length=255)),
                ("by_name", jwt_lp_django.models.Exact(max_length=255)),
                ("action", jwt_lp_django.models.Exact(max_length=255)),
                ("campaign", jwt_lp_django.models.Exact(max_length=255)),
                ("object", jwt_lp_django.models.Exact(max_length=255)),
                ("details", models.TextField()),
                ("previous", jwt_lp_django.models.Exact(max_length=64)),
                ("hash", jwt_lp_django.models.Exact(max_length=64)),
            ],
            options={
                "verbose_name_plural": "audit entries",
                "default_permissions": (),
            },
        ),
        migrations.CreateModel(
            name="AuditHead",
            fields=[
                ("id", models.BigIntegerField(primary_key=True, serialize=False)),
                ("sequence", models.BigIntegerField()),
                ("hash", jwt_lp_django.models.Exact(max_length=64)),
            ],
            options={
                "default_permissions": (),
            },
        ),
        migrations.CreateModel(
            name="Campaign",
            fields=[
                ("id", jwt_lp_django.models.Exact(max_length=255, primary_key=True, serialize=False)),
                ("made_at", models.FloatField()),
                ("deadline", models.FloatField()),
                ("closed_at", models.FloatField(null=True)),
                ("cancelled_at", models.FloatField(null=True)),
                ("items", models.BigIntegerField()),
                ("decided", models.BigIntegerField()),
                ("name", models.TextField()),
                ("day", models.TextField()),
                ("undecided", models.TextField()),
                ("split", models.TextField()),
                ("stages", models.TextField()),
                ("made_by", models.TextField()),
                ("origin", models.TextField()),
                ("summary", models.TextField()),
            ],
            options={
                "default_permissions": (),
            },
        ),
        migrations.CreateModel(
            name="CampaignGroup",
            fields=[
                ("id", models.UUIDField(primary_key=True, serialize=False)),
                ("campaign", jwt_lp_django.models.Exact(max_length=255)),
                ("part", jwt_lp_django.models.Exact(max_length=255)),
                ("place", models.BigIntegerField()),
                ("content", models.TextField()),
            ],
            options={
                "default_permissions": (),
            },
        ),
        migrations.CreateModel(
            name="CampaignItem",
            fields=[
                ("id", models.UUIDField(primary_key=True, serialize=False)),
                ("campaign", jwt_lp_django.models.Exact(max_length=255)),
                ("item", jwt_lp_django.models.Exact(db_index=True, max_length=255)),
                ("part", jwt_lp_django.models.Exact(max_length=255)),
                ("position", models.BigIntegerField()),
                ("version", models.BigIntegerField()),
                ("decided_at", models.FloatField(null=True)),
                ("decided_on", models.CharField(max_length=10, null=True)),
                ("rule", models.BooleanField()),
                ("key", models.UUIDField()),
                ("group", jwt_lp_django.models.Exact(max_length=255)),
                ("role", jwt_lp_django.models.Exact(max_length=255)),
                ("grant", jwt_lp_django.models.Exact(max_length=255)),
                ("decision", jwt_lp_django.models.Exact(max_length=16)),
                ("until", jwt_lp_django.models.Exact(max_length=255)),
                ("decided_group", jwt_lp_django.models.Exact(max_length=255)),
                ("comment", models.TextField()),
                ("decided_by", models.TextField()),
                ("finding", models.TextField()),
            ],
            options={
                "default_permissions": (),
            },
        ),
        migrations.CreateModel(
            name="CampaignPart",
            fields=[
                ("id", models.UUIDField(primary_key=True, serialize=False)),
                ("campaign", jwt_lp_django.models.Exact(db_index=True, max_length=255)),
                ("name", jwt_lp_django.models.Exact(max_length=255)),
                ("reminded_at", models.FloatField(null=True)),
                ("items", models.BigIntegerField()),
                ("decided", models.BigIntegerField()),
                ("version", models.BigIntegerField()),
                ("key", models.UUIDField(db_index=True, null=True)),
                ("reviewer", models.TextField()),
                ("delegated_by", models.TextField()),
            ],
            options={
                "default_permissions": (),
            },
        ),
        migrations.AddIndex(
            model_name="dailysum",
            index=models.Index(fields=["permission", "day"], name="jwt_lp_django_daily_sum_perm"),
        ),
        migrations.AddIndex(
            model_name="holdersum",
            index=models.Index(fields=["issuer", "client"], name="jwt_lp_django_holder_sum_clie"),
        ),
        migrations.AddIndex(
            model_name="holdersum",
            index=models.Index(fields=["permission"], name="jwt_lp_django_holder_sum_perm"),
        ),
        migrations.AddIndex(
            model_name="holding",
            index=models.Index(fields=["role"], name="jwt_lp_django_held_role"),
        ),
        migrations.AddIndex(
            model_name="holding",
            index=models.Index(fields=["grant"], name="jwt_lp_django_held_grant"),
        ),
        migrations.AddIndex(
            model_name="sighting",
            index=models.Index(fields=["issuer", "client"], name="jwt_lp_django_seen_client"),
        ),
        migrations.AddIndex(
            model_name="sighting",
            index=models.Index(fields=["role"], name="jwt_lp_django_seen_role"),
        ),
        migrations.AddIndex(
            model_name="sighting",
            index=models.Index(fields=["grant"], name="jwt_lp_django_seen_grant"),
        ),
        migrations.AddIndex(
            model_name="auditentry",
            index=models.Index(fields=["by", "sequence"], name="jwt_lp_django_audit_by"),
        ),
        migrations.AddIndex(
            model_name="auditentry",
            index=models.Index(fields=["by_name", "sequence"], name="jwt_lp_django_audit_by_name"),
        ),
        migrations.AddIndex(
            model_name="auditentry",
            index=models.Index(fields=["action", "sequence"], name="jwt_lp_django_audit_action"),
        ),
        migrations.AddIndex(
            model_name="auditentry",
            index=models.Index(fields=["campaign", "sequence"], name="jwt_lp_django_audit_campaign"),
        ),
        migrations.AddIndex(
            model_name="auditentry",
            index=models.Index(fields=["object", "sequence"], name="jwt_lp_django_audit_object"),
        ),
        migrations.AddIndex(
            model_name="campaigngroup",
            index=models.Index(fields=["campaign", "part", "place"], name="jwt_lp_django_cgroup_order"),
        ),
        migrations.AddIndex(
            model_name="campaignitem",
            index=models.Index(fields=["campaign", "key"], name="jwt_lp_django_citem_key"),
        ),
        migrations.AddIndex(
            model_name="campaignitem",
            index=models.Index(fields=["campaign", "role"], name="jwt_lp_django_citem_role"),
        ),
        migrations.AddIndex(
            model_name="campaignitem",
            index=models.Index(fields=["campaign", "grant"], name="jwt_lp_django_citem_grant"),
        ),
        migrations.AddIndex(
            model_name="campaignitem",
            index=models.Index(fields=["campaign", "decided_on"], name="jwt_lp_django_citem_decided"),
        ),
        migrations.AddConstraint(
            model_name="campaignitem",
            constraint=models.UniqueConstraint(
                fields=("campaign", "part", "position"), name="jwt_lp_django_citem_order"
            ),
        ),
    ]
