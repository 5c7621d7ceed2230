"""The table of families of refresh tokens."""

# ruff: noqa: D101, RUF012 - as Django writes them

from django.db import migrations, models

import jwt_lp_django.models


class Migration(migrations.Migration):
    dependencies = [
        ("jwt_lp_django", "0002_usage_sums"),
    ]

    operations = [
        migrations.CreateModel(
            name="Family",
            fields=[
                ("id", jwt_lp_django.models.Exact(max_length=255, primary_key=True, serialize=False)),
                ("counter", models.BigIntegerField()),
                ("created_at", models.FloatField()),
                ("rotated_at", models.FloatField()),
                ("expires_at", models.FloatField(db_index=True)),
                ("ended_at", models.FloatField(null=True)),
                ("key", models.UUIDField(db_index=True)),
                ("issuer", models.TextField()),
                ("subject", models.TextField()),
                ("reason", jwt_lp_django.models.Exact(max_length=32)),
            ],
            options={
                "verbose_name_plural": "families",
                "default_permissions": (),
            },
        ),
    ]
