"""PostgreSQL and Redis servers for tests, at the addresses in TESTS_POSTGRES and TESTS_REDIS."""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

import pytest

from prerequisites import require

POSTGRES = os.environ.get("TESTS_POSTGRES", "postgresql://root@127.0.0.1:5432/postgres")
REDIS = os.environ.get("TESTS_REDIS", "redis://127.0.0.1:6379/0")


@contextmanager
def postgres_database() -> Iterator[str]:
    """The URL of a new database without tables, dropped afterwards."""
    for library in ("sqlalchemy", "psycopg"):
        pytest.importorskip(library, reason="needs SQLAlchemy and psycopg (extra `sql`)")
    import psycopg

    name = f"jwt_lp_{secrets.token_hex(6)}"
    server: psycopg.Connection[Any] | None
    try:
        server = psycopg.connect(POSTGRES, autocommit=True, connect_timeout=3)
    except psycopg.OperationalError:
        server = None
    require(server is not None, "a PostgreSQL server (TESTS_POSTGRES says where)")
    assert server is not None
    with server:
        server.execute(f"CREATE DATABASE {name}")
        try:
            yield f"{POSTGRES.rpartition('/')[0]}/{name}"
        finally:
            server.execute(f"DROP DATABASE {name} WITH (FORCE)")


@contextmanager
def redis_server() -> Iterator[Any]:
    """A client of the server at `REDIS`."""
    redis = pytest.importorskip("redis", reason="needs redis (extra `redis`)")
    with redis.Redis.from_url(REDIS, socket_connect_timeout=2) as client:
        reachable = False
        with suppress(redis.RedisError):
            reachable = client.ping()
        require(reachable, "a Redis server (TESTS_REDIS says where)")
        yield client
