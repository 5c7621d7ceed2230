"""The tables of sums over usage, with the sums of the rows that are stored already."""

# ruff: noqa: D101, RUF012 - as Django writes them

from collections.abc import Iterator
from typing import Any

from django.db import migrations, models
from django.db.models import Count, Max, Min, Sum

import jwt_lp_django.models
from jwt_lp_django.database import CHUNK_SIZE, split_chunks
from jwt_lp_django.row_keys import row_id

# Written out here: a migration stays as it is when the program changes.
_SUMS = {
    "HolderSum": (
        ("issuer", "subject", "client", "role", "permission", "grant", "outcome"),
        {
            "uses": Sum("count"), "rows": Count("*"), "first_day": Min("day"), "last_day": Max("day"),
            "last": Max("last"),
        },
    ),
    "DailySum": (
        ("day", "service", "endpoint", "method", "requirement", "permission", "outcome"),
        {"uses": Sum("count"), "rows": Count("*")},
    ),
}  # fmt: skip


def add_up(apps: Any, schema_editor: Any) -> None:
    """Fill the tables from the rows of usage."""
    alias = schema_editor.connection.alias
    usage = apps.get_model("jwt_lp_django", "Usage").objects.using(alias)
    for name, (parts, totals) in _SUMS.items():
        model = apps.get_model("jwt_lp_django", name)
        rows = usage.order_by().values(*parts).annotate(**totals).iterator(chunk_size=CHUNK_SIZE)
        sums: Iterator[Any] = (model(id=row_id(row[part] for part in parts), **row) for row in rows)
        for chunk in split_chunks(sums):
            model.objects.using(alias).bulk_create(chunk)


class Migration(migrations.Migration):
    dependencies = [("jwt_lp_django", "0001_initial")]

    operations = [
        migrations.CreateModel(
            name="DailySum",
            fields=[
                ("id", models.UUIDField(primary_key=True, serialize=False)),
                ("uses", models.BigIntegerField()),
                ("rows", models.BigIntegerField()),
                ("day", models.CharField(max_length=10)),
                ("service", jwt_lp_django.models.Exact(max_length=255)),
                ("endpoint", jwt_lp_django.models.Exact(max_length=255)),
                ("method", jwt_lp_django.models.Exact(max_length=255)),
                ("requirement", jwt_lp_django.models.Exact(max_length=255)),
                ("permission", jwt_lp_django.models.Exact(max_length=255)),
                ("outcome", jwt_lp_django.models.Exact(max_length=255)),
            ],
            options={
                "default_permissions": (),
                "indexes": [models.Index(models.F("day"), name="jwt_lp_django_daily_sum_day")],
            },
        ),
        migrations.CreateModel(
            name="HolderSum",
            fields=[
                ("id", models.UUIDField(primary_key=True, serialize=False)),
                ("uses", models.BigIntegerField()),
                ("rows", models.BigIntegerField()),
                ("last", models.FloatField()),
                ("first_day", models.CharField(max_length=10)),
                ("last_day", models.CharField(max_length=10)),
                ("issuer", jwt_lp_django.models.Exact(max_length=255)),
                ("subject", jwt_lp_django.models.Exact(max_length=255)),
                ("client", jwt_lp_django.models.Exact(max_length=255)),
                ("role", jwt_lp_django.models.Exact(max_length=255)),
                ("permission", jwt_lp_django.models.Exact(max_length=255)),
                ("grant", jwt_lp_django.models.Exact(max_length=255)),
                ("outcome", jwt_lp_django.models.Exact(max_length=255)),
            ],
            options={
                "default_permissions": (),
                "indexes": [models.Index(models.F("issuer"), models.F("subject"), name="jwt_lp_django_holder_sum_who")],
            },
        ),
        migrations.RunPython(add_up, migrations.RunPython.noop),
    ]
