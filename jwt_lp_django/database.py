"""Access to the store's database through Django's connections, and the translation of database errors.

Django has one connection for each thread and alias. The guard calls the store in a thread of its own, so these calls
are never inside a request's transaction. After each call the connection is closed as at the end of a request.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import contextmanager
from typing import Any, Final, TypeVar

import django
from django.apps import apps
from django.core.exceptions import ImproperlyConfigured
from django.db import DEFAULT_DB_ALIAS, Error, connections, transaction
from django.db.models import QuerySet
from django.utils.connection import ConnectionDoesNotExist

from jwt_lp import ConfigurationError, JwtLpError, StoreError

T = TypeVar("T")

CHUNK_SIZE: Final = 500
"""Keys in one statement: some databases accept at most a thousand parameters."""

_PAGE: Final = 2000
_MAX_TRIES: Final = 4
_PAUSE: Final = 0.05

_MISSING_TABLE_STATES: Final = ("42P01", "42703", "1146", "1054")
_RETRIED_STATES: Final = ("40001", "40P01", "1213", "1205")
# The first characters of SQLSTATE, or MariaDB's number, the longest first -> the remedy.
_REMEDIES: Final = {
    "42501": "its user needs SELECT, INSERT, UPDATE and DELETE on the tables jwt_lp_django_*",
    "57014": "it took too long; is the server busy, or does another client hold a lock?",
    "25006": "this server is read-only; name the primary server",
    "3D000": "create the database first",
    "1205": "other transactions changed the same rows; try again",
    "1213": "other transactions changed the same rows; try again",
    "53": "the server lacks room, memory or connections",
    "28": "check USER, PASSWORD and the server's access rules",
    "57": "the server is stopping or starting",
    "40": "other transactions changed the same rows; try again",
    "22": "it cannot store one of the values",
}
# A part of SQLite's message -> the remedy.
_SQLITE_REMEDIES: Final = {
    "disk is full": "make room on its disk",
    "disk i/o error": "check its disk: is it full, or gone?",
    "readonly": "its file, and the folder that it is in, must be writable by the user that runs this",
    "unable to open": "its folder must exist, and both must be readable and writable by the user that runs this",
    "locked": "another process locked it for too long; SQLite is for a few processes on one machine",
    "not a database": "name another file, or move this one away",
    "malformed": "the file is damaged: restore a backup",
}
_UNREACHED: Final = "is it running, and are HOST, PORT, USER and PASSWORD in DATABASES right?"


class TransactionConflict(Exception):
    """Another transaction changed the same rows: this one must be repeated as a whole."""


class _ThreadState(threading.local):
    pid: int = 0
    depth: int = 0


class DjangoDatabase:
    """One alias of `DATABASES`. Errors are those of jwt-lp, and show no secret and no value."""

    def __init__(self, alias: str = DEFAULT_DB_ALIAS) -> None:
        self.alias = alias
        self.name = f"django:{alias}"
        self._thread = _ThreadState()
        self._inherited: list[object] = []

    def read(self, work: Callable[[], T]) -> T:
        """The result of `work`."""
        with self._connection_scope():
            return work()

    def write(self, work: Callable[[], T], *, tries: int = _MAX_TRIES) -> T:
        """The result of `work`, in its own transaction, which is repeated if others changed the same rows."""
        with self._connection_scope():
            for attempt in range(1, tries + 1):
                if attempt > 1:
                    time.sleep(_PAUSE * attempt)
                try:
                    with self._transaction():
                        return work()
                except TransactionConflict:
                    continue
                except Error as error:
                    if attempt == tries or _sqlstate(error) not in _RETRIED_STATES:
                        raise
            raise StoreError(f"{self.name}: {_REMEDIES['40']}")

    def stream_rows(self, query: Callable[[], QuerySet[Any, Any]]) -> Iterator[Any]:
        """The rows of a query, a bounded number at a time."""
        with self._connection_scope():
            yield from query().iterator(chunk_size=_PAGE)

    def close(self) -> None:
        """Close this thread's connection."""
        if apps.ready and self._thread.pid == os.getpid() and not connections[self.alias].in_atomic_block:
            connections[self.alias].close()

    @contextmanager
    def _transaction(self) -> Generator[None]:
        if connections[self.alias].in_atomic_block:
            # INVARIANT: the caller cannot roll back what the store reported as written. Django's tests may.
            try:
                with transaction.atomic(self.alias, durable=True):
                    pass
            except RuntimeError:
                raise StoreError(
                    f"{self.name}: called within a transaction, which could still be rolled back; call it outside "
                    "atomic() and ATOMIC_REQUESTS, or from another thread"
                ) from None
        with transaction.atomic(self.alias, durable=True):
            yield

    @contextmanager
    def _connection_scope(self) -> Generator[None]:
        self.ensure_ready()
        thread = self._thread
        try:
            try:
                self._discard_inherited()
                thread.depth += 1
                yield
            finally:
                thread.depth = max(0, thread.depth - 1)
                self._release()
        except ConnectionDoesNotExist:
            raise ConfigurationError(f"{self.name}: DATABASES has no {self.alias!a}") from None
        except ImproperlyConfigured:
            raise ConfigurationError(f"{self.name}: its ENGINE in DATABASES, or the driver, is not installed") from None
        except Error as error:
            # From None: the message of the cause may show a value.
            raise translate_error(error, self.name, self.alias) from None

    def _discard_inherited(self) -> None:
        thread, pid = self._thread, os.getpid()
        if thread.pid not in (0, pid):
            # INVARIANT: the child neither uses nor closes its parent's connection: both would reach the parent's
            # session on the server.
            self._inherited.append(connections[self.alias])
            connections[self.alias] = connections[self.alias].copy()
            thread.depth = 0
        thread.pid = pid
        self._release()

    def _release(self) -> None:
        """Close the connection as Django does after a request, unless a stream or the caller's transaction uses it."""
        connection = connections[self.alias]
        if self._thread.depth or connection.in_atomic_block:
            return
        if connection.vendor == "sqlite":
            # INVARIANT: no connection to SQLite stays open, whatever CONN_MAX_AGE says. SQLite records its locks in the
            # process: a forked child would take its parent's locks for its own, and lose writes.
            connection.close()
        else:
            connection.close_if_unusable_or_obsolete()

    def ensure_ready(self) -> None:
        """Set Django up if it is not; `ConfigurationError` if that fails, or if the app is not installed."""
        if not apps.ready:
            try:
                # The commands of jwt-lp run without manage.py.
                django.setup()
            except (ImproperlyConfigured, ImportError, RuntimeError) as error:
                raise ConfigurationError(
                    f"{self.name}: Django cannot be set up ({type(error).__name__}): "
                    "set DJANGO_SETTINGS_MODULE, or use manage.py jwt_lp"
                ) from None
        if not apps.is_installed("jwt_lp_django"):
            raise ConfigurationError(
                f'{self.name}: jwt_lp_django is not installed: INSTALLED_APPS += ["jwt_lp_django"]'
            )


def tables_missing(name: str, alias: str) -> ConfigurationError:
    """The error that tells to run `migrate`."""
    return ConfigurationError(
        f"{name}: its tables are missing or of another release; run manage.py migrate jwt_lp_django --database {alias}"
    )


def translate_error(error: Error, name: str, alias: str) -> JwtLpError:
    """The error of jwt-lp for Django's: its kind and a remedy, but no statement, value or driver's message."""
    state, message = _sqlstate(error), str(error).lower()
    if state in _MISSING_TABLE_STATES or any(
        part in message for part in ("no such table", "no such column", "has no column")
    ):
        return tables_missing(name, alias)
    if state:
        remedy = next(
            (remedy for start, remedy in _REMEDIES.items() if state.startswith(start)), "look at the server's log"
        )
        return StoreError(f"{name}: {type(error).__name__} {state}: {remedy}")
    part = next((part for part in _SQLITE_REMEDIES if part in message), "")
    return StoreError(f"{name}: {type(error).__name__}{part and f', {part}'}: {_SQLITE_REMEDIES.get(part, _UNREACHED)}")


def _sqlstate(error: Error) -> str:
    """The error's SQLSTATE, or MariaDB's number."""
    state = getattr(error.__cause__, "sqlstate", None)
    number = error.args[0] if error.args and isinstance(error.args[0], int) else ""
    return str(state or number)


def split_chunks(values: Iterable[T], size: int = CHUNK_SIZE) -> Iterator[list[T]]:
    """The values in lists of at most `size`."""
    chunk: list[T] = []
    for value in values:
        chunk.append(value)
        if len(chunk) == size:
            yield chunk
            chunk = []
    if chunk:
        yield chunk


def on_conflict_options(alias: str, *fields: str) -> dict[str, Any]:
    """The options of `bulk_create` to overwrite these fields of a row with the same key."""
    options: dict[str, Any] = {"update_conflicts": True, "update_fields": fields}
    if connections[alias].features.supports_update_conflicts_with_target:
        options["unique_fields"] = ("pk",)
    return options
