"""The tables of the store. Nothing reads or writes them unless `STORE` names them."""

# ruff: noqa: D101, RUF012 - as Django writes them

from django.db import migrations, models

import jwt_lp_django.models


class Migration(migrations.Migration):
    initial = True

    dependencies = []

    operations = [
        migrations.CreateModel(
            name="Batch",
            fields=[
                ("id", jwt_lp_django.models.Exact(max_length=255, primary_key=True, serialize=False)),
                ("at", models.FloatField()),
                ("kept", models.BooleanField()),
            ],
            options={
                "default_permissions": (),
            },
        ),
        migrations.CreateModel(
            name="Counter",
            fields=[
                ("id", models.BigIntegerField(primary_key=True, serialize=False)),
                ("sequence", models.BigIntegerField()),
            ],
            options={
                "default_permissions": (),
            },
        ),
        migrations.CreateModel(
            name="Heartbeat",
            fields=[
                ("process", jwt_lp_django.models.Exact(max_length=255, primary_key=True, serialize=False)),
                ("at", models.FloatField()),
                ("age", models.FloatField()),
                ("sequence", models.BigIntegerField()),
                ("pid", models.BigIntegerField()),
                ("service", jwt_lp_django.models.Exact(max_length=255)),
                ("host", jwt_lp_django.models.Exact(max_length=255)),
                ("policy", jwt_lp_django.models.Exact(max_length=255)),
            ],
            options={
                "default_permissions": ("view",),
            },
        ),
        migrations.CreateModel(
            name="Import",
            fields=[
                ("as_of", models.CharField(max_length=10, primary_key=True, serialize=False)),
                ("complete", models.BooleanField()),
            ],
            options={
                "default_permissions": (),
            },
        ),
        migrations.CreateModel(
            name="Point",
            fields=[
                ("id", models.UUIDField(primary_key=True, serialize=False)),
                ("first_day", models.CharField(max_length=10)),
                ("last_day", models.CharField(max_length=10)),
                ("service", jwt_lp_django.models.Exact(max_length=255)),
                ("endpoint", jwt_lp_django.models.Exact(max_length=255)),
                ("method", jwt_lp_django.models.Exact(max_length=255)),
                ("requirement", jwt_lp_django.models.Exact(max_length=255)),
            ],
            options={
                "default_permissions": (),
            },
        ),
        migrations.CreateModel(
            name="Revocation",
            fields=[
                ("sequence", models.BigIntegerField(primary_key=True, serialize=False)),
                ("changed", models.BigIntegerField(unique=True)),
                ("at", models.FloatField()),
                ("before", models.FloatField(null=True)),
                ("until", models.FloatField(null=True)),
                ("lifted_at", models.FloatField(null=True)),
                ("key", models.UUIDField(db_index=True)),
                ("entry_id", jwt_lp_django.models.Exact(max_length=255, unique=True)),
                ("of", jwt_lp_django.models.Exact(max_length=16)),
                ("issuer", models.TextField()),
                ("name", models.TextField()),
                ("pattern", models.TextField()),
                ("keep", models.TextField()),
                ("reason", models.TextField()),
                ("by", models.TextField()),
            ],
            options={
                "default_permissions": ("view",),
            },
        ),
        migrations.CreateModel(
            name="Run",
            fields=[
                ("id", jwt_lp_django.models.Exact(max_length=255, primary_key=True, serialize=False)),
                ("started", models.FloatField()),
                ("until", models.FloatField()),
                ("recorded", models.BigIntegerField()),
                ("dropped", models.BigIntegerField()),
                ("service", jwt_lp_django.models.Exact(max_length=255)),
                ("source", jwt_lp_django.models.Exact(max_length=16)),
            ],
            options={
                "default_permissions": ("view",),
            },
        ),
        migrations.CreateModel(
            name="Holding",
            fields=[
                ("id", models.UUIDField(primary_key=True, serialize=False)),
                ("as_of", models.CharField(max_length=10)),
                ("since", models.CharField(max_length=10)),
                ("issuer", jwt_lp_django.models.Exact(max_length=255)),
                ("subject", jwt_lp_django.models.Exact(max_length=255)),
                ("client", jwt_lp_django.models.Exact(max_length=255)),
                ("role", jwt_lp_django.models.Exact(max_length=255)),
                ("grant", jwt_lp_django.models.Exact(max_length=255)),
            ],
            options={
                "default_permissions": (),
                "indexes": [
                    models.Index(models.F("as_of"), name="jwt_lp_django_held_as_of"),
                    models.Index(models.F("issuer"), models.F("subject"), name="jwt_lp_django_held_who"),
                ],
            },
        ),
        migrations.CreateModel(
            name="Sighting",
            fields=[
                ("id", models.UUIDField(primary_key=True, serialize=False)),
                ("first_day", models.CharField(max_length=10)),
                ("last_day", models.CharField(max_length=10)),
                ("issuer", jwt_lp_django.models.Exact(max_length=255)),
                ("subject", jwt_lp_django.models.Exact(max_length=255)),
                ("client", jwt_lp_django.models.Exact(max_length=255)),
                ("role", jwt_lp_django.models.Exact(max_length=255)),
                ("grant", jwt_lp_django.models.Exact(max_length=255)),
            ],
            options={
                "default_permissions": ("view",),
                "indexes": [models.Index(models.F("issuer"), models.F("subject"), name="jwt_lp_django_seen_who")],
            },
        ),
        migrations.CreateModel(
            name="Usage",
            fields=[
                ("id", models.UUIDField(primary_key=True, serialize=False)),
                ("count", models.BigIntegerField()),
                ("last", models.FloatField()),
                ("day", models.CharField(max_length=10)),
                ("service", jwt_lp_django.models.Exact(max_length=255)),
                ("issuer", jwt_lp_django.models.Exact(max_length=255)),
                ("subject", jwt_lp_django.models.Exact(max_length=255)),
                ("client", jwt_lp_django.models.Exact(max_length=255)),
                ("role", jwt_lp_django.models.Exact(max_length=255)),
                ("endpoint", jwt_lp_django.models.Exact(max_length=255)),
                ("method", jwt_lp_django.models.Exact(max_length=255)),
                ("requirement", jwt_lp_django.models.Exact(max_length=255)),
                ("permission", jwt_lp_django.models.Exact(max_length=255)),
                ("grant", jwt_lp_django.models.Exact(max_length=255)),
                ("outcome", jwt_lp_django.models.Exact(max_length=255)),
            ],
            options={
                "verbose_name_plural": "usage",
                "default_permissions": ("view",),
                "indexes": [
                    models.Index(models.F("issuer"), models.F("subject"), name="jwt_lp_django_usage_who"),
                    models.Index(models.F("permission"), name="jwt_lp_django_usage_perm"),
                    models.Index(models.F("day"), name="jwt_lp_django_usage_day"),
                ],
            },
        ),
    ]
