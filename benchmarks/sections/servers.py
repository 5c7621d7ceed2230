"""Requests per second of real servers on loopback: the guarded application beside the same application without a guard.

Both servers run all the time, with one worker process each, and one of them works at a time. The load comes from a
third process. Usage and revocations are on. Here time on the wall counts, as it does for users; the CPU time of the
server is shown beside it, because other load on the machine does not change it.
"""

from __future__ import annotations

import json
import os
import socket
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, closing, contextmanager, suppress
from dataclasses import dataclass
from typing import Final

import psutil

from benchmarks.apps import serving
from benchmarks.apps.handlers import PATH, OrderBook
from benchmarks.figures import Figure
from benchmarks.load import Job, LoadGenerator
from benchmarks.rounds import WARM_UP, Rounds, measure, turn_order
from benchmarks.scale import Scale
from benchmarks.workbench import SCOPES, store_url
from jwt_lp.testing.authority import Authority

HOSTS: Final = (*serving.WSGI, *serving.ASGI)
SIDES: Final = ("ours", "bare")

REQUESTS: Final = 200
"""How many requests a side gets in each round: few, so that the sides take turns several times in a second."""

ROUNDS: Final = 2
"""How many times as many rounds as elsewhere, because time on the wall is less steady than CPU time."""

CONNECTIONS: Final = 4
START_TIMEOUT: Final = 60.0

MIXES: Final[Mapping[str, int]] = {"many users": 5, "few clients": 100}
"""How many requests each token sends; one of "many users" was never seen before the first of its five."""


@dataclass(frozen=True, slots=True)
class Server:
    """A running server: its port, and its first process."""

    port: int
    process: psutil.Process

    def cpu_time(self) -> float:
        """The seconds of CPU time that the server's processes have used."""
        processes = [self.process, *self.process.children(recursive=True)]
        return sum(time.clock_gettime(_cpu_clock(process.pid)) for process in processes)


def _cpu_clock(pid: int) -> int:
    """Linux's clock of the CPU time of another process, as clock_getcpuclockid(3) computes it; exact to microseconds."""
    return ~pid << 3 | 2


def run(scale: Scale, hosts: Sequence[str] = HOSTS) -> list[Figure]:
    """The figures of each host and mix, and how much the handler does."""
    figures = [_handler(scale)]
    with LoadGenerator.started() as generator:
        for host in hosts:
            authority = Authority(algorithm="RS256")
            with store_url() as url, ExitStack() as stack:
                settings = {"bare": None, "ours": authority.settings(STORE=url)}
                servers = {side: stack.enter_context(_serve(host, settings[side])) for side in SIDES}
                for mix, each in MIXES.items():
                    figures += _measure(f"{host}, {mix}", authority, servers, generator, scale, each)
    return figures


def _handler(scale: Scale) -> Figure:
    """The handler's own work, the queries and the JSON."""
    number = scale.of(100)
    with closing(OrderBook()) as book:

        def pages(_: int) -> int:
            for _ in range(number):
                json.dumps(book.page())
            return number

        return Figure.of_cost(measure({"handler": pages}, scale.rounds), "the handler", "handler")


def _measure(
    what: str,
    authority: Authority,
    servers: Mapping[str, Server],
    generator: LoadGenerator,
    scale: Scale,
    each: int,
) -> list[Figure]:
    walls: dict[str, list[float]] = {side: [] for side in SIDES}
    cpus: dict[str, list[float]] = {side: [] for side in SIDES}
    latencies: dict[str, list[float]] = {side: [] for side in SIDES}
    number = scale.of(REQUESTS)
    for turn in range(WARM_UP + ROUNDS * scale.rounds):
        # Both sides get the same requests, and the tokens are new in each round.
        authorizations = _requests(authority, number, each)
        for side in turn_order(SIDES, turn):
            server = servers[side]
            before = server.cpu_time()
            answer = generator.run(Job(server.port, PATH, authorizations, CONNECTIONS))
            if turn >= WARM_UP:
                cpus[side].append((server.cpu_time() - before) / number)
                walls[side].append(answer.seconds / number)
                latencies[side] += answer.latencies
    wall = Rounds({side: tuple(values) for side, values in walls.items()})
    cpu = Rounds({side: tuple(values) for side, values in cpus.items()})
    return [
        # Seconds per request, turned over: the requests per second of ours, as a share of those of the bare application.
        Figure.of_times(wall, what, "ours", "bare", against="requests per second"),
        Figure.of_times(cpu, what, "ours", "bare", against="requests per CPU second"),
        *(
            Figure.of_value(
                what,
                "ms",
                1e3 * _percentile(latencies["ours"], percent),
                against=f"p{percent}",
                ours=_percentile(latencies["ours"], percent),
                theirs=_percentile(latencies["bare"], percent),
            )
            for percent in (50, 99)
        ),
    ]


def _requests(authority: Authority, number: int, each: int) -> list[str]:
    """So many headers, in which every token comes `each` times, among those of other users."""
    users = -(-number // each)
    # For a busy client the order makes no difference; a user's requests follow within a few of others.
    headers = [f"Bearer {authority.token(f'user-{user}', SCOPES, lifetime=3600)}" for user in range(users)]
    group = 8
    blocks = (headers[start : start + group] for start in range(0, users, group))
    return [header for block in blocks for _ in range(each) for header in block][:number]


def _percentile(values: Sequence[float], percent: int) -> float:
    return statistics.quantiles(values, n=100, method="inclusive")[percent - 1]


@contextmanager
def _serve(host: str, settings: Mapping[str, object] | None) -> Iterator[Server]:
    """Serve the host's application with gunicorn or uvicorn, one worker, and threads or an event loop."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    factory = "benchmarks.apps.serving:create"
    command = [sys.executable, "-m"]
    if host in serving.WSGI:
        command += ["gunicorn", f"{factory}()", "--bind", f"127.0.0.1:{port}", "--workers", "1"]
        command += ["--worker-class", "gthread", "--threads", f"{CONNECTIONS}", "--keep-alive", "60"]
        command += ["--log-level", "critical"]
    else:
        command += ["uvicorn", "--factory", factory, "--host", "127.0.0.1", "--port", f"{port}"]
        command += ["--log-level", "critical", "--no-access-log"]
    environment = os.environ | {serving.VARIABLE: json.dumps({"host": host, "settings": settings})}
    with subprocess.Popen(command, env=environment) as process:
        try:
            _wait_until_open(process, port)
            yield Server(port, psutil.Process(process.pid))
        finally:
            process.terminate()
            with suppress(subprocess.TimeoutExpired):
                process.wait(10)
            process.kill()


def _wait_until_open(process: subprocess.Popen[bytes], port: int) -> None:
    """Wait until the server accepts connections; `RuntimeError` if it ended, or after a minute."""
    deadline = time.monotonic() + START_TIMEOUT
    while process.poll() is None and time.monotonic() < deadline:
        with suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
            return
        time.sleep(0.05)
    raise RuntimeError(f"{process.args!r} does not serve")
