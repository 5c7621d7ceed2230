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


# The databases that this process has made, and those that no test uses: to empty one costs half of a new one.
_made: list[str] = []
_free: list[str] = []

_EMPTY = """
SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity
    WHERE datname = current_database() AND pid <> pg_backend_pid();
DROP SCHEMA public CASCADE;
CREATE SCHEMA public;
"""


@contextmanager
def postgres_database() -> Iterator[str]:
    """The URL of a database without tables, which another test may get afterwards, emptied."""
    for library in ("sqlalchemy", "psycopg"):
        pytest.importorskip(library, reason="needs SQLAlchemy and psycopg (extra `sql`)")
    import psycopg

    try:
        name = _free.pop()
    except IndexError:
        name = _new_database()
    url = f"{POSTGRES.rpartition('/')[0]}/{name}"
    yield url
    # Not after a failure: then the database is dropped at the end as it is.
    with psycopg.connect(url, autocommit=True) as database:
        database.execute(_EMPTY)
    _free.append(name)


def _new_database() -> str:
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
    _made.append(name)
    return name


def drop_databases() -> None:
    """Drop what `postgres_database` has made in this process."""
    if _made:
        import psycopg

        with psycopg.connect(POSTGRES, autocommit=True) as server:
            while _made:
                server.execute(f"DROP DATABASE {_made.pop()} WITH (FORCE)")


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
