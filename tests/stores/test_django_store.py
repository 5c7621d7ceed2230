"""The Django-specific parts of the store in Django's database; tests/stores holds what all stores do."""

# ruff: noqa: E402 - Django reads its settings first

from __future__ import annotations

import asyncio
import json
import os
import secrets
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

pytest.importorskip("django")

from hosts.django_setup import configure, urlconf

configure()

from django.apps import apps
from django.contrib import admin
from django.contrib.auth.models import Permission, User
from django.core.checks import run_checks
from django.core.management import call_command
from django.db import connection, connections, transaction
from django.test import Client, override_settings
from django.urls import path

from jwt_lp import ConfigurationError, StoreError
from jwt_lp.revocation.entries import RevocationEntry
from jwt_lp.stores import ObservedGrant, ProcessHeartbeat, RecordingPeriod, UsageBatch, Use, open_store
from servers import postgres_database
from stores.django_engines import alias, django_sqlite, settings_of

ROOT = Path(__file__).parents[2]
ISSUER = "https://issuer.example/"
USE = Use(
    "orders", ISSUER, "alice", "web", "clerk", "/orders/{id}", "GET", "orders:read", "orders:read", "orders:*",
    "granted", "2026-11-24",
)  # fmt: skip
PAGES = ("usage", "sighting", "revocation", "run", "heartbeat")


def deny(name):
    return RevocationEntry(id=name, of="subject", issuer=ISSUER, name="alice", pattern="orders:read", reason="left us")


@pytest.fixture
def url(tmp_path) -> Iterator[str]:
    with django_sqlite(tmp_path) as store_url:
        yield store_url


@pytest.fixture(scope="module")
def pages() -> Iterator[None]:
    """The default database, with the tables of the admin and one row of each kind."""
    call_command("migrate", verbosity=0, interactive=False)
    store = open_store("django:default")
    store.revoke([deny("e1"), deny("e2")], at=1_700_000_000.0, by="operator")
    store.lift(["e2"], at=1_700_000_100.0)
    sighting = ObservedGrant(ISSUER, "alice", "web", "clerk", "orders:*", "2026-11-24")
    run = RecordingPeriod(id="run-1", service="orders", started=1_700_000_000.0, until=1_700_000_100.0, recorded=3)
    other = USE._replace(subject="bob")
    store.record(
        UsageBatch(id="b", uses={USE: (3, 1_700_000_000.0), other: (1, 1.0)}, observed_grants=[sighting], period=run)
    )
    store.record_heartbeat(ProcessHeartbeat("process-1", "orders", "host-1", 7, 3, "sha", 0.5, 1_700_000_000.0))
    User.objects.create_superuser("root", password="x")
    User.objects.create_user("viewer", password="x", is_staff=True).user_permissions.add(
        *Permission.objects.filter(content_type__app_label="jwt_lp_django", codename="view_usage")
    )
    urls = urlconf(path("admin/", admin.site.urls))
    middleware = [
        "django.contrib.sessions.middleware.SessionMiddleware",
        "django.contrib.auth.middleware.AuthenticationMiddleware",
        "django.contrib.messages.middleware.MessageMiddleware",
    ]
    with override_settings(ROOT_URLCONF=urls, MIDDLEWARE=middleware):
        yield
    call_command("migrate", "jwt_lp_django", "zero", verbosity=0, interactive=False)
    connection.close()


def logged_in(name) -> Client:
    client = Client()
    client.force_login(User.objects.get(username=name), backend="django.contrib.auth.backends.ModelBackend")
    return client


@pytest.mark.usefixtures("pages")
@pytest.mark.parametrize("page", PAGES)
def test_admin_pages_are_read_only(page) -> None:
    """Every list and every row is shown; adding, changing and deleting are refused, also to a superuser."""
    client = logged_in("root")
    model = apps.get_model("jwt_lp_django", page)
    base, key = f"/admin/jwt_lp_django/{page}/", model.objects.values_list("pk", flat=True).first()
    shown = [client.get(base).status_code, client.get(f"{base}{key}/change/").status_code]
    before = list(model.objects.values())
    refused = [
        client.get(f"{base}add/").status_code,
        client.post(f"{base}add/", {}).status_code,
        client.post(f"{base}{key}/change/", {}).status_code,
        client.post(f"{base}{key}/delete/", {"post": "yes"}).status_code,
    ]
    client.post(base, {"action": "delete_selected", "_selected_action": [str(key)], "post": "yes"})
    assert ([200, 200], [403] * 4, before) == (shown, refused, list(model.objects.values()))


@pytest.mark.usefixtures("pages")
@pytest.mark.parametrize(
    ("query", "has", "lacks"),
    [
        ("usage/?q=alice", "alice", "bob"),
        ("usage/?service=orders&outcome=granted", "bob", "nobody"),
        ("usage/?outcome=denied", "0 usage", "bob"),
        ("revocation/?q=left", "left us", "nobody"),
        ("revocation/?state=standing", "1 revocation", "2 revocations"),
        ("revocation/?state=lifted", "1 revocation", "nobody"),
        ("sighting/?q=clerk", "orders:*", "nobody"),
        ("run/?q=run-1", "run-1", "nobody"),
        ("heartbeat/?q=host-1", "process-1", "nobody"),
    ],
)
def test_admin_pages_are_searched_and_filtered(query, has, lacks) -> None:
    """Search and filters show the matching rows and no others."""
    text = logged_in("root").get(f"/admin/jwt_lp_django/{query}").content.decode()
    table = text[text.index('id="changelist-form"') :]
    assert (True, False) == (has in table, lacks in table)


@pytest.mark.usefixtures("pages")
def test_admin_times_are_readable() -> None:
    """Seconds since the epoch are shown as a date."""
    assert "Nov. 14, 2023" in logged_in("root").get("/admin/jwt_lp_django/usage/?q=alice").content.decode()


@pytest.mark.usefixtures("pages")
def test_admin_pages_require_view_permissions() -> None:
    """Staff sees only the page whose view permission it has; the app defines no other permissions."""
    client = logged_in("viewer")
    assert [200, 403, 403, 403, 403] == [client.get(f"/admin/jwt_lp_django/{page}/").status_code for page in PAGES]
    codenames = Permission.objects.filter(content_type__app_label="jwt_lp_django").values_list("codename", flat=True)
    assert sorted(f"view_{page}" for page in PAGES) == sorted(codenames)


def test_migrations_are_complete() -> None:
    """`makemigrations --check` finds nothing to write, and the checks find nothing about the models."""
    call_command("makemigrations", "jwt_lp_django", check=True, dry_run=True, verbosity=0)
    messages = run_checks(databases=["default"])
    assert [] == [message for message in messages if "jwt_lp_django" in str(message.obj)]


def test_migrations_are_applied_and_reverted(tmp_path) -> None:
    """`migrate` returns the versions, and migrating to `zero` removes every table."""
    database = {"ENGINE": "django.db.backends.sqlite3", "NAME": str(tmp_path / "m.db")}
    with alias(**database) as url:
        name = url.partition(":")[2]
        store = open_store(url)
        assert (5, 5) == store.migrate()
        tables = [table for table in connections[name].introspection.table_names() if table.startswith("jwt_lp_")]
        assert {"jwt_lp_django"} == {"_".join(table.split("_")[:3]) for table in tables}
        call_command("migrate", "jwt_lp_django", "0004", database=name, verbosity=0)
        with pytest.raises(ConfigurationError, match="of another release"):
            store.campaigns()
        assert (4, 5, (0, "")) == (*store.migrate(), store.audit_head())
        call_command("migrate", "jwt_lp_django", "zero", database=name, verbosity=0)
        assert ["django_migrations"] == connections[name].introspection.table_names()
        assert (0, 5) == store.migrate()


def test_missing_tables_name_the_command() -> None:
    """Without tables every call raises an error that names the command for them, and creates none itself."""
    connections.settings["empty"] = {**connections.settings["default"], "NAME": ":memory:"}
    try:
        store = open_store("django:empty")
        calls = [
            lambda: store.changes(0),
            lambda: store.revoke([deny("1")], at=1.0),
            lambda: store.record(UsageBatch(id="b")),
            lambda: list(store.usage()),
            lambda: store.heartbeats(since=0),
        ]
        for call in calls:
            with pytest.raises(ConfigurationError, match=r"manage\.py migrate jwt_lp_django --database empty"):
                call()
        assert [] == connections["empty"].introspection.table_names()
    finally:
        connections["empty"].close()
        del connections.settings["empty"]


@pytest.mark.parametrize("url", ["django:nosuch", "django:a b", "django://user:hunter2@host/db"])
def test_an_unknown_alias_is_refused(url) -> None:
    """The error comes at once and does not show a possible password."""
    with pytest.raises(ConfigurationError, match="alias") as caught:
        open_store(url)
    assert "hunter2" not in str(caught.value)


def test_an_unreachable_database_raises_a_store_error() -> None:
    """`StoreError` with a remedy, without the password and the driver's message."""
    pytest.importorskip("psycopg")
    settings = settings_of("postgresql://lp:hunter2@127.0.0.1:9/none")
    connections.settings["gone"] = {**connections.settings["default"], **settings}
    try:
        with pytest.raises(StoreError, match="django:gone: OperationalError: is it running") as caught:
            open_store("django:gone").changes(0)
        assert (False, True) == ("hunter2" in repr(caught.value), caught.value.__suppress_context__)
    finally:
        del connections.settings["gone"]


def test_writing_in_a_callers_transaction_is_refused(url) -> None:
    """Inside `atomic` a write is refused, because it could be rolled back; reading is allowed."""
    store = open_store(url)
    with transaction.atomic(url.partition(":")[2]):
        with pytest.raises(StoreError, match="within a transaction"):
            store.revoke([deny("1")], at=1.0)
        assert 0 == store.changes(0).sequence
    assert 1 == store.revoke([deny("1")], at=1.0)


def test_a_rolled_back_request_keeps_the_records(url) -> None:
    """Under ATOMIC_REQUESTS the store's thread has its own transaction, which is not rolled back."""
    store, name = open_store(url), url.partition(":")[2]
    with transaction.atomic(name):
        thread = threading.Thread(target=store.record, args=(UsageBatch(id="b", uses={USE: (2, 1.0)}),))
        thread.start()
        thread.join()
        transaction.set_rollback(True, using=name)
    assert [2] == [row.count for row in store.usage()]


def test_a_thread_next_to_an_event_loop_may_write(url) -> None:
    """Under an async server the worker's thread has no event loop, so Django allows its queries."""
    store = open_store(url)

    async def served():
        return await asyncio.to_thread(store.record, UsageBatch(id="b", uses={USE: (2, 1.0)}))

    assert (True, [2]) == (asyncio.run(served()), [row.count for row in store.usage()])


def test_threads_close_their_connections(url) -> None:
    """After a call a thread has no open connection."""
    store, name = open_store(url), url.partition(":")[2]
    open_connections = []

    def work():
        store.record(UsageBatch(id=secrets.token_hex(4), uses={USE: (1, 1.0)}))
        open_connections.append(connections[name].connection)

    for _ in range(3):
        thread = threading.Thread(target=work)
        thread.start()
        thread.join()
    assert ([None] * 3, [3]) == (open_connections, [row.count for row in store.usage()])


def test_a_stream_survives_other_calls(url) -> None:
    """A call in the middle of a stream does not close the connection of the stream."""
    store = open_store(url)
    store.record(UsageBatch(id="b", uses={USE._replace(subject=f"{n:05}"): (1, 1.0) for n in range(5000)}))
    rows = store.usage()
    next(rows)
    store.record_heartbeat(ProcessHeartbeat("p", "s", "h", 1, 1, "", 0.0, 1.0))
    assert 4999 == sum(1 for _ in rows)


def test_sqlalchemy_is_not_imported() -> None:
    """The adapter and its store do not import the libraries of the other stores."""
    code = (
        "import sys, jwt_lp_django.store\n"
        "print(sorted({n.partition('.')[0] for n in sys.modules} & {'sqlalchemy', 'redis', 'psycopg'}))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "[]\n" == done.stdout


@contextmanager
def new_database(engine: str, folder: Path) -> Iterator[dict[str, object]]:
    """An entry of `DATABASES` for a new database that several processes write to."""
    if engine == "sqlite":
        options = {"timeout": 30}
        yield {"ENGINE": "django.db.backends.sqlite3", "NAME": str(folder / "x.db"), "OPTIONS": options}
    else:
        with postgres_database() as server:
            yield dict(settings_of(server))


LOAD = """
import json, sys
import django
from django.conf import settings
settings.configure(INSTALLED_APPS=["jwt_lp_django"], DATABASES=json.loads(sys.argv[1]))
django.setup()
from jwt_lp.errors import StoreError
from jwt_lp.stores import EnforcementPoint, ObservedGrant, UsageBatch, Use, open_store
store, number = open_store("django:default"), sys.argv[2]
for turn in range(int(sys.argv[3])):
    day = "2026-11-%02d" % (turn % 3 + 1)
    subjects = [f"s{n}" for n in range(turn % 7, 40)] + [f"own-{number}-{turn}"]
    uses = {Use("o", "i", s, "c", "", "e", "GET", "r", "p", "g", "granted", day): (2, float(turn)) for s in subjects}
    seen = [ObservedGrant("i", s, "c", "", "g", day) for s in subjects]
    batch = UsageBatch(id=f"{number}:{turn}", uses=uses, observed_grants=seen, enforcement_points=[EnforcementPoint("o", "e", "GET", "r", day)])
    for again in (False, True):
        while True:
            try:
                added = store.record(batch)
                break
            except StoreError as error:
                print("again:", error, file=sys.stderr)
                again = None
        assert again is None or added is not again, (again, added)
"""


@pytest.mark.once
@pytest.mark.parametrize("engine", ["sqlite", "postgresql"])
def test_eight_processes_count_exactly(engine, tmp_path) -> None:
    """Eight processes send overlapping batches twice; the sums count each batch once."""
    turns = 10
    with ExitStack() as stack:
        database = stack.enter_context(new_database(engine, tmp_path))
        url = stack.enter_context(alias(**database))
        command = [sys.executable, "-c", LOAD, json.dumps({"default": database})]
        processes = [
            subprocess.Popen([*command, str(n), str(turns)], stderr=subprocess.PIPE, text=True) for n in range(8)
        ]
        errors = [process.communicate(timeout=240)[1] for process in processes]
        assert [0] * 8 == [process.returncode for process in processes], errors
        store = open_store(url)
        expected = 8 * sum(2 * (len(range(turn % 7, 40)) + 1) for turn in range(turns))
        assert expected == sum(row.count for row in store.usage())
        assert {("2026-11-01", "2026-11-03")} == {(row.first_day, row.last_day) for row in store.enforcement_points()}


WRITES = """
import json, sys
import django
from django.conf import settings
settings.configure(INSTALLED_APPS=["jwt_lp_django"], DATABASES=json.loads(sys.argv[1]))
django.setup()
from jwt_lp.revocation.entries import RevocationEntry
from jwt_lp.stores import open_store
store = open_store("django:default")
for turn in range(20):
    store.revoke([RevocationEntry(id=f"{sys.argv[2]}-{turn}", of="client", issuer="i", name="n", pattern="a:b")], at=1.0)
"""


@pytest.mark.parametrize("engine", ["sqlite", "postgresql"])
def test_numbers_come_in_the_order_of_commits(engine, tmp_path) -> None:
    """A reader that polls while four processes write misses no entry, and the numbers have no gaps."""
    with ExitStack() as stack:
        database = stack.enter_context(new_database(engine, tmp_path))
        store = open_store(stack.enter_context(alias(**database)))
        command = [sys.executable, "-c", WRITES, json.dumps({"default": database})]
        writers = [subprocess.Popen([*command, str(n)], stderr=subprocess.PIPE, text=True) for n in range(4)]
        seen: list[str] = []
        since, running = 0, True
        while running:
            running = any(writer.poll() is None for writer in writers)
            page = store.changes(since)
            since, seen = page.sequence, [*seen, *(entry.id for entry in page.entries)]
        errors = [writer.communicate(timeout=60)[1] for writer in writers]
        assert [0] * 4 == [writer.returncode for writer in writers], errors
        assert (80, 80, list(range(1, 81))) == (since, len(set(seen)), [row.sequence for row in store.revocations()])


def test_a_forked_child_does_not_use_its_parents_connection(tmp_path) -> None:
    """The child opens its own connection, and the parent continues with the existing one."""
    with ExitStack() as stack:
        settings = settings_of(stack.enter_context(postgres_database()))
        store = open_store(stack.enter_context(alias(**settings, CONN_MAX_AGE=None)))
        store.revoke([deny("parent")], at=1.0)
        child = os.fork()
        if not child:
            # Whatever happens, nothing of pytest runs in here.
            try:
                os._exit(0 if store.revoke([deny("child")], at=2.0) == 2 else 1)
            finally:
                os._exit(3)
        assert 0 == os.waitpid(child, 0)[1]
        assert 3 == store.revoke([deny("again")], at=3.0)
        store.close()


def test_a_forked_child_loses_no_revocation_in_sqlite(tmp_path) -> None:
    """In WAL mode a child's writes stay in the file, although its parent closes its last connection meanwhile."""
    with alias(
        ENGINE="django.db.backends.sqlite3",
        NAME=str(tmp_path / "wal.db"),
        CONN_MAX_AGE=None,
        OPTIONS={"init_command": "PRAGMA journal_mode=wal"},
    ) as url:
        store, name = open_store(url), url.partition(":")[2]
        store.revoke([deny("parent")], at=1.0)
        first_done, parent_closed = os.pipe(), os.pipe()
        child = os.fork()
        if not child:
            # Whatever happens, nothing of pytest runs in here.
            try:
                store.revoke([deny("child 1")], at=2.0)
                os.write(first_done[1], b"x")
                os.read(parent_closed[0], 1)
                os._exit(0 if store.revoke([deny("child 2")], at=3.0) == 3 else 1)
            finally:
                os._exit(3)
        os.read(first_done[0], 1)
        connections[name].close()
        os.write(parent_closed[1], b"x")
        for end in (*first_done, *parent_closed):
            os.close(end)
        assert 0 == os.waitpid(child, 0)[1]
        assert ["parent", "child 1", "child 2"] == [row.entry.id for row in store.revocations()]


def test_sqlite_connections_are_not_kept(tmp_path) -> None:
    """After a call, and after the end of a stream, no SQLite connection is open, whatever CONN_MAX_AGE says."""
    with alias(ENGINE="django.db.backends.sqlite3", NAME=str(tmp_path / "x.db"), CONN_MAX_AGE=None) as url:
        store, name = open_store(url), url.partition(":")[2]
        store.revoke([deny("1")], at=1.0)
        after_call = connections[name].connection
        assert (None, 1, None) == (after_call, len(list(store.revocations())), connections[name].connection)


def test_the_store_works_without_manage_py(tmp_path) -> None:
    """A command finds the project by DJANGO_SETTINGS_MODULE, and an error asks for it if it is not set."""
    code = "from jwt_lp.stores import open_store; s = open_store('django:default'); print(s.migrate(), s.changes(0).sequence)"
    (tmp_path / "projectset.py").write_text(
        "INSTALLED_APPS = ['jwt_lp_django']\n"
        f"DATABASES = {{'default': {{'ENGINE': 'django.db.backends.sqlite3', 'NAME': {str(tmp_path / 'd.db')!r}}}}}\n"
    )
    environment = {**os.environ, "PYTHONPATH": str(tmp_path)}
    environment.pop("DJANGO_SETTINGS_MODULE", None)
    run = [sys.executable, "-W", "error", "-c", code]
    without = subprocess.run(run, env=environment, capture_output=True, text=True, check=False)
    environment["DJANGO_SETTINGS_MODULE"] = "projectset"
    done = subprocess.run(run, env=environment, capture_output=True, text=True, check=False)
    assert ("(0, 5) 0\n", True) == (done.stdout, "set DJANGO_SETTINGS_MODULE" in without.stderr), done.stderr


def test_a_database_in_memory_needs_no_lock(url, tmp_path, monkeypatch) -> None:
    """A database in memory belongs to this process, so no lock file is created."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setitem(connections[url.partition(":")[2]].settings_dict, "NAME", ":memory:")
    with open_store(url).exclusive("a plan", wait=0), open_store(url).exclusive("a plan", wait=0):
        assert [] == [file.name for file in tmp_path.iterdir() if file.name.endswith(".lock")]


def test_a_database_without_a_known_lock_applies_no_plan(monkeypatch) -> None:
    """A plan is not started if no lock can keep other processes out."""
    monkeypatch.setattr("jwt_lp_django.store._LOCKS", {})
    with (
        postgres_database() as server,
        alias(**settings_of(server)) as url,
        pytest.raises(ConfigurationError, match="there is no lock for a plan in PostgreSQL"),
    ):
        open_store(url).exclusive("a plan", wait=0).__enter__()
