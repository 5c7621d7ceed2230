"""Real servers with several processes: each refuses what is revoked, grants what was elevated, and counts exactly."""

from __future__ import annotations

import json
import os
import secrets
import signal
import socket
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from elevated import approve, change
from hosts.serving import HttpClient
from jwt_lp.revocation.entries import RevocationEntry
from jwt_lp.stores import Store, open_store
from jwt_lp.testing.authority import ISSUER, Authority
from servers import REDIS, postgres_database, redis_server
from stores.conftest import ENGINES
from stores.tcp_proxy import proxy_to

pytestmark = pytest.mark.servers

TESTS = Path(__file__).parents[1]
AUTHORITY = Authority(
    policy={
        "version": 1,
        "permissions": {"orders:read": {"risk": "low"}, "orders:list": {}, "stock:take": {"risk": "high"}},
    }
)
# The polling interval, plus the time of a poll in four processes on a busy machine.
BOUND = 5 + 3
# Seconds in which many processes start, or listen again, on a busy machine.
PATIENCE = 180
SYNC = ["gunicorn", "--workers", "4"]
THREADS = ["gunicorn", "--workers", "4", "--threads", "4", "--worker-class", "gthread"]
ELEVATING: dict[str, Any] = {"OWN": False, "PATTERNS": True, "ELEVATION": ["orders:read"]}
UVICORN = ["uvicorn", "--workers", "2", "--factory", "--log-level", "warning", "--timeout-graceful-shutdown", "10"]


@dataclass
class Server:
    """A server of `size` processes, and the number of its requests that passed, by view."""

    process: subprocess.Popen[bytes]
    client: HttpClient
    size: int
    passed: Counter[str] = field(default_factory=Counter)
    counting: threading.Lock = field(default_factory=threading.Lock)

    def ask(self, view: str, subject: str = "alice", *permissions: str) -> tuple[int, int]:
        """The status, and the id of the process that answered."""
        header = AUTHORITY.headers(subject, permissions or ["orders:*", "stock:*"])
        answer = self.client.request("GET", f"/{view}", header.items())
        if answer.status == 200:
            with self.counting:
                self.passed[view] += 1
        return answer.status, int(answer.headers["x-process"])

    def processes(self, view: str = "list") -> set[int]:
        """The ids of all processes; waits until a request for `view` has passed in each of them."""
        pids: set[int] = set()
        deadline = time.monotonic() + PATIENCE
        while len(pids) < self.size:
            assert time.monotonic() < deadline, f"{pids} of {self.size} answered"
            pids |= {pid for status, pid in self._ask_at_once(view) if status == 200}
        return pids

    def statuses(self, view: str, subject: str = "alice", *permissions: str) -> set[int]:
        """The statuses of requests, several of which each process has answered."""
        answers: list[tuple[int, int]] = []
        deadline = time.monotonic() + PATIENCE
        while len([pid for pid, number in Counter(pid for _, pid in answers).items() if number > 1]) < self.size:
            assert time.monotonic() < deadline, f"{answers} of {self.size} processes"
            answers += self._ask_at_once(view, subject, *permissions)
        return {status for status, _ in answers}

    def _ask_at_once(self, *request: str) -> list[tuple[int, int]]:
        """Ask in eight threads, so that no process can answer all, and return the answers."""
        answers: list[tuple[int, int]] = []
        threads = [threading.Thread(target=lambda: answers.append(self.ask(*request))) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        return answers

    def stop(self) -> None:
        self.process.send_signal(signal.SIGTERM)
        self.process.wait(40)


@contextmanager
def served(
    kind: list[str],
    app: str,
    store: str,
    database: str = "",
    variables: Mapping[str, str] | None = None,
    **settings: Any,
) -> Iterator[Server]:
    """Serve an application of `server_apps` in processes of its own."""
    pytest.importorskip(kind[0])
    with socket.create_server(("127.0.0.1", 0), backlog=128) as listener:
        port, number = listener.getsockname()[1], listener.fileno()
        mapping = AUTHORITY.settings(STORE=store, SERVICE="orders", **settings)
        environment = {
            **os.environ,
            "TESTS_JWT_LP": json.dumps(mapping),
            "TESTS_DATABASE": database,
            "PYTHONPATH": str(TESTS),
            **(variables or {}),
        }
        place = ["--bind", f"fd://{number}"] if kind[0] == "gunicorn" else ["--fd", str(number)]
        name = f"stores.server_apps:{app}" + ("()" if kind[0] == "gunicorn" else "")
        process = subprocess.Popen(
            [sys.executable, "-m", *kind, *place, name],
            env=environment,
            pass_fds=[number],
            stderr=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
        )
        size = int(kind[kind.index("--workers") + 1]) if "--workers" in kind else 1
        try:
            server = Server(process, HttpClient(port), size)
            # Many servers start at the same time; the public route answers before the guard is ready.
            wait_until(lambda: _answers(server.client), PATIENCE)
            yield server
        finally:
            process.terminate()
            with suppress(subprocess.TimeoutExpired):
                process.wait(20)
            process.kill()
            process.wait()


def revoke(store: Store, name: str = "alice", pattern: str = "orders:read") -> int:
    entry = RevocationEntry(id=secrets.token_hex(8), of="subject", issuer=ISSUER, name=name, pattern=pattern)
    return store.revoke([entry], at=time.time())


def granted_counts(store: Store) -> Counter[str]:
    """The number of granted uses in the store, by view."""
    counts: Counter[str] = Counter()
    for row in store.usage():
        if row.use.outcome == "granted":
            counts[{"orders:read": "read", "orders:list": "list", "stock:take": "take"}[row.use.permission]] += (
                row.count
            )
    return counts


@contextmanager
def open_engine(name: str, folder: Path) -> Iterator[tuple[str, str, Store]]:
    """The store's URL for the server, the URL of its database if it is Django's, and the store for this process."""
    with ExitStack() as stack:
        if name == "django-postgresql":
            database = stack.enter_context(postgres_database())
            url = "django:default"
        else:
            database = f"sqlite:///{folder / 'django.db'}"
            url = "django:default" if name == "django-sqlite" else stack.enter_context(ENGINES[name](folder))
        if url != "django:default":
            store = open_store(url)
            stack.callback(store.close)
            yield url, "", store
            return
        from stores.django_engines import alias, settings_of

        here = (
            settings_of(database)
            if name == "django-postgresql"
            else {"ENGINE": "django.db.backends.sqlite3", "NAME": str(folder / "django.db")}
        )
        store = open_store(stack.enter_context(alias(**here)))
        stack.callback(store.close)
        yield url, database, store


CASES = {
    "flask, sync, sqlite": (SYNC, "flask_app", "sqlite"),
    "flask, preload, postgresql": ([*SYNC, "--preload"], "flask_app", "postgresql"),
    "flask, preload, sqlite": ([*THREADS, "--preload"], "flask_app", "sqlite"),
    "django, gthread, its sqlite": (THREADS, "django_wsgi", "django-sqlite"),
    "django, preload, its postgresql": ([*THREADS, "--preload"], "django_wsgi", "django-postgresql"),
    "django, uvicorn, its postgresql": (UVICORN, "django_asgi", "django-postgresql"),
    "fastapi, uvicorn, postgresql": (UVICORN, "fastapi_app", "postgresql"),
}
JWT_LP = Path(sys.executable).with_name("jwt-lp")
HOSTS = {"flask_app": "flask", "django_wsgi": "django", "django_asgi": "django", "fastapi_app": "fastapi"}


def check_revocation_by_polling(case: str, folder: Path) -> None:
    """Every process refuses what was revoked after one polling interval."""
    kind, app, name = CASES[case]
    pytest.importorskip(HOSTS[app])
    with open_engine(name, folder) as (url, database, store), served(kind, app, url, database) as server:
        # A process that has just started refuses no request.
        assert {200} == server.statuses("list")
        processes = server.processes("read")
        revoked_at = time.monotonic()
        revoke(store)
        while time.monotonic() < revoked_at + BOUND:
            server.ask("read")
            time.sleep(0.05)
        assert refuses(server, "read")
        assert processes == server.processes("list")
        assert {200} == server.statuses("read", "bob")
        server.stop()
        assert server.passed == granted_counts(store)


def check_revocation_by_push(case: str, folder: Path) -> None:
    """Without polling every process refuses what was revoked after a push."""
    kind, app, name = CASES[case]
    pytest.importorskip(HOSTS[app])
    with push_channel() as (redis, channel), open_engine(name, folder) as (url, database, store):
        variables = {"TESTS_CHANNEL": channel, "TESTS_PUSHED_ONLY": "1"}
        with served(kind, app, url, database, variables, PUSH=REDIS) as server:
            server.processes("read")
            # With --preload the parent has loaded the application and listens, too.
            size = server.size + ("--preload" in kind)
            wait_until(lambda: listener_count(redis, channel) == size, PATIENCE)
            for view in ("read", "list"):
                assert size == redis.publish(channel, str(revoke(store, pattern=f"orders:{view}")))
                wait_until(partial(refuses, server, view), 20)
                assert refuses(server, view)
            assert server.size == len(server.processes("take"))


def refuses(server: Server, view: str) -> bool:
    """Whether every process refuses the view."""
    return {403} == server.statuses(view)


@contextmanager
def push_channel() -> Iterator[tuple[Any, str]]:
    """A client of Redis, and the name of a new channel."""
    with redis_server() as client:
        yield client, f"jwt_lp:{secrets.token_hex(6)}"


def listener_count(redis: Any, channel: str) -> int:
    return int(redis.pubsub_numsub(channel)[0][1])


def check_missing_store(case: str, folder: Path) -> None:
    """Without the store a new process refuses every request; a running one decides until its snapshot is too old."""
    pytest.importorskip("flask")
    name = case.rpartition(" ")[2]
    with open_engine(name, folder) as (url, _, store):
        revoke(store, name="carol")
        without_store = _without_sqlite if name == "sqlite" else _without_postgres
        with ExitStack() as cold, ExitStack() as running:
            cold.enter_context(without_store(url))
            limits: dict[str, Any] = {"STALE_AFTER": 8, "REFUSE_AFTER": 26}
            server = running.enter_context(served([*SYNC[:-1], "2"], "flask_app", url, **limits))
            assert [503, 503] == [server.ask(view)[0] for view in ("list", "take")]
            assert not server.client.request("GET", "/ready").json["ready"]
            cold.close()
            wait_until(lambda: {200} == server.statuses("take"), 40)
            assert server.client.request("GET", "/ready").json["ready"]
            with without_store(url):
                stopped_at = time.monotonic()
                assert {200} == server.statuses("take")
                wait_until(lambda: {503} == server.statuses("take"), 12)
                # The last polls of the two processes are up to one polling interval apart.
                assert 8 - 5.5 < time.monotonic() - stopped_at
                assert {200, 403} == {server.ask("list")[0], server.ask("read", "carol")[0]}
                wait_until(lambda: {503} == server.statuses("list"), 40)
            wait_until(lambda: {200} == server.statuses("take"), 70)
            server.stop()
        assert server.passed == granted_counts(store)


def check_waiting_commands(case: str, folder: Path) -> None:
    """After `revoke --wait` every process refuses, and after `unrevoke --wait` every process grants."""
    pytest.importorskip("click")
    pytest.importorskip("rich")
    pytest.importorskip("flask")
    with open_engine("sqlite", folder) as (url, _, store), served(SYNC, "flask_app", url) as server:
        server.processes("read")
        options = ["--store", url, "--wait"]
        run_command("revoke", "permission", "orders:read", "--subject", "alice", "--issuer", ISSUER, *options)
        assert refuses(server, "read")
        assert {200} == server.statuses("list") | server.statuses("read", "bob")
        (row,) = store.revocations()
        assert ("subject", "alice", "orders:read") == (row.entry.of, row.entry.name, row.entry.pattern)
        run_command("unrevoke", row.entry.id, *options)
        assert {200} == server.statuses("read")
        server.stop()
        assert server.passed == granted_counts(store)


def run_command(*arguments: str) -> None:
    done = subprocess.run([JWT_LP, *arguments], check=False, capture_output=True, text=True, timeout=PATIENCE)
    assert 0 == done.returncode, done.stderr


def check_postgres_outage(case: str, folder: Path) -> None:
    """During short outages of PostgreSQL no request fails and no count is lost; afterwards polling goes on."""
    pytest.importorskip("flask")
    with open_engine("postgresql", folder) as (url, _, store):
        parts = urlsplit(url)
        with proxy_to(parts.hostname or "127.0.0.1", parts.port or 5432) as proxy:
            url_of_proxy = parts._replace(netloc=f"{parts.netloc.rpartition('@')[0] or 'root'}@127.0.0.1:{proxy.port}")
            with served([*SYNC[:-1], "2"], "flask_app", url_of_proxy.geturl()) as server:
                server.processes()
                for seconds in (2, 8):
                    proxy.cut()
                    assert {200} == statuses_during(server, "list", seconds)
                    proxy.restore()
                assert {200} == statuses_during(server, "list", 3)
                revoke(store)
                # The pause before the next poll has grown with the outage.
                wait_until(lambda: refuses(server, "read"), 40)
                server.stop()
        assert server.passed == granted_counts(store)
        assert 0 == sum(period.dropped for period in store.recording_periods())


def check_redis_outage(case: str, folder: Path) -> None:
    """During an outage of Redis polling goes on; afterwards every process listens again."""
    pytest.importorskip("flask")
    parts = urlsplit(REDIS)
    with ExitStack() as stack:
        redis, channel = stack.enter_context(push_channel())
        url, _, store = stack.enter_context(open_engine("sqlite", folder))
        proxy = stack.enter_context(proxy_to(parts.hostname or "", parts.port or 6379))
        url_of_proxy = parts._replace(
            netloc=f"{parts.netloc.rpartition('@')[0]}@127.0.0.1:{proxy.port}".removeprefix("@")
        )
        variables = {"TESTS_CHANNEL": channel}
        with served([*SYNC[:-1], "2"], "flask_app", url, "", variables, PUSH=url_of_proxy.geturl()) as server:
            server.processes()
            wait_until(lambda: listener_count(redis, channel) == server.size, PATIENCE)
            proxy.cut()
            revoke(store, pattern="orders:read")
            assert {200} == statuses_during(server, "list", BOUND)
            assert refuses(server, "read")
            proxy.restore()
            wait_until(lambda: listener_count(redis, channel) == server.size, PATIENCE)
            assert server.size == redis.publish(channel, str(revoke(store, pattern="orders:list")))
            wait_until(lambda: refuses(server, "list"), BOUND)
            server.stop()
        assert server.passed == granted_counts(store)


def statuses_during(server: Server, view: str, seconds: float) -> set[int]:
    """The statuses of all requests in so many seconds."""
    statuses: set[int] = set()
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        statuses.add(server.ask(view)[0])
        time.sleep(0.05)
    return statuses


def check_elevation_by_polling(case: str, folder: Path) -> None:
    """Every process allows after one polling interval, and refuses from the end on, although the store is away since."""
    pytest.importorskip("flask")
    with open_engine("postgresql", folder) as (url, _, store):
        parts = urlsplit(url)
        with proxy_to(parts.hostname or "127.0.0.1", parts.port or 5432) as proxy:
            url_of_proxy = parts._replace(netloc=f"{parts.netloc.rpartition('@')[0] or 'root'}@127.0.0.1:{proxy.port}")
            kind = [*SYNC[:-1], "2"]
            with served(kind, "flask_app", url_of_proxy.geturl(), **ELEVATING) as server:
                server.processes("list")
                assert {403} == elevated_statuses(server)
                ends_at = approve(store, "orders:read", time.time(), 2 * BOUND + 4).until or 0.0
                wait_until(lambda: elevated_statuses(server) == {200}, BOUND)
                proxy.cut()
                assert {200} == elevated_statuses(server)
                # The processes are on this machine, so they end it by the same clock.
                time.sleep(max(0.0, ends_at - time.time()))
                assert {403} == elevated_statuses(server)
                assert {200} == server.statuses("list")


def check_elevation_by_push(case: str, folder: Path) -> None:
    """Without polling every process allows after a push, and refuses after the push of an early end."""
    pytest.importorskip("fastapi")
    with push_channel() as (redis, channel), open_engine("postgresql", folder) as (url, _, store):
        variables = {"TESTS_CHANNEL": channel, "TESTS_PUSHED_ONLY": "1"}
        settings = {"PUSH": REDIS, **ELEVATING}
        with served(UVICORN, "fastapi_app", url, "", variables, **settings) as server:
            server.processes("list")
            wait_until(lambda: listener_count(redis, channel) == server.size, PATIENCE)
            assert {403} == elevated_statuses(server)
            elevation = approve(store, "orders:read", time.time(), 600)
            assert server.size == redis.publish(channel, "1")
            wait_until(lambda: elevated_statuses(server) == {200}, 20)
            change(store, elevation, "ended", time.time())
            assert server.size == redis.publish(channel, "2")
            wait_until(lambda: elevated_statuses(server) == {403}, 20)


def elevated_statuses(server: Server) -> set[int]:
    """The statuses of requests, in every process, of somebody whose token lacks the permission."""
    return server.statuses("read", "alice", "orders:list")


def check_recycled_workers(case: str, folder: Path) -> None:
    """Workers that are replaced after so many requests lose no count."""
    pytest.importorskip("flask")
    kind = ["gunicorn", "--workers", "2", "--max-requests", "25", *(["--preload"] if "preload" in case else [])]
    with open_engine("sqlite", folder) as (url, _, store), served(kind, "flask_app", url) as server:
        pids = {server.ask("list")[1] for _ in range(200)}
        assert len(pids) > 4
        assert 200 == server.passed["list"]
        server.stop()
        assert server.passed == granted_counts(store)


SCENARIOS: dict[str, Callable[[str, Path], None]] = {
    **dict.fromkeys(CASES, check_revocation_by_polling),
    "away, postgresql": check_missing_store,
    "away, sqlite": check_missing_store,
    "restarted, postgresql": check_postgres_outage,
    "restarted, redis": check_redis_outage,
    "elevated": check_elevation_by_polling,
    "elevated, pushed": check_elevation_by_push,
    "commands": check_waiting_commands,
    "recycled": check_recycled_workers,
    "recycled, preload": check_recycled_workers,
}
PUSHED = [case for case in CASES if case.startswith(("flask, preload, postgresql", "fastapi"))]
SCENARIOS.update(
    {
        f"pushed: {case}": lambda name, folder: check_revocation_by_push(name.partition(": ")[2], folder)
        for case in PUSHED
    }
)


def wait_until(condition: Callable[[], bool], seconds: float) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"not within {seconds} s"
        time.sleep(0.2)


def _answers(client: HttpClient) -> bool:
    with suppress(OSError):
        return client.request("GET", "/ready").status == 200
    return False


@contextmanager
def _without_sqlite(url: str) -> Iterator[None]:
    path = Path(url.removeprefix("sqlite:///"))
    moved = path.with_name("aside")
    path.rename(moved)
    path.mkdir()
    yield
    path.rmdir()
    moved.rename(path)


@contextmanager
def _without_postgres(url: str) -> Iterator[None]:
    import psycopg

    start, name = url.rsplit("/", 1)
    with psycopg.connect(f"{start}/postgres", autocommit=True) as server:
        server.execute(f"ALTER DATABASE {name} ALLOW_CONNECTIONS false")
        server.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s", (name,))
        yield
        server.execute(f"ALTER DATABASE {name} ALLOW_CONNECTIONS true")


@pytest.fixture(scope="module")
def running(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[dict[str, Future[None]]]:
    """The selected scenarios, in parallel because each of them mostly waits."""
    selected: list[Any] = [
        item.callspec.params["scenario"]
        for item in request.session.items
        if isinstance(item, pytest.Function) and item.function is test_servers
    ]
    if find_spec("django"):
        from hosts.django_setup import configure

        configure()
    with ThreadPoolExecutor(5) as pool:
        # The longest ones start first.
        order = sorted(selected, key=lambda name: not name.startswith(("away", "restarted", "elevated")))
        yield {name: pool.submit(SCENARIOS[name], name, tmp_path_factory.mktemp("served")) for name in order}


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_servers(scenario: str, running: dict[str, Future[None]]) -> None:
    """Every process refuses what is revoked in time, allows what is elevated, and nothing else; counts are exact."""
    running[scenario].result()
