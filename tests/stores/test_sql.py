"""SQL store: URLs, missing tables, outages, forks, full disks."""

from __future__ import annotations

import os
import resource
import signal
import sqlite3
import stat
import subprocess
import sys
import textwrap
import threading
import traceback
from pathlib import Path

import pytest

pytest.importorskip("sqlalchemy")

from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from jwt_lp.errors import ConfigurationError, StoreError
from jwt_lp.revocation.entries import RevocationChanges, RevocationEntry
from jwt_lp.revocation.poller import RevocationPoller
from jwt_lp.stores import HeldGrant, UsageBatch, Use, open_store
from jwt_lp.stores.migration import VERSION
from jwt_lp.stores.sql import SqlStore
from prerequisites import require
from servers import POSTGRES

USE = Use("s", "i", "alice", "c", "r", "e", "GET", "q", "p", "g", "granted", "2026-11-24")
ENTRY = RevocationEntry(id="1", of="subject", issuer="i", name="n", pattern="a:*")
forks = pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("", "has no scheme"),
        ("store.db", "has no scheme"),
        ("//user:hunter2@host/db", "has no scheme"),
        ("postgres://user:hunter2@host/db", "write postgresql:// instead"),
        ("postgresql+psycopg2://user:hunter2@host/db", "write postgresql://, which means psycopg 3"),
        ("sqlit:///file.db", "did you mean 'sqlite'"),
        ("oracle://user:hunter2@host/db", "there are .*postgresql, sqlite"),
        ("postgresql://user:hunter2@host:port/db", "cannot be read"),
        ("postgresql://user:hunter2@host", "names no database"),
        ("sqlite://", "is a file that processes share"),
        ("sqlite:///:memory:", "is a file that processes share"),
        ("sqlite:///file:x?mode=ro&uri=true", "is a file that processes share"),
        ("sqlite:///x.db?mode=ro", "is a file that processes share"),
        ("sqlite://host/x.db", "is a file that processes share"),
    ],
)
def test_a_malformed_url(url, message) -> None:
    """The message says what to write, and contains nothing that could be a password."""
    with pytest.raises(ConfigurationError, match=message) as caught:
        open_store(url)
    assert "hunter2" not in "".join(traceback.format_exception(caught.value))


@pytest.mark.parametrize("library", ["sqlalchemy", "psycopg"])
def test_a_missing_library_is_named_with_its_extra(library) -> None:
    """Without SQLAlchemy or psycopg the message says what to install."""
    code = f"""
        import sys
        sys.modules[{library!r}] = None
        from jwt_lp.errors import ConfigurationError
        from jwt_lp.stores import open_store
        try:
            open_store("postgresql://user:hunter2@host/db")
        except ConfigurationError as error:
            print(error)
    """
    done = subprocess.run([sys.executable, "-c", textwrap.dedent(code)], capture_output=True, text=True, check=True)
    assert f'the store needs {library}: pip install "jwt-lp[sql]"\n' == done.stdout


def test_a_missing_driver_is_named_with_its_extra(monkeypatch) -> None:
    """Without psycopg the message says what to install, also in a process that has SQLAlchemy."""
    monkeypatch.setitem(sys.modules, "psycopg", None)
    with pytest.raises(ConfigurationError, match=r'needs psycopg: pip install "jwt-lp\[sql\]"'):
        open_store("postgresql://user:hunter2@host/db")


def test_a_scheme_of_an_entry_point(monkeypatch) -> None:
    """The entry point named like the scheme is called with the URL; if its library is missing, the error names it."""
    from importlib.metadata import EntryPoint

    points = [
        EntryPoint("mine", "builtins:str", "jwt_lp.stores"),
        EntryPoint("gone", "jwt_lp_nonesuch:store", "jwt_lp.stores"),
    ]
    monkeypatch.setattr("jwt_lp.stores.entry_points", lambda group: points if group == "jwt_lp.stores" else [])
    assert "mine:here" == str(open_store("mine:here"))
    with pytest.raises(ConfigurationError, match="need jwt_lp_nonesuch, which is not installed"):
        open_store("gone:here")
    with pytest.raises(ConfigurationError, match="did you mean 'mine'"):
        open_store("mines:here")


def test_a_failing_import_of_our_own_is_raised(monkeypatch) -> None:
    """An import that fails inside this package is not reported as a missing library."""
    monkeypatch.setitem(sys.modules, "jwt_lp.stores.database", None)
    monkeypatch.delitem(sys.modules, "jwt_lp.stores.sql", raising=False)
    with pytest.raises(ImportError, match="jwt_lp"):
        open_store("sqlite:///x.db")


def test_names_have_no_password() -> None:
    """A store's name lacks the password, whether it stands before the host or in the query."""
    store = SqlStore("postgresql://user:hunter2@host/db?password=hunter2&sslmode=require")
    assert "postgresql://user@host/db" == store.name
    assert "<SqlStore postgresql://user@host/db>" == repr(store)
    assert "<SqlDatabase postgresql://user@host/db>" == repr(store._database)
    assert "sqlite:///x.db" == open_store("sqlite:///x.db").name


def test_reading_creates_no_file(tmp_path: Path) -> None:
    """A file that does not exist reads as empty and is not created, so a mistyped name is noticed."""
    store = open_store(f"sqlite:///{tmp_path / 'store.db'}")
    assert (RevocationChanges(0), [], ()) == (store.changes(0), list(store.usage()), store.issuers())
    assert [] == list(tmp_path.iterdir())


def test_only_the_owner_can_read_the_file(tmp_path: Path) -> None:
    """The file and its journal have mode 0600; other connections can read while one writes."""
    path = tmp_path / "store.db"
    store = open_store(f"sqlite:///{path}")
    rows = store.revocations()
    store.revoke([ENTRY], at=1.0)
    next(rows)
    assert {0o600} == {stat.S_IMODE(file.stat().st_mode) for file in tmp_path.iterdir()}
    with sqlite3.connect(path) as connection:
        assert ("wal",) == connection.execute("PRAGMA journal_mode").fetchone()
    connection.close()


def test_a_relative_path_of_the_file(tmp_path: Path, monkeypatch) -> None:
    """It is relative to the working directory at the time of opening, also if the process changes it later."""
    monkeypatch.chdir(tmp_path)
    store = open_store("sqlite:///store.db")
    (tmp_path / "other").mkdir()
    monkeypatch.chdir(tmp_path / "other")
    store.revoke([ENTRY], at=1.0)
    assert (tmp_path / "store.db").exists()


def test_a_deleted_file_is_noticed(tmp_path: Path) -> None:
    """A poller keeps its entries and reports that the store went back."""
    path = tmp_path / "store.db"
    store = open_store(f"sqlite:///{path}")
    store.revoke([ENTRY], at=1.0)
    poller = RevocationPoller(store, retention=3600)
    poller.poll()
    path.unlink()
    with pytest.raises(StoreError, match="went back"):
        poller.poll()
    assert 1 == len(poller)


def test_a_database_without_tables_needs_migrate(postgres: str) -> None:
    """Only `migrate` creates tables in PostgreSQL; the error of every other call names the command."""
    store = open_store(postgres)
    for call in (lambda: store.changes(0), lambda: store.record(UsageBatch(id="a")), lambda: list(store.usage())):
        with pytest.raises(
            ConfigurationError, match="it has no tables yet; run jwt-lp store migrate --store postgresql"
        ):
            call()
    assert ((0, VERSION), (VERSION, VERSION)) == (store.migrate(), store.migrate())
    assert RevocationChanges(0) == store.changes(0)
    _execute(postgres, "DROP TABLE jwt_lp_counter")
    with pytest.raises(ConfigurationError, match="a table is missing; run jwt-lp store migrate"):
        store.changes(0)
    store.close()


def _execute(url: str, statement: str) -> list:
    import psycopg

    with psycopg.connect(url, autocommit=True) as connection:
        cursor = connection.execute(statement)
        return cursor.fetchall() if cursor.description else []


@pytest.mark.parametrize(
    ("version", "message"), [(0, "no tables"), (1, "older release"), (VERSION + 1, "upgrade jwt-lp")]
)
def test_tables_of_another_release_are_refused(postgres: str, version, message) -> None:
    """Older tables need `migrate`; newer ones need a newer jwt-lp, and `migrate` refuses to change them."""
    store = open_store(postgres)
    store.migrate()
    _execute(postgres, f"UPDATE jwt_lp_schema SET version = {version}")
    with pytest.raises(ConfigurationError, match=message):
        store.changes(0)
    if version > VERSION:
        with pytest.raises(ConfigurationError, match=message):
            store.migrate()
    else:
        assert (version, VERSION) == store.migrate()
    store.close()


def test_tables_of_version_3_get_what_is_new(postgres: str) -> None:
    """Entries stay and beat elevations as before; a process of the older release still writes beside the new column."""
    store = open_store(postgres)
    store.migrate()
    store.revoke([ENTRY], at=1.0)
    before = store.changes(0).entries
    for statement in (
        "ALTER TABLE jwt_lp_revocation DROP COLUMN standing",
        "DROP TABLE jwt_lp_elevation, jwt_lp_elevation_step",
        "UPDATE jwt_lp_schema SET version = 3",
    ):
        _execute(postgres, statement)
    assert (3, VERSION) == store.migrate()
    assert before == store.changes(0).entries
    columns = "changed, at, key, of, issuer, name, pattern, keep, reason, by"
    _execute(
        postgres,
        f"INSERT INTO jwt_lp_revocation (sequence, id, {columns}) "
        f"SELECT 2, 'old', 2, {columns.partition(', ')[2]} FROM jwt_lp_revocation",
    )
    assert [False, False] == [row.entry.standing for row in store.revocations()]
    store.close()


def test_concurrent_migrations(postgres: str) -> None:
    """One of them creates the tables, the others find them."""
    versions: list[tuple[int, int]] = []

    def migrate() -> None:
        store = open_store(postgres)
        versions.append(store.migrate())
        store.close()

    threads = [threading.Thread(target=migrate) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [(0, VERSION), *[(VERSION, VERSION)] * 3] == sorted(versions)


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("postgresql://user:hunter2@127.0.0.1:1/db", "is it running"),
        ("postgresql://user:hunter2@localhost.invalid/db", "is it running"),
        (f"{POSTGRES.rpartition('/')[0].replace('@', ':hunter2@')}/jwt_lp_nonesuch", "jwt_lp_nonesuch"),
        ("sqlite:////nonesuch/store.db", "its folder must exist"),
    ],
)
def test_an_unreachable_store(url, message) -> None:
    """`StoreError` names the remedy in one line, and its traceback holds no password."""
    store = open_store(url)
    with pytest.raises(StoreError, match=message) as caught:
        store.record(UsageBatch(id="a"))
    shown = "".join(traceback.format_exception(caught.value))
    assert "hunter2" not in shown
    assert "INSERT" not in shown
    assert 1 == len(str(caught.value).splitlines())


def test_a_file_that_is_not_a_database(tmp_path: Path) -> None:
    """It is refused and not changed."""
    path = tmp_path / "store.db"
    path.write_text("precious " * 1000)
    store = open_store(f"sqlite:///{path}")
    for call in (lambda: store.changes(0), lambda: store.record(UsageBatch(id="a"))):
        with pytest.raises(StoreError, match="not a database: name another file"):
            call()
    assert "precious " * 1000 == path.read_text()


def test_a_locked_file(tmp_path: Path, monkeypatch) -> None:
    """A writer waits and then raises `StoreError`; readers are not blocked; writing works again after the unlock."""
    monkeypatch.setattr("jwt_lp.stores.database.STATEMENT_TIMEOUT", 0.2)
    path = tmp_path / "store.db"
    store = open_store(f"sqlite:///{path}")
    store.revoke([ENTRY], at=1.0)
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(StoreError, match="locked: another process locked it for too long"):
        store.record(UsageBatch(id="a"))
    assert 1 == store.changes(0).sequence
    other.rollback()
    other.close()
    assert store.record(UsageBatch(id="a"))


def test_a_read_only_file(tmp_path: Path) -> None:
    """`StoreError` says what must be writable."""
    path = tmp_path / "store.db"
    open_store(f"sqlite:///{path}").revoke([ENTRY], at=1.0)
    require(os.name == "posix", "file modes")
    code = f"""
        import os
        from jwt_lp.errors import StoreError
        from jwt_lp.stores import UsageBatch, open_store
        store = open_store({f"sqlite:///{path}"!r})
        store.changes(0)
        if os.getuid() == 0:
            os.setuid(65534)
        try:
            store.record(UsageBatch(id="a"))
        except StoreError as error:
            print(error)
    """
    for folder in tmp_path.parents[:3]:
        if folder.name.startswith("pytest-"):
            folder.chmod(0o755)
    path.chmod(0o444)
    tmp_path.chmod(0o555)
    done = subprocess.run([sys.executable, "-c", textwrap.dedent(code)], capture_output=True, text=True, check=False)
    tmp_path.chmod(0o755)
    assert "writable by the user that runs this" in done.stdout, done.stderr


def test_a_full_disk(tmp_path: Path) -> None:
    """A batch that does not fit is not stored at all; it can be sent again once there is room."""
    store = open_store(f"sqlite:///{tmp_path / 'store.db'}")
    store.record(UsageBatch(id="a", uses={USE: (1, 1.0)}))
    large = UsageBatch(id="b", uses={USE._replace(subject=f"{number}" * 40): (1, 1.0) for number in range(5000)})
    before = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    _, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (300_000, hard))
    try:
        with pytest.raises(StoreError, match="disk"):
            store.record(large)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, hard))
        signal.signal(signal.SIGXFSZ, before)
    assert [1] == [row.count for row in store.usage()]
    assert store.record(large)
    assert 5001 == len(list(store.usage()))


def _end_connections(url: str) -> None:
    """End every connection to the test's database, as a restart of the server does."""
    database = url.rpartition("/")[2]
    server = f"{url.rpartition('/')[0]}/postgres"
    _execute(server, f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{database}'")


@pytest.fixture
def migrated(postgres: str) -> str:
    store = open_store(postgres)
    store.migrate()
    store.close()
    return postgres


def test_a_restart_of_the_server_between_calls_is_not_noticed(migrated: str) -> None:
    """A connection that broke while it was idle is replaced."""
    store = open_store(migrated)
    store.revoke([ENTRY], at=1.0)
    _end_connections(migrated)
    assert 1 == store.changes(0).sequence
    store.close()


def test_a_restart_of_the_server_within_a_call(migrated: str) -> None:
    """The call raises `StoreError` and writes nothing; the next call works."""
    store = open_store(migrated)

    def grants():
        yield HeldGrant("i", "alice", "", "", "g")
        _end_connections(migrated)
        yield from (HeldGrant("i", f"{number}", "", "", "g") for number in range(10_000))

    with pytest.raises(StoreError, match=r"stopping or starting|is it running"):
        store.import_grants(grants(), as_of="2026-11-24", complete=True)
    assert [] == list(store.held_grants())
    assert 1 == store.import_grants([HeldGrant("i", "alice", "", "", "g")], as_of="2026-11-24", complete=True)
    store.close()


def test_a_lock_held_by_another_connection(migrated: str, monkeypatch) -> None:
    """A statement fails after its timeout, so the background thread never waits forever."""
    import psycopg

    monkeypatch.setattr("jwt_lp.stores.database.STATEMENT_TIMEOUT", 0.3)
    store = open_store(migrated)
    with psycopg.connect(migrated) as other:
        other.execute("SELECT * FROM jwt_lp_counter FOR UPDATE")
        with pytest.raises(StoreError, match="took too long"):
            store.revoke([ENTRY], at=1.0)
    assert 1 == store.revoke([ENTRY], at=1.0)
    store.close()


def test_too_many_streams_at_once(migrated: str, monkeypatch) -> None:
    """A stream without a free connection raises `StoreError`, and the earlier streams go on."""
    monkeypatch.setattr("jwt_lp.stores.database.CONNECT_TIMEOUT", 1)
    store = open_store(migrated)
    store.revoke([ENTRY], at=1.0)
    streams = [store.revocations() for _ in range(5)]
    for stream in streams[:4]:
        next(stream)
    with pytest.raises(StoreError, match="connections are in use"):
        next(streams[4])
    assert [[]] * 4 == [list(stream) for stream in streams[:4]]
    store.close()


def test_a_value_that_the_database_cannot_store(migrated: str) -> None:
    """A NUL in a name of an entry is refused, and the error does not show the value."""
    store = open_store(migrated)
    name = "hunter" + "2\0"
    with pytest.raises(StoreError) as caught:
        store.revoke([RevocationEntry(id="1", of="subject", issuer="i", name=name, pattern="a:*")], at=1.0)
    assert "hunter2" not in "".join(traceback.format_exception(caught.value))
    store.close()


def test_settings_in_the_url_win(migrated: str) -> None:
    """A connection setting in the URL replaces the default."""
    store = open_store(f"{migrated}?application_name=mine&connect_timeout=2")
    store.changes(0)
    database = migrated.rpartition("/")[2]
    query = f"SELECT application_name FROM pg_stat_activity WHERE datname = '{database}' AND pid <> pg_backend_pid()"
    assert [("mine",)] == _execute(migrated, query)
    store.close()


@forks
def test_a_child_opens_connections_of_its_own(migrated: str) -> None:
    """After a fork the parent's connection still works, whatever the child does and however it ends."""
    store = open_store(migrated)
    store.revoke([ENTRY], at=1.0)
    query = (
        "SELECT pid FROM pg_stat_activity WHERE application_name = 'jwt-lp' AND datname = current_database() ORDER BY 1"
    )
    (parent,) = _execute(migrated, query)
    child = os.fork()
    if child == 0:
        try:
            passed = (
                store.lift(["1"], at=2.0) == 2 and parent in _execute(migrated, query) and len(store.changes(0)) > 0
            )
            store.close()
            os._exit(0 if passed else 1)
        finally:
            os._exit(2)
    _, status = os.waitpid(child, 0)
    assert 0 == os.waitstatus_to_exitcode(status)
    assert 2 == store.changes(0).sequence
    assert [parent] == _execute(migrated, query)
    store.close()


def test_inherited_connections_are_left_alone(migrated: str, monkeypatch) -> None:
    """In a forked child a store opens new connections and keeps the inherited ones open."""
    store = SqlStore(migrated)
    store.changes(0)
    inherited = store._database._engine
    pid = os.getpid()
    monkeypatch.setattr("os.getpid", lambda: pid + 1)
    assert RevocationChanges(0) == store.changes(0)
    assert (inherited, 1) == (store._database._inherited[0], inherited.pool.checkedin())  # type: ignore[attr-defined]
    store.close()
    monkeypatch.undo()
    inherited.dispose()


NAMES = st.sampled_from(["alice", "bob"])
NUMBERS = st.integers(0, 30)


class RevocationModel(RuleBasedStateMachine):
    """Compares revoking, lifting and polling with a dictionary."""

    @initialize()
    def begin(self) -> None:
        import tempfile

        self.folder = tempfile.TemporaryDirectory()
        self.store = open_store(f"sqlite:///{self.folder.name}/store.db")
        self.standing: dict[str, RevocationEntry] = {}
        self.sequence = self.entry_count = self.since = 0
        self.known: dict[str, RevocationEntry] = {}

    @rule(names=st.lists(NAMES, max_size=3))
    def revoke(self, names) -> None:
        new = [
            RevocationEntry(
                id=f"{self.entry_count + number}", of="subject", issuer="i", name=name, pattern="a:*", at=5.0
            )
            for number, name in enumerate(names)
        ]
        self.entry_count += len(new)
        self.sequence += len(new)
        assert self.sequence == self.store.revoke(new, at=5.0)
        self.standing |= {entry.id: entry for entry in new}

    @rule(numbers=st.sets(NUMBERS, max_size=3))
    def lift(self, numbers) -> None:
        ids = [f"{number}" for number in numbers]
        if self.standing.keys() >= set(ids):
            self.sequence += len(ids)
            assert self.sequence == self.store.lift(ids, at=6.0)
            self.standing = {name: entry for name, entry in self.standing.items() if name not in ids}
        else:
            with pytest.raises(StoreError):
                self.store.lift(ids, at=6.0)

    @rule()
    def poll(self) -> None:
        page = self.store.changes(self.since)
        assert (self.sequence, False) == (page.sequence, page.more)
        self.known = {name: entry for name, entry in self.known.items() if entry.key not in page.touched}
        self.known |= {entry.id: entry for entry in page.entries}
        self.since = page.sequence
        assert self.standing == self.known

    @invariant()
    def the_store_has_all_standing_entries(self) -> None:
        if hasattr(self, "store"):
            assert self.standing == {entry.id: entry for entry in self.store.changes(0).entries}

    def teardown(self) -> None:
        if hasattr(self, "store"):
            self.store.close()
            self.folder.cleanup()


TestRevocationModel = RevocationModel.TestCase
TestRevocationModel.settings = hypothesis_settings(max_examples=25, stateful_step_count=20, deadline=None)
