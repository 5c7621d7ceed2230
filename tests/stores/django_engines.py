"""Django's ORM as an engine of the store tests: each test has its own alias, on each database."""

from __future__ import annotations

import secrets
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest


@contextmanager
def alias(**database: Any) -> Iterator[str]:
    """The URL of a store on this database, migrated."""
    pytest.importorskip("django", reason="needs Django (extra `django`)")
    from hosts.django_setup import configure

    configure()
    from django.db import connections

    from jwt_lp.stores import open_store

    name = f"lp_{secrets.token_hex(4)}"
    connections.settings[name] = {**connections.settings["default"], **database}
    try:
        store = open_store(f"django:{name}")
        store.migrate()
        yield f"django:{name}"
        connections[name].close()
    finally:
        del connections.settings[name]


@contextmanager
def django_sqlite(folder: Path) -> Iterator[str]:
    """A SQLite file."""
    with alias(ENGINE="django.db.backends.sqlite3", NAME=str(folder / "django.db")) as url:
        yield url


def settings_of(url: str) -> Mapping[str, Any]:
    """An entry of `DATABASES` for PostgreSQL."""
    parts = urlsplit(url)
    return {
        "ENGINE": "django.db.backends.postgresql",
        "NAME": parts.path[1:],
        "HOST": parts.hostname or "",
        "PORT": str(parts.port or ""),
        "USER": parts.username or "",
        "PASSWORD": parts.password or "",
    }
