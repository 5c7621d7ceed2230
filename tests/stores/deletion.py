"""Deletion of everything that a store holds."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from jwt_lp.stores import Store


def delete_all(store: Store) -> None:
    """Empty the tables, so that the store is as new."""
    scheme, _, alias = store.name.partition(":")
    if scheme == "django":
        _delete_models(alias)
    else:
        _delete_rows(store)


def _delete_models(alias: str) -> None:
    from django.apps import apps

    for model in apps.get_app_config("jwt_lp_django").get_models():
        rows: Any = model._default_manager
        rows.using(alias).all().delete()


def _delete_rows(store: Any) -> None:
    from jwt_lp.stores import campaign_schema, schema
    from jwt_lp.stores.columns import metadata

    with store._database.write() as connection:
        for table in metadata.sorted_tables:
            if table not in (schema.schema, schema.counter, campaign_schema.audit_head):
                connection.execute(table.delete())
        connection.execute(schema.counter.update().values(sequence=0))
        connection.execute(campaign_schema.audit_head.update().values(sequence=0, hash=""))
