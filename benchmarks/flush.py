"""Benchmark of a flush of usage with the sums, compared with the same flush without them.

    python benchmarks/flush.py sqlite|postgresql [ROWS] [ROUNDS]

Each round sends four batches of new rows, those of a new day, and then the same rows again. The times are processor
time for each row, of this process and of the server's process together. It fills new databases, in a new folder or on
the server that BENCH_POSTGRES names, and drops them.
"""

from __future__ import annotations

import os
import random
import secrets
import statistics
import sys
import tempfile
import time
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING
from unittest.mock import patch

import psycopg
from psycopg import sql

from jwt_lp.stores import RecordingPeriod, UsageBatch, Use, open_store

if TYPE_CHECKING:
    from collections.abc import Iterator

    from jwt_lp.stores import Store

SERVER = os.environ.get("BENCH_POSTGRES", "postgresql://root@127.0.0.1:5432/postgres")
BATCHES = 4


def main() -> None:
    """Print one line for each kind of row."""
    engine = sys.argv[1]
    rows = int(sys.argv[2]) if len(sys.argv) > 2 else 2000  # noqa: PLR2004
    rounds = int(sys.argv[3]) if len(sys.argv) > 3 else 10  # noqa: PLR2004
    times: dict[tuple[str, str], list[float]] = {}
    with ExitStack() as stack:
        stores = {name: stack.enter_context(_new_store(engine)) for name in ("with", "without")}
        for turn in range(rounds):
            day = f"2026-{turn // 28 + 1:02}-{turn % 28 + 1:02}"
            batches = [_uses(day, rows, seed) for seed in range(BATCHES)]
            for kind in ("new rows", "repeated rows"):
                for name, (store, url) in stores.items():
                    spent = _flush(store, url, batches, with_sums=name == "with")
                    times.setdefault((kind, name), []).append(spent / rows / BATCHES * 1e6)
    for kind in ("new rows", "repeated rows"):
        summed, plain = (statistics.median(times[kind, name]) for name in ("with", "without"))
        print(f"{engine:10} {kind:13} {summed:6.1f} us with sums, {plain:6.1f} us without: {summed / plain:.2f} times")


@contextmanager
def _new_store(engine: str) -> Iterator[tuple[Store, str]]:
    name = f"jwt_lp_bench_{secrets.token_hex(4)}"
    with ExitStack() as stack:
        if engine == "sqlite":
            url = f"sqlite:///{Path(stack.enter_context(tempfile.TemporaryDirectory()), name)}"
        else:
            url = f"{SERVER.rpartition('/')[0]}/{name}"
            server = stack.enter_context(psycopg.connect(SERVER, autocommit=True))
            server.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
            stack.callback(server.execute, sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))
        store = open_store(url)
        stack.callback(store.close)
        store.migrate()
        yield store, url


def _uses(day: str, rows: int, seed: int) -> dict[Use, tuple[int, float]]:
    pick = random.Random(seed)
    uses: dict[Use, tuple[int, float]] = {}
    while len(uses) < rows:
        subject = pick.randrange(20_000)
        number = (subject * 7 + int(pick.random() ** 2 * 30)) % 300
        permission = f"area-{number % 20}:thing-{number}:read"
        use = Use(
            service=f"service-{number % 5}", issuer="https://issuer.example/", subject=f"subject-{subject}",
            client=f"client-{subject % 4}", role=f"role-{number % 20}", endpoint=f"/things/{number}/{pick.randrange(2)}",
            method="GET", requirement=permission, permission=permission, grant=f"area-{number % 20}:*",
            outcome="granted", day=day,
        )  # fmt: skip
        uses[use] = 1 + pick.randrange(7), 1767225600.0 + pick.random()
    return uses


def _flush(store: Store, url: str, batches: list[dict[Use, tuple[int, float]]], *, with_sums: bool) -> float:
    """Send the batches; return the processor time."""
    before = time.thread_time() + _server_time(url)
    with ExitStack() as stack:
        if not with_sums:
            stack.enter_context(patch("jwt_lp.stores.usage_rows.add_to_sums"))
        for uses in batches:
            period = RecordingPeriod(id="bench", service="bench", started=1.0, until=2.0)
            store.record(UsageBatch(id=secrets.token_hex(8), uses=uses, period=period))
    return time.thread_time() + _server_time(url) - before


def _server_time(url: str) -> float:
    """The processor time of the server's processes for this database, in seconds."""
    if url.startswith("sqlite"):
        return 0.0
    with psycopg.connect(SERVER) as server:
        query = "SELECT pid FROM pg_stat_activity WHERE datname = %s"
        pids = [pid for (pid,) in server.execute(query, (url.rpartition("/")[2],))]
    fields = (Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split() for pid in pids)
    return sum(int(field[11]) + int(field[12]) for field in fields) / os.sysconf("SC_CLK_TCK")


if __name__ == "__main__":
    main()
