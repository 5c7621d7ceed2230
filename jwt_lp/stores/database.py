"""Connections to the database, transactions, and translated errors."""

from __future__ import annotations

import os
import threading
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import sqlalchemy as sa
from sqlalchemy import event, exc
from sqlalchemy.pool import NullPool, StaticPool

from jwt_lp._support.file_lock import hold_lock, lock_path
from jwt_lp._support.worker import PerProcess
from jwt_lp.errors import ConfigurationError
from jwt_lp.stores import migration
from jwt_lp.stores.advisory_lock import POSTGRESQL, acquire_lock
from jwt_lp.stores.database_errors import translate_error

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator, Sequence

CONNECT_TIMEOUT: Final = 5
STATEMENT_TIMEOUT: Final = 10

_PAGE: Final = 2000
_POSTGRES: Final = {
    "application_name": "jwt-lp",
    "connect_timeout": CONNECT_TIMEOUT,
    # These also detect a server that disappears without closing its connections.
    "keepalives_idle": STATEMENT_TIMEOUT,
    "keepalives_interval": 5,
    "keepalives_count": 2,
    "tcp_user_timeout": STATEMENT_TIMEOUT * 1000,
}
_SET_TIMEOUTS: Final = (
    "SELECT set_config('statement_timeout', %s, %s), set_config('idle_in_transaction_session_timeout', %s, %s)"
)


class SqlDatabase:
    """Connections of one process, each with its transaction. Errors are translated to ours and hold no secret."""

    def __init__(self, url: str) -> None:
        self._url = _parse_url(url)
        self.name: str = _display_name(self._url)
        self.is_sqlite: bool = self._url.get_backend_name() == "sqlite"
        self._path = Path(self._url.database or "").absolute() if self.is_sqlite else None
        # One lock for each process, because the parent may hold its lock when it forks.
        self._locks = PerProcess(threading.Lock)
        self._inherited: list[sa.Engine] = []
        self._engine = self._create_engine()
        self._pid = os.getpid()
        self._schema_checked = False

    def __repr__(self) -> str:
        return f"<SqlDatabase {self.name}>"

    @contextmanager
    def read(self, *, unlimited: bool = False) -> Generator[sa.Connection]:
        """A transaction that sees one state of the database; an `unlimited` one has no timeouts."""
        with self._translated_errors():
            # INVARIANT: reading never creates the file, so that a mistyped name is noticed.
            blank = _empty_engine() if self._path is not None and self._is_unwritten(self._path) else None
            with ExitStack() as stack:
                if blank is not None:
                    stack.callback(blank.dispose)
                connection = stack.enter_context((blank or self._current_engine()).connect())
                if not self.is_sqlite:
                    connection.execution_options(isolation_level="REPEATABLE READ")
                with connection.begin():
                    self._check(connection)
                    if unlimited:
                        self._lift_timeouts(connection)
                    yield connection

    def fetch(self, query: sa.Select[*tuple[Any, ...]]) -> Sequence[Any]:
        """All rows of a query, which has no timeouts."""
        with self.read(unlimited=True) as connection:
            return connection.execute(query).all()

    @contextmanager
    def write(self, *, unlimited: bool = False, check: bool = True) -> Generator[sa.Connection]:
        """A transaction that is committed at the end; an `unlimited` one has no timeouts."""
        with self._translated_errors():
            if self._path is not None and not self._path.exists():
                _create_file(self._path)
            with self._current_engine().connect() as connection:
                connection.execution_options(jwt_lp_write=True)
                with connection.begin():
                    if check and self.is_sqlite and migration.version(connection) == 0:
                        migration.migrate(connection, self.name)
                    if check:
                        self._check(connection)
                    if unlimited:
                        self._lift_timeouts(connection)
                    yield connection

    @contextmanager
    def exclusive(self, what: str, wait: float) -> Generator[None]:
        """Hold the database's only lock between commands, as `Store.exclusive` promises."""
        name = f"{what} in {self.name}"
        if self._path is not None:
            with hold_lock(lock_path(self._path), name, wait=wait):
                yield
            return
        with ExitStack() as stack:
            with self._translated_errors():
                connection = self._current_engine().connect()
                # The lock is freed when the transaction ends, for whatever reason.
                stack.callback(_close_quietly, connection)
                self._check(connection)
                acquire_lock(
                    lambda statement, values: connection.exec_driver_sql(statement, values).scalar(),
                    POSTGRESQL,
                    name,
                    wait,
                )
            yield

    def close(self) -> None:
        """Close the connections. The next use opens new ones."""
        self._current_engine().dispose()

    def _is_unwritten(self, path: Path) -> bool:
        """Whether the file is missing or has no tables yet."""
        if not path.exists() or path.stat().st_size == 0:
            return True
        with self._current_engine().connect() as connection:
            return connection.exec_driver_sql("SELECT count(*) FROM sqlite_master").scalar() == 0

    def _check(self, connection: sa.Connection) -> None:
        # A SQLite file is checked each time, because it may have been replaced by another file.
        if self.is_sqlite or not self._schema_checked:
            migration.check_version(connection, self.name)
            self._schema_checked = True

    def _lift_timeouts(self, connection: sa.Connection) -> None:
        """Remove the timeouts of this transaction, because a stream lasts as long as its reader needs."""
        if not self.is_sqlite:
            connection.exec_driver_sql(_SET_TIMEOUTS, ("0", True, "0", True))

    def _current_engine(self) -> sa.Engine:
        with self._locks.get():
            if self._pid != os.getpid():
                # INVARIANT: a child neither uses nor closes its parent's sockets, so it keeps the inherited engine.
                self._inherited.append(self._engine)
                self._engine = self._create_engine()
                self._pid = os.getpid()
            return self._engine

    def _create_engine(self) -> sa.Engine:
        if self._path is not None:
            return _create_sqlite_engine(self._path)
        settings = {name: value for name, value in _POSTGRES.items() if name not in self._url.query}
        engine = sa.create_engine(
            self._url,
            pool_size=1,
            max_overflow=3,
            pool_timeout=CONNECT_TIMEOUT,
            pool_pre_ping=True,
            hide_parameters=True,
            connect_args=settings,
        )
        event.listen(engine, "connect", _set_timeouts)
        return engine

    @contextmanager
    def _translated_errors(self) -> Generator[None]:
        try:
            yield
        except (exc.SQLAlchemyError, OSError) as error:
            fault = translate_error(error, self.name, self._url.password)
            self._schema_checked = self._schema_checked and not isinstance(fault, ConfigurationError)
            # INVARIANT: the driver's error is not chained, because it holds statements and values.
            raise fault from None


def _parse_url(url: str) -> sa.URL:
    try:
        parsed = sa.make_url(url)
    except (exc.ArgumentError, ValueError):
        parsed = None
    if parsed is None:
        raise ConfigurationError(
            "the store's URL cannot be read: it is written postgresql://user:password@host:port/database or "
            "sqlite:///file.db, with % and two digits for each special character of a password"
        )
    if parsed.get_backend_name() == "sqlite":
        database = parsed.database or ":memory:"
        if database == ":memory:" or database.startswith("file:") or parsed.host or parsed.query:
            raise ConfigurationError(
                "sqlite: the store is a file that processes share: write sqlite:///file.db for one in this folder, "
                "sqlite:////folder/file.db for another, and nothing behind it"
            )
        return parsed.set(drivername="sqlite")
    if not parsed.database:
        raise ConfigurationError("postgresql: the URL names no database: postgresql://user@host/database")
    return parsed.set(drivername="postgresql+psycopg")


def _display_name(url: sa.URL) -> str:
    """The URL without password and query; a query can hold a password, too."""
    return sa.URL.create(url.get_backend_name(), url.username, None, url.host, url.port, url.database).render_as_string(
        hide_password=True
    )


def _set_timeouts(connection: Any, _: object) -> None:
    """Limit the time of statements and of idle transactions, on each new connection."""
    limits = (str(STATEMENT_TIMEOUT * 1000), False, str(STATEMENT_TIMEOUT * 1000), False)
    connection.execute(_SET_TIMEOUTS, limits)
    connection.commit()


def _create_sqlite_engine(path: Path | None) -> sa.Engine:
    """An engine that opens the file for each transaction, which is cheap; without a path, a database in memory."""
    engine = sa.create_engine(
        sa.URL.create("sqlite", database=str(path) if path is not None else None),
        poolclass=StaticPool if path is None else NullPool,
        hide_parameters=True,
        connect_args={"timeout": STATEMENT_TIMEOUT},
    )
    event.listen(engine, "connect", _disable_implicit_begin)
    event.listen(engine, "begin", _begin)
    return engine


def _disable_implicit_begin(connection: Any, _: object) -> None:
    """Stop the driver from beginning transactions by itself."""
    connection.isolation_level = None


def _begin(connection: sa.Connection) -> None:
    # SQLite refuses a reader that becomes a writer. So a writer takes the write lock at the start, and waits for it.
    write = connection.get_execution_options().get("jwt_lp_write", False)
    if write and connection.exec_driver_sql("PRAGMA journal_mode").scalar() != "wal":
        # It fails if another process has the file locked; a later writer will set the mode.
        with suppress(exc.OperationalError):
            connection.exec_driver_sql("PRAGMA journal_mode = WAL")
    connection.exec_driver_sql("BEGIN IMMEDIATE" if write else "BEGIN")


def _close_quietly(connection: sa.Connection) -> None:
    # A connection that was cut off holds no lock any more, and the work under the lock is already done.
    with suppress(exc.SQLAlchemyError, OSError):
        connection.close()


def _create_file(path: Path) -> None:
    """Create the file with mode 0600, because it records what people do."""
    with suppress(FileExistsError):
        os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))


def _empty_engine() -> sa.Engine:
    """An empty store in memory."""
    engine = _create_sqlite_engine(None)
    with engine.begin() as connection:
        migration.migrate(connection, "")
    return engine


def stream_rows(database: SqlDatabase, statement: sa.Select[Any]) -> Iterator[sa.Row[Any]]:
    """Stream the rows of a query, with one page of rows in memory."""
    with (
        database.read(unlimited=True) as connection,
        connection.execute(statement, execution_options={"stream_results": True, "yield_per": _PAGE}) as result,
    ):
        yield from result
