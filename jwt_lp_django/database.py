"""How is the store's database reached, and what is said when it cannot be?

Django has one connection for each thread and alias. The store's calls come from a thread of its own, so they never
stand inside a request's transaction, and give the connection back as a request would.
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
"""Keys in one statement: some databases take a thousand parameters and no more."""

_PAGE: Final = 2000
_MAX_TRIES: Final = 4
_PAUSE: Final = 0.05

_MISSING_TABLE_STATES: Final = ("42P01", "42703", "1146", "1054")
_RETRIED_STATES: Final = ("40001", "40P01", "1213", "1205")
# The first characters of SQLSTATE, or MariaDB's number, the longest first -> what helps.
_REMEDIES: Final = {
    "42501": "its user needs SELECT, INSERT, UPDATE and DELETE on the tables jwt_lp_django_*",
    "57014": "it took too long; is it busy, or does somebody hold a lock?",
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
# What SQLite says -> what helps.
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
    """Another transaction came between: all of this one has to be done again."""


class _ThreadState(threading.local):
    pid: int = 0
    depth: int = 0


class DjangoDatabase:
    """One alias of `DATABASES`. Errors come as ours, without a secret or a value."""

    def __init__(self, alias: str = DEFAULT_DB_ALIAS) -> None:
        self.alias = alias
        self.name = f"django:{alias}"
        self._thread = _ThreadState()
        self._inherited: list[object] = []

    def read(self, work: Callable[[], T]) -> T:
        """What `work` gives."""
        with self._connection_scope():
            return work()

    def write(self, work: Callable[[], T], *, tries: int = _MAX_TRIES) -> T:
        """What `work` gives, in a transaction of its own that is begun again where others were at the same rows."""
        with self._connection_scope():
            for tried in range(1, tries + 1):
                if tried > 1:
                    time.sleep(_PAUSE * tried)
                try:
                    with self._transaction():
                        return work()
                except TransactionConflict:
                    continue
                except Error as error:
                    if tried == tries or _sqlstate(error) not in _RETRIED_STATES:
                        raise
            raise StoreError(f"{self.name}: {_REMEDIES['40']}")

    def stream_rows(self, asked: Callable[[], QuerySet[Any, Any]]) -> Iterator[Any]:
        """The rows of a question, a bounded number at a time."""
        with self._connection_scope():
            yield from asked().iterator(chunk_size=_PAGE)

    def close(self) -> None:
        """Give this thread's connection back."""
        if apps.ready and self._thread.pid == os.getpid() and not connections[self.alias].in_atomic_block:
            connections[self.alias].close()

    @contextmanager
    def _transaction(self) -> Generator[None]:
        if connections[self.alias].in_atomic_block:
            # INVARIANT: what was promised as written cannot be rolled back by the caller. Tests may.
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
        here = self._thread
        try:
            try:
                self._discard_inherited()
                here.depth += 1
                yield
            finally:
                here.depth = max(0, here.depth - 1)
                self._close_if_unusable()
        except ConnectionDoesNotExist:
            raise ConfigurationError(f"{self.name}: DATABASES has no {self.alias!a}") from None
        except ImproperlyConfigured:
            raise ConfigurationError(f"{self.name}: its ENGINE or driver in DATABASES is not there") from None
        except Error as error:
            # From None: the message of the cause may show a value.
            raise translate_error(error, self.name, self.alias) from None

    def _discard_inherited(self) -> None:
        here, pid = self._thread, os.getpid()
        if here.pid not in (0, pid):
            # INVARIANT: a connection of the parent is neither used nor closed: both would reach the parent's server side.
            self._inherited.append(connections[self.alias])
            connections[self.alias] = connections[self.alias].copy()
            here.depth = 0
        here.pid = pid
        self._close_if_unusable()

    def _close_if_unusable(self) -> None:
        """As at a request's ends; not while a stream is read through it, or the caller has a transaction open."""
        connection = connections[self.alias]
        if not self._thread.depth and not connection.in_atomic_block:
            connection.close_if_unusable_or_obsolete()

    def _release_connection(self) -> None:
        connection = connections[self.alias]
        if connection.vendor == "sqlite" and not connection.in_atomic_block:
            # Whatever CONN_MAX_AGE says: SQLite keeps a file's locks in the process, and a fork would copy them.
            connection.close()
        else:
            connection.close_if_unusable_or_obsolete()

    def ensure_ready(self) -> None:
        """Set Django up where nobody did; `ConfigurationError` where that cannot be, or the app is not installed."""
        if not apps.ready:
            try:
                # The command line of jwt-lp is not manage.py.
                django.setup()
            except (ImproperlyConfigured, ImportError, RuntimeError) as error:
                raise ConfigurationError(
                    f"{self.name}: Django cannot be set up ({type(error).__name__}): set DJANGO_SETTINGS_MODULE, or use "
                    "manage.py jwt_lp"
                ) from None
        if not apps.is_installed("jwt_lp_django"):
            raise ConfigurationError(
                f'{self.name}: jwt_lp_django is not installed: INSTALLED_APPS += ["jwt_lp_django"]'
            )


def tables_missing(name: str, alias: str) -> ConfigurationError:
    """What to say where `migrate` has to run."""
    return ConfigurationError(
        f"{name}: its tables are missing or of another release; run manage.py migrate jwt_lp_django --database {alias}"
    )


def translate_error(error: Error, name: str, alias: str) -> JwtLpError:
    """Our error for Django's: its kind and what helps. Neither statement nor value, nor what the driver says."""
    state, small = _sqlstate(error), str(error).lower()
    if (
        state in _MISSING_TABLE_STATES
        or "no such table" in small
        or "no such column" in small
        or "has no column" in small
    ):
        return tables_missing(name, alias)
    if state:
        remedy = next(
            (said for start, said in _REMEDIES.items() if state.startswith(start)), "look at the server's log"
        )
        return StoreError(f"{name}: {type(error).__name__} {state}: {remedy}")
    part = next((part for part in _SQLITE_REMEDIES if part in small), "")
    return StoreError(f"{name}: {type(error).__name__}{part and f', {part}'}: {_SQLITE_REMEDIES.get(part, _UNREACHED)}")


def _sqlstate(error: Error) -> str:
    """SQLSTATE, or MariaDB's number."""
    state = getattr(error.__cause__, "sqlstate", None)
    number = error.args[0] if error.args and isinstance(error.args[0], int) else ""
    return str(state or number)


def split_chunks(values: Iterable[T], size: int = CHUNK_SIZE) -> Iterator[list[T]]:
    """The values, so many at a time."""
    some: list[T] = []
    for value in values:
        some.append(value)
        if len(some) == size:
            yield some
            some = []
    if some:
        yield some


def on_conflict_options(alias: str, *fields: str) -> dict[str, Any]:
    """How `bulk_create` is told to put these fields in place of those of a row with the same key."""
    how: dict[str, Any] = {"update_conflicts": True, "update_fields": fields}
    if connections[alias].features.supports_update_conflicts_with_target:
        how["unique_fields"] = ("pk",)
    return how
