"""Real servers with several processes: revoked in all of them, counted exactly, whatever way they begin and end."""

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
# The pause of the polling, and what a round of four processes on a busy machine may take.
BOUND = 5 + 3
# What processes may take to begin, or to begin to listen again, where many do at once and others are at work.
PATIENCE = 180
SYNC = ["gunicorn", "--workers", "4"]
THREADS = ["gunicorn", "--workers", "4", "--threads", "4", "--worker-class", "gthread"]
UVICORN = ["uvicorn", "--workers", "2", "--factory", "--log-level", "warning", "--timeout-graceful-shutdown", "10"]


@dataclass
class Server:
    """A server of `size` processes, and how often it let something pass."""

    process: subprocess.Popen[bytes]
    client: HttpClient
    size: int
    passed: Counter[str] = field(default_factory=Counter)

    def ask(self, view: str, subject: str = "alice", *permissions: str) -> tuple[int, int]:
        """The status, and the process that answered where it let the request pass."""
        header = AUTHORITY.headers(subject, permissions or ["orders:*", "stock:*"])
        answer = self.client.request("GET", f"/{view}", header.items())
        if answer.status == 200:
            self.passed[view] += 1
            return 200, answer.json["pid"]
        return answer.status, 0

    def processes(self, view: str = "list") -> set[int]:
        """Every process, each of which let `view` pass."""
        found: set[int] = set()
        deadline = time.monotonic() + PATIENCE
        while len(found) < self.size:
            assert time.monotonic() < deadline, f"{found} of {self.size} answered"
            asked = [threading.Thread(target=lambda: found.add(self.ask(view)[1])) for _ in range(8)]
            for each in asked:
                each.start()
            for each in asked:
                each.join()
            found.discard(0)
        return found

    def stop(self) -> None:
        self.process.send_signal(signal.SIGTERM)
        self.process.wait(40)


@contextmanager
def served(
    kind: list[str], app: str, store: str, database: str = "", more: Mapping[str, str] | None = None, **settings: Any
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
            **(more or {}),
        }
        place = ["--bind", f"fd://{number}"] if kind[0] == "gunicorn" else ["--fd", str(number)]
        name = f"stores.server_apps:{app}" + ("()" if kind[0] == "gunicorn" else "")
        # Coverage and the like of the parent are none of a server's business.
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
            # Many begin at once here; a public route says nothing of how the guard stands.
            until(lambda: _answers(server.client), PATIENCE)
            yield server
        finally:
            process.terminate()
            with suppress(subprocess.TimeoutExpired):
                process.wait(20)
            process.kill()
            process.wait()


def take(store: Store, name: str = "alice", pattern: str = "orders:read") -> int:
    entry = RevocationEntry(id=secrets.token_hex(8), of="subject", issuer=ISSUER, name=name, pattern=pattern)
    return store.revoke([entry], at=time.time())


def granted(store: Store) -> Counter[str]:
    """How often each view let a request pass, as the store has it."""
    found: Counter[str] = Counter()
    for row in store.usage():
        if row.use.outcome == "granted":
            found[{"orders:read": "read", "orders:list": "list", "stock:take": "take"}[row.use.permission]] += row.count
    return found


@contextmanager
def engine(name: str, folder: Path) -> Iterator[tuple[str, str, Store]]:
    """The store's URL for the server, its database where it is Django's, and the store as this process sees it."""
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


def taken_back(case: str, folder: Path) -> None:
    kind, app, name = CASES[case]
    pytest.importorskip(HOSTS[app])
    with engine(name, folder) as (url, database, store), served(kind, app, url, database) as server:
        # No request is refused because its process has only just begun.
        assert {200} == {server.ask("list")[0] for _ in range(20)}
        processes = server.processes("read")
        taken_at = time.monotonic()
        take(store)
        while time.monotonic() < taken_at + BOUND:
            server.ask("read")
            time.sleep(0.05)
        assert refused(server, "read")
        assert processes == server.processes("list")
        assert {200} == {server.ask("read", "bob")[0] for _ in range(5)}
        server.stop()
        assert server.passed == granted(store)


def pushed(case: str, folder: Path) -> None:
    """No process lets it pass once it has heard the push, which is all that can bring the news: it does not poll."""
    kind, app, name = CASES[case]
    pytest.importorskip(HOSTS[app])
    with channel() as (redis, heard), engine(name, folder) as (url, database, store):
        more = {"TESTS_CHANNEL": heard, "TESTS_PUSHED_ONLY": "1"}
        with served(kind, app, url, database, more, PUSH=REDIS) as server:
            server.processes("read")
            # The parent that has loaded the application listens as well.
            size = server.size + ("--preload" in kind)
            until(lambda: listening(redis, heard) == size, PATIENCE)
            for view in ("read", "list"):
                assert size == redis.publish(heard, str(take(store, pattern=f"orders:{view}")))
                until(partial(refused, server, view), 20)
                assert refused(server, view)
            assert server.size == len(server.processes("take"))


def refused(server: Server, view: str) -> bool:
    """Whether every process refuses it, as far as so many requests can tell."""
    return {server.ask(view)[0] for _ in range(15 * server.size)} == {403}


@contextmanager
def channel() -> Iterator[tuple[Any, str]]:
    """Redis, and the name of a channel that nobody else listens to."""
    with redis_server() as client:
        yield client, f"jwt_lp:{secrets.token_hex(6)}"


def listening(redis: Any, channel: str) -> int:
    return int(redis.pubsub_numsub(channel)[0][1])


def away(case: str, folder: Path) -> None:
    """Without the store nothing is decided at first; later on the age of what is known decides."""
    pytest.importorskip("flask")
    name = case.rpartition(" ")[2]
    with engine(name, folder) as (url, _, store):
        take(store, name="carol")
        gone = _sqlite_gone if name == "sqlite" else _postgres_gone
        with ExitStack() as cold, ExitStack() as running:
            cold.enter_context(gone(url))
            limits: dict[str, Any] = {"STALE_AFTER": 8, "REFUSE_AFTER": 26}
            server = running.enter_context(served([*SYNC[:-1], "2"], "flask_app", url, **limits))
            assert [503, 503] == [server.ask(view)[0] for view in ("list", "take")]
            assert not server.client.request("GET", "/ready").json["ready"]
            cold.close()
            until(lambda: {200} == {server.ask("take")[0] for _ in range(8)}, 40)
            assert server.client.request("GET", "/ready").json["ready"]
            with gone(url):
                begun = time.monotonic()
                assert {200} == {server.ask("take")[0] for _ in range(8)}
                until(lambda: {503} == {server.ask("take")[0] for _ in range(8)}, 12)
                # Two processes heard of it last at different times, within one pause.
                assert 8 - 5.5 < time.monotonic() - begun
                assert {200, 403} == {server.ask("list")[0], server.ask("read", "carol")[0]}
                until(lambda: {503} == {server.ask("list")[0] for _ in range(8)}, 22)
            until(lambda: {200} == {server.ask("take")[0] for _ in range(8)}, 70)
            server.stop()
        assert server.passed == granted(store)


def commanded(case: str, folder: Path) -> None:
    """When the command that revoked it has waited, no process lets it pass; and again when it is lifted."""
    pytest.importorskip("click")
    pytest.importorskip("rich")
    pytest.importorskip("flask")
    with engine("sqlite", folder) as (url, _, store), served(SYNC, "flask_app", url) as server:
        server.processes("read")
        where = ["--store", url, "--wait"]
        command("revoke", "permission", "orders:read", "--subject", "alice", "--issuer", ISSUER, *where)
        assert refused(server, "read")
        assert {200} == {server.ask("list")[0] for _ in range(5)} | {server.ask("read", "bob")[0]}
        (taken,) = store.revocations()
        assert ("subject", "alice", "orders:read") == (taken.entry.of, taken.entry.name, taken.entry.pattern)
        command("unrevoke", taken.entry.id, *where)
        assert {200} == {server.ask("read")[0] for _ in range(15 * server.size)}
        server.stop()
        assert server.passed == granted(store)


def command(*arguments: str) -> None:
    done = subprocess.run([JWT_LP, *arguments], check=False, capture_output=True, text=True, timeout=PATIENCE)
    assert 0 == done.returncode, done.stderr


def restarted(case: str, folder: Path) -> None:
    """While PostgreSQL is away for a moment no request fails and no count is lost; then it is heard of again."""
    pytest.importorskip("flask")
    with engine("postgresql", folder) as (url, _, store):
        parts = urlsplit(url)
        with proxy_to(parts.hostname or "127.0.0.1", parts.port or 5432) as way:
            through = parts._replace(netloc=f"{parts.netloc.rpartition('@')[0] or 'root'}@127.0.0.1:{way.port}")
            with served([*SYNC[:-1], "2"], "flask_app", through.geturl()) as server:
                server.processes()
                for seconds in (2, 8):
                    way.cut()
                    assert {200} == answered(server, "list", seconds)
                    way.mend()
                assert {200} == answered(server, "list", 3)
                take(store)
                # The next try comes after a pause that has grown with the outage.
                until(lambda: refused(server, "read"), 40)
                server.stop()
        assert server.passed == granted(store)
        assert 0 == sum(run.dropped for run in store.recording_periods())


def reconnected(case: str, folder: Path) -> None:
    """While Redis is away polling goes on; when it is back, every process listens again."""
    pytest.importorskip("flask")
    parts = urlsplit(REDIS)
    with ExitStack() as stack:
        redis, heard = stack.enter_context(channel())
        url, _, store = stack.enter_context(engine("sqlite", folder))
        way = stack.enter_context(proxy_to(parts.hostname or "", parts.port or 6379))
        through = parts._replace(netloc=f"{parts.netloc.rpartition('@')[0]}@127.0.0.1:{way.port}".removeprefix("@"))
        more = {"TESTS_CHANNEL": heard}
        with served([*SYNC[:-1], "2"], "flask_app", url, "", more, PUSH=through.geturl()) as server:
            server.processes()
            until(lambda: listening(redis, heard) == server.size, PATIENCE)
            way.cut()
            take(store, pattern="orders:read")
            assert {200} == answered(server, "list", BOUND)
            assert refused(server, "read")
            way.mend()
            until(lambda: listening(redis, heard) == server.size, PATIENCE)
            assert server.size == redis.publish(heard, str(take(store, pattern="orders:list")))
            until(lambda: refused(server, "list"), BOUND)
            server.stop()
        assert server.passed == granted(store)


def answered(server: Server, view: str, seconds: float) -> set[int]:
    """Every status that was answered in so many seconds."""
    found: set[int] = set()
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        found.add(server.ask(view)[0])
        time.sleep(0.05)
    return found


def recycled(case: str, folder: Path) -> None:
    """Workers that end after so many requests, and new ones, lose nothing."""
    pytest.importorskip("flask")
    kind = ["gunicorn", "--workers", "2", "--max-requests", "25", *(["--preload"] if "preload" in case else [])]
    with engine("sqlite", folder) as (url, _, store), served(kind, "flask_app", url) as server:
        found = {server.ask("list")[1] for _ in range(200)}
        assert len(found) > 4
        assert 200 == server.passed["list"]
        server.stop()
        assert server.passed == granted(store)


SCENARIOS: dict[str, Callable[[str, Path], None]] = {
    **dict.fromkeys(CASES, taken_back),
    "away, postgresql": away,
    "away, sqlite": away,
    "restarted, postgresql": restarted,
    "restarted, redis": reconnected,
    "commanded": commanded,
    "recycled": recycled,
    "recycled, preload": recycled,
}
PUSHED = [case for case in CASES if case.startswith(("flask, preload, postgresql", "fastapi"))]
SCENARIOS.update({f"pushed: {case}": lambda name, folder: pushed(name.partition(": ")[2], folder) for case in PUSHED})


def until(holds: Callable[[], bool], seconds: float) -> None:
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline, f"not within {seconds} s"
        time.sleep(0.2)


def _answers(client: HttpClient) -> bool:
    with suppress(OSError):
        return client.request("GET", "/ready").status == 200
    return False


@contextmanager
def _sqlite_gone(url: str) -> Iterator[None]:
    path = Path(url.removeprefix("sqlite:///"))
    aside = path.with_name("aside")
    path.rename(aside)
    path.mkdir()
    yield
    path.rmdir()
    aside.rename(path)


@contextmanager
def _postgres_gone(url: str) -> Iterator[None]:
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
    """Every scenario that is asked for, side by side: most of each is waiting."""
    wanted: list[Any] = [
        item.callspec.params["scenario"]
        for item in request.session.items
        if isinstance(item, pytest.Function) and item.function is test_servers
    ]
    if find_spec("django"):
        from hosts.django_setup import configure

        configure()
    with ThreadPoolExecutor(5) as pool:
        # The longest first.
        order = sorted(wanted, key=lambda each: not each.startswith(("away", "restarted")))
        yield {each: pool.submit(SCENARIOS[each], each, tmp_path_factory.mktemp("served")) for each in order}


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_servers(scenario: str, running: dict[str, Future[None]]) -> None:
    """What is revoked is refused in every process in time, exactly that, and counts are exact."""
    running[scenario].result()
