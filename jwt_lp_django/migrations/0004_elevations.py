"""The tables of elevations and their steps, and deny entries that are for standing grants only."""

# ruff: noqa: D101, RUF012 - as Django writes them

from django.db import migrations, models

import jwt_lp_django.models


class Migration(migrations.Migration):
    dependencies = [
        ("jwt_lp_django", "0003_refresh_families"),
    ]

    operations = [
        migrations.AddField(
            model_name="revocation",
            name="standing",
            field=models.BooleanField(db_default=False, default=False),
        ),
        migrations.CreateModel(
            name="ElevationStep",
            fields=[
                ("id", jwt_lp_django.models.Exact(max_length=255, primary_key=True, serialize=False)),
                ("elevation", jwt_lp_django.models.Exact(db_index=True, max_length=255)),
                ("number", models.BigIntegerField()),
                ("at", models.FloatField()),
                ("deliver_at", models.FloatField(db_index=True, null=True)),
                ("action", jwt_lp_django.models.Exact(max_length=16)),
                ("issuer", models.TextField()),
                ("subject", models.TextField()),
                ("reason", models.TextField()),
                ("person", models.TextField()),
                ("digest", models.TextField()),
            ],
            options={
                "default_permissions": (),
            },
        ),
        migrations.CreateModel(
            name="Elevation",
            fields=[
                ("id", jwt_lp_django.models.Exact(max_length=255, primary_key=True, serialize=False)),
                ("changed", models.BigIntegerField(db_index=True, null=True)),
                ("asked_at", models.FloatField()),
                ("answer_by", models.FloatField()),
                ("closes_at", models.FloatField(db_index=True)),
                ("since", models.FloatField(null=True)),
                ("until", models.FloatField(null=True)),
                ("denied_at", models.FloatField(null=True)),
                ("ended_at", models.FloatField(null=True)),
                ("reviewed_at", models.FloatField(null=True)),
                ("seconds", models.BigIntegerField()),
                ("needed", models.BigIntegerField()),
                ("approvals", models.BigIntegerField()),
                ("break_glass", models.BooleanField()),
                ("key", models.UUIDField(db_index=True)),
                ("client", models.TextField(null=True)),
                ("issuer", models.TextField()),
                ("subject", models.TextField()),
                ("permission", models.TextField()),
                ("reason", models.TextField()),
                ("ticket", models.TextField()),
                ("person", models.TextField()),
                ("known_as", models.TextField()),
            ],
            options={
                "default_permissions": (),
                "indexes": [models.Index(models.F("asked_at"), models.F("id"), name="jwt_lp_django_elevation_asked")],
            },
        ),
    ]
